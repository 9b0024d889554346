"""What a simulation will cost, and what one user may ask of a server that many share.

The cost is estimated before the launch: bytes on disk, and seconds from the steps × replicas ×
heads × atoms per second of this machine's most recent run.

On one's own machine there is no limit. Each limit is an environment variable
(``docs/deploy.md``); the largest upload is Streamlit's own setting.
"""

import contextlib
import math
import os
import shutil
from pathlib import Path
from typing import NamedTuple

from fisherdash.errors import InputError
from fisherdash.text import duration
from fisherdash.workspace import paths, users
from fisherdash.workspace.listing import entries
from fisherdash.workspace.runs import open_run

GB = 1e9
_LOOK_BACK = 3


class Cost(NamedTuple):
    """Estimate of one run; seconds is None when nothing comparable has run here yet."""

    frames: int
    bytes: int
    seconds: float | None

    @property
    def sentence(self) -> str:
        """The estimate in words."""
        size = f"{self.frames:,} frames of each trajectory, about {_in_words(self.bytes)} on disk"
        if self.seconds is None:
            return f"{size}; the time is known a few seconds after the launch."
        return f"{size}, about {duration(self.seconds)} at the speed of this machine's last run."


def cost(heads: int, replicas: int, steps: int, record_every: int, atoms: int) -> Cost:
    """Estimate for a run of ``heads`` checkpoints."""
    frames = -(-steps // record_every) + 1
    # Positions and velocities in single, two energies in double precision.
    size = frames * heads * replicas * (atoms * 3 * 2 * 4 + 2 * 8)
    pace = last_pace()
    return Cost(frames, size, heads * replicas * atoms * steps / pace if pace else None)


def last_pace() -> float | None:
    """Steps × replicas × heads × atoms per second of the latest run whose speed is known."""
    for entry in entries("runs")[:_LOOK_BACK]:
        with contextlib.suppress(InputError):
            run = open_run(entry.folder)
            if run.typical_speed > 0:
                return run.typical_speed * math.prod(run.header.shape) * run.header.num_atoms
    return None


def _in_words(count: int) -> str:
    """A number of bytes in words."""
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 999.5:
            return f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:.3g} TB"


class Limit(NamedTuple):
    """One limit: its environment variable, and its default on a shared server."""

    variable: str
    usual: float


JOBS = Limit("FISHERDASH_MAX_JOBS", 6)  # that one user may have waiting or at work
RUN_STEPS = Limit("FISHERDASH_MAX_RUN_STEPS", 2e8)  # heads × replicas × steps of one run
RUN_GB = Limit("FISHERDASH_MAX_RUN_GB", 2)  # of the frames of one run on disk
USER_GB = Limit("FISHERDASH_MAX_USER_GB", 5)  # of all files of one user on disk
ALL = (JOBS, RUN_STEPS, RUN_GB, USER_GB)


def is_shared() -> bool:
    """Whether this server separates its users; InputError unless the variable is 0 or 1."""
    value = os.environ.get("FISHERDASH_SHARED", "0").strip()
    if value not in ("0", "1", ""):
        raise InputError(f"FISHERDASH_SHARED must be 0 or 1, received {value!r}")
    return value == "1"


def value(limit: Limit, user: str) -> float:
    """The limit for ``user``; infinite on one's own machine where the variable is not set.

    InputError when the variable holds no positive number.
    """
    given = os.environ.get(limit.variable)
    if given is None:
        return limit.usual if user else float("inf")
    try:
        number = float(given)
    except ValueError:
        number = float("nan")
    if not number > 0:
        raise InputError(f"{limit.variable} must be a positive number, received {given!r}")
    return number


def check_variables() -> None:
    """InputError when a variable has an invalid value; called before serving."""
    is_shared()
    for limit in ALL:
        value(limit, users.EVERYBODY)


def check_jobs(active: int, user: str) -> None:
    """InputError when ``user`` has the maximum number of jobs already."""
    most = value(JOBS, user)
    if active >= most:
        raise InputError(
            f"you have {active} jobs waiting or at work, and this server allows {most:g}; cancel "
            "one or wait for one to end"
        )


def check_run(price: Cost, trajectory_steps: int, user: str) -> None:
    """InputError when a run exceeds the limits of ``user`` or the free space on the disk.

    ``trajectory_steps`` are heads × replicas × steps.
    """
    most = value(RUN_STEPS, user)
    if trajectory_steps > most:
        raise InputError(
            f"heads × replicas × steps are {trajectory_steps:.3g}, and this server allows "
            f"{most:.3g}; ask for fewer replicas or steps"
        )
    most = value(RUN_GB, user) * GB
    if price.bytes > most:
        raise InputError(
            f"the frames would take {_in_words(price.bytes)}, and this server allows "
            f"{_in_words(int(most))} for one run; record fewer frames"
        )
    check_room(price.bytes, user)


def check_room(extra: int, user: str) -> None:
    """InputError when ``extra`` bytes exceed the free disk space or the limit of ``user``."""
    home = paths.root()
    above = next(folder for folder in (home, *home.parents) if folder.exists())
    free = shutil.disk_usage(above).free
    if extra > free:
        raise InputError(
            f"about {_in_words(extra)} are needed, and the disk has {_in_words(free)} left; record "
            "fewer frames or delete runs"
        )
    most = value(USER_GB, user) * GB
    if most < float("inf") and (used := _size(home)) + extra > most:
        raise InputError(
            f"your files take {_in_words(used)} of the {_in_words(int(most))} that this server "
            f"allows, and about {_in_words(extra)} more are needed; delete runs first"
        )


def _size(folder: Path) -> int:
    """Bytes of all files below a folder, other users' left out."""
    total = 0
    for path, folders, names in os.walk(folder):
        if Path(path) == folder and paths.USERS in folders:
            folders.remove(paths.USERS)
        for name in names:
            with contextlib.suppress(OSError):  # gone in the meantime
                total += (Path(path) / name).lstat().st_size
    return total
