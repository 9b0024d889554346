"""Per-folder writer lock, released when the process exits.

A writer locks the folder's ``writer.lock`` (flock). The kernel releases it when the process ends,
however it ends, so "is it still being written?" needs no process number, which another process may
have by now, and no name of a machine, which a restarted container changes.
"""

import contextlib
import errno
import fcntl
import hashlib
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from fisherdash import storage
from fisherdash.errors import InputError

LOCK = "writer.lock"

_PATIENCE = 2.0
"""Seconds for which a writer waits: readers hold the lock for microseconds."""

_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS)


class FolderLock:
    """The right to write a folder; InputError when another process has it."""

    def __init__(self, folder: Path) -> None:
        with storage.telling(folder / LOCK):
            self._file = (folder / LOCK).open("a")
        if not _locked(self._file, fcntl.LOCK_EX, _PATIENCE):
            self._file.close()
            raise InputError(f"{folder} is still being written by another process; cancel it first")

    def release(self) -> None:
        """Let others write; may be called again."""
        if not self._file.closed:
            with contextlib.suppress(OSError):  # where there are no locks
                fcntl.flock(self._file, fcntl.LOCK_UN)  # a forked child may have the file open too
            self._file.close()


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Hold the right to write a file, by a hidden one beside it; InputError while another has it.

    Two programs that were given the same output would each take the other's for their own. So it
    is for a folder until it is there, from when on it has a lock of its own (:class:`FolderLock`).
    """
    target = path.resolve()
    if target.is_dir():
        yield
        return
    with storage.telling(path):
        target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_name(f".{hashlib.sha256(os.fsencode(target.name)).hexdigest()[:16]}.lock")
    while True:
        with storage.telling(path):
            file = beside.open("a")
        if not _locked(file, fcntl.LOCK_EX, 0.0):
            file.close()
            raise InputError(f"{path} is being written by another program; wait for it or stop it")
        with contextlib.suppress(OSError):
            if os.path.samestat(os.fstat(file.fileno()), beside.stat()):
                break
        file.close()  # whoever had it has removed it meanwhile
    try:
        yield
    finally:
        beside.unlink(missing_ok=True)
        file.close()


def is_locked(folder: Path, writer: Any) -> bool:
    """Whether a process is writing the folder, as far as this machine can tell.

    Args:
      folder: of a run or a training.
      writer: what its header says about its writer; asked where there is no lock.
    """
    try:
        with (folder / LOCK).open() as file:
            return not _locked(file, fcntl.LOCK_SH, 0.0)
    except OSError:  # written before there were locks, or on a file system without any
        return _is_running(writer)


def this_writer() -> dict[str, Any]:
    """Who is writing: this process on this machine."""
    return {"pid": os.getpid(), "host": socket.gethostname()}


def _locked(file: TextIO, how: int, patience: float) -> bool:
    deadline = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(file, how | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.01)
        except OSError as error:
            if error.errno in _NO_LOCKS and how == fcntl.LOCK_EX:
                return True  # a file system without locks: as before there were any
            raise
        else:
            return True


def _is_running(writer: Any) -> bool:
    """Whether the process that a header names still runs."""
    pid = writer.get("pid") if isinstance(writer, dict) else None
    if not isinstance(pid, int) or pid <= 0:
        return False
    if writer.get("host") != socket.gethostname():
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True  # it runs, under another user
    return True
