"""What one user may ask of a server that many share; on one's own machine there is no limit.

Each limit is an environment variable, so that whoever runs the server sets it without touching
code; ``docs/deploy.md`` lists them. How large an upload may be is Streamlit's own setting.
"""

import dataclasses
import os
import shutil
from pathlib import Path

from fisherdash.errors import InputError
from fisherdash.runs import people, workspace
from fisherdash.runs.estimate import Cost, in_words

GB = 1e9


@dataclasses.dataclass(frozen=True)
class Limit:
    """One limit: its variable and what holds on a shared server where the variable is not set."""

    variable: str
    usual: float
    what: str


JOBS = Limit("FISHERDASH_MAX_JOBS", 6, "jobs that one user may have waiting or at work")
RUN_STEPS = Limit("FISHERDASH_MAX_RUN_STEPS", 2e8, "heads × replicas × steps of one run")
RUN_GB = Limit("FISHERDASH_MAX_RUN_GB", 2, "GB that the frames of one run may take on disk")
USER_GB = Limit("FISHERDASH_MAX_USER_GB", 5, "GB that all files of one user may take on disk")
ALL = (JOBS, RUN_STEPS, RUN_GB, USER_GB)


def is_shared() -> bool:
    """Whether this server is for several people who do not see each other's work.

    InputError when ``FISHERDASH_SHARED`` is neither 0 nor 1.
    """
    value = os.environ.get("FISHERDASH_SHARED", "0").strip()
    if value not in ("0", "1", ""):
        raise InputError(f"FISHERDASH_SHARED must be 0 or 1, received {value!r}")
    return value == "1"


def value(limit: Limit, user: str) -> float:
    """What holds for ``user``; infinite where nothing is set and nobody else is there.

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
    """InputError when a variable holds what it cannot hold; asked before serving."""
    is_shared()
    for limit in ALL:
        value(limit, people.EVERYBODY)


def check_jobs(active: int, user: str) -> None:
    """InputError when ``user`` has as many jobs already as one may have."""
    most = value(JOBS, user)
    if active >= most:
        raise InputError(
            f"you have {active} jobs waiting or at work, and this server allows {most:g}; cancel "
            "one or wait for one to end"
        )


def check_run(price: Cost, trajectory_steps: int, user: str) -> None:
    """InputError when a run is larger than ``user`` may ask for, or than the disk has room for.

    Args:
      price: its estimate.
      trajectory_steps: heads × replicas × steps.
      user: who asks for it.
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
            f"the frames would take {in_words(price.bytes)}, and this server allows "
            f"{in_words(int(most))} for one run; record fewer frames"
        )
    check_room(price.bytes, user)


def check_room(extra: int, user: str) -> None:
    """InputError when so many bytes more do not fit on the disk or into what ``user`` may fill."""
    home = workspace.root()
    above = next(folder for folder in (home, *home.parents) if folder.exists())
    free = shutil.disk_usage(above).free
    if extra > free:
        raise InputError(
            f"about {in_words(extra)} are needed, and the disk has {in_words(free)} left; record "
            "fewer frames or delete runs"
        )
    most = value(USER_GB, user) * GB
    if most < float("inf") and (used := _size(home)) + extra > most:
        raise InputError(
            f"your files take {in_words(used)} of the {in_words(int(most))} that this server "
            f"allows, and about {in_words(extra)} more are needed; delete runs first"
        )


def _size(folder: Path) -> int:
    """Bytes of all files below a folder, other users' left out."""
    total = 0
    for path, folders, names in os.walk(folder):
        if Path(path) == folder and workspace.USERS in folders:
            folders.remove(workspace.USERS)
        for name in names:
            try:
                total += (Path(path) / name).lstat().st_size
            except OSError:  # gone in the meantime
                continue
    return total
