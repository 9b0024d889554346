"""What a simulation will cost, before it is launched: bytes on disk, and seconds if known.

The seconds come from runs that this machine has already done: steps × replicas × heads × atoms
per second of the most recent one. A batch of another size or network may be faster or slower.
"""

from dataclasses import dataclass

from fisherdash.errors import InputError
from fisherdash.runs.store import list_runs, open_run

_LOOK_BACK = 3


@dataclass(frozen=True)
class Cost:
    """Estimate of one run; seconds is None when nothing comparable has run here yet."""

    frames: int
    bytes: int
    seconds: float | None

    @property
    def sentence(self) -> str:
        """The estimate in words."""
        size = f"{self.frames:,} frames of each trajectory, about {in_words(self.bytes)} on disk"
        if self.seconds is None:
            return f"{size}; the time is known a few seconds after the launch."
        return f"{size}, about {_duration(self.seconds)} at the speed of this machine's last run."


def cost(heads: int, replicas: int, steps: int, record_every: int, atoms: int) -> Cost:
    """Estimate for a run of ``heads`` checkpoints."""
    frames = -(-steps // record_every) + 1
    # Positions and velocities in single, two energies in double precision.
    size = frames * heads * replicas * (atoms * 3 * 2 * 4 + 2 * 8)
    pace = last_pace()
    return Cost(frames, size, heads * replicas * atoms * steps / pace if pace else None)


def last_pace() -> float | None:
    """Steps × replicas × heads × atoms per second of the latest run that got far enough."""
    for entry in list_runs()[:_LOOK_BACK]:
        try:
            run = open_run(entry.folder)
        except InputError:
            continue
        if run.typical_speed > 0:
            heads, replicas = run.header.shape
            return run.typical_speed * heads * replicas * run.header.num_atoms
    return None


def in_words(count: int) -> str:
    """A number of bytes as people say it."""
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 999.5:
            return f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:.3g} TB"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(seconds, 1):.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
