"""Everything in a user's workspace that takes room: names, sizes, and deleting it.

What counts towards a user's limit is listed, also what cannot be read, with the reason, and what no
page knows: parts of files that a killed program left behind.
"""

import dataclasses
import functools
import os
import time
from pathlib import Path
from typing import Literal

from fisherdash import dataset, storage
from fisherdash.errors import InputError
from fisherdash.text import harmless
from fisherdash.workspace import jobs, limits, listing, locks, ownership, paths

Sort = Literal["run", "training", "model", "data set", "study", "leftover"]

_WORK: dict[str, Sort] = {"runs": "run", "trainings": "training", "studies": "study"}
_FILES: dict[str, tuple[Sort, str]] = {
    "datasets": ("data set", ".npz"),
    "checkpoints": ("model", ".safetensors"),
}
_OURS = ("cache", "logs", "waiting", paths.USERS)
"""Folders of the workspace that belong to the server."""
_NOTE = ".note.txt"
_RESERVED = f"{storage.PART}claim-"
"""Begins the names of empty files that reserve a name for a job."""
_YOUNG = 60.0
"""Seconds for which a part of a file is taken to be at work."""


@dataclasses.dataclass(frozen=True)
class Belonging:
    """One thing that takes room.

    Attributes:
        sort: what it is; a leftover is a file or folder that no page shows.
        path: where it is.
        bytes: on disk, with the note beside it.
        changed: seconds since the epoch.
        problem: why it cannot be read, one sentence, or "".
        busy: whether a job or another process is writing it.
    """

    sort: Sort
    path: Path
    bytes: int
    changed: float
    problem: str = ""
    busy: bool = False

    @property
    def name(self) -> str:
        """As other pages call it; a leftover by its place in the workspace."""
        if self.sort == "leftover":
            return harmless(str(self.path.relative_to(paths.root())))
        is_file = self.path.suffix in (".npz", ".safetensors")
        return harmless(self.path.stem if is_file else self.path.name)


def everything() -> list[Belonging]:
    """All that the present user has, the largest first."""
    home, found = paths.root(), []
    writing = _written()
    for place in _inside(home):
        if place.name in _WORK and place.is_dir():
            sort, problems = _WORK[place.name], _problems(place.name)
            for one in _inside(place):
                kind = sort if _is_folder(one) and not one.name.startswith(".") else "leftover"
                found.append(_belonging(kind, one, problems.get(one, ""), one in writing))
        elif place.name in _FILES and place.is_dir():
            found += _files(place, writing)
        elif place.name not in _OURS and not place.name.startswith(".visitors-key"):
            found.append(_belonging("leftover", place))
    return sorted(found, key=lambda one: (-one.bytes, one.name))


def delete(one: Belonging) -> None:
    """Delete it for good; what was shared is gone for everybody.

    InputError for what is not the user's, while it is being written, or when the disk refuses.
    """
    if paths.root() not in one.path.parents or any(part == ".." for part in one.path.parts):
        raise InputError(f"{one.path.name} is not yours, so it stays")
    if one.path in _written() or _is_locked(one.path) or _is_begun(one.path):
        raise InputError(f"{one.name} is still being written; cancel the job first")
    if one.sort in ("data set", "model"):
        ownership.delete(one.path)
    elif _is_folder(one.path):
        storage.remove_folder(one.path)
    else:
        with storage.telling(one.path):
            one.path.unlink(missing_ok=True)


def _written() -> set[Path]:
    """What the user's jobs that wait or are at work will write, or begin with."""
    active = [job for job in jobs.every() if job.active]
    return {place for job in active for place in job.info.values() if isinstance(place, Path)}


def _files(place: Path, writing: set[Path]) -> list[Belonging]:
    """Data sets or models; a note counts with its file, and is a leftover without one."""
    sort, suffix = _FILES[place.name]
    inside = _inside(place)
    names, found = {one.name for one in inside}, []
    problems = _problems(place.name)
    for one in inside:
        if one.name.endswith(_NOTE) and one.name.removesuffix(_NOTE) in names:
            continue
        is_one = one.suffix == suffix and not one.name.startswith(".") and one.is_file()
        problem = problems.get(one, "")
        if is_one and sort == "data set":
            problem = _unreadable(one, one.lstat().st_ctime_ns)
        found.append(
            _belonging(sort if is_one else "leftover", one, problem, is_one and one in writing)
        )
    return found


@functools.lru_cache(maxsize=512)
def _unreadable(path: Path, changed: int) -> str:
    """Why a data set cannot be read, "" where it can; looked at again when it has changed."""
    try:
        dataset.load(path)
    except InputError as error:
        return str(error)
    return ""


def _problems(kind: str) -> dict[Path, str]:
    """Why some of one kind cannot be read."""
    found = (entry for one in listing.LISTED if one == kind for entry in listing.entries(one))
    return {entry.folder: entry.problem for entry in found if entry.problem}


def _belonging(sort: Sort, path: Path, problem: str = "", busy: bool = False) -> Belonging:
    note = path.with_name(path.name + _NOTE)
    size = limits.size_of(path) + (limits.size_of(note) if sort in ("data set", "model") else 0)
    try:
        changed = path.lstat().st_mtime
    except OSError:
        changed = 0.0
    if not paths.is_text(path.name):
        problem = "its name is no text, so no page shows it; rename it in a shell, or delete it"
    busy = busy or _is_locked(path) or _is_begun(path)
    return Belonging(sort, path, size, changed, problem, busy)


def _is_locked(path: Path) -> bool:
    return (path / locks.LOCK).is_file() and locks.is_locked(path, None)


def _is_begun(path: Path) -> bool:
    """Whether it is a part of a file that somebody may just be writing."""
    try:
        age = time.time() - path.lstat().st_mtime
    except OSError:
        return False
    return path.name.startswith(storage.PART) and abs(age) < _YOUNG


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _inside(folder: Path) -> list[Path]:
    """What lies in a folder, by name; nothing where it cannot be looked into."""
    try:
        with os.scandir(folder) as items:
            return sorted(Path(one.path) for one in items if not one.name.startswith(_RESERVED))
    except OSError:
        return []
