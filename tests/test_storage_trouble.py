"""A full disk, a folder that may only be read: one sentence, nothing lost, work goes on after."""

import contextlib
import ctypes
import os
import resource
import shutil
from pathlib import Path

import pytest

from fisherdash import dataset, doctor
from fisherdash.__main__ import main
from fisherdash.errors import InputError
from fisherdash.potentials import checkpoint
from fisherdash.potentials.e3x import ModelConfig
from fisherdash.train import TrainSettings, resume
from fisherdash.workspace import (
    TrainingHeader,
    begin_training,
    entries,
    jobs,
    listing,
    open_run,
    paths,
    record,
    trainings,
    unfinished_training,
)
from tests import networks
from tests.randomised import random_checkpoint
from tests.workspace.recorded import PER_CHUNK, chunk, header

pytestmark = pytest.mark.slow

MS_RDONLY, MS_REMOUNT = 1, 32


@pytest.fixture
def disk(tmp_path):
    """A disk of one megabyte with the workspace on it; ``disk(read_only=True)`` locks it."""
    place = tmp_path / "disk"
    place.mkdir()
    libc = ctypes.CDLL(None, use_errno=True)

    def mount(flags: int) -> None:
        if libc.mount(b"tmpfs", os.fsencode(place), b"tmpfs", flags, b"size=1m"):
            pytest.skip(
                f"no disk of our own may be mounted here: {os.strerror(ctypes.get_errno())}"
            )

    mount(0)
    yield lambda read_only: mount(MS_REMOUNT | (MS_RDONLY if read_only else 0))
    libc.umount(os.fsencode(place))


@pytest.fixture(autouse=True)
def own_workspace(tmp_path, monkeypatch):
    monkeypatch.setenv("FISHERDASH_WORKSPACE", str(tmp_path / "disk" / "work"))
    return tmp_path / "disk" / "work"


@contextlib.contextmanager
def no_file_above(size):
    """No file may grow beyond so many bytes, as if the disk were full for all larger ones."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def litter(folder):
    return [path.name for path in folder.rglob(".part-*")]


def test_a_run_on_a_full_disk_keeps_its_chunks_and_says_so(capfd):
    folder = paths.folder("runs") / "one"
    parts = record(map(chunk, range(4)), folder, header())
    next(parts), next(parts)
    with no_file_above(4000), pytest.raises(InputError, match="the disk is full") as caught:
        next(parts)
    assert "chunk-000002.npz" in str(caught.value) and "\n" not in str(caught.value)
    run = open_run(folder)
    assert (run.status, len(run.times)) == ("failed", 2 * PER_CHUNK)
    assert litter(folder) == []
    (one,) = listing.interrupted("runs")
    assert one.how_far.startswith("ended by a failure after step 18 of 20")
    assert capfd.readouterr().err == ""  # no library complains beside the sentence


def test_a_job_on_a_disk_that_is_really_full_ends_alone(disk, own_workspace):
    folder, filler = paths.folder("runs") / "one", own_workspace / "filler"
    began = []

    def work(cancel):
        for part in record(map(chunk, range(4)), folder, header()):
            began.append(part)
            if len(began) == 2:
                with contextlib.suppress(OSError), filler.open("wb") as file:
                    while True:
                        file.write(b"x" * 4096)
            yield jobs.JobProgress(0.5)

    job = jobs.submit("test", "a title", work)
    assert job.wait(20.0) and job.status == "failed"
    assert "the disk is full" in job.error and "what was written before is kept" in job.error
    # Not even the header could be written: the run counts as interrupted, with all its frames.
    assert open_run(folder).status == "interrupted"
    assert [entry.title for entry in entries("runs")] == ["a test"]
    assert len(open_run(folder).times) == 2 * PER_CHUNK
    filler.unlink()
    assert len(entries("runs")) == 1
    assert jobs.submit("test", "next", lambda cancel: iter(())).wait(20.0)


def test_a_training_on_a_full_disk_goes_on_to_the_same_end():
    config = ModelConfig(features=4, max_degree=1, iterations=1, basis=6, cutoff=3.0)
    settings = TrainSettings(epochs=5, batch_size=5, seed=3)
    facts = TrainingHeader(
        title="a training", name="water", config=config.to_json(), settings=settings.to_json()
    )
    sets = dataset.split(networks.water(), 40, 15, 0)

    def begin(name):
        folder = paths.folder("trainings") / name
        writer = begin_training(folder, facts, *sets)
        return folder, writer.record(resume(facts, *sets, trainings.state_file(folder)))

    whole = list(begin("whole")[1])[-1]
    folder, reports = begin("full")
    while next(reports).epoch < 2:
        pass
    with no_file_above(2000), pytest.raises(InputError, match=r"state\.npz: the disk is full"):
        next(reports)
    left = unfinished_training(folder)
    (entry,) = (one for one in entries("trainings") if one.folder == folder)
    assert entry.done == 2 and litter(folder) == []
    again = resume(left.header, left.train_set, left.valid_set, trainings.state_file(folder))
    last = list(left.go_on().record(again))[-1]
    assert last.history == whole.history
    assert last.checkpoint.fingerprint == whole.checkpoint.fingerprint


@pytest.mark.parametrize("kind", ["checkpoint", "data"])
def test_a_file_that_does_not_fit_leaves_the_old_one(tmp_path, kind):
    old, data = tmp_path / "old", networks.water()
    model = random_checkpoint()
    save = {
        "checkpoint": lambda: checkpoint.save(model, old),
        "data": lambda: dataset.save(data, old),
    }[kind]
    save()
    before = old.read_bytes()
    with no_file_above(2000), pytest.raises(InputError, match="the disk is full"):
        save()
    assert old.read_bytes() == before and litter(tmp_path) == []


def test_the_shell_on_a_full_disk_is_one_line(tmp_path, capfd):
    dataset.save(networks.water(), tmp_path / "water.npz")
    checkpoint.save(random_checkpoint(), tmp_path / "model.safetensors")
    words = ["--data", tmp_path / "water.npz", "--out", tmp_path / "run", "--steps", 40]
    with no_file_above(3000):
        status = main(["simulate", str(tmp_path / "model.safetensors"), *map(str, words)])
    said = capfd.readouterr().err.strip()
    assert status == 2 and "the disk is full" in said and len(said.splitlines()) == 1
    assert not (tmp_path / "run").exists()  # its models did not fit, so nothing had begun


def test_a_workspace_that_may_only_be_read_can_be_looked_at(disk, own_workspace, capfd):
    folder = paths.folder("runs") / "one"
    list(record(map(chunk, range(2)), folder, header()))
    entries("runs")
    disk(read_only=True)
    assert [entry.title for entry in entries("runs")] == ["a test"]
    assert open_run(folder).status == "cancelled" and paths.files("checkpoints") is not None
    with pytest.raises(InputError, match="nothing may be written there") as caught:
        next(record(map(chunk, range(2)), folder.with_name("two"), header()))
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="FISHERDASH_WORKSPACE"):
        paths.folder("datasets")
    job = jobs.submit("test", "a title", lambda cancel: iter(()))
    assert job.wait(20.0) and job.status == "finished"  # the log cannot be written either
    checks = {check.name: check for check in doctor.examine()}
    assert "cannot be written" in checks["workspace"].found
    assert checks["contents"].found == "1 runs, 0 trainings, 0 models"
    disk(read_only=False)
    assert len(entries("runs")) == 1


def test_every_page_opens_on_a_workspace_that_may_only_be_read(disk, root, monkeypatch):
    from streamlit.testing.v1 import AppTest

    list(record(map(chunk, range(2)), paths.folder("runs") / "one", header()))
    shutil.copytree(paths.place("runs") / "one", paths.place("runs") / "two")
    monkeypatch.setattr(paths, "samples", lambda: Path(root / "no samples"))
    disk(read_only=True)
    app = AppTest.from_file(str(root / "app.py"), default_timeout=120).run()
    assert not app.exception
    for page in ("data", "train", "simulate", "drift", "compare"):
        app.switch_page(f"pages/{page}.py").run()
        assert not app.exception, page
