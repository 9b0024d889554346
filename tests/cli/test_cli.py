"""The whole chain of commands on water, tiny: real sampling, network, re-fit and dynamics.

The keys are those promised to scripts. They are written out here on purpose: whoever changes one
breaks somebody's script and should have to change it in two places.
"""

import dataclasses
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import ase.io
import jax
import numpy as np
import pytest

from fisherdash import dataset
from fisherdash.__main__ import main
from fisherdash.potentials import checkpoint
from tests import networks
from tests.potentials import torchfile
from tests.potentials.schnetpack.files import painn

pytestmark = pytest.mark.slow

TINY = "--features 4 --max-degree 1 --iterations 1 --basis 4 --batch-size 5".split()
KEYS = {
    "sample": ["frames", "atoms", "temperature_K", "energy_std_eV", "force_rms_eV_per_A"],
    "train": [
        "epochs",
        "parameters",
        "train_force_rmse_eV_per_A",
        "valid_force_rmse_eV_per_A",
        "valid_force_mae_eV_per_A",
        "valid_energy_rmse_eV",
        "seconds_per_epoch",
        "compile_seconds",
    ],
    "import": [
        "family",
        "library",
        "parameters",
        "descriptors",
        "readout",
        "fixed_terms",
        "elements",
        "cutoff_A",
        "precision",
        "energy_unit",
        "probe_relative_error",
        "force_relative_error",
        "fingerprint",
        "notes",
    ],
    "evaluate": [
        "force_rmse_eV_per_A",
        "force_mae_eV_per_A",
        "energy_rmse_eV",
        "energy_mae_eV",
        "frames",
    ],
    "solve": [
        "method",
        "ridge",
        "condition_number",
        "effective_rank",
        "head_norm",
        "fisher_divergence",
        "force_rmse_eV_per_A",
        "boltzmann",
        "kl_eV",
        "head",
        "metric",
        "labels",
        "labelled",
    ],
    "label": ["file", "frames"],
    "simulate": [
        "run",
        "steps",
        "replicas",
        "steps_per_second",
        "exploded",
        "failures",
        "drift_meV_per_atom_per_ps",
    ],
    "compare": [
        "pairs",
        "survivors",
        "exploded",
        "failures",
        "drift_meV_per_atom_per_ps",
        "paired_difference",
        "logrank_p_value",
        "time_to_failure_ps",
        "reference_energy_sd",
    ],
}

Call = Callable[..., dict]


@pytest.fixture
def call(capfd: pytest.CaptureFixture[str]) -> Call:
    """Run a command with --json; asserts success, one object, and exactly the promised keys."""

    def run(command: str, *arguments: object) -> dict:
        status = main([command, *map(str, arguments), "--json"])
        out, err = capfd.readouterr()
        assert status == 0, err
        assert len(out.splitlines()) == 1
        assert "NaN" not in out and "Infinity" not in out
        answer = json.loads(out)
        more = ["details"] if "--details" in arguments else []
        assert list(answer) == KEYS[command] + more
        return answer

    return run


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the chain leaves its files, from one test to the next."""
    return tmp_path_factory.mktemp("chain")


@pytest.fixture
def water(sampled_water: Path) -> Path:
    """Forty frames of water at 400 K."""
    return sampled_water


@pytest.fixture
def trained(trained_water: Path) -> Path:
    """A network trained for a few epochs."""
    return trained_water


@pytest.fixture(scope="module")
def refitted(folder: Path, trained_water: Path, sampled_water: Path) -> Path:
    """The same body under a re-fitted head."""
    out = folder / "water-fisher.safetensors"
    assert main(["solve", str(trained_water), str(sampled_water), "--out", str(out)]) == 0
    return out


def test_sample(call, folder):
    out = folder / "hydrogen.npz"
    line = "H2 --temperature 300 --frames 6 --interval-fs 2 --equilibration-ps 0.02".split()
    answer = call("sample", *line, "--out", out)
    assert (answer["frames"], answer["atoms"], answer["temperature_K"]) == (6, 2, 300.0)
    with np.load(out, allow_pickle=False) as file:
        assert file["positions"].shape == (6, 2, 3)
        assert answer["energy_std_eV"] == pytest.approx(file["energies"].std())
        assert answer["force_rms_eV_per_A"] == pytest.approx(np.sqrt((file["forces"] ** 2).mean()))


def test_train(call, folder, water):
    out = folder / "other.safetensors"
    answer = call("train", water, "--out", out, "--frames", 36, "--valid", 4, "--epochs", 2, *TINY)
    assert answer["epochs"] == 2 and answer["parameters"] > 100
    assert 0 < answer["valid_force_mae_eV_per_A"] < answer["valid_force_rmse_eV_per_A"]
    assert out.is_file() and not out.with_name("other.safetensors.unfinished.npz").exists()


def test_import(call, folder):
    model, out = folder / "best_model", folder / "imported.safetensors"
    model.write_bytes(torchfile.saved(painn(width=3, rounds=1, hidden=(2,), dtype="f4")))
    answer = call("import", model, "--out", out, "--units", "kcal/mol", "--elements", "H,O")
    assert (answer["descriptors"], answer["elements"]) == (2, ["H", "O"]) and out.is_file()


def test_train_says_how_many_frames_there_are(folder, water, capfd):
    out = folder / "never.safetensors"
    assert main(["train", str(water), "--out", str(out), "--frames", "100", *TINY]) == 2
    captured = capfd.readouterr()
    assert "40 frames" in captured.err and captured.out == "" and not out.exists()


def test_evaluate(call, trained, water):
    answer = call("evaluate", trained, water)
    assert answer["frames"] == 40
    assert 0 < answer["force_mae_eV_per_A"] <= answer["force_rmse_eV_per_A"] < 5
    assert 0 < answer["energy_mae_eV"] <= answer["energy_rmse_eV"] < 5


def test_evaluate_says_that_no_energies_were_learned(trained, folder, water, capfd):
    other = folder / "shifted.npz"
    with np.load(water) as file:
        arrays = dict(file)
    arrays["energies"] = arrays["energies"] + 9.0
    np.savez(other, **arrays)
    assert main(["evaluate", str(trained), str(other)]) == 0
    assert "warning: No energies were learned: the error of" in capfd.readouterr().err


def test_evaluate_refuses_a_model_whose_numbers_overflow(trained, folder, water, capfd):
    model, wild = checkpoint.load(trained), folder / "wild.safetensors"
    body = jax.tree.map(lambda x: x * np.float32(1e30), model.body)
    checkpoint.save(dataclasses.replace(model, body=body), wild)
    assert main(["evaluate", str(wild), str(water), "--json"]) == 2
    captured = capfd.readouterr()
    assert "not finite for 40 of 40 frames" in captured.err and captured.out == ""


def test_evaluate_refuses_another_molecule(trained, folder, water, capfd):
    other = folder / "methane.npz"
    with np.load(water) as file:
        arrays = dict(file)
    arrays["atomic_numbers"] = np.array([16, 1, 1])
    np.savez(other, **arrays)
    assert main(["evaluate", str(trained), str(other)]) == 2
    captured = capfd.readouterr()
    assert "contains S, which" in captured.err and len(captured.err.splitlines()) == 1


def test_solve(call, trained, water, folder):
    out = folder / "again.safetensors"
    wanted = ["--head", "shared", "--ridge", "0.001"]
    answer = call("solve", trained, water, "--out", out, *wanted)
    more = call("solve", trained, water, "--out", out, *wanted, "--details")
    assert answer["method"] == "forces" and out.is_file()
    assert list(answer["boltzmann"]) == ["temperature_K", "temperature_stderr_K", "consistent"]
    assert list(answer["kl_eV"]) == ["default", "fisher"]
    assert answer["condition_number"] >= 1
    for key in ("head_norm", "fisher_divergence", "force_rmse_eV_per_A"):
        assert list(answer[key]) == ["default", "fisher"]
        assert answer[key]["default"] != answer[key]["fisher"]
    details = more["details"]
    assert details["frames"] == {"fit": 32, "ridge": 0, "report": 8}
    assert len(details["path"]) > 20 and len(details["eigenvalues"]) == len(
        details["head"]["fisher"]
    )


def test_solve_by_element_with_energies_and_dynamics(call, trained, water, folder):
    out = folder / "elements.safetensors"
    dynamics = "--replicas 4 --picoseconds 0.02 --points 2 --md-temperature 300".split()
    extra = ["--details", "--head", "by-element", "--energy-weight", "0.1", "--quick"]
    answer = call("solve", trained, water, "--out", out, "--ridge", "stable", *extra, *dynamics)
    tried = answer["details"]["stability"]["tried"]
    assert answer["details"]["ridge_rule"] == "stable"
    assert tried[0]["ridge"] is None and {one["replicas"] for one in tried} == {4}
    assert call("evaluate", out, water)["frames"] == 40


def test_solve_is_quadratic_with_the_noise_metric_by_itself(call, trained, water, folder, capfd):
    out, report = folder / "wide.safetensors", folder / "report.safetensors"
    wanted = "--reduce 4 --noise-frames 64 --details".split()
    answer = call("solve", trained, water, "--out", out, "--report-out", report, *wanted)
    assert (answer["head"], answer["metric"]) == ("quadratic", "noise")
    assert answer["ridge"] == 0.01 and answer["labels"] == {"displaced": 0, "dynamics": 0}
    for key in ("head_norm", "fisher_divergence", "force_rmse_eV_per_A", "kl_eV"):
        assert list(answer[key]) == ["default", "fisher", "report"]
    assert answer["details"]["report_head"]["ridge"] is not None
    found = [call("evaluate", one, water)["force_rmse_eV_per_A"] for one in (trained, report, out)]
    assert found[0] > found[1] > found[2]
    run = folder / "three"
    settings = "--replicas 4 --steps 20 --record-every 5 --timestep-fs 0.25".split()
    answer = call("simulate", trained, report, out, "--data", water, "--out", run, *settings)
    assert len(answer["exploded"]) == 3
    assert main(["compare", str(run), "--json"]) == 0
    found = json.loads(capfd.readouterr().out)
    assert set(KEYS["compare"]) < set(found) and len(found["every_pair"]) == 2
    assert "wide against water" in found["every_pair"]
    assert main(["compare", str(run)]) == 0
    rows = capfd.readouterr().out.splitlines()
    assert not [row for row in rows if row.startswith(("pairs", "paired", "logrank"))]
    assert any("wide against water" in row for row in rows)
    assert main(["solve", str(trained), str(water), "--out", "a.x", "--report-out", "a.x"]) == 2


def test_the_refit_lowers_the_force_error_on_its_own_frames(call, trained, refitted, water):
    before, after = (call("evaluate", one, water) for one in (trained, refitted))
    assert after["force_rmse_eV_per_A"] < before["force_rmse_eV_per_A"]


def test_simulate_and_compare(call, trained, refitted, water, folder):
    run = folder / "run"
    settings = "--replicas 8 --steps 60 --record-every 5 --timestep-fs 0.25 --seed 3".split()
    answer = call("simulate", trained, refitted, "--data", water, "--out", run, *settings)
    names = ["water", "water-fisher"]
    assert (answer["run"], answer["steps"], answer["replicas"]) == (str(run), 60, 8)
    assert answer["steps_per_second"] > 0
    assert list(answer["exploded"]) == list(answer["drift_meV_per_atom_per_ps"]) == names

    compared = call("compare", run)
    assert compared["survivors"] == {name: 8 - answer["exploded"][name] for name in names}
    for name in names:
        drift = compared["drift_meV_per_atom_per_ps"][name]
        assert list(drift) == ["median", "low", "high"]
        assert drift["median"] == answer["drift_meV_per_atom_per_ps"][name]
    assert list(compared["paired_difference"]) == ["median", "low", "high", "p_value"]
    assert list(compared["time_to_failure_ps"]) == names
    # The data were made by GFN2-xTB, so it judges the survivors.
    told = compared["reference_energy_sd"]
    assert {name: told[name]["survivors"] for name in names} == compared["survivors"]
    assert all(np.isfinite(one["median"]) for one in told.values() if one["survivors"])
    again = call("compare", run, "--reference", water)
    assert again["reference_energy_sd"] == told
    assert main(["compare", str(run), "--calculator", "ase.calculators.emt:EMT"]) == 2
    header = json.loads((run / "run.json").read_text())
    assert header["status"] == "finished"
    assert (
        header["command"].startswith("python -m fisherdash simulate ")
        and "--seed 3" in header["command"]
    )


def test_one_checkpoint_alone_has_nothing_to_compare_with(call, trained, water, folder):
    run = folder / "alone"
    call("simulate", trained, "--data", water, "--out", run, "--replicas", 2, "--steps", 20)
    answer = call("compare", run)
    assert answer["pairs"] == 0 and answer["paired_difference"]["median"] is None


def test_a_finished_run_is_not_written_over(trained, water, folder, capfd):
    (folder / "taken").mkdir()
    (folder / "taken" / "note.txt").write_text("mine")
    line = ["simulate", str(trained), "--data", str(water), "--out", str(folder / "taken")]
    assert main(line) == 2
    assert "exists already" in capfd.readouterr().err
    assert [path.name for path in (folder / "taken").iterdir()] == ["note.txt"]


def test_two_checkpoints_of_one_name_are_refused(trained, water, folder, capfd):
    (folder / "copy").mkdir()
    copy = folder / "copy" / trained.name
    copy.write_bytes(trained.read_bytes())
    line = ["simulate", str(trained), str(copy), "--data", str(water), "--out", str(folder / "no")]
    assert main(line) == 2
    assert "two checkpoints" in capfd.readouterr().err and not (folder / "no").exists()


def test_without_json_a_person_reads_a_table(trained, water, capfd):
    assert main(["evaluate", str(trained), str(water)]) == 0
    lines = capfd.readouterr().out.splitlines()
    assert len(lines) == 5 and lines[0].startswith("force rmse") and lines[0].endswith("eV/Å")


def started(*arguments: object) -> subprocess.Popen[str]:
    """The command in a process of its own."""
    command = [sys.executable, "-m", "fisherdash", *map(str, arguments), "--json"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def interrupted(process: subprocess.Popen[str], begun: Callable[[], bool]) -> tuple[dict, str]:
    """Press Ctrl-C once the work has begun; the result that was printed and what was said."""
    deadline = time.monotonic() + 120
    while not begun():
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    return json.loads(out), err


def test_ctrl_c_keeps_the_best_and_resume_goes_on(call, water, folder):
    out = folder / "stopped.safetensors"
    unfinished = folder / "stopped.safetensors.unfinished.npz"
    line = ["train", water, "--out", out, *TINY]
    answer, said = interrupted(started(*line, "--epochs", 10**6), unfinished.exists)
    assert 0 < answer["epochs"] < 10**6 and out.is_file()
    assert list(answer) == KEYS["train"] and "--resume" in said

    call("evaluate", out, water)
    more = call(*line, "--epochs", answer["epochs"] + 3, "--resume")
    assert more["epochs"] == answer["epochs"] + 3 and not unfinished.exists()


def test_ctrl_c_keeps_what_was_simulated(call, trained, water, folder):
    run = folder / "stopped"
    # Steps so short that nobody can die, and with them the run, before Ctrl-C is pressed.
    line = ["simulate", trained, "--data", water, "--out", run, "--replicas", 2]
    line += ["--timestep-fs", 0.001]
    begun = run / "chunk-000000.npz"
    answer, _ = interrupted(started(*line, "--steps", 10**7), begun.exists)
    assert 0 <= answer["steps"] < 10**7
    assert json.loads((run / "run.json").read_text())["status"] == "cancelled"
    assert call("compare", run)["survivors"]["water"] <= 2


def test_nothing_to_resume_is_said(water, folder, capfd):
    out = folder / "fresh.safetensors"
    assert main(["train", str(water), "--out", str(out), "--resume", *TINY]) == 2
    assert "no interrupted training" in capfd.readouterr().err and not out.exists()


def test_label_writes_frames_for_a_reference(call, trained, water, folder, capfd):
    out = folder / "frames.xyz"
    wanted = "--label-displaced 5 --label-dynamics 2 --label-picoseconds 0.02".split()
    answer = call("label", trained, water, "--export", out, *wanted)
    assert answer["frames"] == {"data": 8, "displaced": 5, "dynamics": 2}
    assert out.read_text().count("kind=") == 15
    solved = folder / "labelled.safetensors"
    more = ["--label-displaced", "5", "--quick", "--noise-frames", "64"]
    answer = call("solve", trained, water, "--out", solved, *more)
    assert answer["labels"]["displaced"] == 5 and answer["labels"]["dynamics"] == 0
    kept = solved.with_suffix(".labels.npz")
    # Exported are the very frames that solve labels itself: none near a held-out one.
    shorter = ["--displaced", "5", "--export", folder / "short.xyz"]
    assert call("label", trained, water, *shorter)["frames"] == {"data": 8, "displaced": 5}
    frames = ase.io.read(folder / "short.xyz", ":")
    exported = [atoms.positions for atoms in frames if atoms.info["kind"] == "displaced"]
    np.testing.assert_allclose(exported, dataset.load(kept).positions[-5:], atol=1e-7)
    copy = folder / "copy.npz"
    again = ["--labels-file", kept, "--labels-out", copy, "--quick", "--noise-frames", "64"]
    found = call("solve", trained, water, "--out", folder / "again.safetensors", *again)
    assert found["labels"] == {"displaced": 0, "dynamics": 0}
    assert found["labelled"]["file"] == 5 and len(dataset.load(copy)) == 13
    errors = [one["force_rmse_eV_per_A"]["fisher"] for one in (answer, found)]
    assert errors[0] == pytest.approx(errors[1], rel=1e-6)
    assert main(["label", str(trained), str(water), "--export", str(out)]) == 2
    assert "nothing is to be labelled" in capfd.readouterr().err


ODD = "w\udcff\x1b[31m"
"""A name of a file that is no text, as a shell hands it over, and that a terminal would obey."""


@pytest.mark.parametrize(
    "line",
    [
        "simulate ODD --data ODD.npz --out ODD.run --steps 4 --replicas 2",
        "train ODD.npz --out ODD.net --epochs 1 --frames 20 --valid 5 --name ODD " + " ".join(TINY),
        "solve ODD ODD.npz --out ODD.st --quick --head shared",
        "label ODD ODD.npz --export ODD.xyz --label-displaced 2",
        "landscape ODD --data ODD.npz --out ODD.l.npz --frames 4",
        "curve ODD ODD.npz --head shared --quick",
    ],
)
def test_names_that_are_no_text(tmp_path, monkeypatch, line, capfd):
    monkeypatch.chdir(tmp_path)
    dataset.save(networks.water(), Path(f"{ODD}.npz"))
    checkpoint.save(networks.checkpoint(0), Path(ODD))
    assert main(line.replace("ODD", ODD).split(" ")) == 0
    assert "\x1b" not in "".join(capfd.readouterr())
    if line.startswith("simulate"):
        for out in ("x.csv", "ODD.html", "x.xyz --head ODD"):
            again = f"export ODD.run --out {out}".replace("ODD", ODD)
            assert main(again.split(" ")) == 0
