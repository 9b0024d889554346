"""An interrupted run, made ready to go on: its models, its state, and a writer that appends.

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

from fisherdash import disk
from fisherdash.checkpoint import Checkpoint, load
from fisherdash.errors import InputError
from fisherdash.runs import files, hold
from fisherdash.runs.header import RunHeader, read_header
from fisherdash.runs.writing import RunWriter, pass_through

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
    if fields.get("status") == "running" and hold.is_held(folder, fields.get("writer", {})):
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
        path = folder / files.MODEL.format(number)
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
    held = hold.Hold(run.folder)
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
    while (folder / files.CHUNK.format(chunks)).exists():
        chunks += 1
    for number in range(chunks, -1, -1):
        if (path := folder / files.STATE.format(number)).exists():
            return files.load(path, STATE_ARRAYS), number
    if not (path := folder / files.ONLY_STATE).exists():
        return None
    state = files.load(path, STATE_ARRAYS)
    steps = [
        int(files.load(folder / files.CHUNK.format(number), ("step",))["step"])
        for number in range(chunks)
    ]
    return state, sum(step <= int(state["step"]) for step in steps)


def _tidy(run: Unfinished) -> None:
    """Deletes what the state has not seen, the last chunk first, and what was left half written."""
    disk.sweep(run.folder)
    for path in sorted(run.folder.glob("chunk-*.npz"), reverse=True):
        if path.name >= files.CHUNK.format(run.chunks):
            path.unlink()
    for path in run.folder.glob("state-*.npz"):
        if path.name != files.STATE.format(run.chunks):
            path.unlink()
