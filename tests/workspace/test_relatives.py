"""Which run is a finer one of another: the same start, and one thing different."""

import dataclasses

import pytest

from fisherdash.md import MDSettings
from fisherdash.workspace import paths, runs
from fisherdash.workspace.runs import finer_run, is_finer
from tests.workspace.test_runs import REPLICAS, header

BASE = MDSettings(replicas=REPLICAS, steps=20, record_every=2)


def of(settings, **changes):
    facts = {"dataset": {"fingerprint": "data"}, "checkpoints": ({"fingerprint": "a"},) * 2}
    return header(settings=settings.to_json(), **{**facts, **changes})


def test_half_the_step_and_double_precision_are_finer():
    assert is_finer(of(BASE), of(BASE.halved()), "time step")
    assert not is_finer(of(BASE.halved()), of(BASE), "time step")
    assert is_finer(of(BASE), of(BASE.in_double(10)), "round-off")
    assert not is_finer(of(BASE), of(BASE.in_double()), "time step")
    assert not is_finer(of(BASE), of(BASE.halved()), "round-off")
    half = BASE.halved()
    assert (half.timestep * half.steps, half.timestep * half.record_every) == (
        BASE.timestep * BASE.steps,
        BASE.timestep * BASE.record_every,
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"dataset": {"fingerprint": "other"}},
        {"checkpoints": ({"fingerprint": "a"}, {"fingerprint": "b"})},
        {"settings": dataclasses.replace(BASE.halved(), seed=1).to_json()},
        {"settings": dataclasses.replace(BASE.halved(), temperature=1.0).to_json()},
        {"settings": dataclasses.replace(BASE.halved(), start="relaxed").to_json()},
    ],
)
def test_anything_else_different_makes_another_run(changes):
    assert not is_finer(of(BASE), dataclasses.replace(of(BASE.halved()), **changes), "time step")


def test_the_newest_of_the_workspace_is_found(tmp_path, monkeypatch):
    monkeypatch.setenv("FISHERDASH_WORKSPACE", str(tmp_path))
    home = paths.folder("runs")
    for name, settings in {"one": BASE, "half": BASE.halved(), "again": BASE.halved()}.items():
        runs.RunWriter(home / name, of(settings)).finish("finished")
    run = runs.open_run(home / "one")
    assert finer_run(run, "time step") == home / "again"
    assert finer_run(run, "round-off") is None
