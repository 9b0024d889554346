"""Background work: a list of jobs, one fair queue and one worker thread for each device.

A job is an iterator that is consumed in a worker thread. Whoever submits it says how to make the
iterator (``make_iterator(cancel)``; the iterator stops early once the event is set) and how to
read an item (``describe(item) -> Progress``). The list lives in this module, so that it outlives
every page, refresh and browser tab. A job belongs to the user for whom it was submitted
(:mod:`fisherdash.runs.people`); others neither see it nor reach it.

An :class:`InputError` ends a job with its own sentence. Any other exception is a failure of the
program: one sentence for the user, the traceback in the log.
"""

import atexit
import itertools
import threading
import time
from collections.abc import Callable
from typing import Any

from fisherdash.background import give_back, step_back
from fisherdash.errors import InputError
from fisherdash.runs import limits, people
from fisherdash.runs.job import Job, MakeIterator, at_work, release_names
from fisherdash.runs.progress import Progress, progress_as_is
from fisherdash.runs.turns import Turns

REMEMBERED = 200
"""Jobs kept in the list; the oldest finished ones go first."""

RESULTS = 2
"""Results kept of each user's jobs of one kind, the newest; a re-fit holds megabytes."""


class Registry:
    """The list of jobs and the workers, one thread and one queue for each device."""

    def __init__(self) -> None:
        self._jobs: dict[str, Job] = {}
        self._queues: dict[str, Turns[Job]] = {}
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)

    def add(self, kind: str, title: str, device: str, **how: Any) -> Job:
        """Put a new job into its device's queue, starting the worker if this is its first.

        InputError when its user has as many jobs as one may have.
        """
        owner = people.current()
        with self._lock:
            active = sum(job.active and job.owner == owner for job in self._jobs.values())
            try:
                limits.check_jobs(active, owner)
            except InputError:
                release_names(how["info"])
                raise
            job = Job(next(self._numbers), kind, title, device=device, owner=owner, **how)
            self._forget_old()
            self._jobs[job.id] = job
            if device not in self._queues:
                self._queues[device] = Turns()
                threading.Thread(
                    target=_work, args=(self._queues[device],), name=f"jobs-{device}", daemon=True
                ).start()
            self._queues[device].put(job)
        return job

    def all(self) -> list[Job]:
        """Every job that is remembered, newest first."""
        with self._lock:
            return list(reversed(self._jobs.values()))

    def get(self, job_id: str) -> Job | None:
        """The job of that id, or None."""
        return self._jobs.get(job_id)

    def ahead_of(self, job: Job) -> int:
        """How many jobs come before this one on its device, whosever they are."""
        with self._lock:
            order = self._queues[job.device].order()
            at_work = any(
                other.status == "running" and other.device == job.device
                for other in self._jobs.values()
            )
        return order.index(job) + at_work if job in order else 0

    def give_up_results(self, kind: str, owner: str) -> None:
        """Keep the results of this user's newest jobs of one kind only."""
        with self._lock:
            alike = [job for job in self._jobs.values() if (job.kind, job.owner) == (kind, owner)]
        for job in [job for job in alike if not job.active][:-RESULTS]:
            job.result = job.latest = None

    def _forget_old(self) -> None:
        ended = [job.id for job in self._jobs.values() if not job.active]
        for job_id in ended[: max(0, len(self._jobs) + 1 - REMEMBERED)]:
            del self._jobs[job_id]


_registry = Registry()


def submit(
    kind: str,
    title: str,
    make_iterator: MakeIterator,
    *,
    describe: Callable[[Any], Progress] = progress_as_is,
    keep: Callable[[Any], Any] = lambda item: None,
    info: dict[str, Any] | None = None,
    device: str = "default",
) -> Job:
    """Queue background work.

    Args:
      kind: one word ("train", "simulate", …).
      title: what the user reads in the list.
      make_iterator: called in the worker with the cancel event; what the iterator *returns*
        becomes ``job.result``.
      describe: reads the progress off an item.
      keep: what to remember of an item in ``job.history`` (None, the default: nothing).
      info: facts for whoever shows the job, for example where its run lies.
      device: whose queue it waits in.

    Raises:
      InputError: when its user has as many jobs as one may have on this server.
    """
    how = {"make_iterator": make_iterator, "describe": describe, "keep": keep, "info": info or {}}
    return _registry.add(kind, title, device, **how)


def report(item: Any) -> None:
    """From inside a job's iterator, between two items: record progress of a long call."""
    job = at_work()
    if job is not None:
        job.take(item)


def every(kind: str | None = None) -> list[Job]:
    """The user's jobs of one kind (or all), newest first."""
    user = people.current()
    return [
        job for job in _registry.all() if kind in (None, job.kind) and job.within_reach_of(user)
    ]


def get(job_id: str) -> Job | None:
    """The user's job of that id, or None if there is none (any more)."""
    job = _registry.get(job_id)
    return job if job is not None and job.within_reach_of(people.current()) else None


def place_in_queue(job: Job) -> int:
    """How many jobs come before this one on its device if nobody submits another."""
    return _registry.ahead_of(job)


def _work(waiting: Turns[Job]) -> None:
    step_back()
    while True:
        job = waiting.take()
        job.run()
        _registry.give_up_results(job.kind, job.owner)
        give_back()


@atexit.register
def _stop_all(timeout: float = 5.0) -> None:
    """Let the running jobs end at their next item, so that no run is left half written."""
    running = [job for job in _registry.all() if job.active]
    for job in running:
        job.cancel()
    deadline = time.time() + timeout
    for job in (job for job in running if job.started):
        job.wait(max(0.0, deadline - time.time()))
