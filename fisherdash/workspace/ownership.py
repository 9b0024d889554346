"""Renames, deletes and shares a user's own data sets and models.

A shared file has a second name (a hard link) in the workspace that everybody sees, and no copy.
Runs and trainings are not shared.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, get_args

from fisherdash import storage
from fisherdash.errors import InputError
from fisherdash.workspace import notes, paths, users

Shared = Literal["datasets", "checkpoints"]


def is_everybodys(path: Path) -> bool:
    """Whether a file is another user's (or everybody's), for a user of a shared server."""
    return bool(users.current()) and paths.everybodys() in path.parents and not is_own(path)


def is_own(path: Path) -> bool:
    """Whether a file is the user's to share."""
    return bool(users.current()) and paths.is_mine(path)


def share(path: Path) -> Path:
    """Share one of the user's files with everybody; its path in the shared workspace.

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
    """The path under which one of the user's files is shared; None while it is not."""
    home, number = paths.everybodys() / _kind(path), paths.inode(path)
    names = home.glob(f"*{path.suffix}")
    return next((name for name in names if paths.inode(name) == number), None)


def stop_sharing(path: Path) -> None:
    """Stop sharing one of the user's files; what others made from it stays."""
    if (shared := shared_as(path)) is not None:
        shared.unlink(missing_ok=True)


@contextlib.contextmanager
def as_before(path: Path) -> Iterator[None]:
    """Share again, under the same name, a shared file that the block replaces.

    InputError when the disk refuses.
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
    for kind in get_args(Shared):
        if is_own(path) and path.parent == paths.place(kind):
            return kind
    raise InputError(f"{path.name} is not a data set or a model of your own, so it stays private")


def rename(path: Path, name: str) -> Path:
    """Rename a file of the user's own workspace; its new path.

    Runs and models that came from it still know it: they keep its fingerprint, not its name.
    Where it is shared, it keeps its old name for the others.

    Raises:
      InputError: when it is not the user's, the name is taken or empty, or the disk refuses.
    """
    _check(path)
    new = paths.renamed(path, name, path.suffix)
    if new == path:
        return path
    with paths.taking(new, new.stem):
        try:
            storage.take_name(path, new)
            path.unlink(missing_ok=True)
            notes.follow(path, new)
        finally:
            paths.release(path)
    return new


def delete(path: Path) -> None:
    """Delete a file of the user's own workspace, for everybody it was shared with too.

    InputError when it is not the user's, or the disk refuses.
    """
    _check(path)
    with storage.telling(path):
        if is_own(path):
            stop_sharing(path)
        path.unlink(missing_ok=True)
        notes.follow(path, None)
    paths.release(path)


def _check(path: Path) -> None:
    if path.parent not in (paths.place("datasets"), paths.place("checkpoints")):
        raise InputError(f"{path.stem} is not a file of your own, so it stays as it is")
    if not path.exists():
        raise InputError(f"there is no {path.stem} any more")
