"""Renaming, deleting and naming what is in the workspace."""

import doctest

import pytest

from fisherdash.errors import InputError
from fisherdash.workspace import ownership, paths, users

ANNA, BEN = users.named("anna"), users.named("ben")


@pytest.fixture
def file(tmp_path, monkeypatch):
    """Makes a model of the present user; its path."""
    monkeypatch.setenv("FISHERDASH_WORKSPACE", str(tmp_path))

    def make(name="mine", words=b"weights"):
        path = paths.folder("checkpoints") / f"{name}.safetensors"
        path.write_bytes(words)
        return path

    return make


def test_a_renamed_file_is_the_same_file(file):
    path = file()
    new = ownership.rename(path, "Ethanol at 300 K")
    assert new.name == "Ethanol-at-300-K.safetensors" and new.parent == path.parent
    assert new.read_bytes() == b"weights" and paths.files("checkpoints")[-1] == new
    assert not path.exists()


def test_a_name_cannot_leave_the_workspace(file):
    new = ownership.rename(file(), "../../../etc/passwd")
    assert new.parent == paths.place("checkpoints") and new.stem == "passwd"


def test_a_name_that_is_taken_replaces_nothing(file):
    path, other = file("mine"), file("other", b"others")
    with pytest.raises(InputError, match="the name other is taken"):
        ownership.rename(path, "other")
    assert path.read_bytes() == b"weights" and other.read_bytes() == b"others"


@pytest.mark.parametrize("name", ["", "   ", "///", "..", "???", "-"])
def test_an_empty_name_is_refused(file, name):
    with pytest.raises(InputError, match="needs a name"):
        ownership.rename(file(), name)


def test_a_name_that_a_waiting_job_will_write_is_taken(file):
    path = file()
    claimed = paths.new_path("checkpoints", "mine-fisher", ".safetensors")
    with pytest.raises(InputError, match="the name mine-fisher is taken"):
        ownership.rename(path, "mine-fisher")
    paths.release(claimed)
    assert ownership.rename(path, "mine-fisher") == claimed


def test_the_name_of_what_was_deleted_is_free(file):
    kept = paths.save_new("checkpoints", "a", ".safetensors", lambda p: p.write_bytes(b"1"))
    ownership.delete(kept)
    assert ownership.rename(file("b"), "a") == kept


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
    assert ownership.rename(file(), typed).name == f"{stem}.safetensors"


def test_its_own_name_is_no_change(file):
    path = file()
    assert ownership.rename(path, "mine") == path and path.exists()


@pytest.mark.parametrize("change", [lambda path: ownership.rename(path, "x"), ownership.delete])
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
        shared = ownership.share(path)
    with users.acting_for(BEN):
        for reached in (path, shared):
            with pytest.raises(InputError, match="not a file of your own"):
                ownership.delete(reached)
    with users.acting_for(ANNA):
        renamed = ownership.rename(path, "better")
        assert ownership.shared_as(renamed) == shared  # others go on to see it
        ownership.delete(renamed)
    assert not renamed.exists() and not shared.exists()


def test_what_replaces_a_shared_file_is_shared(file):
    with users.acting_for(ANNA):
        path = file()
        before = ownership.share(path)
        with pytest.raises(InputError), ownership.as_before(path):
            raise InputError("refused")
        assert ownership.shared_as(path) == before
        with ownership.as_before(path):
            path.unlink()
            path.write_bytes(b"corrected")
        assert ownership.shared_as(path) == before and before.read_bytes() == b"corrected"


def test_names_say_what_is_new():
    assert doctest.testmod(paths).failed == 0
    assert paths.run_name(["a"]) == "a"
    assert paths.run_name(["model-a", "model-b", "other"]) == "model-a-vs-b-vs-other"
    assert paths.run_name(["same", "same"]) == "same-vs-same"
    assert len(paths.run_name(["long" * 30] * 3)) <= 48
