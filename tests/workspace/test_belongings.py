"""Everything that takes room is listed with its size, and can be deleted."""

import os
import threading

import numpy as np
import pytest

from fisherdash import dataset
from fisherdash.errors import InputError
from fisherdash.workspace import belongings, jobs, limits, locks, notes, ownership, paths, users

ANNA = users.named("anna")


@pytest.fixture(autouse=True)
def own_workspace(tmp_path, monkeypatch):
    monkeypatch.setenv("FISHERDASH_WORKSPACE", str(tmp_path))
    monkeypatch.setattr(paths, "samples", lambda: tmp_path / "no samples")
    return tmp_path


@pytest.fixture
def anna():
    """Something of every kind, most of it unreadable."""
    with users.acting_for(ANNA):
        rng = np.random.default_rng(0)
        shape = np.array([[0, 0, 0], [0.96, 0, 0], [-0.3, 0.9, 0]])
        positions = shape + 0.02 * rng.normal(size=(10, 3, 3))
        sound = dataset.Dataset(positions, rng.normal(size=10), positions, np.array([8, 1, 1]))
        dataset.save(sound, paths.folder("datasets") / "sound.npz")
        notes.keep(paths.folder("datasets") / "sound.npz", "a note")
        for kind, name in (
            ("datasets", "broken.npz"),
            ("datasets", "gone.npz.note.txt"),
            ("checkpoints", "broken.safetensors"),
            ("checkpoints", ".part-123-model.safetensors"),
        ):
            (paths.folder(kind) / name).write_bytes(b"x" * 1000)
        for kind in ("runs", "trainings", "studies"):
            (paths.folder(kind) / "broken" / "deep").mkdir(parents=True)
            (paths.folder(kind) / "broken" / "deep" / "file").write_bytes(b"x" * 1000)
            (paths.folder(kind) / ".part-killed").mkdir()
        (paths.root() / "elsewhere").mkdir()
        (paths.root() / "elsewhere" / "file").write_bytes(b"x" * 1000)
        for part in paths.root().glob("*/.part-*"):
            os.utime(part, (0, 0))
        (paths.place("trainings") / ".part-claim-model").touch()  # a name, kept for a job
        yield belongings.everything()


def test_all_that_counts_against_a_user_is_listed(anna):
    """Folders of studies that had not begun once counted against a user and were seen nowhere."""
    assert sum(one.bytes for one in anna) == limits.size_of(paths.root())
    sorts, names = [one.sort for one in anna], {one.name for one in anna}
    assert sorted(sorts) == sorted(
        ["data set"] * 2 + ["model", "run", "training", "study"] + ["leftover"] * 6
    )
    assert {"elsewhere", "datasets/gone.npz.note.txt", "runs/.part-killed"} <= names


def test_what_cannot_be_read_says_why(anna):
    problems = {(one.sort, one.name): one.problem for one in anna if one.problem}
    assert set(problems) == {(sort, "broken") for sort in ("data set", "model", "run", "training")}
    assert all("\n" not in why for why in problems.values())


def test_everything_can_be_deleted(anna):
    """No page once deleted trainings or studies, and the quota asked for it."""
    for one in belongings.everything():
        belongings.delete(one)
    assert (paths.place("trainings") / ".part-claim-model").exists()
    assert belongings.everything() == [] and limits.size_of(paths.root()) == 0


def test_what_is_written_or_not_ones_own_stays(anna, tmp_path):
    lock = locks.FolderLock(paths.place("runs") / "broken")
    busy = next(one for one in belongings.everything() if one.sort == "run")
    assert busy.busy
    with pytest.raises(InputError, match="still being written"):
        belongings.delete(busy)
    lock.release()
    mine = next(one for one in belongings.everything() if one.sort == "run")
    with users.acting_for(users.named("ben")):
        assert belongings.everything() == []
        with pytest.raises(InputError, match="is not yours"):
            belongings.delete(mine)
    belongings.delete(mine)


def test_what_a_waiting_job_will_write_or_reads_stays(anna):
    model = next(one for one in anna if one.sort == "model")
    end = threading.Event()

    def refit(cancel):
        yield jobs.JobProgress(0.1)
        end.wait(30)

    info = {"checkpoint": model.path, "sizes": {"atoms": 3}, "roles": ["default"]}
    job = jobs.submit("refit", "a re-fit", refit, info=info)
    assert next(one for one in belongings.everything() if one.sort == "model").busy
    with pytest.raises(InputError, match="still being written; cancel the job first"):
        belongings.delete(model)
    end.set()
    assert job.wait(30)
    belongings.delete(model)


def test_what_is_just_being_written_stays(anna):
    part = next(one for one in anna if ".part-123" in one.name)
    assert not part.busy
    os.utime(part.path)
    assert next(one for one in belongings.everything() if one.path == part.path).busy
    with pytest.raises(InputError, match="still being written"):
        belongings.delete(part)


def test_a_shared_file_goes_for_everybody(anna, tmp_path):
    sound = next(one for one in anna if one.name == "sound")
    shared = ownership.share(sound.path)
    assert shared.exists()
    belongings.delete(sound)
    assert not shared.exists() and not sound.path.exists()


def test_alone_the_folders_of_users_and_of_the_server_are_not_ones_own(anna, tmp_path):
    (tmp_path / "logs").mkdir()
    (tmp_path / "cache").mkdir()
    with users.acting_for(users.EVERYBODY):
        assert belongings.everything() == []
