"""Trainings on disk: one that was killed goes on bit for bit, and ends as if it had never been."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from fisherdash import dataset
from fisherdash.__main__ import main
from fisherdash.errors import InputError
from fisherdash.potentials import checkpoint
from fisherdash.potentials.e3x import ModelConfig
from fisherdash.train import TrainSettings, resume
from fisherdash.workspace import (
    TrainingHeader,
    begin_training,
    belongings,
    listing,
    paths,
    trainings,
    unfinished_training,
)
from tests import networks

pytestmark = pytest.mark.slow

CONFIG = ModelConfig(features=4, max_degree=1, iterations=1, basis=6, cutoff=3.0)
SETTINGS = TrainSettings(epochs=6, batch_size=5, learning_rate=0.02, average=0.9, seed=3)


@pytest.fixture(autouse=True)
def own_workspace(tmp_path, monkeypatch):
    monkeypatch.setenv("FISHERDASH_WORKSPACE", str(tmp_path / "work"))
    monkeypatch.setattr(trainings, "SECONDS", 0.0)
    return tmp_path / "work"


def begun(name="water"):
    """A writer and the reports of a training that nobody has disturbed yet."""
    header = TrainingHeader(
        title=name,
        name=name,
        config=CONFIG.to_json(),
        settings=SETTINGS.to_json(),
        command="a command",
    )
    sets = dataset.split(networks.water(), 40, 15, 0)
    folder = paths.new_path("trainings", name, "")
    writer = begin_training(folder, header, *sets)
    return writer, resume(header, *sets, trainings.state_file(folder))


def rest(folder):
    """Goes on with a training to its end; the last report and the writer."""
    left = unfinished_training(folder)
    reports = resume(left.header, left.train_set, left.valid_set, trainings.state_file(left.folder))
    writer = left.go_on()
    return list(writer.record(reports))[-1], writer


@pytest.fixture(scope="module")
def disturbed(tmp_path_factory):
    """A training that ended, and beside it what it would have left if killed in its third epoch.

    The workspace, the names in it of the training's folder and network, its last report.
    """
    place = tmp_path_factory.mktemp("trainings") / "work"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FISHERDASH_WORKSPACE", str(place))
        patch.setattr(trainings, "SECONDS", 0.0)
        writer, reports = begun()
        for report in writer.record(reports):
            if report.epoch == 3:
                shutil.copytree(writer.folder, place / "trainings" / "killed")
            last = report
    return place, writer.folder.relative_to(place), writer.model.relative_to(place), last


@pytest.fixture
def killed(disturbed, own_workspace):
    """A workspace of one's own with both: killed folder, last report, training that ended."""
    place, folder, model, last = disturbed
    shutil.copytree(place, own_workspace)
    ended = SimpleNamespace(folder=own_workspace / folder, model=own_workspace / model)
    return own_workspace / "trainings" / "killed", last, ended


def test_a_training_leaves_its_network_and_its_history(killed):
    _, last, writer = killed
    assert writer.model == paths.place("checkpoints") / "water.safetensors"
    assert checkpoint.load(writer.model).fingerprint == last.checkpoint.fingerprint
    header = json.loads((writer.folder / "training.json").read_text())
    assert (header["status"], header["model"], header["format"]) == (
        "finished", "water.safetensors", 1
    )  # fmt: skip
    assert header["dataset"]["train"]["frames"] == 40 and header["versions"]["jax"]
    with (writer.folder / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["valid_loss"]) for row in rows] == [r["valid_loss"] for r in last.history]
    kept = {path.name for path in writer.folder.iterdir()}
    assert kept == {"training.json", "history.csv", "model.safetensors", "writer.lock"}


def test_one_that_was_killed_is_named_and_goes_on_to_the_same_end(killed):
    folder, last, _ = killed
    (one,) = listing.interrupted("runs", "trainings")
    assert (one.folder, one.done, one.total) == (folder, 3, 6)
    assert one.how_far == "interrupted after epoch 3 of 6; all of that is kept"
    assert checkpoint.load(folder / "model.safetensors").provenance["epochs"] == 3
    again, writer = rest(folder)
    assert again.history == last.history
    assert again.checkpoint.fingerprint == last.checkpoint.fingerprint
    # The name is taken: the other training's network stays.
    assert writer.model.name == "water-2.safetensors"
    assert listing.interrupted("trainings") == []
    with pytest.raises(InputError, match="has come to its end: finished"):
        unfinished_training(folder)


def test_one_that_was_killed_with_its_last_epoch_done_ends_the_same(tmp_path):
    writer, reports = begun()
    folder = tmp_path / "work" / "trainings" / "killed"
    for report in reports:  # nobody takes the last report in
        if report.status == "finished":
            shutil.copytree(writer.folder, folder)
            last = report
    again, _ = rest(folder)
    assert again.status == "finished" and again.history == last.history
    assert again.checkpoint.fingerprint == last.checkpoint.fingerprint


def test_one_that_was_cancelled_keeps_its_best_and_its_name(tmp_path):
    writer, reports = begun()
    kept = writer.record(reports)
    while next(kept).epoch < 2:
        pass
    kept.close()
    name = writer.model.name
    assert checkpoint.load(writer.model).provenance["epochs"] == 2
    assert listing.interrupted("trainings") == []  # its user knows
    again, writer = rest(writer.folder)
    assert again.status == "finished" and writer.model.name == name
    assert len(paths.files("checkpoints")) - len(list(paths.samples().glob("*.safet*"))) == 1


def test_going_on_overwrites_its_own_model_and_nobody_elses():
    writer, reports = begun()
    iterator = writer.record(reports)
    for _ in range(3):
        next(iterator)
    iterator.close()  # as a cancelled job leaves it
    first = writer.model
    assert first is not None and first.stem == "water"
    renamed = belongings.rename(first, "water-early")
    early, other = renamed.read_bytes(), b"somebody else's"
    first.write_bytes(other)
    _, writer = rest(writer.folder)
    assert writer.model is not None and writer.model.stem == "water-2"
    assert first.read_bytes() == other and renamed.read_bytes() == early


def test_one_at_work_is_neither_gone_on_with_nor_deleted(killed):
    folder, _, writer = killed
    left = unfinished_training(folder)
    working = left.go_on()
    with pytest.raises(InputError, match="still being written"):
        unfinished_training(folder)
    with pytest.raises(InputError, match="being written by another process"):
        left.go_on()
    with pytest.raises(InputError, match="still being written"):
        listing.delete(folder)
    assert listing.interrupted("trainings") == []
    list(working.record(iter(())))
    listing.delete(folder)
    assert not folder.exists() and writer.folder.exists()
    with pytest.raises(InputError, match="not a run or a training of the workspace"):
        listing.delete(paths.place("checkpoints"))


def test_left_alone_it_is_not_named_again_and_can_still_go_on(killed):
    folder, last, _ = killed
    listing.dismiss(folder)
    assert listing.interrupted("trainings") == []
    assert rest(folder)[0].history == last.history


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (lambda folder: rewrite(folder, format=9), "training.json has format 9"),
        (lambda folder: rewrite(folder, settings={}), "lack epochs"),
        (lambda folder: rewrite(folder, settings={"epochs": 6, "new": 1}), "have the fields"),
        (lambda folder: (folder / "train.npz").write_bytes(b"half"), "train.npz"),
        (lambda folder: (folder / "state.npz").write_bytes(b"half"), "interrupted training"),
        (lambda folder: reversion(folder / "state.npz"), "version 99 of an interrupted training"),
    ],
)
def test_damage_and_other_versions_are_one_sentence(killed, harm, words):
    folder = killed[0]
    harm(folder)
    with pytest.raises(InputError, match=words) as caught:
        rest(folder)
    assert "\n" not in str(caught.value)
    assert folder in {entry.folder for entry in listing.entries("trainings")}


def rewrite(folder, **changes):
    path = folder / "training.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def reversion(path):
    arrays = dict(np.load(path))
    header = json.loads(str(arrays.pop("header"))) | {"version": 99}
    np.savez(path, header=np.array(json.dumps(header)), **arrays)


def test_the_shells_training_survives_a_kill(tmp_path, capfd):
    """SIGKILL, without a word; the same command with --resume ends where it would have ended."""
    dataset.save(networks.water(), tmp_path / "water.npz")
    sizes = "--frames 40 --valid 15 --epochs 150 --batch-size 5 --average 0.9".split()
    network = "--features 4 --max-degree 1 --iterations 1 --basis 6".split()

    def line(name: str) -> list[str]:
        out = str(tmp_path / f"{name}.safetensors")
        return ["train", str(tmp_path / "water.npz"), "--out", out, *sizes, *network, "--json"]

    assert main(line("whole")) == 0
    state = tmp_path / "killed.safetensors.unfinished.npz"
    process = subprocess.Popen([sys.executable, "-m", "fisherdash", *line("killed")])
    deadline = time.monotonic() + 120
    while not state.exists():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    time.sleep(0.2)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert state.exists() and not (tmp_path / "killed.safetensors").exists()
    assert main([*line("killed"), "--resume"]) == 0
    first, second = (checkpoint.load(tmp_path / f"{n}.safetensors") for n in ("whole", "killed"))
    assert first.fingerprint == second.fingerprint
    for key in ("best_epoch", "errors"):
        assert first.provenance[key] == second.provenance[key]
    assert not state.exists()


def test_the_shell_goes_on_with_a_training_of_the_dashboard(killed, capfd):
    folder, last, _ = killed
    assert main(["resume", str(folder), "--json"]) == 0
    answer = json.loads(capfd.readouterr().out)
    assert answer["epochs"] == 6 and Path(answer["model"]).name == "water-2.safetensors"
    assert answer["valid_force_rmse_eV_per_A"] == last.best_errors["valid_force_rmse"]
    assert main(["resume", str(folder)]) == 2
    assert "come to its end" in capfd.readouterr().err
