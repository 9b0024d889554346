"""Running a study: in this process, in several of this machine, or on a Dask scheduler.

Workers are told names only; everything else goes through the study's folder, which each of them
must see. When one is lost, its unit goes to another, which finds on disk what was finished: only
the stage under way is done again.

Every worker of this machine has its own cores, and one pipe that is its lifeline: it closes when
the study is cancelled and when the process that began it dies. Nothing listens on a port. A worker
that is lost is replaced.
"""

import contextlib
import dataclasses
import multiprocessing
import os
import queue
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import Connection
from pathlib import Path
from urllib.parse import urlsplit

from fisherdash import dataset, storage
from fisherdash.errors import InputError
from fisherdash.study.plan import (
    DATA,
    FAILED,
    SPEC_FILE,
    Interrupted,
    Plan,
    data_file,
    is_done,
    load_data,
    make_plan,
    member_folder,
    open_plan,
    read_data,
)
from fisherdash.study.spec import Spec, register
from fisherdash.study.tables import collect, write_tables
from fisherdash.workspace.locks import FolderLock


@dataclasses.dataclass(frozen=True)
class Progress:
    """How far a study is.

    Attributes:
        models: in the whole population.
        done: models with every re-fit and every trajectory.
        failed: models that could not be done, with the reason on disk.
        stage: what is under way, in words.
        ended: whether this is the last report.
    """

    models: int
    done: int
    failed: int
    stage: str
    ended: bool = False


def prepare_study(spec: Spec, folder: Path) -> Plan:
    """Makes or extends the folder of a study, and checks that everything can be done.

    Raises:
        InputError: for data that cannot be read or have too few frames, or a folder that holds a
            study of other data under the same name.
    """
    whole = load_data(spec)
    make_plan(spec, whole)  # refuses before anything is written
    folder = Path(folder)
    with storage.telling(folder):
        (folder / DATA).mkdir(parents=True, exist_ok=True)
    for name, data in whole.items():
        copy = data_file(folder, name)
        if copy.exists():
            kept = read_data(copy)
            if kept.fingerprint != data.fingerprint:
                raise InputError(
                    f"{folder} holds a study of other frames called {name!r}; give the data set "
                    "another name, or the study another folder"
                )
            if kept.temperature != data.temperature:
                known = (kept.temperature, data.temperature)
                before, now = ("an unknown temperature" if t is None else f"{t:g} K" for t in known)
                raise InputError(
                    f"{folder} was begun with {name!r} at {before} and it is at {now} now; give "
                    "the study another folder"
                )
            continue
        with storage.replacing(copy) as part:
            dataset.save(data, part)
    register(folder, spec.primary)
    with storage.replacing(folder / SPEC_FILE) as part:
        part.write_text(spec.text, encoding="utf-8")
    return open_plan(folder)


def run_study(
    spec: Spec,
    folder: Path,
    *,
    workers: int | None = None,
    scheduler: str | None = None,
    cancel: threading.Event | None = None,
) -> Iterator[Progress]:
    """Does what is left of a study.

    Args:
        spec: what to do.
        folder: of the study; an existing one is resumed, or extended.
        workers: processes of this machine, None for one a core (one where there is an
            accelerator), 0 to work in this process.
        scheduler: address of a Dask scheduler whose workers see ``folder``.
        cancel: set it to stop; finished stages are kept, the rest can be resumed.

    Yields:
        Progress, about twice a second. Before the last one the tables are written.

    Raises:
        InputError: see :func:`prepare_study`, for a folder that another program is at work in, and
            for a scheduler that does not answer.
    """
    folder = Path(folder).resolve()
    # Before anything is changed in a folder that another program may be at work in.
    lock = FolderLock(folder) if folder.is_dir() else None
    plan = prepare_study(spec, folder)
    lock = lock or FolderLock(folder)
    for place in (folder, *map(folder.joinpath, ("tables", "running")), *folder.glob("members/*")):
        storage.sweep(place)

    def running() -> Iterator[Progress]:
        """The work, at whose end others may write the folder again."""
        try:
            yield from _running(plan, folder, workers, scheduler, cancel or threading.Event())
        finally:
            lock.release()

    return running()


def read_progress(folder: Path, plan: Plan) -> Progress:
    """Counts what is on disk."""
    return _Tally(folder, plan).progress("")


class _Tally:
    """Counts what is done; a member that was found done is not read again at the next count."""

    def __init__(self, folder: Path, plan: Plan) -> None:
        self._folder, self._plan = folder, plan
        self._failed: dict[str, bool] = {}  # of the members that are done

    def progress(self, stage: str, *, ended: bool = False) -> Progress:
        """How far the study is now."""
        for member in self._plan.members:
            if member.name not in self._failed and is_done(self._folder, self._plan, member):
                failed = (member_folder(self._folder, member.name) / FAILED).exists()
                self._failed[member.name] = failed
        failures = sum(self._failed.values())
        done = len(self._failed) - failures
        return Progress(len(self._plan.members), done, failures, stage, ended)

    def is_done(self, name: str) -> bool:
        """Whether nothing was left of a member at the last count."""
        return name in self._failed


def _running(
    plan: Plan, folder: Path, workers: int | None, scheduler: str | None, cancel: threading.Event
) -> Iterator[Progress]:
    tally, stage = _Tally(folder, plan), "finished"
    yield tally.progress("starting")
    units = [
        [member.name for member in unit]
        for unit in plan.units
        if not all(tally.is_done(member.name) for member in unit)
    ]
    try:
        if units and workers == 0 and scheduler is None:
            for number, unit in enumerate(units, start=1):
                yield tally.progress(f"unit {number} of {len(units)}")
                from fisherdash.study.stages import do_unit

                do_unit(folder, unit, cancel)
        elif units and scheduler is not None:
            yield from _on_dask(tally, folder, units, scheduler, cancel)
        elif units:
            count = min(workers or _places(), len(units))
            for left in work_off(folder, units, count, cancel):
                yield tally.progress(f"{left} of {len(units)} units left on {count} workers")
    except Interrupted:
        stage = "stopped"
    write_tables(collect(folder, plan), folder / "tables")
    yield tally.progress(stage, ended=True)


def _places() -> int:
    """Workers that this machine is for: one a core, or one for an accelerator."""
    import jax

    return len(os.sched_getaffinity(0)) if jax.default_backend() == "cpu" else 1


def check_scheduler(address: str) -> None:
    """InputError for a scheduler that whoever is in the network could use.

    Dask runs whatever it is sent. By ``tls://`` both sides show a certificate; ``tcp://`` asks
    nobody, which is right on this machine only.
    """
    try:
        host = urlsplit(address).hostname or ""
    except ValueError:
        host = ""
    if address.startswith("tcp://") and host in ("localhost", "127.0.0.1", "::1"):
        return
    if not address.startswith("tls://") or not host:
        raise InputError(
            f"a scheduler on another machine is given as tls://HOST:8786, received {address!r}: "
            "by tcp:// everybody in its network could run programs as you (docs/study.md says how "
            "to use TLS; --unencrypted does without)"
        )


def _on_dask(
    tally: _Tally, folder: Path, units: list[list[str]], scheduler: str, cancel: threading.Event
) -> Iterator[Progress]:
    import distributed

    try:
        client = distributed.Client(scheduler, timeout=5)
    except TypeError as error:  # what Dask raises without certificates
        raise InputError(
            f"{scheduler!r} asks for certificates, and Dask's configuration here names none "
            "(docs/study.md says how)"
        ) from error
    except (OSError, ValueError) as error:
        raise InputError(
            f"no Dask scheduler answers at {scheduler!r}; it looks like tls://HOST:8786, or "
            "tcp://127.0.0.1:8786 on this machine"
        ) from error
    with client:
        futures = [
            client.submit(do, folder, unit, key=f"unit-{unit[0]}", retries=RETRIES)
            for unit in units
        ]
        while waiting := [future for future in futures if not future.done()]:
            if cancel.is_set():
                client.cancel(waiting, force=True)
                raise Interrupted
            busy = len(client.scheduler_info()["workers"])
            yield tally.progress(f"{len(waiting)} of {len(units)} units left on {busy} workers")
            cancel.wait(POLL_SECONDS)
        for future in futures:
            if future.status == "error":
                future.result()


POLL_SECONDS = 0.5
RETRIES = 3
"""New workers that a unit may cost."""

Units = queue.SimpleQueue[list[str]]

_stopping = threading.Event()
_at_work = threading.Lock()
"""Held for a unit's length: a process that has to end waits for its unit to stop, and the threads
of a Dask worker, which share their cores, take turns."""


def work_off(
    folder: Path, units: Sequence[list[str]], workers: int, cancel: threading.Event
) -> Iterator[int]:
    """Does the units of the study in ``folder``; gives, twice a second, how many are not done.

    Raises:
        Interrupted: when ``cancel`` was set.
        InputError: when a unit has cost ``RETRIES`` workers more than its first.
    """
    cores = sorted(os.sched_getaffinity(0))
    waiting: Units = queue.SimpleQueue()
    for unit in units:
        waiting.put(unit)
    stop = threading.Event()
    with ThreadPoolExecutor(workers) as threads:
        # Small networks lose more by sharing cores than they gain.
        shares = [cores[number::workers] or cores for number in range(workers)]
        places = [threads.submit(_one_place, folder, waiting, share, stop) for share in shares]
        try:
            while running := wait(places, timeout=POLL_SECONDS).not_done:
                if cancel.is_set():
                    stop.set()
                yield waiting.qsize() + len(running)
        finally:
            stop.set()
    for place in places:
        place.result()


def _one_place(folder: Path, waiting: Units, cores: list[int], stop: threading.Event) -> None:
    """Takes units until none is left, with one worker at a time."""
    unit, died = _next(waiting), 0
    while unit:
        try:
            with _worker(cores) as (pool, lifeline):
                while unit:
                    done = pool.submit(do, folder, unit)
                    while not wait([done], timeout=POLL_SECONDS).done:
                        if stop.is_set():
                            lifeline.close()
                    done.result()
                    unit, died = _next(waiting), 0
        except BrokenProcessPool as error:
            died += 1
            if stop.is_set():
                raise Interrupted from error
            if died > RETRIES:
                raise InputError(
                    f"{died} processes died one after another at the models {', '.join(unit)}; "
                    "perhaps memory is short: run the study again with fewer --workers"
                ) from error


def _next(waiting: Units) -> list[str]:
    """The next unit, empty when none is left."""
    with contextlib.suppress(queue.Empty):
        return waiting.get_nowait()
    return []


@contextlib.contextmanager
def _worker(cores: list[int]) -> Iterator[tuple[ProcessPoolExecutor, Connection]]:
    """A process on these cores, and its lifeline."""
    context = multiprocessing.get_context("spawn")
    theirs, lifeline = context.Pipe(duplex=False)
    with (
        theirs,
        lifeline,
        ProcessPoolExecutor(
            1, mp_context=context, initializer=_begin, initargs=(theirs, cores)
        ) as pool,
    ):
        yield pool, lifeline


def _begin(lifeline: Connection, cores: list[int]) -> None:
    """The first thing that a worker does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that began the study
    os.sched_setaffinity(0, cores)
    threading.Thread(target=_end_with, args=(lifeline,), daemon=True).start()


def _end_with(lifeline: Connection) -> None:
    """Ends this process once its lifeline is cut, after the chunk of work that it is at."""
    with contextlib.suppress(EOFError, OSError):
        lifeline.recv()
    _stopping.set()
    with _at_work:
        os._exit(0)  # nobody is left to read the result


def do(folder: Path, unit: list[str]) -> None:
    """Does a unit of the study in ``folder`` in this process, compiled programs kept on disk."""
    from fisherdash.background import keep_compilations
    from fisherdash.study.stages import do_unit

    keep_compilations()
    with _at_work:
        do_unit(folder, unit, _stopping)
