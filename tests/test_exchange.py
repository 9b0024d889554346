"""Work between this program's files and those of others; tests/cli/test_outputs.py has its gate."""

import threading
from pathlib import Path

import pytest

from fisherdash import exchange
from fisherdash.errors import InputError
from fisherdash.potentials import checkpoint, inert
from fisherdash.settings import ImportSettings, OutsideSettings, TutorialSettings
from fisherdash.workspace import estimates
from tests.potentials import folders

ASKED = ImportSettings(energy_unit="hartree", elements="H,C,O")


def imported(path: Path, out: Path) -> exchange.Task:
    return exchange.import_model(path, ASKED, OutsideSettings(), out)


def result(task: exchange.Task, cancel: threading.Event):
    """Of work that is followed to its end."""
    work = task.work(cancel, lambda item: None)
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value


def test_a_link_is_weighed_as_what_it_points_to(tmp_path):
    """It once counted as a file of a few bytes, whatever was behind it."""
    folder = folders.write(tmp_path / "train0")
    (tmp_path / "link").symlink_to(folder)
    one, other = (imported(path, tmp_path / "out") for path in (folder, tmp_path / "link"))
    assert one.estimate == other.estimate and one.estimate.disk > estimates.reading(1000).disk


def test_of_a_folder_only_a_few_files_are_weighed(tmp_path, monkeypatch):
    """The folder of a disk was once walked through before it was refused."""
    for number in range(9):
        (tmp_path / str(number)).write_bytes(b"x" * 10**6)
    monkeypatch.setattr(exchange, "_FEW_FILES", 3)
    assert imported(tmp_path, tmp_path / "out").estimate == estimates.reading(3 * 10**6)


def test_what_is_larger_than_any_model_is_refused_unread(tmp_path):
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(inert.MOST_BYTES + 1)
    with pytest.raises(InputError, match="a model has at most"):
        imported(tmp_path / "huge", tmp_path / "out")
    with pytest.raises(InputError, match="a model has at most"):
        exchange.convert(tmp_path / "huge", TutorialSettings(), tmp_path / "out")


def test_a_cancelled_import_leaves_nothing_behind(tmp_path):
    task = imported(folders.write(tmp_path / "train0"), tmp_path / "out")
    cancel = threading.Event()
    cancel.set()
    assert result(task, cancel) is None and not (tmp_path / "out").exists()
    cancel.clear()
    assert result(task, cancel).library and checkpoint.load(tmp_path / "out").form.kind


def test_a_file_that_is_gone_is_one_sentence(tmp_path):
    task = exchange.convert(tmp_path / "gone", TutorialSettings(), tmp_path / "out")
    with pytest.raises(InputError, match="cannot read"):
        result(task, threading.Event())
