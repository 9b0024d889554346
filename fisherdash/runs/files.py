"""The files of a run: names, arrays in plain npz, JSON headers, each with its format's version."""

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from fisherdash import disk
from fisherdash.errors import InputError

CHUNK = "chunk-{:06d}.npz"
STATE = "state-{:06d}.npz"
"""The integrator's state once so many chunks are written."""

ONLY_STATE = "state.npz"
"""Of a run written before the states had numbers: after the last chunk, or the one before it."""

MODEL = "model-{:02d}.safetensors"

FORMAT = 1
"""Of the npz files; those without a number were written before there was one, and are the same."""


def save(path: Path, arrays: dict[str, Any]) -> None:
    """Write arrays as an uncompressed npz with the format's version, whole or not at all.

    InputError, one sentence, when the disk refuses.
    """
    with disk.replacing(path) as part, part.open("wb") as file:
        np.savez(file, allow_pickle=False, format=np.int64(FORMAT), **arrays)


def load(path: Path, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Only the named arrays of an npz; InputError when it is damaged or of another version."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            written = int(archive["format"]) if "format" in archive else FORMAT
            if written != FORMAT:
                raise InputError(another_format(path, written, FORMAT))
            return {name: archive[name] for name in names}
    except InputError:
        raise
    except (OSError, EOFError, ValueError, TypeError, KeyError, zipfile.BadZipFile) as error:
        raise damaged(path, type(error).__name__) from error


def save_json(path: Path, fields: dict[str, Any]) -> None:
    """Write a JSON object, whole or not at all; InputError when the disk refuses."""
    with disk.replacing(path) as part:
        part.write_text(json.dumps(fields, indent=1, ensure_ascii=False), encoding="utf-8")


def load_json(path: Path, what: str, version: int) -> dict[str, Any]:
    """A JSON object with the version that is read here.

    Args:
      path: of the file.
      what: its folder is meant to be ("run").
      version: that is read.

    Raises InputError, one sentence, when there is none, it is damaged or of another version.
    """
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"{path.parent} is not a {what}: it holds no {path.name}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(
            f"the {what} in {path.parent} cannot be read: {path.name} is damaged"
        ) from error
    if not isinstance(fields, dict) or "format" not in fields:
        raise InputError(f"{path.name} is not a FisherDash {what} header")
    if fields["format"] != version:
        raise InputError(another_format(path, fields["format"], version))
    return fields


def another_format(path: Path, written: object, version: int) -> str:
    """The sentence for a file that a newer program, or nobody, wrote."""
    return (
        f"{path.name} has format {written!r}, this version reads format {version}; "
        "open it with the version of FisherDash that wrote it"
    )


def damaged(path: Path, why: str) -> InputError:
    """The sentence for a file that cannot be read."""
    return InputError(f"the folder {path.parent} is damaged: {path.name} cannot be read ({why})")
