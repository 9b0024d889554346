"""Files that appear whole or not at all, also when the power goes, and what a disk's refusal means.

A file is written beside its place, forced to the disk and renamed; then the folder is forced too,
since a rename lives in the folder. What a process leaves that dies in between has a name that
begins with ``.part-``: no reader looks at it, and :func:`sweep` removes it.
"""

import contextlib
import errno
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from fisherdash.errors import InputError

PART = ".part-"
"""How the names of what is unfinished begin."""

STALE_SECONDS = 3600.0
"""Age at which what is unfinished belongs to nobody any more."""

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_FORBIDDEN = (errno.EROFS, errno.EACCES, errno.EPERM)


@contextlib.contextmanager
def replacing(path: Path, *, new: bool = False) -> Iterator[Path]:
    """Give a temporary path beside ``path``; move it into place when the block succeeds.

    Args:
      path: of the file; its folder must be there.
      new: refuse to replace: FileExistsError when something has that name by then.

    Raises InputError, one sentence, when the disk refuses; what stood there before stays.
    """
    with telling(path, but=(FileExistsError,) if new else ()):
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=PART, suffix=path.suffix)
        os.close(handle)
        part = Path(name)
        try:
            yield part
            part.chmod(0o644)  # mkstemp's own mode is private to the user
            _force(part)
            if new:
                take_name(part, path)
            else:
                part.replace(path)
            _force(path.parent)
        finally:
            part.unlink(missing_ok=True)


@contextlib.contextmanager
def telling(path: Path, *, but: tuple[type[OSError], ...] = ()) -> Iterator[None]:
    """Turns a disk's refusal to write ``path``, ``but`` for some, into an InputError."""
    try:
        yield
    except but:
        raise
    except OSError as error:
        raise InputError(refusal(path, error)) from error


def refusal(path: Path, error: OSError) -> str:
    """What a failed write means and what to do, in one sentence."""
    why = error.strerror or str(error)
    if error.errno in _FULL:
        return (
            f"Cannot write {path}: the disk is full ({why}); free some space and go on, what was "
            "written before is kept"
        )
    if error.errno in _FORBIDDEN:
        return (
            f"Cannot write {path}: nothing may be written there ({why}); allow it or choose "
            "another folder"
        )
    return f"Cannot write {path}: {why}"


@contextlib.contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Give a temporary folder beside ``path``; it takes that name when the block succeeds.

    Raises InputError, one sentence, when something has the name by then or the disk refuses.
    """
    with telling(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(dir=path.parent, prefix=PART))
        try:
            yield part
            part.chmod(0o755)
            _force(part)
            try:
                part.rename(path)
            except OSError as error:
                if not path.exists():
                    raise
                raise InputError(f"{path} exists already; choose another name") from error
            _force(path.parent)
        finally:
            shutil.rmtree(part, ignore_errors=True)


def remove_folder(path: Path) -> None:
    """Delete a folder: out of sight first, so that a deletion cut short leaves no half of it."""
    with telling(path):
        hidden = path.with_name(f"{PART}deleted-{path.name}")
        path.rename(hidden)
        shutil.rmtree(hidden)


def sweep(folder: Path) -> int:
    """Removes what killed processes left half written or deleted in a folder; how many that were.

    Only what is older than an hour: the rest may belong to somebody.
    """
    removed, now = 0, time.time()
    for part in folder.glob(f"{PART}*"):
        with contextlib.suppress(OSError):  # another process may be sweeping too
            if abs(now - part.stat().st_mtime) > STALE_SECONDS:
                if part.is_dir():
                    shutil.rmtree(part)
                else:
                    part.unlink()
                removed += 1
    return removed


def take_name(part: Path, path: Path) -> None:
    """Give a file another name, beside its own; FileExistsError when something has it."""
    try:
        os.link(part, path)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP) or path.exists():
            raise
        part.replace(path)  # a file system without hard links, such as exFAT


def _force(path: Path) -> None:
    """Asks the system to put a file's content, or a folder's list of names, on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some systems know no folder sync
            raise
    finally:
        os.close(handle)
