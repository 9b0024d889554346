"""A note stays with what it is about, and what has none reads as empty."""

import pytest

from fisherdash.errors import InputError
from fisherdash.workspace import listing, notes, ownership, paths, runs
from tests.workspace.recorded import folder, write

__all__ = ["folder"]


def test_a_note_is_one_line_kept_in_the_folder_until_it_is_emptied(folder):
    write(folder)
    assert notes.note(folder) == ""  # as of a run of an earlier version
    notes.keep(folder, "half the\n time step,  steady")
    assert notes.note(folder) == "half the time step, steady"
    assert runs.open_run(folder).status == "finished"
    notes.keep(folder, "  ")
    assert notes.note(folder) == "" and not notes.file_of(folder).exists()


def test_a_note_follows_its_run_and_its_file(folder):
    write(folder)
    notes.keep(folder, "of the run")
    assert notes.note(listing.rename(folder, "a better name")) == "of the run"
    path = paths.folder("checkpoints") / "mine.safetensors"
    path.write_bytes(b"weights")
    notes.keep(path, "of the model")
    new = ownership.rename(path, "other")
    assert notes.note(new) == "of the model" and notes.note(path) == ""
    assert paths.files("checkpoints")[-1:] == [new]  # the note is no model
    ownership.delete(new)
    assert list(paths.folder("checkpoints").glob("[!.]*")) == []


def test_a_note_has_an_end(folder):
    write(folder)
    with pytest.raises(InputError, match="at most 300 characters"):
        notes.keep(folder, "x" * 301)
    notes.file_of(folder).write_bytes(b"\xff" * 10_000)  # somebody's own file
    assert len(notes.note(folder)) <= 300
