"""Renaming and deleting one's own data sets and models."""

import re
from pathlib import Path

from fisherdash import disk
from fisherdash.errors import InputError
from fisherdash.runs import sharing, workspace


def rename(path: Path, name: str) -> Path:
    """Give a file of the user's own workspace another name; its new path.

    Runs and models that came from it still know it: they keep its fingerprint, not its name.
    Whoever sees it because it is shared goes on to see it under the old name.

    Raises:
      InputError: when it is not the user's, the name is taken or empty, or the disk refuses.
    """
    _check(path)
    typed = name.strip().replace("\\", "/").rstrip("/").rsplit("/", 1)[-1]
    stem = workspace.safe_stem(typed.removesuffix(path.suffix) + ".x")
    if not re.search(r"[A-Za-z0-9]", typed):
        raise InputError(f"{path.stem} needs a name with at least one letter or number")
    new = path.with_name(stem + path.suffix)
    if new == path:
        return path
    if not workspace.claim(new):  # also where a job that waits will write
        raise InputError(f"the name {new.stem} is taken; choose another one")
    try:
        with disk.telling(new):
            disk.take_name(path, new)
            path.unlink(missing_ok=True)
    finally:
        workspace.release(new)
        workspace.release(path)
    return new


def delete(path: Path) -> None:
    """Delete a file of the user's own workspace; nobody else sees it any more either.

    InputError when it is not the user's, or the disk refuses.
    """
    _check(path)
    with disk.telling(path):
        if sharing.is_own(path):
            sharing.stop_sharing(path)
        path.unlink(missing_ok=True)
    workspace.release(path)


def _check(path: Path) -> None:
    if path.parent not in (workspace.place("datasets"), workspace.place("checkpoints")):
        raise InputError(f"{path.stem} is not a file of your own, so it stays as it is")
    if not path.exists():
        raise InputError(f"there is no {path.stem} any more")
