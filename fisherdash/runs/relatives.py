"""Runs of the workspace that began from the same states as another one, only finer."""

from pathlib import Path
from typing import Any

from fisherdash.runs.header import RunHeader, read_header
from fisherdash.runs.reading import Run
from fisherdash.runs.store import list_runs

_SAME = ("replicas", "temperature", "seed", "start")


def finer_run(run: Run, cause: str) -> Path | None:
    """The folder of the newest run like ``run`` with less of ``cause``; None if there is none.

    Args:
        run: any run of the workspace.
        cause: "time step" for the same at half the time step, "round-off" for the same in double
            precision.
    """
    for entry in list_runs():
        if entry.problem is None and entry.folder != run.folder:
            header, _ = read_header(entry.folder)
            if is_finer(run.header, header, cause):
                return entry.folder
    return None


def is_finer(header: RunHeader, other: RunHeader, cause: str) -> bool:
    """Whether ``other`` began from the same states and differs in nothing but ``cause``."""
    mine, theirs = header.settings, other.settings
    same = all(mine.get(name) == theirs.get(name) for name in _SAME)
    same = same and header.dataset.get("fingerprint") == other.dataset.get("fingerprint")
    if not same or _fingerprints(header) != _fingerprints(other):
        return False
    halves = float(mine["timestep"]) == 2 * float(theirs["timestep"])
    steps, precisions = (
        [settings.get(name) for settings in (mine, theirs)] for name in ("timestep", "precision")
    )
    if cause == "time step":
        return halves and precisions[0] == precisions[1]
    return steps[0] == steps[1] and precisions == ["float32", "float64"]


def _fingerprints(header: RunHeader) -> list[Any]:
    return [facts.get("fingerprint") for facts in header.checkpoints]
