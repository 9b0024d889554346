"""Values that a page shows and does not compute: made once in the background, then kept.

They have a list of jobs of their own, in whose queue users take turns, so that no training delays
them; they count towards no limit.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Generator, Hashable
from typing import Any, Generic, NamedTuple, TypeVar

from fisherdash.errors import InputError
from fisherdash.workspace.jobs import Job, JobProgress, Registry

T = TypeVar("T")

KEPT = 64
"""Values kept, whosever they are; the one that was not asked for longest goes first."""

PATIENCE = 30.0
"""Seconds for which a failure is kept; a later request tries again."""


class Computed(NamedTuple, Generic[T]):
    """The present value or, with the job that computes it, the previous one (or None)."""

    value: T | None
    job: Job | None


class Cache:
    """The values, and the jobs that compute them."""

    def __init__(self) -> None:
        self._values: OrderedDict[Hashable, tuple[Hashable, Any]] = OrderedDict()
        self._jobs: dict[Hashable, tuple[Hashable, Job]] = {}
        self._registry = Registry()
        self._lock = threading.Lock()

    def get(
        self,
        subject: Hashable,
        function: Callable[[], T],
        state: Hashable = None,
        check: Callable[[], object] | None = None,
    ) -> Computed[T]:
        """The value of ``function``, or the job that computes it.

        Args:
            subject: what the value is of; two functions of one subject do the same.
            function: called in another thread.
            state: of the subject; the value of another state is an old one.
            check: called before it is computed; raises InputError for what would take too long.

        Raises:
            InputError: what went wrong the last time, or what ``check`` raises.
        """
        with self._lock:
            known, value = self._values.get(subject, (None, None))
            if subject in self._values and known == state:
                self._values.move_to_end(subject)
                return Computed(value, None)
            begun, job = self._jobs.get(subject, (None, None))
            if job is not None and begun == state and _failed_lately(job):
                raise InputError(job.error or "")
            if job is None or not job.active:
                if check is not None:
                    check()
                job = self._begin(subject, function, state)
            return Computed(value, job)

    def active(self) -> list[Job]:
        """The jobs that wait or are at work."""
        with self._lock:
            return [job for _, job in self._jobs.values() if job.active]

    def _begin(self, subject: Hashable, function: Callable[[], T], state: Hashable) -> Job:
        def work(cancel: threading.Event) -> Generator[JobProgress, None, None]:
            """Compute the value and keep it."""
            yield JobProgress(0.0, "computing")
            self._keep(subject, state, function())

        self._jobs = {
            key: (begun, one)
            for key, (begun, one) in self._jobs.items()
            if one.active or _failed_lately(one)
        }
        job = self._registry.add("compute", "", "", work)
        self._jobs[subject] = state, job
        return job

    def _keep(self, subject: Hashable, state: Hashable, value: Any) -> None:
        with self._lock:
            self._values[subject] = state, value
            self._values.move_to_end(subject)
            while len(self._values) > KEPT:
                self._values.popitem(last=False)


def _failed_lately(job: Job) -> bool:
    return job.status == "failed" and time.time() - job.ended < PATIENCE


_cache = Cache()
computed, active = _cache.get, _cache.active
