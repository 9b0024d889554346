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
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Literal

from fisherdash.background import step_back
from fisherdash.errors import InputError
from fisherdash.runs import failures, joblog, limits, people
from fisherdash.runs.progress import Progress, progress_as_is
from fisherdash.runs.turns import Turns

Status = Literal["queued", "running", "finished", "cancelled", "failed"]

HISTORY = 20_000
"""Items kept of each job; the oldest go first."""

REMEMBERED = 200
"""Jobs kept in the list; the oldest finished ones go first."""

_log = logging.getLogger(__name__)


class Job:
    """One piece of background work; its attributes may be read from any thread at any time."""

    def __init__(
        self,
        number: int,
        kind: str,
        title: str,
        make_iterator: Callable[[threading.Event], Iterator[Any]],
        describe: Callable[[Any], Progress],
        keep: Callable[[Any], Any],
        info: dict[str, Any],
        device: str,
        owner: str = people.EVERYBODY,
    ) -> None:
        self.id = f"{kind}-{number}"
        self.kind, self.title, self.device, self.info = kind, title, device, info
        self.owner = owner
        self.status: Status = "queued"
        self.progress = Progress(stage="queued")
        self.latest: Any = None
        self.result: Any = None
        self.error: str | None = None
        self.failure = ""
        self.submitted, self.started, self.ended = time.time(), 0.0, 0.0
        self._cancel = threading.Event()
        self._done = threading.Event()
        self._history: deque[Any] = deque(maxlen=HISTORY)
        self._stage_began: tuple[str, float, float] = ("queued", 0.0, 0.0)
        self._make, self._describe, self._keep = make_iterator, describe, keep
        self._lock = threading.Lock()

    @property
    def active(self) -> bool:
        """Waiting or at work."""
        return self.status in ("queued", "running")

    @property
    def stage(self) -> str:
        """One word: "queued", the stage of the work ("compiling", …), or how it ended."""
        return self.progress.stage if self.status == "running" else self.status

    @property
    def history(self) -> list[Any]:
        """What was kept of each item, oldest first."""
        with self._lock:
            return list(self._history)

    @property
    def seconds(self) -> float:
        """Seconds at work; never negative, also when the clock is set back meanwhile."""
        return max(0.0, (self.ended or time.time()) - self.started) if self.started else 0.0

    @property
    def seconds_left(self) -> float | None:
        """Seconds left at the present stage's pace, None while that is unknown."""
        _, began, fraction = self._stage_began
        gained, spent = self.progress.fraction - fraction, time.time() - began
        if self.status != "running" or gained <= 0.0 or spent < 0.0:
            return None
        return spent / gained * (1.0 - self.progress.fraction)

    @property
    def cancelling(self) -> bool:
        """Asked to stop, not yet stopped."""
        return self._cancel.is_set() and self.active

    def cancel(self) -> None:
        """Ask the job to stop; one that still waits in the queue never starts.

        InputError when it is another user's.
        """
        if not _reaches(people.current(), self):
            raise InputError("this job is another user's, who alone can cancel it")
        self._cancel.set()
        with self._lock:
            if self.status == "queued":
                self._end("cancelled")

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the end; False if it has not come within ``timeout`` seconds."""
        return self._done.wait(timeout)

    def take(self, item: Any) -> None:
        """Record one item (the worker calls this; so does :func:`report`)."""
        progress = self._describe(item)
        with self._lock:
            if progress.stage != self._stage_began[0]:
                self._stage_began = (progress.stage, time.time(), progress.fraction)
            self.progress, self.latest = progress, item
            kept = self._keep(item)
            if kept is not None:
                self._history.append(kept)

    def run(self) -> None:
        """Consume the iterator (in the worker thread)."""
        with self._lock:
            if self.status != "queued":
                return
            self.status, self.started = "running", time.time()
        joblog.started(self)
        try:
            self.result = self._consume()
            self._end("cancelled" if self._cancel.is_set() else "finished")
        except InputError as error:
            # Work that was told to stop may say so by refusing to go on.
            stopped = self._cancel.is_set()
            self.error = None if stopped else str(error)
            self.failure = "" if stopped else "InputError"
            self._end("cancelled" if stopped else "failed")
        except Exception as error:  # noqa: BLE001 - logged and told; the worker must live on
            _log.exception("job %s (%s) failed", self.id, self.kind)
            self.error, self.failure = failures.in_words(self.kind, error), type(error).__name__
            self._end("failed")

    def _consume(self) -> Any:
        _thread.job = self
        with people.acting_for(self.owner):
            iterator = self._make(self._cancel)
            while True:
                try:
                    self.take(next(iterator))
                except StopIteration as end:
                    return end.value

    def _end(self, status: Status) -> None:
        self.status, self.ended = status, time.time()
        if self.started:
            joblog.ended(self)
        self._done.set()


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
            limits.check_jobs(active, owner)
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

    def _forget_old(self) -> None:
        ended = [job.id for job in self._jobs.values() if not job.active]
        for job_id in ended[: max(0, len(self._jobs) + 1 - REMEMBERED)]:
            del self._jobs[job_id]


_registry = Registry()
_thread = threading.local()


def submit(
    kind: str,
    title: str,
    make_iterator: Callable[[threading.Event], Iterator[Any]],
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
    job = getattr(_thread, "job", None)
    if job is not None:
        job.take(item)


def every(kind: str | None = None) -> list[Job]:
    """The user's jobs of one kind (or all), newest first."""
    user = people.current()
    return [job for job in _registry.all() if kind in (None, job.kind) and _reaches(user, job)]


def get(job_id: str) -> Job | None:
    """The user's job of that id, or None if there is none (any more)."""
    job = _registry.get(job_id)
    return job if job is not None and _reaches(people.current(), job) else None


def place_in_queue(job: Job) -> int:
    """How many jobs come before this one on its device if nobody submits another."""
    return _registry.ahead_of(job)


def _reaches(user: str, job: Job) -> bool:
    return user in (people.EVERYBODY, job.owner)


def _work(waiting: Turns[Job]) -> None:
    step_back()
    while True:
        waiting.take().run()


@atexit.register
def _stop_all(timeout: float = 5.0) -> None:
    """Let the running jobs end at their next item, so that no run is left half written."""
    running = [job for job in _registry.all() if job.active]
    for job in running:
        job.cancel()
    deadline = time.time() + timeout
    for job in (job for job in running if job.started):
        job.wait(max(0.0, deadline - time.time()))
