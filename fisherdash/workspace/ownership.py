"""Renames, deletes and shares a user's own data sets and models.

A shared file has a second name (a hard link) in the workspace that everybody sees, and no copy.
Runs and trainings are not shared.
"""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from fisherdash import storage
from fisherdash.errors import InputError
from fisherdash.workspace import paths, users

Shared = Literal["datasets", "checkpoints"]


def is_everybodys(path: Path) -> bool:
    """Whether a file belongs to all, for a user who has a workspace of their own."""
    return bool(users.current()) and paths.everybodys() in path.parents and not is_own(path)


def is_own(path: Path) -> bool:
    """Whether a file is the user's to share."""
    return bool(users.current()) and paths.is_mine(path)


def share(path: Path) -> Path:
    """Let everybody see one of the user's files; under which path they do.

    InputError when it is not the user's, or the disk refuses.
    """
    kind = _kind(path)
    if (already := shared_as(path)) is not None:
        return already
    with users.acting_for(users.EVERYBODY):
        shared = paths.new_path(kind, path.stem, path.suffix)
    try:
        shared.hardlink_to(path)
    except OSError as error:
        raise InputError(f"{path.name} cannot be shared: {error.strerror}") from error
    return shared


def shared_as(path: Path) -> Path | None:
    """Under which path everybody sees one of the user's files; None while they do not."""
    home, number = paths.everybodys() / _kind(path), paths.inode(path)
    names = home.glob(f"*{path.suffix}")
    return next((name for name in names if paths.inode(name) == number), None)


def stop_sharing(path: Path) -> None:
    """Take one of the user's files back; what others have made from it stays theirs."""
    if (shared := shared_as(path)) is not None:
        shared.unlink(missing_ok=True)


@contextlib.contextmanager
def as_before(path: Path) -> Iterator[None]:
    """Whoever saw a file before the block sees what the block has put in its place.

    Under the same name as before; InputError when the disk refuses.
    """
    shared = shared_as(path) if is_own(path) else None
    yield
    if shared is not None and paths.inode(path) != paths.inode(shared):
        with storage.telling(shared):
            part = shared.with_name(f"{storage.PART}share-{shared.name}")
            part.unlink(missing_ok=True)
            part.hardlink_to(path)
            part.replace(shared)


def _kind(path: Path) -> Shared:
    kinds: tuple[Shared, ...] = ("datasets", "checkpoints")
    for kind in kinds:
        if is_own(path) and path.parent == paths.place(kind):
            return kind
    raise InputError(f"{path.name} is not a data set or a model of your own, so it stays private")


def rename(path: Path, name: str) -> Path:
    """Give a file of the user's own workspace another name; its new path.

    Runs and models that came from it still know it: they keep its fingerprint, not its name.
    Whoever sees it because it is shared goes on to see it under the old name.

    Raises:
      InputError: when it is not the user's, the name is taken or empty, or the disk refuses.
    """
    _check(path)
    typed = name.strip().replace("\\", "/").rstrip("/").rsplit("/", 1)[-1]
    stem = paths.safe_stem(typed.removesuffix(path.suffix) + ".x")
    if not re.search(r"[A-Za-z0-9]", typed):
        raise InputError(f"{path.stem} needs a name with at least one letter or number")
    new = path.with_name(stem + path.suffix)
    if new == path:
        return path
    if not paths.claim(new):  # also where a job that waits will write
        raise InputError(f"the name {new.stem} is taken; choose another one")
    try:
        with storage.telling(new):
            storage.take_name(path, new)
            path.unlink(missing_ok=True)
    finally:
        paths.release(new)
        paths.release(path)
    return new


def delete(path: Path) -> None:
    """Delete a file of the user's own workspace; nobody else sees it any more either.

    InputError when it is not the user's, or the disk refuses.
    """
    _check(path)
    with storage.telling(path):
        if is_own(path):
            stop_sharing(path)
        path.unlink(missing_ok=True)
    paths.release(path)


def _check(path: Path) -> None:
    if path.parent not in (paths.place("datasets"), paths.place("checkpoints")):
        raise InputError(f"{path.stem} is not a file of your own, so it stays as it is")
    if not path.exists():
        raise InputError(f"there is no {path.stem} any more")
