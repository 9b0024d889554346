"""A list of what is in the workspace, so that nobody has to open every folder to see it.

An SQLite file beside the folders remembers what each run, training and model says of itself, with
the stamp (time, size, inode) of the file that said it. Looking compares the stamps with the disk
and reads again what has changed, so the answer is always that of the folders: the index may be
deleted, damaged, of another version or not writable, and nothing is lost but time.
"""

import contextlib
import dataclasses
import fcntl
import json
import logging
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

from fisherdash import storage
from fisherdash.errors import InputError
from fisherdash.potentials import checkpoint
from fisherdash.workspace import locks, paths
from fisherdash.workspace.headers import (
    HEADER,
    TRAINING,
    RunHeader,
    TrainingHeader,
    read_header,
    read_training_header,
)

Listed = Literal["runs", "trainings", "checkpoints"]
LISTED: tuple[Listed, ...] = ("runs", "trainings", "checkpoints")

VERSION = 1
FILE = "index.sqlite"
_BUSY_SECONDS = 5.0
_COLUMNS = "kind, name, stamp, title, created, number, status, facts, problem"

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Entry:
    """One line of a list; ``problem`` is why it cannot be opened, or None.

    Attributes:
        folder: of the run or training, or the model's file.
        title: what the user reads.
        created: UTC, ISO 8601; "" when unknown.
        problem: one sentence, or None.
        number: order of creation, whatever the clock said.
        status: as its header says, "interrupted" when its writer is gone without a word.
        facts: more of what it says of itself, JSON-able.
    """

    folder: Path
    title: str
    created: str
    problem: str | None = None
    number: int = 0
    status: str = ""
    facts: dict[str, Any] = dataclasses.field(default_factory=dict)


def entries(kind: Listed) -> list[Entry]:
    """What the workspace holds of one kind, newest first; the damaged with what is wrong."""
    stamps = _stamps(kind)
    known = _known(kind)
    changed = [name for name in stamps if name not in known or known[name][0] != stamps[name]]
    fresh = {name: _read(kind, name) for name in changed}
    gone = [name for name in known if name not in stamps]
    if fresh or gone:
        _remember(kind, {name: (stamps[name], fresh[name]) for name in fresh}, gone)
    found = {name: entry for name, (_, entry) in known.items() if name in stamps} | fresh
    return sorted(
        map(_as_it_is_now, found.values()),
        key=lambda entry: (entry.number, entry.created, entry.folder.name),
        reverse=True,
    )


def next_number(folder: Path) -> int:
    """The number of a new folder: one more than the highest beside it, 0 outside the workspace."""
    for kind in ("runs", "trainings"):
        if folder.resolve().parent == paths.place(kind):
            return 1 + max((entry.number for entry in entries(kind)), default=0)
    return 0


def rebuild() -> None:
    """Throw the index away and write it anew; what killed programs left half written goes too."""
    _discard(lambda: True)
    for kind in LISTED:
        storage.sweep(paths.place(kind))
        entries(kind)


def path() -> Path:
    """Where the index is."""
    return paths.root() / FILE


def state() -> str:
    """The state of the index in a word: "ready", "missing", "damaged", or "cannot be used"."""
    if not path().exists():
        return "missing"
    try:
        with _opened() as connection:
            sound = connection.execute("PRAGMA quick_check").fetchone()[0] == "ok"
    except sqlite3.OperationalError as error:
        return f"cannot be used ({error})"
    except sqlite3.DatabaseError:
        return "damaged"
    return "ready" if sound else "damaged"


# What the folders say.


def _stamps(kind: Listed) -> dict[str, str]:
    """Name → stamp of the file that speaks for it; "missing" where that file is."""
    found: dict[str, str] = {}
    nothing = (FileNotFoundError, NotADirectoryError)
    with contextlib.suppress(*nothing), os.scandir(paths.place(kind)) as items:
        for item in items:
            if item.name.startswith(".") or not _is_one(kind, item):
                continue
            try:
                # Strings, not paths: this runs for every run at every look.
                facts = os.stat(f"{item.path}/{_HEADERS[kind]}" if kind in _HEADERS else item.path)  # noqa: PTH116
                found[item.name] = f"{facts.st_mtime_ns} {facts.st_size} {facts.st_ino}"
            except OSError:
                found[item.name] = "missing"
    return found


def _is_one(kind: Listed, item: os.DirEntry[str]) -> bool:
    if kind == "checkpoints":
        return item.name.endswith(".safetensors") and item.is_file()
    return item.is_dir()


def _read(kind: Listed, name: str) -> Entry:
    item = paths.place(kind) / name
    try:
        return _READERS[kind](item)
    except InputError as error:
        return Entry(item, Path(name).stem if item.is_file() else name, "", str(error))


def _read_run(folder: Path) -> Entry:
    header, fields = read_header(folder)
    facts = {"writer": fields.get("writer"), "steps": _whole(header.settings["steps"])}
    return _entry(folder, header, fields, facts)


def _read_training(folder: Path) -> Entry:
    header, fields = read_training_header(folder)
    facts = {"writer": fields.get("writer"), "epochs": _whole(header.settings["epochs"])}
    return _entry(folder, header, fields, facts)


def _entry(
    folder: Path, header: RunHeader | TrainingHeader, fields: dict[str, Any], facts: dict[str, Any]
) -> Entry:
    # Whatever a header holds, the list can be sorted and remembered.
    title, created = str(header.title), str(header.created)
    status = str(fields.get("status", "interrupted"))
    return Entry(folder, title, created, None, _whole(header.number), status, facts)


def _whole(value: Any) -> int:
    return value if type(value) is int and abs(value) < 2**53 else 0


def _read_model(file: Path) -> Entry:
    model = checkpoint.load(file)
    facts = {
        "fingerprint": model.fingerprint,
        "parent": model.provenance.get("parent_fingerprint"),
        "elements": list(model.elements),
    }
    return Entry(file, model.name, "", facts=facts)


_HEADERS = {"runs": HEADER, "trainings": TRAINING}
_READERS: dict[Listed, Callable[[Path], Entry]] = {
    "runs": _read_run,
    "trainings": _read_training,
    "checkpoints": _read_model,
}


def _as_it_is_now(entry: Entry) -> Entry:
    """The entry with the status that no file tells: that its writer is gone."""
    if entry.status == "running" and not locks.is_held(entry.folder, entry.facts.get("writer")):
        return dataclasses.replace(entry, status="interrupted")
    return entry


# What the index remembers.


def _known(kind: Listed) -> dict[str, tuple[str, Entry]]:
    """Name → stamp and entry; empty when the index cannot be read."""
    if not path().exists():
        return {}
    found = {}
    with _at_most_slower(), _opened() as connection:
        for row in connection.execute(f"SELECT {_COLUMNS} FROM entry WHERE kind = ?", (kind,)):
            _, name, stamp, title, created, number, status, facts, problem = row
            item = paths.place(kind) / name
            entry = Entry(item, title, created, problem, number, status, json.loads(facts))
            found[name] = (stamp, entry)
    return found


def _remember(kind: Listed, fresh: dict[str, tuple[str, Entry]], gone: Iterable[str]) -> None:
    rows = [
        (kind, name, stamp, entry.title, entry.created, entry.number, entry.status,
         json.dumps(entry.facts), entry.problem)
        for name, (stamp, entry) in fresh.items()
    ]  # fmt: skip
    with _at_most_slower(), _opened() as connection:
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(
            f"INSERT OR REPLACE INTO entry ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows
        )
        connection.executemany(
            "DELETE FROM entry WHERE kind = ? AND name = ?", [(kind, name) for name in gone]
        )
        connection.execute("COMMIT")


@contextlib.contextmanager
def _opened() -> Iterator[sqlite3.Connection]:
    """A connection to an index of this version; one of another version is begun anew."""
    with contextlib.closing(
        sqlite3.connect(path(), timeout=_BUSY_SECONDS, isolation_level=None)
    ) as connection:
        if connection.execute("PRAGMA user_version").fetchone()[0] != VERSION:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("DROP TABLE IF EXISTS entry")
            connection.execute(
                "CREATE TABLE entry (kind TEXT, name TEXT, stamp TEXT, title TEXT, created TEXT, "
                "number INTEGER, status TEXT, facts TEXT, problem TEXT, PRIMARY KEY (kind, name))"
            )
            connection.execute(f"PRAGMA user_version = {VERSION}")
            connection.execute("COMMIT")
        yield connection


@contextlib.contextmanager
def _at_most_slower() -> Iterator[None]:
    """An index that cannot be used costs time and nothing else; a damaged one is thrown away."""
    try:
        yield
    except sqlite3.OperationalError as error:
        _log.info("the index is not used: %s", error)
    except (sqlite3.DatabaseError, ValueError) as error:
        _log.warning("the index is damaged and begun anew: %s", error)
        _discard(lambda: state() == "damaged")


def _discard(wanted: Callable[[], bool]) -> None:
    """Delete the index if that is still wanted once no other program is doing the same."""
    with contextlib.suppress(OSError), (paths.root() / f"{FILE}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if wanted():
            for ending in ("", "-wal", "-shm"):
                path().with_name(FILE + ending).unlink(missing_ok=True)
