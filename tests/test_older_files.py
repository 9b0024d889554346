"""What earlier versions wrote is read, resumed and extended (tests/data/README.md).

What is on disk already stays to the bit. What is computed now agrees with what the earlier version
computed to round-off: another processor, or another program for the same mathematics, rounds
differently.
"""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from fisherdash.__main__ import main

pytestmark = pytest.mark.slow

OLDER = Path(__file__).parent / "data" / "version_0"
NUMBERS = json.loads((OLDER / "numbers.json").read_text())


@pytest.fixture
def shell(capfd):
    """What a command prints as JSON."""

    def answer(*words: object) -> dict:
        assert main([*map(str, words), "--json"]) == 0
        return json.loads(capfd.readouterr().out)

    return answer


@pytest.fixture
def copied(tmp_path, monkeypatch):
    """A folder of the earlier version, copied to where a program may write it."""
    monkeypatch.setenv("FISHERDASH_WORKSPACE", str(tmp_path / "workspace"))

    def copy(name: str, place: str = "") -> Path:
        return shutil.copytree(OLDER / name, tmp_path / place / name)

    return copy


def close(found: object, expected: object) -> None:
    """Nested results with the same keys and, to round-off, the same numbers."""
    if isinstance(expected, dict):
        assert isinstance(found, dict) and found.keys() == expected.keys()
        for key, value in expected.items():
            close(found[key], value)
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, rel=1e-5)
    else:
        assert found == expected


@pytest.mark.parametrize("name", ["trained", "refitted"])
def test_a_checkpoint_has_the_same_errors(shell, name):
    found = shell("evaluate", OLDER / f"{name}.safetensors", OLDER / "ethanol.npz")
    close(found, NUMBERS[f"evaluate {name}"])


def test_a_checkpoint_is_fitted_again_to_the_same_numbers(shell, tmp_path):
    """The data are divided as before, and the earlier re-fit knows its covariance."""
    options = "--head by-element --ridge 1e-3 --energy-weight 1 --holdout 0.3 --quick".split()
    out, inputs = tmp_path / "again.safetensors", (OLDER / "trained.safetensors",
                                                   OLDER / "ethanol.npz")  # fmt: skip
    found, expected = shell("solve", *inputs, "--out", out, *options), NUMBERS["solve"]
    for key in ("method", "ridge", "boltzmann"):
        assert found[key] == expected[key]
    for key in ("force_rmse_eV_per_A", "fisher_divergence", "kl_eV", "head_norm"):
        of_then = {name: found[key][name] for name in expected[key]}  # "report" has joined them
        assert of_then == pytest.approx(expected[key], rel=1e-3)
    from safetensors.numpy import load_file

    one, two = load_file(OLDER / "refitted.safetensors"), load_file(out)
    assert one.keys() == two.keys() and one["head_covariance"].shape == (12, 12)
    for name, array in one.items():
        np.testing.assert_allclose(two[name], array, rtol=1e-2, atol=1e-2 * np.abs(array).max())


def test_a_run_is_read(shell):
    found = shell("compare", OLDER / "run")
    assert found.pop("exploded") == {"trained": 0, "refitted": 1}
    bond = {"bond": 1, "clash": 0, "not_finite": 0}
    assert found.pop("reference_energy_sd") is None  # nobody judged its survivors then
    assert found.pop("failures") == {"trained": {**bond, "bond": 0}, "refitted": bond}
    close(found, NUMBERS["compare"])


def test_a_run_is_exported(shell, tmp_path):
    which = "--head refitted --replica 2".split()
    found = shell("export", OLDER / "run", "--out", tmp_path / "one.xyz", *which)
    assert found["frames"] == 21
    assert (tmp_path / "one.xyz").read_text().count("alive=F") == 1  # ends after 11.75 of 15 fs


def test_a_killed_run_is_listed_and_goes_on_to_the_same_end(shell, copied):
    folder = copied("run-killed", "workspace/runs")
    (work,) = (c for c in shell("doctor")["checks"] if c["name"] == "unfinished work")
    assert work["found"] == "1" and str(folder) in work["advice"]
    assert shell("index")["runs"] == 1
    before = {path.name: path.read_bytes() for path in folder.glob("chunk-*.npz")}
    found = shell("resume", folder)
    assert (found["steps"], found["exploded"]) == (60, {"trained": 0, "refitted": 1})
    assert found["failures"]["refitted"] == {"bond": 1, "clash": 0, "not_finite": 0}
    assert all((folder / name).read_bytes() == content for name, content in before.items())
    now, then = frames(folder), frames(OLDER / "run")
    assert now["times"].shape == (21,)
    for name in then:
        np.testing.assert_allclose(now[name], then[name], rtol=1e-3, atol=1e-4, err_msg=name)
    close(shell("compare", folder)["survivors"], NUMBERS["compare"]["survivors"])
    assert "unfinished work" not in [c["name"] for c in shell("doctor")["checks"] if not c["ok"]]


def frames(folder: Path) -> dict[str, np.ndarray]:
    """Everything that a run recorded, joined over its chunks."""
    chunks = [dict(np.load(path)) for path in sorted(folder.glob("chunk-*.npz"))]
    names = ("potential", "kinetic", "positions", "velocities")
    joined = {name: np.concatenate([c[name] for c in chunks], axis=2) for name in names}
    joined["times"] = np.concatenate([c["times"] for c in chunks])
    return joined | {name: chunks[-1][name] for name in ("died_step", "broken_bond", "step")}


def test_a_killed_training_goes_on_to_the_same_end(shell, copied):
    folder = copied("training-killed", "workspace/trainings")
    found = shell("resume", folder)
    assert found["epochs"] == 6 and Path(found["model"]).name == "ethanol.safetensors"
    now, then = history(folder), history(OLDER / "training")
    assert len(now) == 6 and now[:3] == then[:3] == history(OLDER / "training-killed")
    for row, expected in zip(now, then, strict=True):
        assert row == pytest.approx(expected, rel=1e-3)
    errors = shell("evaluate", found["model"], OLDER / "ethanol.npz")
    model = OLDER / "training" / "model.safetensors"
    assert errors == pytest.approx(shell("evaluate", model, OLDER / "ethanol.npz"), rel=1e-3)


def history(folder: Path) -> list[dict[str, float]]:
    """The learning curve, a row an epoch."""
    rows = rows_of(folder / "history.csv")
    return [{name: float(value) for name, value in row.items()} for row in rows]


def rows_of(path: Path) -> list[dict[str, str]]:
    """A table's rows by column."""
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_study_is_extended_and_keeps_what_it_has(shell, copied):
    """One of two models is done: its name, its re-fits and its runs are found again."""
    folder = copied("study-begun")
    done = {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in folder.glob("members/*/*")}
    found = shell("study", folder / "study.toml", "--out", folder, "--workers", "0")
    assert found == {"models": 2, "done": 2, "failed": 0}
    assert {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in done} == done
    (older,) = {path.parent.name for path in done}
    assert {path.name for path in folder.glob("members/*")} == {
        row["model"] for row in rows_of(OLDER / "study-tables" / "models.csv")
    }
    for table in (OLDER / "study-tables").glob("*.csv"):
        now, then = rows_of(folder / "tables" / table.name), rows_of(table)
        assert len(now) == len(then) > 0, table.name
        for row, expected in zip(now, then, strict=True):
            kind = row.pop("failure", "")  # these columns came later
            row.pop("reference_energy_sd", "")
            assert kind == "" if row["model"] == older else kind in {"", "bond", "clash"}
            assert row.keys() == expected.keys()
            if table.stem == "timings":
                continue
            if row["model"] == older:
                assert row == expected, table.name
            else:
                same_row(row, expected)


def same_row(row: dict[str, str], expected: dict[str, str]) -> None:
    """Words agree; numbers to the 5 % to which a training repeats on another processor.

    A drift to 30 %, or to a twentieth of its fluctuation over the length of the run: it is a small
    slope of large fluctuations, so that weights that differ by a little in their last digits change
    it by more than they change energies.
    """
    swing = 0.0
    if "drift_meV_per_atom_per_ps" in expected and expected["fluctuation_meV_per_atom"]:
        swing = float(expected["fluctuation_meV_per_atom"]) / float(expected["duration_ps"])
    for name, value in expected.items():
        try:
            number = float(value)
        except ValueError:
            assert row[name] == value
        else:
            drift = {"rel": 0.3, "abs": max(1e-3, 0.05 * swing)}
            how = drift if "drift" in name else {"rel": 0.05, "abs": 1e-3}
            wanted = pytest.approx(number, **how)
            assert float(row[name]) == wanted, name
