"""Lists runs, trainings and models of the workspace, newest first, from their headers.

A header is read once a process, and again when its file has changed (time, size, inode): a page
that lists 2,000 runs waits for about 10 ms. Nothing is kept on disk that could disagree with them.

Work that a killed program, a power cut or a failure left unfinished is listed with how far it came.
The dashboard offers to resume it or to dismiss it, which deletes nothing.
"""

import contextlib
import dataclasses
import json
import os
from pathlib import Path
from typing import Any, Literal

from fisherdash import storage
from fisherdash.errors import InputError
from fisherdash.workspace import headers, paths
from fisherdash.workspace.headers import Header, RunHeader, TrainingHeader
from fisherdash.workspace.locks import FolderLock

Work = Literal["runs", "trainings"]
Listed = Literal["runs", "trainings", "checkpoints"]
LISTED: tuple[Listed, ...] = ("runs", "trainings", "checkpoints")

HEADERS: dict[Work, type[Header]] = {"runs": RunHeader, "trainings": TrainingHeader}
TRAINING_STATE = "state.npz"

_DAMAGED = (ValueError, KeyError, TypeError, OverflowError, RecursionError)
_UNFINISHED = ("interrupted", "failed")


@dataclasses.dataclass(frozen=True)
class Entry:
    """One line of a list.

    Attributes:
        folder: of the run or training, or the model's file.
        created: UTC, ISO 8601; "" when unknown.
        problem: why it cannot be opened, in one sentence, or None.
        number: order of creation, whatever the clock said.
        status: as its header says, "interrupted" when it is "running" and its writer is gone.
        writer: process that writes it, as its header says.
        total: steps or epochs that were asked for.
    """

    kind: Listed
    folder: Path
    title: str
    created: str = ""
    problem: str | None = None
    number: int = 0
    status: str = ""
    writer: Any = None
    total: int = 0

    @property
    def done(self) -> int:
        """Steps or epochs that are on disk; 0 if unknown."""
        if self.kind == "trainings":
            return epochs_done(self.folder)
        chunks = sorted(self.folder.glob("chunk-*.npz"))
        try:
            return int(headers.load(chunks[-1], ("step",))["step"]) if chunks else 0
        except _DAMAGED:
            return 0

    @property
    def how_far(self) -> str:
        """How unfinished work ended and how far it came, in words."""
        unit = {"runs": "step", "trainings": "epoch"}[self.kind]
        how = "interrupted" if self.status == "interrupted" else "ended by a failure"
        return f"{how} after {unit} {self.done:,} of {self.total:,}; all of that is kept"


_Stamp = tuple[int, ...] | None
_known: dict[Path, dict[str, tuple[_Stamp, Entry]]] = {}
"""What was read last, by the place of a kind and the name in it."""


def entries(kind: Listed) -> list[Entry]:
    """The entries of one kind, newest first; damaged ones with their problem."""
    place, file = paths.place(kind), HEADERS[kind].FILE if kind in HEADERS else ""
    known, found = _known.get(place, {}), {}
    with contextlib.suppress(FileNotFoundError, NotADirectoryError), os.scandir(place) as items:
        for item in items:
            is_one = _is_folder(item) if file else item.name.endswith(".safetensors")
            if is_one and not item.name.startswith(".") and paths.is_text(item.name):
                # A string, not a path: this runs for every run at every look.
                stamp = _stamp(f"{item.path}/{file}" if file else item.path)
                before = known.get(item.name)
                same = before is not None and before[0] == stamp
                found[item.name] = before if same else (stamp, _read(kind, place / item.name))
    _known[place] = found
    return sorted(
        (_now(entry) for _, entry in found.values()),
        key=lambda entry: (entry.number, entry.created, entry.folder.name),
        reverse=True,
    )


def interrupted(*kinds: Work) -> list[Entry]:
    """The workspace's unfinished work of these kinds, newest first."""
    found = [entry for kind in kinds for entry in entries(kind) if entry.status in _UNFINISHED]
    return sorted(found, key=lambda entry: entry.created, reverse=True)


def next_number(folder: Path) -> int:
    """The number of a new folder: one more than the highest beside it, 0 outside the workspace."""
    kind = _kind_at(folder)
    return 1 + max((entry.number for entry in entries(kind)), default=0) if kind else 0


def dismiss(folder: Path) -> None:
    """Mark unfinished work as cancelled, so that it is not offered again; it can still be resumed.

    InputError when it is being written or the disk refuses.
    """
    header = HEADERS[_kind_at(folder) or "runs"]
    lock = FolderLock(folder)
    try:
        _, fields = header.read(folder)
        headers.save_json(folder / header.FILE, fields | {"status": "cancelled"})
    finally:
        lock.release()


def rename(folder: Path, name: str) -> Path:
    """Give a run of the workspace another name, that of its folder; the new folder.

    InputError for anything else, while it is being written, for a name that is taken or empty, and
    when the disk refuses.
    """
    folder = _idle(folder, "renamed")
    new = paths.renamed(folder, name)
    if new == folder:
        return folder
    with paths.taking(new, new.name):
        folder.rename(new)
    return new


def delete(folder: Path) -> None:
    """Delete a run or a training (whose model stays) of the workspace.

    InputError for anything else or while it is being written.
    """
    storage.remove_folder(_idle(folder, "deleted"))


def _idle(folder: Path, done: str) -> Path:
    """The folder of a run or training of the workspace that nobody writes; else InputError."""
    kind = _kind_at(folder := folder.resolve())
    if kind is None or not (folder / HEADERS[kind].FILE).is_file():
        raise InputError(
            f"{folder} is not a run or a training of the workspace, so it is not {done}"
        )
    header, fields = HEADERS[kind].read(folder)
    header.check_idle(folder, fields)
    return folder


def tidy() -> None:
    """Remove temporary files of killed programs, and the index file of earlier versions."""
    for kind in LISTED:
        storage.sweep(paths.place(kind))
    for old in paths.root().glob("index.sqlite*"):
        old.unlink(missing_ok=True)


def epochs_done(folder: Path) -> int:
    """Epochs of a training that are on disk; 0 if unknown."""
    try:
        state = headers.load(folder / TRAINING_STATE, ("header",))
        return int(json.loads(str(state["header"]))["epoch"])
    except _DAMAGED:  # or not there yet
        return 0


def _kind_at(folder: Path) -> Work | None:
    place = folder.resolve().parent
    return next((kind for kind in HEADERS if place == paths.place(kind)), None)


def _is_folder(item: os.DirEntry[str]) -> bool:
    try:
        return item.is_dir()
    except OSError:  # a link that leads to itself
        return False


def _stamp(path: str) -> _Stamp:
    try:
        facts = os.stat(path)  # noqa: PTH116
    except OSError:
        return None
    return facts.st_ctime_ns, facts.st_mtime_ns, facts.st_size, facts.st_ino


def _read(kind: Listed, item: Path) -> Entry:
    try:
        if kind == "checkpoints":
            from fisherdash.potentials import checkpoint

            return Entry(kind, item, checkpoint.load(item).name)
        header, fields = HEADERS[kind].read(item)
    except InputError as error:
        name = item.stem if kind == "checkpoints" else item.name
        return Entry(kind, item, name, problem=str(error))
    return Entry(
        kind,
        item,
        str(header.title),  # whatever a header holds, the list can be sorted
        str(header.created),
        None,
        _whole(header.number),
        str(fields.get("status", "interrupted")),
        fields.get("writer"),
        _whole(header.settings[header.LENGTH]),
    )


def _whole(value: Any) -> int:
    return value if type(value) is int and abs(value) < 2**53 else 0


def _now(entry: Entry) -> Entry:
    """The entry as interrupted where its writer is gone."""
    fields = {"status": entry.status, "writer": entry.writer}
    status = headers.status_now(entry.folder, fields)
    return entry if status == entry.status else dataclasses.replace(entry, status=status)
