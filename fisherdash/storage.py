"""Where the workspace is; atomic, durable writes; errors of the disk in one sentence.

A file is written to a temporary one beside it, synced (fsync) and renamed; then the folder is
synced too, since that is where a rename is recorded. What a killed process leaves begins with
``.part-``: readers ignore it, and :func:`sweep` removes it.

Two environment variables say where the workspace is and whether many share this server.
"""

import contextlib
import errno
import os
import shutil
import stat
import tempfile
import time
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import platformdirs

from fisherdash.errors import InputError


def everybodys() -> Path:
    """Where the workspace that everybody sees is; it may not exist yet.

    InputError for a name that leads nowhere.
    """
    named = os.environ.get("FISHERDASH_WORKSPACE")
    folder = Path(named) if named else platformdirs.user_data_path("fisherdash")
    try:
        return folder.expanduser().resolve()
    except (OSError, RuntimeError, ValueError) as error:  # an unknown user, a loop of links, …
        raise InputError(
            f"FISHERDASH_WORKSPACE is {named!r:.80}, which leads to no folder ({error!s:.80}); set "
            "it to a folder that can be written"
        ) from error


def made(folder: Path) -> Path:
    """A folder of the workspace, made if need be; InputError if it cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"the workspace {folder} cannot be written ({error.strerror}); "
            "set FISHERDASH_WORKSPACE to a folder that can"
        ) from error
    return folder


def is_shared() -> bool:
    """Whether this server separates its users; InputError unless the variable is 0 or 1."""
    value = os.environ.get("FISHERDASH_SHARED", "0").strip()
    if value not in ("0", "1", ""):
        raise InputError(f"FISHERDASH_SHARED must be 0 or 1, received {value!r}")
    return value == "1"


def file_named(name: str | Path) -> Path | None:
    """The file that somebody has named, ``~`` understood; None where there is none to be seen."""
    try:
        found = Path(name).expanduser()
        return found if found.is_file() else None
    except (OSError, RuntimeError, ValueError):  # too long, forbidden, an unknown user, …
        return None


PART = ".part-"
"""Prefix of temporary files and folders."""

STALE_SECONDS = 3600.0
"""Age from which a temporary file counts as left behind."""

UNREADABLE = (
    OSError, EOFError, ValueError, TypeError, KeyError, OverflowError, MemoryError,
    NotImplementedError, RecursionError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip
"""What NumPy and zipfile raise for a damaged archive of arrays."""

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_FORBIDDEN = (errno.EROFS, errno.EACCES, errno.EPERM)


@contextlib.contextmanager
def replacing(path: Path, *, new: bool = False) -> Iterator[Path]:
    """Give a temporary path beside ``path``; move it into place when the block succeeds.

    A symbolic link stays, and what it points to is replaced.

    Args:
      path: of the file; its folder must be there.
      new: refuse to replace: FileExistsError when something has that name by then.

    Raises InputError, one sentence, when the disk refuses, or ``path`` is there and is no regular
    file; what stood there before stays.
    """
    with telling(path, but=(FileExistsError,) if new else ()):
        path = path if new else _regular(path)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=PART, suffix=path.suffix)
        os.close(handle)
        part = Path(name)
        try:
            yield part
            part.chmod(0o644)  # mkstemp's own mode is private to the user
            _sync(part)
            if new:
                take_name(part, path)
            else:
                part.replace(path)
            _sync(path.parent)
        finally:
            part.unlink(missing_ok=True)


def no_file(path: Path) -> str:
    """What is there, links followed, where that is no regular file ("a folder"); else ""."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return ""
    kinds = {stat.S_IFREG: "", stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe"}
    return (kinds | {stat.S_IFSOCK: "a socket"}).get(stat.S_IFMT(mode), "a device")


def content(path: Path, most: int) -> bytes:
    """What a regular file holds; a pipe or a device, which may never end, is not read.

    Raises:
        OSError: as opening it does.
        InputError: for what is no regular file, or has more than ``most`` bytes.
    """
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # a pipe would wait for its other end
    facts = os.fstat(handle)
    if not stat.S_ISREG(facts.st_mode):
        os.close(handle)
        raise InputError(f"{path} is {no_file(path)}, not a file")
    with os.fdopen(handle, "rb") as file:
        data = file.read(most + 1) if facts.st_size <= most else b""
    if facts.st_size > most or len(data) > most:
        raise InputError(f"{path} has {facts.st_size} bytes; at most {most} are read")
    return data


def _regular(path: Path) -> Path:
    """Where the file is, or will be, behind all links."""
    if what := no_file(path):
        raise InputError(f"Cannot write {path}: it is {what}; give the name of a file")
    return path.resolve() if path.is_symlink() else path


@contextlib.contextmanager
def telling(path: Path, *, but: tuple[type[OSError], ...] = ()) -> Iterator[None]:
    """Turn an OSError in writing ``path``, except those in ``but``, into an InputError."""
    try:
        yield
    except but:
        raise
    except OSError as error:
        raise InputError(refusal(path, error)) from error


def refusal(path: Path, error: OSError) -> str:
    """The sentence for a failed write: what it means and what to do."""
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
            for made in (*part.rglob("*"), part):
                _sync(made)
            try:
                part.rename(path)
            except OSError as error:
                if not path.exists():
                    raise
                raise InputError(f"{path} exists already; choose another name") from error
            _sync(path.parent)
        finally:
            shutil.rmtree(part, ignore_errors=True)


def remove_folder(path: Path) -> None:
    """Delete a folder, renamed first so that an interrupted deletion leaves no half of it."""
    with telling(path):
        hidden = path.with_name(f"{PART}deleted-{path.name}")
        path.rename(hidden)
        shutil.rmtree(hidden)


def sweep(folder: Path) -> int:
    """Removes temporary files and folders of killed processes; their number.

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


def _sync(path: Path) -> None:
    """Sync a file's content, or a folder's list of names, to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some systems know no folder sync
            raise
    finally:
        os.close(handle)
