"""Tables over runs and models carry each one's own numbers; small charts share their scale."""

import dataclasses

import numpy as np
import pytest

from fisherdash.analysis import compare, total_energy_change
from fisherdash.plots import overview
from fisherdash.plots.drift import median_of_survivors
from fisherdash.plots.theme import DEFAULT, FISHER
from fisherdash.workspace.headers import RunHeader
from tests.plots.planted import trajectories
from tests.plots.test_parity import found as planted_errors
from tests.randomised import random_checkpoint
from tests.workspace.recorded import SETTINGS


def header(model=None):
    known = {"fingerprint": model.fingerprint} if model else {}
    return RunHeader(
        title="t",
        names=("a", "b"),
        roles=("default", "fisher"),
        atomic_numbers=(8, 1, 1),
        settings=SETTINGS,
        checkpoints=(known, {}),
    )


def test_a_row_for_each_head_with_its_own_numbers():
    model = random_checkpoint()
    found = compare(trajectories())
    first, second = overview.run_rows("r", header(model), found, 50.0, {model.fingerprint: model})
    assert (first["head"], second["head"]) == ("a", "b")
    assert first["head norm (eV)"] == pytest.approx(np.sqrt(np.sum(model.head**2)))
    assert second["head norm (eV)"] is None  # not at hand: unknown, not zero
    assert (first["survivors (%)"], second["survivors (%)"]) == (100.0, 80.0)
    # planted: 1 and 2 meV per atom in every frame of 10 fs
    assert first["drift (meV/atom/ps)"] == pytest.approx(100.0)
    assert second["drift (meV/atom/ps)"] == pytest.approx(200.0)
    interval = found.drift["a"]
    assert (first["drift, low"], first["drift, high"]) == (interval.low, interval.high)


def test_a_head_without_survivors_has_no_drift():
    deaths = [(1, replica, 10) for replica in range(5)]
    found = compare(trajectories(deaths=deaths))
    _, second = overview.run_rows("r", header(), found, 0.0, {})
    assert second["drift (meV/atom/ps)"] is None and second["speed (steps/s)"] is None
    assert second["survivors (%)"] == 0.0 and second[
        "median time to failure (ps)"
    ] == pytest.approx(0.1)


def test_small_charts_share_their_energies_and_name_who_lives():
    slow, fast = trajectories(), trajectories(frames=80, deaths=())
    made = overview.small_multiples([("one", header(), slow), ("two", header(), fast)])
    limits = [figure.layout.yaxis.range for figure in made]
    assert limits[0] == limits[1] and limits[0][0] < 0 and limits[0][1] > 140
    np.testing.assert_allclose(made[1].data[1].y, 2.0 * np.arange(80), atol=1e-4)
    assert [line.name for line in made[0].data] == ["a: 5 of 5", "b: 4 of 5"]
    assert [figure.layout.title.text for figure in made] == ["one", "two"]


def test_models_and_their_errors_are_listed_by_name():
    model = random_checkpoint()
    table = overview.model_rows({"m": model})
    assert table.loc[0, "fingerprint"] == model.fingerprint
    assert table.loc[0, "parameters"] == model.num_parameters
    again = dataclasses.replace(model, provenance={"made_by": "solve", "parent": "weak"})
    assert overview.model_rows({"m": again}).loc[0, "made by"] == "re-fit of weak"
    one, seen = planted_errors(), np.arange(400) < 100
    errors = overview.error_rows({"m": dataclasses.replace(one, seen=seen)}).loc[0]
    assert errors["force RMSE (eV/Å)"] == one.errors().force_rmse
    assert (errors["frames"], errors["seen in training"]) == (400, 100)
    assert errors["force RMSE on unseen (eV/Å)"] == one.errors(~seen).force_rmse


def test_runs_are_laid_over_each_other_with_their_survivors():
    slow, fast = trajectories(), trajectories(frames=80, deaths=())
    made = overview.overlaid([("one", header(), slow), ("two", header(), fast)])
    energies = [trace for trace in made.data if trace.yaxis == "y"]
    shares = [trace for trace in made.data if trace.yaxis == "y2"]
    np.testing.assert_allclose(energies[3].y, 2.0 * np.arange(80), atol=1e-4)
    assert [share.y[-1] for share in shares] == [100.0, 80.0, 100.0, 100.0]
    # A colour a run, the dash of each head as everywhere.
    colours = [trace.line.color for trace in energies]
    assert colours[0] == colours[1] != colours[2] == colours[3]
    assert [trace.line.dash for trace in energies] == ["solid", "dash"] * 2
    assert [trace.legendgroup for trace in energies] == ["one", "one", "two", "two"]
    assert made.layout.legend.traceorder == "grouped"  # else only the first run has its title
    assert made.table["survivors"].tolist() == [5, 4, 5, 5]


def test_the_heads_of_a_single_run_keep_their_own_colours():
    made = overview.overlaid([("one", header(), trajectories())])
    energies = [trace for trace in made.data if trace.yaxis == "y"]
    assert [trace.line.color for trace in energies] == [DEFAULT.colour, FISHER.colour]


def test_a_long_run_is_drawn_by_its_running_mean():
    long = trajectories(frames=400, deaths=())
    kinetic = long.kinetic + np.where(np.arange(400) % 2, 0.3, -0.3)
    made = overview.overlaid([("one", header(), dataclasses.replace(long, kinetic=kinetic))])
    exact = median_of_survivors(total_energy_change(dataclasses.replace(long, kinetic=kinetic)))
    drawn = np.asarray(made.data[0].y, float)
    assert np.abs(np.diff(drawn))[20:-20].max() < 0.2 * np.abs(np.diff(exact[0])).max()
    last = made.table["median ΔE at the end (meV/atom)"][0]
    assert last == pytest.approx(exact[0, -1])
