"""Files appear whole or not at all, and what a disk's refusal means is said in one sentence."""

import errno
import os
import socket
import stat
import time
from pathlib import Path

import pytest

from fisherdash import storage
from fisherdash.errors import InputError


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path):
    path = tmp_path / "x.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError, match="planted"), storage.replacing(path) as part:
        part.write_text("half of the n")
        raise RuntimeError("planted")
    assert path.read_text() == "old" and names(tmp_path) == ["x.txt"]
    with storage.replacing(path) as part:
        part.write_text("new")
    assert path.read_text() == "new" and names(tmp_path) == ["x.txt"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_a_file_that_must_be_new_replaces_nothing(tmp_path):
    path = tmp_path / "x.txt"
    with storage.replacing(path, new=True) as part:
        part.write_text("first")
    with pytest.raises(FileExistsError), storage.replacing(path, new=True) as part:
        part.write_text("second")
    assert path.read_text() == "first" and names(tmp_path) == ["x.txt"]


def test_a_link_stays_and_what_it_points_to_is_replaced(tmp_path):
    """The link itself once became a regular file."""
    target, link = tmp_path / "target", tmp_path / "folder" / "link"
    link.parent.mkdir()
    link.symlink_to("../target")
    for text in ("into nothing", "over something"):
        with storage.replacing(link) as part:
            part.write_text(text)
        assert link.is_symlink() and target.read_text() == text and not target.is_symlink()
    assert names(tmp_path) == ["folder", "target"] and names(link.parent) == ["link"]


@pytest.mark.parametrize("through_a_link", [False, True])
@pytest.mark.parametrize("kind", ["a pipe", "a socket", "a folder"])
def test_what_is_no_file_is_never_replaced(tmp_path, kind, through_a_link):
    """A device, a pipe or a link named as output was once renamed over."""
    path = tmp_path / "x"
    with socket.socket(socket.AF_UNIX) as one:
        if kind == "a pipe":
            os.mkfifo(path)
        elif kind == "a socket":
            one.bind(str(path))
        else:
            path.mkdir()
        before = path.stat()
        if through_a_link:
            path = tmp_path / "link"
            path.symlink_to("x")
        with pytest.raises(InputError, match=f"it is {kind}; give the name of a file"):  # noqa: SIM117
            with storage.replacing(path) as part:
                part.write_text("content")
    after = (tmp_path / "x").stat()
    assert (after.st_ino, after.st_mode) == (before.st_ino, before.st_mode)


def test_a_device_is_called_one():
    assert storage.no_file(Path(os.devnull)) == "a device"


def test_everything_is_forced_to_the_disk_before_it_gets_its_name(tmp_path, monkeypatch):
    seen, real = [], os.fsync

    def watched(handle):
        place = Path(f"/proc/self/fd/{handle}").readlink()
        seen.append((place, (tmp_path / "x").exists()))
        real(handle)

    monkeypatch.setattr(os, "fsync", watched)
    with storage.replacing(tmp_path / "x") as part:
        part.write_text("content")
    assert seen == [(part, False), (tmp_path, True)]


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EDQUOT, "the disk is full"),
        (errno.EROFS, "nothing may be written there"),
        (errno.EIO, "Input/output error"),
    ],
)
def test_a_refusal_is_one_sentence(tmp_path, number, words):
    with (
        pytest.raises(InputError, match=words) as caught,
        storage.replacing(tmp_path / "x") as part,
    ):
        part.write_text("half")
        raise OSError(number, os.strerror(number))
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(f"Cannot write {tmp_path / 'x'}: ")
    assert names(tmp_path) == []


def test_a_folder_appears_with_all_that_is_in_it(tmp_path):
    with pytest.raises(RuntimeError), storage.new_folder(tmp_path / "one") as part:
        (part / "a").write_text("a")
        raise RuntimeError("planted")
    assert names(tmp_path) == []
    with storage.new_folder(tmp_path / "one") as part:
        (part / "a").write_text("a")
        assert names(tmp_path) == [part.name] and part.name.startswith(".")
    assert names(tmp_path) == ["one"] and names(tmp_path / "one") == ["a"]
    with pytest.raises(InputError, match="exists already"), storage.new_folder(tmp_path / "one"):
        pass
    storage.remove_folder(tmp_path / "one")
    assert names(tmp_path) == []


def test_sweeping_takes_what_is_old_and_unfinished_and_nothing_else(tmp_path):
    old, young, kept = (tmp_path / name for name in (".part-old", ".part-young", "kept"))
    folder = tmp_path / ".part-folder"
    folder.mkdir()
    for path in (old, young, kept, folder / "inside"):
        path.write_text("")
    long_ago = time.time() - 2 * storage.STALE_SECONDS
    for path in (old, folder, kept):
        os.utime(path, (long_ago, long_ago))
    assert storage.sweep(tmp_path) == 2
    assert names(tmp_path) == [".part-young", "kept"]


def test_only_a_regular_file_is_read_and_only_so_much_of_it(tmp_path):
    (tmp_path / "file").write_bytes(b"12345")
    os.mkfifo(tmp_path / "pipe")
    assert storage.content(tmp_path / "file", 5) == b"12345"
    for name, most, words in (("file", 4, "at most 4"), ("pipe", 9, "a pipe"), ("", 9, "a folder")):
        with pytest.raises(InputError, match=words):
            storage.content(tmp_path / name, most)
    with pytest.raises(FileNotFoundError):
        storage.content(tmp_path / "none", 5)
