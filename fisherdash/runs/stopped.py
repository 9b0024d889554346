"""Work that a killed program, a power cut or a failure left unfinished, and how far it came.

Whoever opens the dashboard next is told and may go on or leave it; leaving it deletes nothing.
"""

import dataclasses
from pathlib import Path
from typing import Any

from fisherdash.errors import InputError
from fisherdash.runs import files, hold, index, trainings
from fisherdash.runs.header import HEADER
from fisherdash.runs.index import Entry
from fisherdash.runs.training_header import TRAINING

_STOPPED = ("interrupted", "failed")


@dataclasses.dataclass(frozen=True)
class Stopped:
    """One piece of unfinished work.

    Attributes:
        kind: "runs" or "trainings".
        entry: what the list says of it.
        done: steps or epochs that are on disk.
        total: steps or epochs that were wanted.
    """

    kind: index.Listed
    entry: Entry
    done: int
    total: int

    @property
    def sentence(self) -> str:
        """How it ended and how far it came."""
        unit = {"runs": "step", "trainings": "epoch"}[self.kind]
        how = "interrupted" if self.entry.status == "interrupted" else "ended by a failure"
        return f"{how} after {unit} {self.done:,} of {self.total:,}; all of that is kept"


def stopped(*kinds: index.Listed) -> list[Stopped]:
    """The workspace's unfinished work of these kinds, newest first."""
    found = []
    for kind in kinds:
        for entry in index.entries(kind):
            if entry.status in _STOPPED:
                total = int(entry.facts.get("steps") or entry.facts.get("epochs") or 0)
                found.append(Stopped(kind, entry, _done(entry.folder), total))
    return sorted(found, key=lambda one: one.entry.created, reverse=True)


def leave(folder: Path) -> None:
    """Call unfinished work cancelled, so that nobody is told of it again; it can still go on.

    InputError when it is being written or the disk refuses.
    """
    name = TRAINING if (folder / TRAINING).exists() else HEADER
    held = hold.Hold(folder)
    try:
        fields: dict[str, Any] = files.load_json(folder / name, "run", 1)
        files.save_json(folder / name, fields | {"status": "cancelled"})
    finally:
        held.release()


def _done(folder: Path) -> int:
    """Steps or epochs on disk; 0 where that cannot be told."""
    try:
        if (folder / TRAINING).exists():
            return trainings.epochs_done(folder)
        chunks = sorted(folder.glob("chunk-*.npz"))
        return int(files.load(chunks[-1], ("step",))["step"]) if chunks else 0
    except InputError:
        return 0
