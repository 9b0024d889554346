"""One folder a run: ``run.json`` and numbered chunks, each written whole or not at all.

    run.json            header (fisherdash.runs.header), status, who writes it
    chunk-000000.npz    times (K,) fs; potential, kinetic (H, R, K) eV; positions (H, R, K, N, 3) Å;
    chunk-000001.npz    velocities (H, R, K, N, 3) Å/fs; died_step, broken_bond (H, R); step; …
    writer.lock         held by the process that writes (fisherdash.runs.hold)
    state-000002.npz    the integrator's state after so many chunks, and
    model-00.safetensors, …   the heads in their order, for going on exactly

The chunks are plain uncompressed npz, so other tools can read them without FisherDash. Reading
energies leaves the frames on disk; they are fetched by head, replica and frame when asked for.
"""

from pathlib import Path

from fisherdash import disk
from fisherdash.errors import InputError
from fisherdash.runs import hold, index, workspace
from fisherdash.runs.header import HEADER, RunHeader, describe_run, read_header
from fisherdash.runs.index import Entry
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


def list_runs() -> list[Entry]:
    """The runs of the workspace, newest first; damaged ones are listed with what is wrong."""
    return index.entries("runs")


def delete_run(folder: Path) -> None:
    """Delete a run of the workspace; InputError for anything else or while it is being written."""
    folder = Path(folder).resolve()
    if folder.parent != workspace.place("runs") or not (folder / HEADER).is_file():
        raise InputError(f"{folder} is not a run of the workspace, so it is not deleted")
    _, fields = read_header(folder)
    if fields.get("status") == "running" and hold.is_held(folder, fields.get("writer")):
        raise InputError("the run is still being written; cancel it before deleting it")
    disk.remove_folder(folder)
