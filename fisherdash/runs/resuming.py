"""An interrupted run, made ready to go on: its models, its state, and a writer that appends.

A process may have been killed between a chunk and the state behind it, or between two steps of a
chunk that never came. What counts is the state: chunks beyond it are dropped and computed again,
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
    """

    folder: Path
    header: RunHeader
    checkpoints: dict[str, Checkpoint]
    state: dict[str, np.ndarray]

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
    if header.bonds is None or not (folder / files.STATE).exists():
        again = f"; start it anew: {header.command}" if header.command else ""
        raise InputError(f"the run in {folder} was stopped before it had begun{again}")
    models = {}
    for number, name in enumerate(header.names):
        path = folder / files.MODEL.format(number)
        if not path.exists():
            raise InputError(
                f"the run in {folder} cannot go on: it holds no {path.name}, the model of {name!r}"
            )
        models[name] = load(path)
    state = files.load(folder / files.STATE, STATE_ARRAYS)
    return Unfinished(folder, header, models, state)


def go_on(chunks: Iterable[Any], run: Unfinished) -> Iterator[Any]:
    """Pass the rest of a simulation through, each chunk written before it is handed on.

    InputError when another process writes the run, or has taken it further, in the meantime.
    """
    held = hold.Hold(run.folder)
    try:
        now = int(files.load(run.folder / files.STATE, ("step",))["step"])
        if now != run.step:
            raise InputError(
                f"the run in {run.folder} has gone from step {run.step} to {now} in the meantime; "
                "open it again"
            )
        disk.sweep(run.folder)
        writer = RunWriter.reopened(run.folder, run.header, _last_chunk(run), held)
    except BaseException:
        held.release()
        raise
    yield from pass_through(chunks, writer, run.step)


def _last_chunk(run: Unfinished) -> int:
    """Number of chunks that the state has seen; later ones are deleted, the last one first."""
    number = 0
    while (path := run.folder / files.CHUNK.format(number)).exists():
        if int(files.load(path, ("step",))["step"]) > run.step:
            break
        number += 1
    for path in sorted(run.folder.glob("chunk-*.npz"), reverse=True):
        if path.name >= files.CHUNK.format(number):
            path.unlink()
    return number
