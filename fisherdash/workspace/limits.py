"""The gate that every job passes before it starts, and what a user of a shared server may ask for.

A job comes with an estimate of its time, memory and disk (:mod:`fisherdash.workspace.estimates`).
On a shared server it is refused beyond the limits below. On one's own machine there are none but
the free space of the disk, unless they are set; what takes more than an hour, or more than half of
the memory, is asked about on a page (:class:`Question`) and warned of in the shell.

Each limit is an environment variable (``docs/deploy.md``); the largest upload is Streamlit's own
setting.
"""

import contextlib
import contextvars
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from fisherdash import storage
from fisherdash.errors import InputError
from fisherdash.storage import is_shared
from fisherdash.text import duration, in_bytes
from fisherdash.workspace import paths, users
from fisherdash.workspace.estimates import Estimate

GB = 1e9
HOUR = 3600.0

LONG = HOUR
"""Seconds beyond which a job on one's own machine is asked about."""
MUCH = 0.5
"""The share of this machine's memory beyond which it is."""

ADMINS = "FISHERDASH_ADMINS"
"""Environment variable: users who may cancel everybody's jobs, by the numbers that pages show."""


class Question(InputError):
    """A large job on one's own machine that nobody has agreed to yet."""


class Limit(NamedTuple):
    """One limit: its environment variable, and its default on a shared server."""

    variable: str
    usual: float


JOBS = Limit("FISHERDASH_MAX_JOBS", 6)  # that one user may have waiting or at work
JOB_HOURS = Limit("FISHERDASH_MAX_JOB_HOURS", 12)  # that one job may take, as estimated
JOB_MEMORY_GB = Limit("FISHERDASH_MAX_JOB_MEMORY_GB", 4)  # of memory of one job, as estimated
RUN_STEPS = Limit("FISHERDASH_MAX_RUN_STEPS", 2e8)  # heads × replicas × steps of one run
RUN_GB = Limit("FISHERDASH_MAX_RUN_GB", 2)  # that one job may write
USER_GB = Limit("FISHERDASH_MAX_USER_GB", 5)  # of all files of one user on disk
UPLOADS_GB = Limit("FISHERDASH_MAX_UPLOADS_GB", 2)  # of memory for everybody's uploads
PAGE_MINUTES = Limit("FISHERDASH_MAX_PAGE_MINUTES", 10)  # that what a page shows may take
PAGE_MB = Limit("FISHERDASH_MAX_PAGE_MB", 200)  # of a file that a page makes
ALL = (
    JOBS, JOB_HOURS, JOB_MEMORY_GB, RUN_STEPS, RUN_GB, USER_GB, UPLOADS_GB, PAGE_MINUTES, PAGE_MB,
)  # fmt: skip

_agreed: contextvars.ContextVar[bool] = contextvars.ContextVar("agreed", default=False)


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


def of_server(limit: Limit) -> float:
    """A limit that holds for all users together; otherwise as :func:`value`."""
    return value(limit, "all" if is_shared() else users.EVERYBODY)


def administrators() -> frozenset[str]:
    """Users who may cancel everybody's jobs; InputError when the variable holds something else."""
    given = [word.strip() for word in os.environ.get(ADMINS, "").split(",")]
    names = [word for word in given if word]
    for name in names:
        try:
            users.checked(name)
        except ValueError:
            raise InputError(
                f"{ADMINS} must be numbers of users with commas between them, 16 hexadecimal "
                f"digits as the page Models & files shows them, received {name!r}"
            ) from None
    return frozenset(names)


def is_administrator(user: str) -> bool:
    """Whether a user may cancel everybody's jobs: on one's own machine, or named as one."""
    return user == users.EVERYBODY or user in administrators()


def check_variables() -> None:
    """InputError when a variable has an invalid value; called before serving."""
    with storage.telling(paths.everybodys()):
        paths.everybodys().exists()
    is_shared()
    administrators()
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


@contextlib.contextmanager
def agreed() -> Iterator[None]:
    """Within the block the user has agreed to a large job."""
    token = _agreed.set(True)
    try:
        yield
    finally:
        _agreed.reset(token)


def admit(price: Estimate, promised: float = 0.0) -> None:
    """Let a job of the present user begin.

    Args:
        price: its estimate.
        promised: bytes that the user's other jobs are still to write.

    Raises:
        Question: where it is large, on one's own machine, and nobody has agreed.
        InputError: where it is beyond a limit of the user, or the free space of the disk.
    """
    check(price, promised)
    words = too_large_unasked(price)
    if words and not users.current() and not _agreed.get():
        raise Question(words)


def check(price: Estimate, promised: float = 0.0, place: Path | None = None) -> None:
    """InputError where a job is beyond a limit of the user, or the free space at ``place``."""
    user = users.current()
    most = value(RUN_STEPS, user)
    if price.steps > most:
        raise InputError(
            f"heads × replicas × steps are {price.steps:.3g}, and this server allows "
            f"{most:.3g}; ask for fewer replicas or steps"
        )
    for limit, size, asked, said, what, less in (
        (JOB_HOURS, HOUR, price.seconds, duration, "this would take about {}",
         "ask for less: fewer frames, epochs, replicas or steps"),
        (JOB_MEMORY_GB, GB, price.memory, in_bytes, "this would take about {} of memory",
         "ask for less at once: fewer replicas, a smaller batch or a smaller network"),
        (RUN_GB, GB, price.disk, in_bytes, "the files would take {}", "record fewer frames"),
    ):  # fmt: skip
        most = value(limit, user) * size
        if asked > most:
            raise InputError(
                f"{what.format(said(asked))}, and this server allows {said(most)} for one job; "
                f"{less}"
            )
    check_room(price.disk, user, promised, place)


def check_page(price: Estimate, what: str) -> None:
    """InputError where a page is not to compute or to make ``what`` (a noun) for the present user.

    It is no job: nobody sees it in a list, and what others' pages show waits for it.
    """
    user = users.current()
    for limit, size, asked, said, words in (
        (PAGE_MINUTES, 60.0, price.work, duration, "would take about {}"),
        (JOB_MEMORY_GB, GB, price.memory, in_bytes, "would take about {} of memory"),
        (PAGE_MB, 1e6, price.disk, in_bytes, "would have about {}"),
    ):
        most = value(limit, user) * size
        if asked > most:
            raise InputError(
                f"{what} {words.format(said(asked))}, and a page of this server takes "
                f"{said(most)} at most"
            )


def too_large_unasked(price: Estimate) -> str:
    """What to ask before a large job, one sentence; "" for one that may begin unasked."""
    much = MUCH * memory_of_machine()
    said = []
    if price.seconds > LONG:
        how = "as the last ones here took" if price.measured else "by a careful rule"
        said.append(f"about {duration(price.seconds)} {how}")
    if price.memory > much:
        total = in_bytes(memory_of_machine())
        said.append(f"about {in_bytes(price.memory)} of this machine's {total} of memory")
    return f"this will take {' and '.join(said)}" if said else ""


def memory_of_machine() -> float:
    """Bytes of memory that this machine has; infinite where the system does not say."""
    try:
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (ValueError, OSError, AttributeError):
        return float("inf")


def check_room(extra: float, user: str, promised: float = 0.0, place: Path | None = None) -> None:
    """InputError when ``extra`` bytes exceed the free disk space or the limit of ``user``.

    Args:
        extra: bytes that are to be written.
        user: whose files count.
        promised: bytes that other jobs of the user are still to write.
        place: where the bytes go; the workspace unless told otherwise.
    """
    home = paths.root()
    place = place or home
    above = next(folder for folder in (place, *place.absolute().parents) if folder.exists())
    free = shutil.disk_usage(above).free
    if extra + promised > free:
        raise InputError(
            f"about {in_bytes(extra + promised)} are needed, and the disk has {in_bytes(free)} "
            "left; record fewer frames or delete files"
        )
    most = value(USER_GB, user) * GB
    if most < float("inf") and (used := size_of(home) + promised) + extra > most:
        raise InputError(
            f"your files and jobs take {in_bytes(used)} of the {in_bytes(most)} that this server "
            f"allows, and about {in_bytes(extra)} more are needed; delete something on the page "
            "Models & files first"
        )


def size_of(place: Path) -> int:
    """Bytes of a file, or of all files below a folder, other users' left out."""
    if not place.is_dir() or place.is_symlink():
        with contextlib.suppress(OSError):
            return place.lstat().st_size
        return 0
    total = 0
    for path, folders, names in os.walk(place):
        if Path(path) == paths.everybodys() and paths.USERS in folders:
            folders.remove(paths.USERS)
        for name in names:
            with contextlib.suppress(OSError):  # gone in the meantime
                total += (Path(path) / name).lstat().st_size
    return total
