"""What a user of a server lets everybody see: a second name of the file, and no copy.

Only data sets and models are shared; runs and trainings stay with whoever made them.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from fisherdash import disk
from fisherdash.errors import InputError
from fisherdash.runs import people, workspace

Shared = Literal["datasets", "checkpoints"]


def is_everybodys(path: Path) -> bool:
    """Whether a file belongs to all, for a user who has a workspace of their own."""
    return bool(people.current()) and workspace.everybodys() in path.parents and not is_own(path)


def is_own(path: Path) -> bool:
    """Whether a file is the user's to share."""
    return bool(people.current()) and workspace.is_mine(path)


def share(path: Path) -> Path:
    """Let everybody see one of the user's files; under which path they do.

    InputError when it is not the user's, or the disk refuses.
    """
    kind = _kind(path)
    if (already := shared_as(path)) is not None:
        return already
    with people.acting_for(people.EVERYBODY):
        shared = workspace.new_path(kind, path.stem, path.suffix)
    try:
        shared.hardlink_to(path)
    except OSError as error:
        raise InputError(f"{path.name} cannot be shared: {error.strerror}") from error
    return shared


def shared_as(path: Path) -> Path | None:
    """Under which path everybody sees one of the user's files; None while they do not."""
    home, number = workspace.everybodys() / _kind(path), workspace.inode(path)
    names = home.glob(f"*{path.suffix}")
    return next((name for name in names if workspace.inode(name) == number), None)


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
    if shared is not None and workspace.inode(path) != workspace.inode(shared):
        with disk.telling(shared):
            part = shared.with_name(f"{disk.PART}share-{shared.name}")
            part.unlink(missing_ok=True)
            part.hardlink_to(path)
            part.replace(shared)


def _kind(path: Path) -> Shared:
    kinds: tuple[Shared, ...] = ("datasets", "checkpoints")
    for kind in kinds:
        if is_own(path) and path.parent == workspace.place(kind):
            return kind
    raise InputError(f"{path.name} is not a data set or a model of your own, so it stays private")
