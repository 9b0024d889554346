"""A study's folder: one small JSON file for each finished stage of each member.

    study.toml                  the specification
    questions.json              wordings of its primary question, with dates, where it has one
    data/                       its data sets
    members/NAME/training.json  the losses and errors; default.safetensors, the network
    members/NAME/heads.json     the re-fits; head-KEY.safetensors
    members/NAME/run-KEY.json   what the dynamics of the heads gave, by temperature and time step
    members/NAME/failed.json    why a member could not be done
    running/                    dynamics under way, to go on with
    log/HOST-PID.jsonl          who did what when
    tables/                     the result (fisherdash.study.tables)

A file is there when its stage is done, whole or not at all. Nothing else says what is finished, so
nothing can disagree with it.
"""

import contextlib
import hashlib
import json
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fisherdash import storage
from fisherdash.errors import InputError

VERSION = 1
MOST_BYTES = 100_000_000
"""Of one stage's result: a million trajectories."""


def digest(fields: Any) -> str:
    """A short mark of JSON-able fields."""
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()[:16]


def home(folder: Path, member: str) -> Path:
    """The folder of a member."""
    return folder / "members" / member


def write(path: Path, fields: dict[str, Any]) -> None:
    """Writes one stage's result, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with storage.replacing(path) as part:
        part.write_text(
            json.dumps({"version": VERSION, **fields}, allow_nan=False), encoding="utf-8"
        )


def read(path: Path) -> dict[str, Any] | None:
    """A stage's result, None where there is none; InputError if it is damaged or of the future."""
    try:
        fields = json.loads(storage.content(path, MOST_BYTES))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path} is damaged; delete it and the study does it again") from error
    if not isinstance(fields, dict) or fields.get("version") != VERSION:
        raise InputError(f"{path} is not of version {VERSION}, which this program reads")
    return fields


@contextlib.contextmanager
def sound(place: Path) -> Iterator[None]:
    """InputError where what a member's files hold is not what the stages write."""
    try:
        yield
    except InputError:
        raise
    except (AttributeError, IndexError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise InputError(
            f"a file in {place} is damaged ({type(error).__name__}: {error!s:.80}); delete that "
            "folder and the study does it again"
        ) from error


def log(folder: Path, event: str, **details: Any) -> None:
    """Adds a line to this process's log."""
    place = folder / "log"
    place.mkdir(parents=True, exist_ok=True)
    line = {"time": round(time.time(), 3), "event": event, **details}
    with (place / f"{socket.gethostname()}-{os.getpid()}.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")
