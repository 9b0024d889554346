"""The door of the data: a path or an upload in, a checked Dataset in the project's units out."""

import io
from pathlib import Path
from typing import BinaryIO

from fisherdash.dataset.core import Dataset, check_temperature
from fisherdash.dataset.inference import check_units
from fisherdash.dataset.npz import Arrays, ReadOptions, from_arrays
from fisherdash.dataset.structures import FORMATS, from_structures
from fisherdash.dataset.temperature import hinted
from fisherdash.errors import InputError

LARGEST_TEXT = 2**30
"""Bytes of a text file that are read; such files are held in memory as a whole."""

_SUFFIXES = {".npz": "npz", ".xyz": "extxyz", ".extxyz": "extxyz"}


def load(
    path: str | Path,
    *,
    units: str | None = None,
    format: str | None = None,
    temperature: float | None = None,
    labels: str | None = None,
) -> Dataset:
    """Read a data set from a file.

    Args:
        path: an npz of a known layout, extended XYZ, or any file whose `format` is named.
        units: unit of the energies, forces being that per unit of length; "eV", "kcal/mol",
            "kJ/mol" or "hartree". None: as the file says, otherwise inferred, see Dataset.notes.
        format: "npz" or one of `FORMATS` (ASE's names). None: by the suffix .npz, .xyz, .extxyz.
        temperature: of the sample, K. None: as the file says, otherwise unknown.
        labels: prefix of another set of labels in the file: "old" reads old_energies and
            old_forces (rMD17), "REF" reads REF_energy and REF_forces (extended XYZ).

    Raises InputError, one sentence, for whatever cannot be used.
    """
    path = Path(path)
    options = _read_options(units, temperature, labels)
    name = clean_name(path.name)
    if path.is_dir():
        raise InputError(f"{path} is a folder; a data file is needed.")
    try:
        with path.open("rb") as stream:
            return _read(stream, path.stat().st_size, name, format, options)
    except FileNotFoundError:
        raise InputError(f"There is no file {path}.") from None
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"Cannot read {path}: {error}.") from None


def load_bytes(
    name: str,
    data: bytes,
    *,
    units: str | None = None,
    format: str | None = None,
    temperature: float | None = None,
    labels: str | None = None,
) -> Dataset:
    """`load` for an upload: its bytes, and its name, which is shown and never used as a path."""
    options = _read_options(units, temperature, labels)
    return _read(io.BytesIO(data), len(data), clean_name(name), format, options)


def clean_name(name: str) -> str:
    """The last part of a file name given by a stranger, printable and not endless."""
    last = str(name).replace("\\", "/").rstrip("/").rsplit("/", 1)[-1]
    return "".join(c for c in last if c.isprintable())[:80] or "unnamed file"


def _read_options(units: str | None, temperature: float | None, labels: str | None) -> ReadOptions:
    return ReadOptions(check_units(units), check_temperature(temperature), labels or None)


def _read(
    stream: BinaryIO, size: int, name: str, format: str | None, options: ReadOptions
) -> Dataset:
    if size == 0:
        raise InputError(f"{name} is empty.")
    if format is None:
        suffix = Path(name).suffix.lower()
        format = _SUFFIXES.get(suffix)
        if format is None:
            raise InputError(
                f"{name} has the unknown suffix {suffix!r}; use {', '.join(_SUFFIXES)} or name "
                f"the format (npz, {', '.join(FORMATS)})."
            )
    if format == "npz":
        return hinted(from_arrays(Arrays(stream, name), name, options), name)
    if format not in FORMATS:
        raise InputError(f"Unknown format {format!r}; use npz, {', '.join(FORMATS)}.")
    if size > LARGEST_TEXT:
        raise InputError(
            f"{name} has {size / 2**30:.1f} GiB; at most {LARGEST_TEXT / 2**30:.0f} GiB of "
            f"{format} are read: convert it to npz."
        )
    return hinted(from_structures(stream.read(), name, format, options), name)
