"""Everything in a user's workspace that takes room: names, sizes, and deleting it.

What counts towards a user's limit is listed, also what cannot be read, with the reason, and what no
page knows: parts of files that a killed program left behind.

A short note that a user keeps with a run, a training, a model or a data set is one text file:
``note.txt`` in a folder, ``NAME.safetensors.note.txt`` beside a file. Nothing else reads it, so
that what has none, from earlier versions or other programs, has an empty note.

Data sets and models of one's own can be renamed, deleted and shared. A shared file has a second
name (a hard link) in the workspace that everybody sees, and no copy. Runs and trainings are not
shared.
"""

import contextlib
import dataclasses
import functools
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, get_args

from fisherdash import dataset, storage
from fisherdash.errors import InputError
from fisherdash.text import harmless
from fisherdash.workspace import jobs, limits, listing, locks, paths, users

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
        delete_file(one.path)
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


LONGEST_NOTE = 300
"""Characters of a note."""


def note_file(path: Path) -> Path:
    """Where the note of a folder or a file is; it may not exist."""
    return path / "note.txt" if path.is_dir() else path.with_name(path.name + _NOTE)


def note(path: Path) -> str:
    """The note of a folder or a file, one line; "" where there is none that can be read."""
    try:
        text = storage.content(note_file(path), 4 * LONGEST_NOTE).decode("utf-8", "replace")
        return " ".join(text[:LONGEST_NOTE].split())
    except (OSError, InputError):
        return ""


def keep_note(path: Path, text: str) -> None:
    """Keep a note, or none where the text is empty.

    InputError when it is longer than :data:`LONGEST_NOTE` characters or the disk refuses.
    """
    line, place = " ".join(text.split()), note_file(path)
    if len(line) > LONGEST_NOTE:
        raise InputError(f"a note has at most {LONGEST_NOTE} characters, received {len(line)}")
    if not line:
        with storage.telling(place):
            place.unlink(missing_ok=True)
        return
    with storage.replacing(place) as part:
        part.write_text(line, encoding="utf-8")


def follow_note(old: Path, new: Path | None) -> None:
    """Move the note of a file along with it, or delete it where the file is gone."""
    place = old.with_name(old.name + _NOTE)
    with storage.telling(place):
        if new is None:
            place.unlink(missing_ok=True)
        elif place.exists():
            place.replace(note_file(new))


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
            follow_note(path, new)
        finally:
            paths.release(path)
    return new


def delete_file(path: Path) -> None:
    """Delete a file of the user's own workspace, for everybody it was shared with too.

    InputError when it is not the user's, or the disk refuses.
    """
    _check(path)
    with storage.telling(path):
        if is_own(path):
            stop_sharing(path)
        path.unlink(missing_ok=True)
        follow_note(path, None)
    paths.release(path)


def _check(path: Path) -> None:
    if path.parent not in (paths.place("datasets"), paths.place("checkpoints")):
        raise InputError(f"{path.stem} is not a file of your own, so it stays as it is")
    if not path.exists():
        raise InputError(f"there is no {path.stem} any more")
