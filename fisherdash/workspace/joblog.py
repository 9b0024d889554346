"""The log of jobs: a JSON line when one starts and one when it ends.

The lines say what kind of work it was, how large, on what, how long and how it ended. Nothing that
a user typed or uploaded is in them: no names, no titles, no paths, no messages of errors. The file
is ``logs/jobs.jsonl`` of the workspace that everybody shares; it is rotated, and all of it together
never grows beyond :data:`MAX_BYTES` × (:data:`BACKUPS` + 1).
"""

import contextlib
import datetime
import fcntl
import json
import logging
import logging.handlers
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


class _Quiet(logging.handlers.RotatingFileHandler):
    def handleError(self, record: logging.LogRecord) -> None:
        """Ignored: a full disk is reported where the job's own files are written."""
