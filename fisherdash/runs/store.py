"""One folder a run: ``run.json`` and numbered chunks, each written whole or not at all.

    run.json            header (fisherdash.runs.header), status, who writes it
    chunk-000000.npz    times (K,) fs; potential, kinetic (H, R, K) eV; positions (H, R, K, N, 3) Å;
    chunk-000001.npz    velocities (H, R, K, N, 3) Å/fs; died_step, broken_bond (H, R); step; …
    state.npz           the integrator's state after the last chunk, and
    model-00.safetensors, …   the heads in their order, for going on exactly

The chunks are plain uncompressed npz, so other tools can read them without FisherDash. Reading
energies leaves the frames on disk; they are fetched by head, replica and frame when asked for.
"""

import dataclasses
import shutil
from pathlib import Path

from fisherdash.errors import InputError
from fisherdash.runs import files, workspace
from fisherdash.runs.header import RunHeader, describe_run, read_header
from fisherdash.runs.reading import Run, open_run
from fisherdash.runs.resuming import Unfinished, go_on, unfinished
from fisherdash.runs.writing import RunWriter, record

__all__ = [
    "Entry",
    "Run",
    "RunHeader",
    "RunWriter",
    "Unfinished",
    "delete_run",
    "describe_run",
    "go_on",
    "list_runs",
    "open_run",
    "record",
    "unfinished",
]


@dataclasses.dataclass(frozen=True)
class Entry:
    """One line of the list of runs; ``problem`` is why it cannot be opened, or None."""

    folder: Path
    title: str
    created: str
    problem: str | None = None


def list_runs() -> list[Entry]:
    """The runs of the workspace, newest first; damaged ones are listed with what is wrong."""
    found = []
    for folder in workspace.folder("runs").iterdir():
        if folder.name.startswith(".") or not folder.is_dir():
            continue
        try:
            header, _ = read_header(folder)
            found.append(Entry(folder, header.title, header.created))
        except InputError as error:
            found.append(Entry(folder, folder.name, "", str(error)))
    return sorted(found, key=lambda entry: (entry.created, entry.folder.name), reverse=True)


def delete_run(folder: Path) -> None:
    """Delete a run of the workspace; InputError for anything else or while it is being written."""
    folder = Path(folder).resolve()
    if folder.parent != workspace.folder("runs") or not (folder / "run.json").is_file():
        raise InputError(f"{folder} is not a run of the workspace, so it is not deleted")
    _, fields = read_header(folder)
    if fields.get("status") == "running" and files.is_alive(fields.get("writer", {})):
        raise InputError("the run is still being written; cancel it before deleting it")
    # Out of sight first: a deletion that is cut short leaves no half run in the list.
    hidden = folder.with_name(f".deleted-{folder.name}")
    folder.rename(hidden)
    shutil.rmtree(hidden)
