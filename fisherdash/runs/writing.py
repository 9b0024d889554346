"""Writing a run, chunk by chunk; every file appears complete or not at all."""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fisherdash import disk
from fisherdash.checkpoint import Checkpoint, save
from fisherdash.errors import InputError
from fisherdash.runs import files, hold, index
from fisherdash.runs.header import HEADER, RunHeader, Status

_ARRAYS = (
    "times", "potential", "kinetic", "positions", "velocities", "died_step", "broken_bond"
)  # fmt: skip


class RunWriter:
    """Writes one run as its chunks come; every file appears complete."""

    def __init__(
        self,
        folder: Path,
        header: RunHeader,
        checkpoints: Mapping[str, Checkpoint] | None = None,
    ) -> None:
        """The run's folder appears, with copies of its models if they are given.

        With them it can go on whatever becomes of their files. InputError when the folder holds
        something already or the disk refuses.
        """
        self.folder, self._number = Path(folder), 0
        if (self.folder / HEADER).exists():
            raise InputError(f"{self.folder} already holds a run; choose another folder")
        self.header = dataclasses.replace(header, number=index.next_number(self.folder))
        with disk.new_folder(self.folder) as part:
            self._hold = hold.Hold(part)
            if checkpoints is not None:
                for number, name in enumerate(header.names):
                    save(checkpoints[name], part / files.MODEL.format(number))
            self._write_header("running", part)

    @classmethod
    def reopened(cls, folder: Path, header: RunHeader, chunks: int, held: hold.Hold) -> "RunWriter":
        """A writer that appends to a stopped run with so many chunks."""
        writer = cls.__new__(cls)
        writer.folder, writer.header, writer._number = Path(folder), header, chunks
        writer._hold = held
        writer._write_header("running")
        return writer

    def append(self, chunk: Any) -> None:
        """Write one chunk; one without frames (while compiling) only completes the header."""
        if self.header.bonds is None:
            self.header = dataclasses.replace(
                self.header,
                bonds=tuple(zip(*chunk.bonds.pairs.T.tolist(), chunk.bonds.lengths, strict=True)),
                degrees_of_freedom=int(chunk.degrees_of_freedom),
                device=chunk.device,
                notes=(*self.header.notes, *chunk.notes),
            )
            self._write_header("running")
        if not len(chunk.times):
            self._keep_state(chunk, self._number)
            return
        # State, chunk, old state, in this order: at every moment the last chunk has its state.
        self._keep_state(chunk, self._number + 1)
        arrays = {name: getattr(chunk, name) for name in _ARRAYS}
        arrays["step"] = np.int64(chunk.step)
        arrays["steps_per_second"] = np.float64(chunk.steps_per_second)
        files.save(self.folder / files.CHUNK.format(self._number), arrays)
        if chunk.state is not None:
            (self.folder / files.STATE.format(self._number)).unlink(missing_ok=True)
        self._number += 1

    def _keep_state(self, chunk: Any, chunks: int) -> None:
        if chunk.state is not None:
            files.save(self.folder / files.STATE.format(chunks), chunk.state._asdict())

    def finish(self, status: Status) -> None:
        """Say how the run ended, and let others write its folder."""
        try:
            self._write_header(status)
        finally:
            self._hold.release()

    def _write_header(self, status: Status, folder: Path | None = None) -> None:
        fields = {**self.header.to_json(), "status": status, "writer": hold.this_writer()}
        files.save_json((folder or self.folder) / HEADER, fields)


def record(
    chunks: Iterable[Any],
    folder: Path,
    header: RunHeader,
    checkpoints: Mapping[str, Checkpoint] | None = None,
) -> Iterator[Any]:
    """Pass a simulation's chunks through, each one written before it is handed on.

    The run's status ends as "finished" when all steps were done, "cancelled" when the simulation
    stopped early, "failed" when it raised. With its checkpoints beside it a run can be resumed.
    """
    writer = RunWriter(folder, header, checkpoints)
    yield from pass_through(chunks, writer, -1)


def pass_through(chunks: Iterable[Any], writer: RunWriter, step: int) -> Iterator[Any]:
    """Hands on what ``writer`` has written, from ``step`` on, and ends the run as it ended."""
    steps = int(writer.header.settings["steps"])
    status: Status = "failed"
    try:
        for chunk in chunks:
            writer.append(chunk)
            step = chunk.step
            yield chunk
        status = "finished" if step >= steps else "cancelled"
    except GeneratorExit:
        status = "cancelled"
        raise
    finally:
        writer.finish(status)
