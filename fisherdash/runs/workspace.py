"""Where FisherDash keeps what the user made: data sets, checkpoints, runs and caches.

The workspace is ``$FISHERDASH_WORKSPACE`` or the user's data folder of the operating system.
Names that people type (an upload, a title) never become paths: they are reduced to a safe stem
first. Files are written to a temporary name and moved into place, so that a reader meets either
the old file or the whole new one.
"""

import contextlib
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import platformdirs

from fisherdash.errors import InputError

Kind = Literal["datasets", "checkpoints", "runs", "cache"]

_UNSAFE = re.compile(r"[^A-Za-z0-9._+-]+")
_LONGEST_STEM = 80


def workspace() -> Path:
    """The workspace folder, made if need be; InputError if it cannot be written."""
    named = os.environ.get("FISHERDASH_WORKSPACE")
    folder = Path(named).expanduser() if named else platformdirs.user_data_path("fisherdash")
    return _made(folder.resolve())


def folder(kind: Kind) -> Path:
    """One of the workspace's folders, made if need be."""
    return _made(workspace() / kind)


def samples() -> Path:
    """The sample data and sample checkpoints that come with the source (may be absent)."""
    return Path(__file__).resolve().parents[2] / "sample_models"


def files(kind: Literal["datasets", "checkpoints"]) -> list[Path]:
    """Files of one kind, the samples first, each group by name."""
    suffix = {"datasets": ".npz", "checkpoints": ".safetensors"}[kind]
    return [path for home in (samples(), folder(kind)) for path in sorted(home.glob(f"*{suffix}"))]


def safe_stem(name: str) -> str:
    """A user's name as a file stem: the last path part, plain characters, never empty or hidden.

    >>> safe_stem("../../etc/My water, 300 K.xyz")
    'My-water-300-K'
    """
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    stem = last.rsplit(".", 1)[0] if "." in last.strip(".") else last
    safe = _UNSAFE.sub("-", stem).strip("-.")[:_LONGEST_STEM]
    return safe or "unnamed"


def new_path(kind: Kind, name: str, suffix: str) -> Path:
    """A path in the workspace that nothing has yet: ``name``, ``name-2``, ``name-3``, …"""
    home, stem = folder(kind), safe_stem(name + ".x")
    path, number = home / f"{stem}{suffix}", 1
    while path.exists():
        number += 1
        path = home / f"{stem}-{number}{suffix}"
    return path


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path beside ``path``; move it into place when the block succeeds."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".part-", suffix=path.suffix)
    os.close(handle)
    part = Path(name)
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def save_new(kind: Kind, name: str, suffix: str, write: Callable[[Path], object]) -> Path:
    """Let ``write(path)`` make a new file of the workspace, atomically; returns where it lies."""
    path = new_path(kind, name, suffix)
    with replacing(path) as part:
        write(part)
    return path


def _made(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"the workspace {folder} cannot be written ({error.strerror}); "
            "set FISHERDASH_WORKSPACE to a folder that can"
        ) from error
    return folder
