"""A sample that is on disk while it is made: what was recorded is never lost."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

from fisherdash import dataset
from fisherdash.reference.sampling import SampleProgress

EVERY = 5.0
"""Seconds from one writing of the file to the next."""


def kept(
    reports: Iterator[SampleProgress], out: Path, cancel: threading.Event | None = None
) -> Iterator[SampleProgress]:
    """The same reports, while ``out`` gets every frame within some seconds.

    The file is whole at any moment, with the frames recorded until then. When ``cancel`` is set the
    sampling ends with what it has; before the first frame nothing is written.
    """
    written = time.monotonic()
    for report in reports:
        stopped = cancel is not None and cancel.is_set()
        due = time.monotonic() - written > EVERY
        if report.so_far is not None and (due or stopped or report.dataset is not None):
            dataset.save(report.so_far(), out)
            written = time.monotonic()
        yield report
        if stopped:
            return
