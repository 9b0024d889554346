"""Jobs that wait in a queue, written down so that they are put back after a restart.

    waiting/PROCESS/NUMBER.json    what one job was asked to do, until it begins or is cancelled
    waiting/PROCESS/writer.lock    held while the process lives

Each user has such a folder. What a process that has ended left behind is taken over by the next one
that asks (:func:`left_behind`).
"""

import contextlib
import json
import threading
import uuid
from pathlib import Path
from typing import Any

from fisherdash import storage
from fisherdash.errors import InputError
from fisherdash.workspace import locks, paths
from fisherdash.workspace.jobs import Job

VERSION = 1

_LARGEST = 10_000_000
"""Bytes of what is written down of one job; a study of that size has a specification of 1 MB."""

_PROCESS = uuid.uuid4().hex
_held: dict[Path, locks.FolderLock] = {}
_lock = threading.Lock()


def write_down(job: Job, what: dict[str, Any]) -> None:
    """Keep what a job was asked to do, JSON-able, for as long as it waits."""
    if job.status != "queued":
        return
    with contextlib.suppress(InputError):  # a disk that is full costs the note, not the job
        path = _own_folder() / f"{job.id}.json"
        with storage.telling(path), storage.replacing(path) as part:
            part.write_text(json.dumps({"version": VERSION, **what}), encoding="utf-8")
        job.when_no_longer_waiting(lambda: path.unlink(missing_ok=True))


def left_behind() -> list[dict[str, Any]]:
    """What waited in processes that have ended, oldest first; each is given to one caller only."""
    home, found = paths.place("waiting"), []
    with _lock:
        for folder in sorted(home.iterdir()) if home.is_dir() else []:
            if folder.is_dir() and folder not in _held and not locks.is_locked(folder, None):
                found += _taken_over(folder)
    return [fields for _, _, fields in sorted(found, key=lambda one: one[:2])]


def _taken_over(folder: Path) -> list[tuple[int, str, dict[str, Any]]]:
    """Time, name and fields of each note in a folder, which is removed."""
    try:
        lock = locks.FolderLock(folder)
    except InputError:
        return []  # of two that were started together, the other has it
    found = []
    try:
        for path in folder.glob("*.json"):
            with contextlib.suppress(OSError, ValueError, RecursionError):
                fields = json.loads(storage.content(path, _LARGEST))
                if isinstance(fields, dict) and fields.pop("version", 0) == VERSION:
                    found.append((path.stat().st_mtime_ns, path.name, fields))
        with contextlib.suppress(InputError):
            storage.remove_folder(folder)
    finally:
        lock.release()
    return found


def _own_folder() -> Path:
    folder = paths.folder("waiting") / _PROCESS
    with _lock:
        if folder not in _held:
            _held[folder] = locks.FolderLock(paths.made(folder))
    return folder
