"""Work that a killed program, a power cut or a failure left unfinished, and how far it came.

Whoever opens the dashboard next is told and may go on or leave it; leaving it deletes nothing.

An interrupted run, made ready to go on: its models, its state, and a writer that appends.

A process may have been killed at any moment, between two files or between two steps of a chunk that
never came. What counts is the state: there is always one that belongs to the last chunk. Only a run
that was written before that was so can have a chunk beyond it; it is dropped and computed again,
which gives the same numbers.
"""

import dataclasses
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from fisherdash import storage
from fisherdash.errors import InputError
from fisherdash.potentials.checkpoint import Checkpoint, load
from fisherdash.workspace import headers, index, locks, trainings
from fisherdash.workspace.headers import HEADER, TRAINING, RunHeader, read_header
from fisherdash.workspace.index import Entry
from fisherdash.workspace.runs import RunWriter, pass_through

STATE_ARRAYS = (
    "positions", "momenta", "forces", "potential", "step", "died_step", "broken_bond"
)  # fmt: skip


@dataclasses.dataclass(frozen=True, eq=False)
class Unfinished:
    """All that going on needs.

    Attributes:
        folder: of the run.
        header: of the run; its bonds and degrees of freedom are known.
        checkpoints: the heads by name, as they were when the run began.
        state: arrays of the integrator's state, by name.
        chunks: number of chunks that the state has seen.
    """

    folder: Path
    header: RunHeader
    checkpoints: dict[str, Checkpoint]
    state: dict[str, np.ndarray]
    chunks: int

    @property
    def step(self) -> int:
        """Last step done; −1 when not even the first frame was."""
        return int(self.state["step"])


def unfinished(folder: Path) -> Unfinished:
    """Opens a run to go on with it.

    Raises InputError, one sentence, for what is no run, is still being written, is finished, was
    stopped before it had begun, or lacks its models.
    """
    folder = Path(folder)
    header, fields = read_header(folder)
    steps = int(header.settings["steps"])
    if fields.get("status") == "running" and locks.is_held(folder, fields.get("writer", {})):
        raise InputError(f"the run in {folder} is still being written; cancel it first")
    if fields.get("status") == "finished":
        raise InputError(f"the run in {folder} is finished: all its {steps} steps are done")
    kept = _kept_state(folder)
    if header.bonds is None or kept is None:
        again = f"; start it anew: {header.command}" if header.command else ""
        raise InputError(f"the run in {folder} was stopped before it had begun{again}")
    models = kept_models(folder, header)
    return Unfinished(folder, header, models, *kept)


def kept_models(folder: Path, header: RunHeader) -> dict[str, Checkpoint]:
    """The heads of a run by name, as they were when it began; InputError where one is missing."""
    models = {}
    for number, name in enumerate(header.names):
        path = folder / headers.MODEL.format(number)
        if not path.exists():
            raise InputError(
                f"the run in {folder} cannot go on: it holds no {path.name}, the model of {name!r}"
            )
        models[name] = load(path)
    return models


def go_on(chunks: Iterable[Any], run: Unfinished) -> Iterator[Any]:
    """Pass the rest of a simulation through, each chunk written before it is handed on.

    InputError when another process writes the run, or has taken it further, in the meantime.
    """
    held = locks.Hold(run.folder)
    try:
        kept = _kept_state(run.folder)
        if kept is None or int(kept[0]["step"]) != run.step:
            raise InputError(f"the run in {run.folder} has changed meanwhile; open it again")
        _tidy(run)
        writer = RunWriter.reopened(run.folder, run.header, run.chunks, held)
    except BaseException:
        held.release()
        raise
    yield from pass_through(chunks, writer, run.step)


def _kept_state(folder: Path) -> tuple[dict[str, np.ndarray], int] | None:
    """The state to go on from and the number of chunks that it has seen; None without one."""
    chunks = 0
    while (folder / headers.CHUNK.format(chunks)).exists():
        chunks += 1
    for number in range(chunks, -1, -1):
        if (path := folder / headers.STATE.format(number)).exists():
            return headers.load(path, STATE_ARRAYS), number
    if not (path := folder / headers.ONLY_STATE).exists():
        return None
    state = headers.load(path, STATE_ARRAYS)
    steps = [
        int(headers.load(folder / headers.CHUNK.format(number), ("step",))["step"])
        for number in range(chunks)
    ]
    return state, sum(step <= int(state["step"]) for step in steps)


def _tidy(run: Unfinished) -> None:
    """Deletes what the state has not seen, the last chunk first, and what was left half written."""
    storage.sweep(run.folder)
    for path in sorted(run.folder.glob("chunk-*.npz"), reverse=True):
        if path.name >= headers.CHUNK.format(run.chunks):
            path.unlink()
    for path in run.folder.glob("state-*.npz"):
        if path.name != headers.STATE.format(run.chunks):
            path.unlink()


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
    held = locks.Hold(folder)
    try:
        fields: dict[str, Any] = headers.load_json(folder / name, "run", 1)
        headers.save_json(folder / name, fields | {"status": "cancelled"})
    finally:
        held.release()


def _done(folder: Path) -> int:
    """Steps or epochs on disk; 0 where that cannot be told."""
    try:
        if (folder / TRAINING).exists():
            return trainings.epochs_done(folder)
        chunks = sorted(folder.glob("chunk-*.npz"))
        return int(headers.load(chunks[-1], ("step",))["step"]) if chunks else 0
    except InputError:
        return 0
