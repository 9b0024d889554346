"""Writing a run, chunk by chunk; every file appears complete or not at all."""

import dataclasses
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fisherdash.checkpoint import Checkpoint, save
from fisherdash.errors import InputError
from fisherdash.runs import files, workspace
from fisherdash.runs.header import RunHeader, Status

_ARRAYS = (
    "times", "potential", "kinetic", "positions", "velocities", "died_step", "broken_bond"
)  # fmt: skip


class RunWriter:
    """Writes one run as its chunks come; every file appears complete."""

    def __init__(self, folder: Path, header: RunHeader) -> None:
        self.folder, self.header = Path(folder), header
        self._number = 0
        if (self.folder / "run.json").exists():
            raise InputError(f"{self.folder} already holds a run; choose another folder")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{self.folder} cannot be written: {error.strerror}") from error
        self._write_header("running")

    @classmethod
    def reopened(cls, folder: Path, header: RunHeader, chunks: int) -> "RunWriter":
        """A writer that appends to a stopped run with so many chunks."""
        writer = cls.__new__(cls)
        writer.folder, writer.header, writer._number = Path(folder), header, chunks
        writer._write_header("running")
        return writer

    def keep_models(self, checkpoints: Mapping[str, Checkpoint]) -> None:
        """Copies of the models, so that the run can go on whatever becomes of their files."""
        for number, name in enumerate(self.header.names):
            save(checkpoints[name], self.folder / files.MODEL.format(number))

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
        if len(chunk.times):
            arrays = {name: getattr(chunk, name) for name in _ARRAYS}
            arrays["step"] = np.int64(chunk.step)
            arrays["steps_per_second"] = np.float64(chunk.steps_per_second)
            files.save(self.folder / files.CHUNK.format(self._number), arrays)
            self._number += 1
        if chunk.state is not None:
            files.save(self.folder / files.STATE, chunk.state._asdict())

    def finish(self, status: Status) -> None:
        """Say how the run ended."""
        self._write_header(status)

    def _write_header(self, status: Status) -> None:
        fields = {
            **self.header.to_json(),
            "status": status,
            "writer": files.this_writer(),
        }
        with workspace.replacing(self.folder / "run.json") as part:
            part.write_text(json.dumps(fields, indent=1, ensure_ascii=False), encoding="utf-8")


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
    writer = RunWriter(folder, header)
    if checkpoints is not None:
        writer.keep_models(checkpoints)
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
