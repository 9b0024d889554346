"""The log of jobs: a JSON line when one starts and one when it ends.

The lines say what kind of work it was, how large, on what, how long, how fast and how it ended.
Nothing that a user typed or uploaded is in them: no names, no titles, no paths, no messages of
errors. The file is ``logs/jobs.jsonl`` of the workspace that everybody shares; it is rotated, and
all of it together never grows beyond :data:`MAX_BYTES` × (:data:`BACKUPS` + 1).
"""

import contextlib
import datetime
import fcntl
import functools
import json
import logging
import logging.handlers
import math
import os
from pathlib import Path
from typing import Any

import fisherdash
from fisherdash.workspace import paths

FILE = "jobs.jsonl"
MAX_BYTES = 1_000_000
BACKUPS = 4


def path() -> Path:
    """Where the log is; it may not exist yet."""
    return paths.everybodys() / "logs" / FILE


def write(event: str, **facts: Any) -> None:
    """Add one line; errors of the disk are ignored.

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


def paces(kind: str) -> list[float]:
    """How many seconds by the rule each job of a kind has done in one, the oldest first.

    Only jobs that worked for a while are in it; [] where none has, or the log cannot be read.
    """
    return _paces(path(), _stamp(path())).get(kind, [])


@functools.lru_cache(maxsize=4)
def _paces(log: Path, stamp: tuple[int, int]) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    with contextlib.suppress(OSError), log.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            with contextlib.suppress(ValueError, TypeError, KeyError, RecursionError):
                facts = json.loads(line)
                kind, pace = str(facts["kind"]), float(facts["pace"])
                if 0 < pace < math.inf:
                    found.setdefault(kind, []).append(pace)
    return found


def _stamp(log: Path) -> tuple[int, int]:
    try:
        facts = log.stat()
    except OSError:
        return 0, 0
    return facts.st_mtime_ns, facts.st_size


class _Quiet(logging.handlers.RotatingFileHandler):
    def handleError(self, record: logging.LogRecord) -> None:
        """Ignored: a full disk is reported where the job's own files are written."""
