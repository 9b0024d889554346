"""The files of a run: names, arrays in plain npz, and whether their writer still lives."""

import os
import socket
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from fisherdash.errors import InputError
from fisherdash.runs import workspace

CHUNK = "chunk-{:06d}.npz"
STATE = "state.npz"
MODEL = "model-{:02d}.safetensors"


def save(path: Path, arrays: dict[str, Any]) -> None:
    """Write arrays as an uncompressed npz, whole or not at all."""
    with workspace.replacing(path) as part, part.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)


def load(path: Path, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Only the named arrays of an npz; InputError when it is damaged."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in names}
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise damaged(path, type(error).__name__) from error


def damaged(path: Path, why: str) -> InputError:
    """The sentence for a file that cannot be read."""
    return InputError(f"the run in {path.parent} is damaged: {path.name} cannot be read ({why})")


def this_writer() -> dict[str, Any]:
    """Who is writing: this process on this machine."""
    return {"pid": os.getpid(), "host": socket.gethostname()}


def is_alive(writer: Any) -> bool:
    """Whether the process that writes a run still runs, as far as this machine can tell."""
    pid = writer.get("pid") if isinstance(writer, dict) else None
    if not isinstance(pid, int) or pid <= 0:
        return False
    if writer.get("host") != socket.gethostname():
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True  # it runs, under another user
    return True
