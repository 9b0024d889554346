"""Background work: a list of jobs, one fair queue and one worker thread for each device.

A job is an iterator that is consumed in a worker thread. Whoever submits it says how to make the
iterator (``make_iterator(cancel)``; the iterator stops early once the event is set) and how to
read an item (``describe(item) -> Progress``). The list lives in this module, so that it outlives
every page, refresh and browser tab. A job belongs to the user for whom it was submitted
(:mod:`fisherdash.workspace.users`); others neither see it nor reach it.

An :class:`InputError` ends a job with its own sentence. Any other exception is a failure of the
program: one sentence for the user, the traceback in the log.

A failure of a job in one sentence for its user; the traceback is in the log.

How far a piece of work is, in a form that any page or log can show.

What happened on this server: a JSON line when a job starts and one when it ends, and no more.

The lines say what kind of work it was, how large, on what, how long and how it ended. Nothing that
a user typed or uploaded is in them: no names, no titles, no paths, no messages of errors. The file
is ``logs/jobs.jsonl`` of the workspace that everybody shares; it is rotated, and all of it together
never grows beyond :data:`MAX_BYTES` × (:data:`BACKUPS` + 1).

One piece of background work: an iterator that is consumed in a worker thread.

A queue in which everybody has a turn: one job of each user, then the next of each.

Whoever submits twenty jobs delays another user by one of them, not by twenty.
"""

import atexit
import contextlib
import datetime
import fcntl
import itertools
import json
import logging
import logging.handlers
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Literal, Protocol, TypeVar

import fisherdash
from fisherdash.background import give_back, step_back
from fisherdash.errors import InputError
from fisherdash.workspace import limits, paths, users

_MEMORY = ("RESOURCE_EXHAUSTED", "Out of memory", "out of memory")
_DEVICE = ("UNAVAILABLE", "DEVICE_LOST", "CUDA_ERROR", "device is lost", "hipError")


def in_words(kind: str, error: BaseException) -> str:
    """What went wrong and what can be done.

    Args:
      kind: of the job ("train", "simulate", …).
      error: that ended it.
    """
    text = str(error)
    if isinstance(error, MemoryError) or any(word in text for word in _MEMORY):
        return (
            f"the {kind} job ran out of memory; ask for fewer replicas, frames or a smaller batch. "
            "What it had written is kept"
        )
    if any(word in text for word in _DEVICE):
        return (
            f"the {kind} job lost its device ({_first_line(text)}); what it had written is kept. "
            "Go on when the device is back, after starting the dashboard again"
        )
    return f"the {kind} job failed: {type(error).__name__}: {_first_line(text)}"


def _first_line(text: str) -> str:
    first = next((line.strip() for line in text.splitlines() if line.strip()), "")
    return first if len(first) <= 300 else f"{first[:300]}…"


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


FILE = "jobs.jsonl"
MAX_BYTES = 1_000_000
BACKUPS = 4


def path() -> Path:
    """Where the log is; it may not exist yet."""
    return paths.everybodys() / "logs" / FILE


def started(job: "Job") -> None:
    """Say that a job has begun."""
    write("start", waited=round(job.started - job.submitted, 3), **_known_of(job))


def ended(job: "Job") -> None:
    """Say how a job ended."""
    facts = {
        "status": job.status,
        "seconds": round(job.seconds, 3),
        "device": job.progress.device or job.device,
        "done": round(job.progress.fraction, 4),
        "failure": job.failure,
    }
    write("end", **_known_of(job), **facts)


def _known_of(job: "Job") -> dict[str, Any]:
    return {"job": job.id, "kind": job.kind, "sizes": _numbers(job.info.get("sizes"))}


def write(event: str, **facts: Any) -> None:
    """Add one line; a log that cannot be written keeps nobody from working.

    Args:
      event: "start" or "end".
      facts: JSON-able; those that are None or empty are left out.
    """
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
    line = {"time": now, "event": event, "pid": os.getpid(), "version": fisherdash.__version__}
    line |= {name: fact for name, fact in facts.items() if fact not in (None, "", {})}
    with contextlib.suppress(OSError):
        path().parent.mkdir(parents=True, exist_ok=True)
        # Opened for each line and under a lock: several programs write, and any may rotate.
        with path().with_suffix(".lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            handler = _Quiet(path(), maxBytes=MAX_BYTES, backupCount=BACKUPS, encoding="utf-8")
            handler.emit(logging.makeLogRecord({"msg": json.dumps(line)}))
            handler.close()


def _numbers(sizes: Any) -> dict[str, float]:
    """The entries of a mapping that are numbers: what a job may say of its size."""
    if not isinstance(sizes, dict):
        return {}
    return {str(name): size for name, size in sizes.items() if type(size) in (int, float)}


class _Quiet(logging.handlers.RotatingFileHandler):
    def handleError(self, record: logging.LogRecord) -> None:
        """A full disk is told of where the job's own files are written."""


Status = Literal["queued", "running", "finished", "cancelled", "failed"]
MakeIterator = Callable[[threading.Event], Iterator[Any]]

HISTORY = 20_000
"""Items kept of each job; the oldest go first."""

_log = logging.getLogger(__name__)
_thread = threading.local()


def at_work() -> "Job | None":
    """The job whose iterator the calling thread consumes, None outside of one."""
    return getattr(_thread, "job", None)


def release_names(info: dict[str, Any]) -> None:
    """Give up the names that were kept free for what a job would have made, and did not."""
    for place in info.values():
        if isinstance(place, Path):
            paths.release(place)


class Job:
    """One piece of background work; its attributes may be read from any thread at any time."""

    def __init__(
        self,
        number: int,
        kind: str,
        title: str,
        make_iterator: MakeIterator,
        describe: Callable[[Any], Progress],
        keep: Callable[[Any], Any],
        info: dict[str, Any],
        device: str,
        owner: str = users.EVERYBODY,
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
        # Given up when the work ends: it holds models and data, and the list is long.
        self._make: MakeIterator | None = make_iterator
        self._describe, self._keep = describe, keep
        self._lock = threading.Lock()

    @property
    def active(self) -> bool:
        """Waiting or at work."""
        return self.status in ("queued", "running")

    def within_reach_of(self, user: str) -> bool:
        """Whether a user may see and cancel it."""
        return user in (users.EVERYBODY, self.owner)

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
        if not self.within_reach_of(users.current()):
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
        started(self)
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
            self.error, self.failure = in_words(self.kind, error), type(error).__name__
            self._end("failed")

    def _consume(self) -> Any:
        make, self._make = self._make, None
        if make is None:
            raise RuntimeError(f"{self.id} has run before")
        _thread.job = self
        try:
            with users.acting_for(self.owner):
                iterator = make(self._cancel)
                while True:
                    try:
                        self.take(next(iterator))
                    except StopIteration as end:
                        return end.value
        finally:
            _thread.job = None

    def _end(self, status: Status) -> None:
        self._make = None
        release_names(self.info)
        self.status, self.ended = status, time.time()
        if self.started:
            ended(self)
        self._done.set()


class Waiting(Protocol):
    """What can wait: it belongs to somebody, and may have given up waiting."""

    @property
    def owner(self) -> str:
        """Whose turn it takes."""
        ...

    @property
    def active(self) -> bool:
        """False once it need not be done any more."""
        ...


Item = TypeVar("Item", bound=Waiting)


class Turns(Generic[Item]):
    """First come, first served within a user's lane; the lanes take turns."""

    def __init__(self) -> None:
        # In the order of their turns: whoever was served goes to the end.
        self._lanes: dict[str, deque[Item]] = {}
        self._changed = threading.Condition()

    def put(self, item: Item) -> None:
        """Let ``item`` wait at the end of its owner's lane."""
        with self._changed:
            self._lanes.setdefault(item.owner, deque()).append(item)
            self._changed.notify()

    def take(self) -> Item:
        """The next item; waits until there is one."""
        with self._changed:
            while True:
                order = self._order()
                if order:
                    break
                self._changed.wait()
            item = order[0]
            lane = self._lanes.pop(item.owner)
            rest = deque(other for other in lane if other is not item and other.active)
            if rest:
                self._lanes[item.owner] = rest
            return item

    def order(self) -> list[Item]:
        """What waits, in the order in which it would be taken if nothing else came."""
        with self._changed:
            return self._order()

    def _order(self) -> list[Item]:
        lanes = [[item for item in lane if item.active] for lane in self._lanes.values()]
        longest = max(map(len, lanes), default=0)
        return [lane[turn] for turn in range(longest) for lane in lanes if turn < len(lane)]


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
        owner = users.current()
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
    user = users.current()
    return [
        job for job in _registry.all() if kind in (None, job.kind) and job.within_reach_of(user)
    ]


def latest(kind: str) -> Job | None:
    """The user's newest job of one kind."""
    return next(iter(every(kind)), None)


def get(job_id: str) -> Job | None:
    """The user's job of that id, or None if there is none (any more)."""
    job = _registry.get(job_id)
    return job if job is not None and job.within_reach_of(users.current()) else None


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
