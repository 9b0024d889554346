"""Background work: a list of jobs, one fair queue and one worker thread for each device.

A job is an iterator that is consumed in a worker thread. The list lives in this module, so that it
outlives every page, refresh and browser tab. A job belongs to the user for whom it was submitted
(:mod:`fisherdash.workspace.users`); others neither see it nor reach it, but for an administrator,
who may cancel any.

An :class:`InputError` ends a job with its own sentence. Any other exception is a failure of the
program: one sentence for the user, the traceback in the log.

Users share a device by the work that they ask for, not by the number of jobs. Every user has an
account of the seconds that were done for them. The next job is the one with which its user's
account stays the lowest, so that a short job need not wait for long ones of somebody else, and who
has many or long ones waits for those who have few and short ones. A job is charged what it was
estimated to take when it begins, and what it took when it has ended, whatever had been estimated.
Who comes anew, or comes back, begins where the others are: nobody saves up turns. Within the jobs
of one user it is first come, first served.
"""

import atexit
import heapq
import itertools
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Literal, Protocol, TypeVar

from fisherdash.background import give_back, step_back
from fisherdash.errors import InputError, within
from fisherdash.workspace import estimates, limits, paths, users
from fisherdash.workspace.estimates import Estimate


class Waiting(Protocol):
    """What waits: whose it is, whether it still wants its turn, and the seconds it should take."""

    owner: str
    expected: float

    @property
    def active(self) -> bool:
        """Whether it was not cancelled meanwhile."""
        ...


Item = TypeVar("Item", bound=Waiting)


class FairQueue(Generic[Item]):
    """Equal shares of work for all users who wait; first in, first out within one user's."""

    def __init__(self) -> None:
        self._lanes: dict[str, deque[Item]] = {}
        self._accounts: dict[str, float] = {}
        self._now = 0.0
        self._changed = threading.Condition()

    def put(self, item: Item) -> None:
        """Append ``item`` to its owner's."""
        with self._changed:
            if not any(other.active for other in self._lanes.get(item.owner, ())):
                before = self._accounts.get(item.owner, 0.0)
                self._accounts[item.owner] = max(before, self._now)
                self._lanes.pop(item.owner, None)  # who comes back stands behind the others
            self._lanes.setdefault(item.owner, deque()).append(item)
            self._changed.notify()

    def take(self, patience: float | None = None) -> Item | None:
        """The next item; waits until there is one, or so many seconds, after which it is None."""
        with self._changed:
            if not (order := self._changed.wait_for(self._order, patience)):
                return None
            item = order[0]
            rest = (other for other in self._lanes[item.owner] if other is not item)
            self._lanes[item.owner] = deque(other for other in rest if other.active)
            self._now = max(self._now, self._accounts[item.owner])
            self._accounts[item.owner] += item.expected
            self._forget()
            return item

    def settle(self, item: Item, seconds: float) -> None:
        """Charge an item that was taken and has ended what it really took."""
        with self._changed:
            if item.owner in self._accounts:
                self._accounts[item.owner] += seconds - item.expected

    def order(self) -> list[Item]:
        """The waiting items in the order in which they would be taken if no other came."""
        with self._changed:
            return self._order()

    def _order(self) -> list[Item]:
        heads: list[tuple[float, int, Item, Iterator[Item]]] = []
        for place, (owner, lane) in enumerate(self._lanes.items()):
            rest = iter([item for item in lane if item.active])
            if (first := next(rest, None)) is not None:
                heads.append((self._accounts[owner] + first.expected, place, first, rest))
        heapq.heapify(heads)
        found = []
        while heads:  # the least charged of all lanes, of equal ones the first
            charge, place, item, rest = heads[0]
            found.append(item)
            if (following := next(rest, None)) is None:
                heapq.heappop(heads)
            else:
                heapq.heapreplace(heads, (charge + following.expected, place, following, rest))
        return found

    def _forget(self) -> None:
        """Drop the accounts of users who have nothing waiting and are behind the others."""
        for owner in [owner for owner, lane in self._lanes.items() if not lane]:
            if self._accounts[owner] <= self._now:
                del self._lanes[owner], self._accounts[owner]


REMEMBERED = 200
"""Jobs kept in the list; the oldest finished ones go first."""

RESULTS = 2
"""Results kept of each user's jobs of one kind, the newest; a re-fit holds megabytes."""

IDLE_SECONDS, TIDY_SECONDS = 1.0, 10.0
"""Memory is given back once nothing has come for so long, or after so long in any case: it holds up
every page for a tenth of a second."""

_ONE_STAGE = ("sample", "train", "simulate")
"""Kinds whose last stage does all of the work, after their programs were compiled."""

_UNKNOWN = 1.0
"""Seconds that a job without an estimate is taken to last."""

_SETTLED = 20.0
"""Seconds at one stage of work from which on its speed tells something."""

_MEMORY = ("RESOURCE_EXHAUSTED", "Out of memory", "out of memory")
_DEVICE = ("UNAVAILABLE", "DEVICE_LOST", "CUDA_ERROR", "device is lost", "hipError")


@dataclass(frozen=True)
class JobProgress:
    """Progress of a job: a fraction (0 to 1), a stage in one word, and details."""

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


def progress_as_is(item: Any) -> JobProgress:
    """The item itself where it is a :class:`JobProgress`."""
    return item if isinstance(item, JobProgress) else JobProgress()


JobStatus = Literal["queued", "running", "finished", "cancelled", "failed"]
MakeIterator = Callable[[threading.Event], Iterator[Any]]

_log = logging.getLogger(__name__)
_thread = threading.local()
_stopping = threading.Event()
"""Set when the process ends."""
_tidying = threading.RLock()
"""Held while a worker frees what a job has used; C++ aborts a process that ends meanwhile."""


def _release_names(info: dict[str, Any]) -> None:
    """Free the paths that were reserved for what a job was to write."""
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
        describe: Callable[[Any], JobProgress],
        info: dict[str, Any],
        device: str,
        owner: str = users.EVERYBODY,
        estimate: Estimate | None = None,
    ) -> None:
        self.id, self.owner, self.estimate = f"{kind}-{number}", owner, estimate
        self.expected = estimate.seconds if estimate is not None else _UNKNOWN
        self.kind, self.title, self.device, self.info = kind, title, device, info
        self.status: JobStatus = "queued"
        self.progress = JobProgress(stage="queued")
        self.latest: Any = None
        self.result: Any = None
        self.error: str | None = None
        self.failure = ""
        self.submitted, self.started, self.ended = time.time(), 0.0, 0.0
        self._cancel = threading.Event()
        self._done = threading.Event()
        self._stage_began: tuple[str, float, float] = ("queued", 0.0, 0.0)
        # Given up when the work ends: it holds models and data, and the list is long.
        self._make: MakeIterator | None = make_iterator
        self._describe = describe
        self._lock = threading.Lock()
        self._forget: Callable[[], object] | None = None

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
    def promised(self) -> float:
        """Bytes that it is still to write, as estimated."""
        left = 1.0 - self.progress.fraction
        return self.estimate.disk * left if self.active and self.estimate is not None else 0.0

    @property
    def pace(self) -> float | None:
        """Seconds by the rule that it did in one, at its last stage; None where that says little.

        A stage that begins with the work and ends with it: a re-fit has several, of which each is
        another part of the whole, and is taken from the start.
        """
        _, began, fraction = self._stage_began
        if self.kind not in _ONE_STAGE:
            began, fraction = self.started, 0.0
        spent, gained = self.ended - began, self.progress.fraction - fraction
        if self.estimate is None or not self.started or spent < _SETTLED or gained <= 0.0:
            return None
        return self.estimate.work * gained / spent

    @property
    def cancelling(self) -> bool:
        """Asked to stop, not yet stopped."""
        return self._cancel.is_set() and self.active

    def cancel(self) -> None:
        """Ask the job to stop; one that still waits in the queue never starts.

        InputError when it is another user's, and the present one no administrator.
        """
        user = users.current()
        if not (self.within_reach_of(user) or limits.is_administrator(user)):
            raise InputError("this job is another user's; they and an administrator can cancel it")
        self._cancel.set()
        with self._lock:
            if self.status == "queued":
                self._begun_or_cancelled()
                self._end("cancelled")

    def when_no_longer_waiting(self, forget: Callable[[], object]) -> None:
        """Call ``forget`` when the job begins or is cancelled: now, where it has already."""
        with self._lock:
            if self.status == "queued":
                self._forget = forget
                return
        forget()

    def _begun_or_cancelled(self) -> None:
        forget, self._forget = self._forget, None
        if forget is not None and not _stopping.is_set():
            forget()

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

    def run(self) -> None:
        """Consume the iterator (in the worker thread)."""
        with self._lock:
            if self.status != "queued":
                return
            self.status, self.started = "running", time.time()
            self._begun_or_cancelled()
            self.progress = JobProgress(stage="starting")  # until the first item: libraries, data
        estimates.log_job("start", waited=round(self.started - self.submitted, 3), **self._facts())
        try:
            self.result = self._consume()
            self._end("cancelled" if self._cancel.is_set() else "finished")
        except Exception as error:  # noqa: BLE001 - logged and reported; the worker thread must survive
            if told := within(error):
                # Cancelled work may end with an InputError.
                stopped = self._cancel.is_set()
                self.error = None if stopped else str(told)
                self.failure = "" if stopped else "InputError"
                self._end("cancelled" if stopped else "failed")
                return
            _log.exception("job %s (%s) failed", self.id, self.kind)
            self.error, self.failure = failure_sentence(self.kind, error), type(error).__name__
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

    def _end(self, status: JobStatus) -> None:
        self._make = None
        _release_names(self.info)
        self.status, self.ended = status, time.time()
        if self.started:
            estimates.log_job(
                "end",
                **self._facts(),
                status=status,
                seconds=round(self.seconds, 3),
                device=self.progress.device or self.device,
                done=round(self.progress.fraction, 4),
                pace=self.pace and float(f"{self.pace:.4g}"),
                failure=self.failure,
            )
        self._done.set()

    def _facts(self) -> dict[str, Any]:
        """The part of a job that is logged: numbers, and nothing that a user typed."""
        sizes = self.info.get("sizes")
        numbers = sizes.items() if isinstance(sizes, dict) else ()
        known = {str(name): size for name, size in numbers if type(size) in (int, float)}
        return {"job": self.id, "kind": self.kind, "sizes": known}


class Registry:
    """The list of jobs and the workers, one thread and one queue for each device."""

    def __init__(self) -> None:
        self._jobs: dict[str, Job] = {}
        self._queues: dict[str, FairQueue[Job]] = {}
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)

    def add(
        self,
        kind: str,
        title: str,
        device: str,
        make_iterator: MakeIterator,
        describe: Callable[[Any], JobProgress] = progress_as_is,
        info: dict[str, Any] | None = None,
        limited: bool = False,
        estimate: Estimate | None = None,
    ) -> Job:
        """Put a new job into its device's queue, starting the worker if this is its first.

        Raises:
            InputError: when it is ``limited`` and its user has as many jobs as one may have, or
                when the gate (:func:`limits.admit`) does not let what is estimated begin.
        """
        owner, info = users.current(), info or {}
        with self._lock:
            mine = [job for job in self._jobs.values() if job.active and job.owner == owner]
            try:
                if limited:
                    limits.check_jobs(len(mine), owner)
                if estimate is not None:
                    limits.admit(estimate, sum(job.promised for job in mine))
            except InputError:
                _release_names(info)
                raise
            number = next(self._numbers)
            job = Job(number, kind, title, make_iterator, describe, info, device, owner, estimate)
            ended = [other.id for other in self._jobs.values() if not other.active]
            for job_id in ended[: max(0, len(self._jobs) + 1 - REMEMBERED)]:
                del self._jobs[job_id]
            self._jobs[job.id] = job
            if device not in self._queues:
                self._queues[device] = FairQueue()
                threading.Thread(
                    target=self._work, args=(device,), name=f"jobs-{device}", daemon=True
                ).start()
            self._queues[device].put(job)
        return job

    def _work(self, device: str) -> None:
        step_back()
        tidied, untidy = time.monotonic(), False
        while True:
            job = self._queues[device].take(IDLE_SECONDS if untidy else None)
            if job is not None:
                job.run()
            with _tidying:
                if _stopping.is_set():
                    return
                if job is not None:
                    self._queues[device].settle(job, job.seconds)
                    self._give_up_results(job.kind, job.owner)
                    untidy = True
                if job is None or time.monotonic() - tidied > TIDY_SECONDS:
                    give_back()
                    tidied, untidy = time.monotonic(), False

    def all(self) -> list[Job]:
        """Every job in the list, newest first."""
        with self._lock:
            return list(reversed(self._jobs.values()))

    def before(self, job: Job) -> list[Job]:
        """Jobs of all users that come before this one on its device, the one at work first."""
        with self._lock:
            order = self._queues[job.device].order()
            at_work = [
                other
                for other in self._jobs.values()
                if other.status == "running" and other.device == job.device
            ]
        return [*at_work, *order[: order.index(job)]] if job in order else []

    def _give_up_results(self, kind: str, owner: str) -> None:
        """Drop the results of this user's older jobs of one kind."""
        with self._lock:
            alike = [job for job in self._jobs.values() if (job.kind, job.owner) == (kind, owner)]
        for job in [job for job in alike if not job.active][:-RESULTS]:
            job.result = job.latest = None


_registry = Registry()


def submit(
    kind: str,
    title: str,
    make_iterator: MakeIterator,
    *,
    describe: Callable[[Any], JobProgress] = progress_as_is,
    info: dict[str, Any] | None = None,
    device: str = "default",
    estimate: Estimate | None = None,
) -> Job:
    """Queue background work.

    Args:
      kind: one word ("train", "simulate", …).
      title: what the user reads in the list.
      make_iterator: called in the worker with the cancel event, once set the iterator ends early;
        what it *returns* becomes ``job.result``.
      describe: reads the progress off an item, which is a :class:`JobProgress` by default.
      info: facts to display, for example the folder of its run.
      device: whose queue it waits in.
      estimate: what it will take, which decides whether it may begin and when its turn comes.

    Raises:
      InputError: when its user has as many jobs as one may have on this server, or asks for more
        than one may.
      limits.Question: for a large job on one's own machine that nobody has agreed to.
    """
    return _registry.add(
        kind, title, device, make_iterator, describe, info, limited=True, estimate=estimate
    )


def report(item: Any) -> None:
    """From inside a job's iterator, between two items: record progress of a long call."""
    job = getattr(_thread, "job", None)
    if job is not None:
        job.take(item)


def every(kind: str | None = None) -> list[Job]:
    """The user's jobs of one kind (or all), newest first."""
    user = users.current()
    return [
        job for job in _registry.all() if kind in (None, job.kind) and job.within_reach_of(user)
    ]


def table() -> list[Job]:
    """The jobs that the present user may cancel, newest first: their own, or everybody's."""
    user = users.current()
    return _registry.all() if limits.is_administrator(user) else every()


def latest(kind: str) -> Job | None:
    """The user's newest job of one kind."""
    return next(iter(every(kind)), None)


def get(job_id: str) -> Job | None:
    """The user's job of that id, or None if there is none (any more)."""
    return next((job for job in every() if job.id == job_id), None)


def before(job: Job) -> list[Job]:
    """Jobs of all users that come before this one if no other is submitted, in their order."""
    return _registry.before(job)


@atexit.register
def _stop_all(timeout: float = 5.0) -> None:
    """Let the running jobs end at their next item, so that no run is left half written."""
    _stopping.set()  # what waits is put back by the next process
    running = [job for job in _registry.all() if job.active]
    for job in running:
        job.cancel()
    deadline = time.time() + timeout
    for job in (job for job in running if job.started):
        job.wait(max(0.0, deadline - time.time()))
    _tidying.acquire(timeout=timeout)  # and is never given back: no worker begins to tidy now


def failure_sentence(kind: str, error: BaseException) -> str:
    """What went wrong with a job of that kind and what can be done, in one sentence."""
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
