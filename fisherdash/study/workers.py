"""The processes of this machine that work off the units of a study.

Every worker has its own cores, and one pipe that is its lifeline: it closes when the study is
cancelled and when the process that began it dies. Nothing listens on a port. A worker that is lost
is replaced, and its unit goes to the new one, which finds on disk what was finished.
"""

import contextlib
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

from fisherdash.errors import InputError
from fisherdash.study.plan import Interrupted

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
