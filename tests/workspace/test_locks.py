"""Who writes: one program at a time, however the others are started or end."""

import subprocess
import sys
from pathlib import Path

import pytest

from fisherdash import dataset
from fisherdash.__main__ import main
from fisherdash.errors import InputError
from fisherdash.workspace import locks
from tests import networks

HOLD = """
import contextlib, sys
from pathlib import Path
from fisherdash.workspace import locks
path = Path(sys.argv[1])
holding = locks.writing(path) if sys.argv[2] == "file" else (
    contextlib.nullcontext(locks.FolderLock(path))
)
with holding:
    print("held", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def held(request):
    """Starts a program that is writing there."""
    children = []

    def hold(path: Path, kind: str = "file") -> subprocess.Popen:
        line = [sys.executable, "-c", HOLD, str(path), kind]
        child = subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        children.append(child)
        assert child.stdout.readline() == "held\n"
        return child

    yield hold
    for child in children:
        child.kill()
        child.communicate()


def test_a_file_is_written_by_one_program_at_a_time(tmp_path, held):
    out = tmp_path / ("x" * 250)
    child = held(out)
    with pytest.raises(InputError, match="written by another program"), locks.writing(out):
        pass
    child.communicate("\n")
    with locks.writing(out):
        pass
    assert not list(tmp_path.iterdir())


def test_a_link_to_the_file_is_the_file(tmp_path, held):
    (tmp_path / "link").symlink_to(tmp_path / "out")
    held(tmp_path / "out")
    with pytest.raises(InputError), locks.writing(tmp_path / "link"):
        pass


def test_a_killed_program_holds_nothing(tmp_path, held):
    child = held(tmp_path / "out")
    child.kill()
    child.wait()
    with locks.writing(tmp_path / "out"):
        pass


def test_the_second_training_with_the_same_output_is_refused(tmp_path, held, capsys):
    data = tmp_path / "water.npz"
    dataset.save(networks.water(), data)
    held(tmp_path / "net")
    line = ["train", str(data), "--out", str(tmp_path / "net"), "--frames", "20", "--valid", "5"]
    assert main([*line, "--epochs", "1"]) == 2
    assert "is being written by another program" in capsys.readouterr().err
    assert not (tmp_path / "net").exists()


def test_the_second_study_in_the_same_folder_is_refused(tmp_path, held, capsys):
    dataset.save(networks.water(), tmp_path / "d.npz")
    spec, out = tmp_path / "s.toml", tmp_path / "study"
    text = '[[data]]\nfile = "d.npz"\nvalid = 2\ntest = 4\n[[models]]\nframes = 5\nepochs = 1\n'
    spec.write_text(text)
    out.mkdir()
    held(out, "folder")
    assert main(["study", str(spec), "--out", str(out), "--workers", "0"]) == 2
    assert "still being written by another process" in capsys.readouterr().err
    assert not (out / "study.toml").exists()
