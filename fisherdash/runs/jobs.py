"""Background work: a list of jobs, one queue and one worker thread for each device.

A job is an iterator that is consumed in a worker thread. Whoever submits it says how to make the
iterator (``make_iterator(cancel)``; the iterator stops early once the event is set) and how to
read an item (``describe(item) -> Progress``). The list lives in this module, so that it outlives
every page, refresh and browser tab; nothing here knows who looks at it.

An :class:`InputError` ends a job with its own sentence. Any other exception is a failure of the
program: one sentence for the user, the traceback in the log.
"""

import atexit
import itertools
import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from fisherdash.errors import InputError

Status = Literal["queued", "running", "finished", "cancelled", "failed"]

HISTORY = 20_000
"""Items kept of each job; the oldest go first."""

REMEMBERED = 200
"""Jobs kept in the list; the oldest finished ones go first."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Progress:
    """How far a job is: a fraction (0 to 1), a stage in one word, and what is known beside it."""

    fraction: float = 0.0
    stage: str = "running"
    detail: str = ""
    rate: float | None = None
    """Units of work per second, for example MD steps."""
    rate_unit: str = ""
    device: str = ""

    def __post_init__(self) -> None:
        if not 0.0 <= self.fraction <= 1.0:
            raise ValueError(f"fraction is {self.fraction}, expected 0 to 1")


def progress_as_is(item: Any) -> Progress:
    """The reading of items that are a :class:`Progress` already."""
    return item if isinstance(item, Progress) else Progress()


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
    ) -> None:
        self.id = f"{kind}-{number}"
        self.kind, self.title, self.device, self.info = kind, title, device, info
        self.status: Status = "queued"
        self.progress = Progress(stage="queued")
        self.latest: Any = None
        self.result: Any = None
        self.error: str | None = None
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
        """Seconds at work."""
        return (self.ended or time.time()) - self.started if self.started else 0.0

    @property
    def seconds_left(self) -> float | None:
        """Seconds left at the present stage's pace, None while that is unknown."""
        _, began, fraction = self._stage_began
        gained, spent = self.progress.fraction - fraction, time.time() - began
        if self.status != "running" or gained <= 0.0:
            return None
        return spent / gained * (1.0 - self.progress.fraction)

    @property
    def cancelling(self) -> bool:
        """Asked to stop, not yet stopped."""
        return self._cancel.is_set() and self.active

    def cancel(self) -> None:
        """Ask the job to stop; one that still waits in the queue never starts."""
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
        try:
            self.result = self._consume()
            self._end("cancelled" if self._cancel.is_set() else "finished")
        except InputError as error:
            # Work that was told to stop may say so by refusing to go on.
            stopped = self._cancel.is_set()
            self.error = None if stopped else str(error)
            self._end("cancelled" if stopped else "failed")
        except Exception as error:  # noqa: BLE001 - logged and told; the worker must live on
            _log.exception("job %s (%s) failed", self.id, self.kind)
            self.error = f"the {self.kind} job failed: {type(error).__name__}: {error}"
            self._end("failed")

    def _consume(self) -> Any:
        _thread.job = self
        iterator = self._make(self._cancel)
        while True:
            try:
                self.take(next(iterator))
            except StopIteration as end:
                return end.value

    def _end(self, status: Status) -> None:
        self.status, self.ended = status, time.time()
        self._done.set()


class Registry:
    """The list of jobs and the workers, one thread and one queue for each device."""

    def __init__(self) -> None:
        self._jobs: dict[str, Job] = {}
        self._queues: dict[str, queue.Queue[Job]] = {}
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)

    def add(self, kind: str, title: str, device: str, **how: Any) -> Job:
        """Put a new job into its device's queue, starting the worker if this is its first."""
        with self._lock:
            job = Job(next(self._numbers), kind, title, device=device, **how)
            self._forget_old()
            self._jobs[job.id] = job
            if device not in self._queues:
                self._queues[device] = queue.Queue()
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
    """
    how = {"make_iterator": make_iterator, "describe": describe, "keep": keep, "info": info or {}}
    return _registry.add(kind, title, device, **how)


def report(item: Any) -> None:
    """From inside a job's iterator, between two items: record progress of a long call."""
    job = getattr(_thread, "job", None)
    if job is not None:
        job.take(item)


def every(kind: str | None = None) -> list[Job]:
    """Jobs of one kind (or all), newest first."""
    return [job for job in _registry.all() if kind in (None, job.kind)]


def get(job_id: str) -> Job | None:
    """The job of that id, or None if there is none (any more)."""
    return _registry.get(job_id)


def place_in_queue(job: Job) -> int:
    """How many jobs come before this one on its device."""
    ahead = [other for other in _registry.all() if other.active and other.device == job.device]
    return sum(other.submitted < job.submitted for other in ahead)


def _work(waiting: "queue.Queue[Job]") -> None:
    while True:
        waiting.get().run()


@atexit.register
def _stop_all(timeout: float = 5.0) -> None:
    """Let the running jobs end at their next item, so that no run is left half written."""
    running = [job for job in _registry.all() if job.active]
    for job in running:
        job.cancel()
    deadline = time.time() + timeout
    for job in running:
        if job.started:
            job.wait(max(0.0, deadline - time.time()))
