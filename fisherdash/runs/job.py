"""One piece of background work: an iterator that is consumed in a worker thread."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

from fisherdash.errors import InputError
from fisherdash.runs import failures, joblog, people, workspace
from fisherdash.runs.progress import Progress

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
            workspace.release(place)


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
        return user in (people.EVERYBODY, self.owner)

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
        if not self.within_reach_of(people.current()):
            raise InputError("this job is another user's, who alone can cancel it")
        self._cancel.set()
        with self._lock:
            if self.status == "queued":
                self._end("cancelled")

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the end; False if it has not come within ``timeout`` seconds."""
        return self._done.wait(timeout)

    def take(self, item: Any) -> None:
        """Record one item (the worker calls this; so does :func:`fisherdash.runs.jobs.report`)."""
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
        make, self._make = self._make, None
        if make is None:
            raise RuntimeError(f"{self.id} has run before")
        _thread.job = self
        try:
            with people.acting_for(self.owner):
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
            joblog.ended(self)
        self._done.set()
