"""Everything that takes room is listed with its size, and can be deleted.

A note stays with what it is about, and what has none reads as empty.

Renaming, deleting and naming what is in the workspace.
"""

import doctest
import os
import threading

import numpy as np
import pytest

from fisherdash import dataset
from fisherdash.errors import InputError
from fisherdash.workspace import belongings, jobs, limits, listing, locks, paths, runs, users
from tests.workspace.recorded import folder, write

ANNA, BEN = users.named("anna"), users.named("ben")


@pytest.fixture(autouse=True)
def own_workspace(tmp_path, monkeypatch):
    monkeypatch.setenv("FISHERDASH_WORKSPACE", str(tmp_path))
    return tmp_path


@pytest.fixture
def anna(tmp_path, monkeypatch):
    """Something of every kind, most of it unreadable."""
    monkeypatch.setattr(paths, "samples", lambda: tmp_path / "no samples")
    with users.acting_for(ANNA):
        rng = np.random.default_rng(0)
        shape = np.array([[0, 0, 0], [0.96, 0, 0], [-0.3, 0.9, 0]])
        positions = shape + 0.02 * rng.normal(size=(10, 3, 3))
        sound = dataset.Dataset(positions, rng.normal(size=10), positions, np.array([8, 1, 1]))
        dataset.save(sound, paths.folder("datasets") / "sound.npz")
        belongings.keep_note(paths.folder("datasets") / "sound.npz", "a note")
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
    shared = belongings.share(sound.path)
    assert shared.exists()
    belongings.delete(sound)
    assert not shared.exists() and not sound.path.exists()


def test_alone_the_folders_of_users_and_of_the_server_are_not_ones_own(anna, tmp_path):
    (tmp_path / "logs").mkdir()
    (tmp_path / "cache").mkdir()
    with users.acting_for(users.EVERYBODY):
        assert belongings.everything() == []


__all__ = ["folder"]


def test_a_note_is_one_line_kept_in_the_folder_until_it_is_emptied(folder):
    write(folder)
    assert belongings.note(folder) == ""  # as of a run of an earlier version
    belongings.keep_note(folder, "half the\n time step,  steady")
    assert belongings.note(folder) == "half the time step, steady"
    assert runs.open_run(folder).status == "finished"
    belongings.keep_note(folder, "  ")
    assert belongings.note(folder) == "" and not belongings.note_file(folder).exists()


def test_a_note_follows_its_run_and_its_file(folder):
    write(folder)
    belongings.keep_note(folder, "of the run")
    assert belongings.note(listing.rename(folder, "a better name")) == "of the run"
    path = paths.folder("checkpoints") / "mine.safetensors"
    path.write_bytes(b"weights")
    belongings.keep_note(path, "of the model")
    new = belongings.rename(path, "other")
    assert belongings.note(new) == "of the model" and belongings.note(path) == ""
    assert paths.files("checkpoints")[-1:] == [new]  # the note is no model
    belongings.delete_file(new)
    assert list(paths.folder("checkpoints").glob("[!.]*")) == []


def test_a_note_has_an_end(folder):
    write(folder)
    with pytest.raises(InputError, match="at most 300 characters"):
        belongings.keep_note(folder, "x" * 301)
    belongings.note_file(folder).write_bytes(b"\xff" * 10_000)  # somebody's own file
    assert len(belongings.note(folder)) <= 300


@pytest.fixture
def file():
    """Makes a model of the present user; its path."""

    def make(name="mine", words=b"weights"):
        path = paths.folder("checkpoints") / f"{name}.safetensors"
        path.write_bytes(words)
        return path

    return make


def test_a_renamed_file_is_the_same_file(file):
    path = file()
    new = belongings.rename(path, "Ethanol at 300 K")
    assert new.name == "Ethanol-at-300-K.safetensors" and new.parent == path.parent
    assert new.read_bytes() == b"weights" and paths.files("checkpoints")[-1] == new
    assert not path.exists()


def test_a_name_cannot_leave_the_workspace(file):
    new = belongings.rename(file(), "../../../etc/passwd")
    assert new.parent == paths.place("checkpoints") and new.stem == "passwd"


def test_a_name_that_is_taken_replaces_nothing(file):
    path, other = file("mine"), file("other", b"others")
    with pytest.raises(InputError, match="the name other is taken"):
        belongings.rename(path, "other")
    assert path.read_bytes() == b"weights" and other.read_bytes() == b"others"


@pytest.mark.parametrize("name", ["", "   ", "///", "..", "???", "-"])
def test_an_empty_name_is_refused(file, name):
    with pytest.raises(InputError, match="needs a name"):
        belongings.rename(file(), name)


def test_a_name_that_a_waiting_job_will_write_is_taken(file):
    path = file()
    claimed = paths.new_path("checkpoints", "mine-fisher", ".safetensors")
    with pytest.raises(InputError, match="the name mine-fisher is taken"):
        belongings.rename(path, "mine-fisher")
    paths.release(claimed)
    assert belongings.rename(path, "mine-fisher") == claimed


def test_the_name_of_what_was_deleted_is_free(file):
    kept = paths.save_new("checkpoints", "a", ".safetensors", lambda p: p.write_bytes(b"1"))
    belongings.delete_file(kept)
    assert belongings.rename(file("b"), "a") == kept


@pytest.mark.parametrize(
    ("typed", "stem"),
    [
        ("x.safetensors", "x"),
        ("foo/", "foo"),
        ("a\\", "a"),
        ("v1.2", "v1.2"),
        (".dot", "dot"),
    ],
)
def test_what_is_typed_becomes_a_plain_name(file, typed, stem):
    assert belongings.rename(file(), typed).name == f"{stem}.safetensors"


def test_its_own_name_is_no_change(file):
    path = file()
    assert belongings.rename(path, "mine") == path and path.exists()


@pytest.mark.parametrize(
    "change", [lambda path: belongings.rename(path, "x"), belongings.delete_file]
)
def test_samples_and_what_is_gone_stay_as_they_are(file, change):
    file()
    (sample, *_) = paths.samples().glob("*.safetensors")
    with pytest.raises(InputError, match="not a file of your own"):
        change(sample)
    assert sample.exists()
    gone = paths.place("checkpoints") / "gone.safetensors"
    with pytest.raises(InputError, match="there is no gone any more"):
        change(gone)


def test_others_do_not_reach_it_and_deleting_takes_it_back(file):
    with users.acting_for(ANNA):
        path = file()
        shared = belongings.share(path)
    with users.acting_for(BEN):
        for reached in (path, shared):
            with pytest.raises(InputError, match="not a file of your own"):
                belongings.delete_file(reached)
    with users.acting_for(ANNA):
        renamed = belongings.rename(path, "better")
        assert belongings.shared_as(renamed) == shared  # others go on to see it
        belongings.delete_file(renamed)
    assert not renamed.exists() and not shared.exists()


def test_what_replaces_a_shared_file_is_shared(file):
    with users.acting_for(ANNA):
        path = file()
        before = belongings.share(path)
        with pytest.raises(InputError), belongings.as_before(path):
            raise InputError("refused")
        assert belongings.shared_as(path) == before
        with belongings.as_before(path):
            path.unlink()
            path.write_bytes(b"corrected")
        assert belongings.shared_as(path) == before and before.read_bytes() == b"corrected"


def test_names_say_what_is_new():
    assert doctest.testmod(paths).failed == 0
    assert paths.run_name(["a"]) == "a"
    assert paths.run_name(["model-a", "model-b", "other"]) == "model-a-vs-b-vs-other"
    assert paths.run_name(["same", "same"]) == "same-vs-same"
    assert len(paths.run_name(["long" * 30] * 3)) <= 48
