"""Reading a zip of numpy arrays from a stranger, and writing the project's own.

An .npz is a zip of .npy files, each a short header (shape, dtype) before raw bytes. Nothing is
unpickled, and before an array is read its header must agree with the size that the zip's
directory states: a header alone could otherwise ask for any amount of memory.
"""

import lzma
import os
import tokenize
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import IO, BinaryIO

import numpy as np
from numpy.lib import format as npy

from fisherdash import disk
from fisherdash.dataset.core import Dataset
from fisherdash.errors import InputError

VERSION = 1
LARGEST_TOTAL = 4 * 2**30
"""Bytes that all arrays of one file may take in memory, every number in double precision."""

ALWAYS_ALLOWED = 64 * 2**20
"""Bytes in memory that any file may take, however small it is."""

HIGHEST_RATIO = 10
"""Times its own size that a larger file may take in memory; noise in real data forbids more."""

LONGEST_TEXT = 2000
"""Bytes of a text beside the arrays: the name of a unit, where the frames came from."""

MOST_MEMBERS = 1000
"""Arrays of one file; those in use have fewer than twenty."""

# What zipfile, its decompressors and numpy's reader of headers let through.
_READ_ERRORS = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, RuntimeError,
                ValueError, OverflowError, tokenize.TokenError, MemoryError)  # fmt: skip


class Arrays(Mapping[str, np.ndarray]):
    """The arrays of an open .npz, read when asked for; every header is checked at the start.

    Raises InputError when the file is no zip, holds pickled content, or a header lies.
    """

    def __init__(self, stream: BinaryIO, name: str) -> None:
        self._name = name
        try:
            self._zip = zipfile.ZipFile(stream)
        except _READ_ERRORS:
            raise InputError(
                f"{name} is not a readable npz file: it is damaged, cut short or something else."
            ) from None
        self._members = {
            info.filename.removesuffix(".npy"): info
            for info in self._zip.infolist()
            if info.filename.endswith(".npy")
        }
        if len(self._members) > MOST_MEMBERS:
            raise InputError(
                f"{name} holds {len(self._members)} arrays, of which at most {MOST_MEMBERS} are "
                "looked at."
            )
        # First by what the directory says, then by what the headers say: a small type grows when
        # it becomes double precision.
        size = stream.seek(0, os.SEEK_END)
        self._allowed = min(LARGEST_TOTAL, max(ALWAYS_ALLOWED, HIGHEST_RATIO * size))
        self._check_total(sum(info.file_size for info in self._members.values()))
        self._check_total(sum(self._check_header(*member) for member in self._members.items()))

    def _check_total(self, total: int) -> None:
        if total > self._allowed:
            raise InputError(
                f"{self._name} would unpack to {total / 2**20:.0f} MiB, of which a file of its "
                f"size may take {self._allowed / 2**20:.0f} MiB."
            )

    def _check_header(self, key: str, info: zipfile.ZipInfo) -> int:
        """Bytes of the array in double precision; InputError when its header is not sound."""
        try:
            with self._zip.open(info) as member:
                shape, dtype = _read_header(member)
                start = member.tell()
        except _READ_ERRORS:
            raise InputError(
                f"{self._name} is damaged: its array {key!r} cannot be read."
            ) from None
        if dtype.hasobject:
            raise InputError(
                f"{self._name} holds pickled Python objects under {key!r}, which are never "
                "loaded; save that array as plain numbers."
            )
        elements = 1
        for length in shape:  # Python integers: no overflow, whatever the header claims
            elements *= int(length)
        if min(shape, default=0) < 0 or elements * dtype.itemsize != info.file_size - start:
            raise InputError(
                f"{self._name} is damaged: its array {key!r} claims the shape {shape} of "
                f"{dtype}, but {info.file_size - start} bytes follow."
            )
        return elements * max(dtype.itemsize, 8)

    def __getitem__(self, key: str) -> np.ndarray:
        info = self._members[key]
        try:
            with self._zip.open(info) as member:
                return npy.read_array(member, allow_pickle=False)
        except _READ_ERRORS:
            raise InputError(
                f"{self._name} is damaged: its array {key!r} cannot be read."
            ) from None

    def __iter__(self):
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)

    @property
    def listed(self) -> str:
        """The keys in words, none of them endless."""
        words = [f"{key[:40]}…" if len(key) > 40 else key for key in list(self)[:20]]
        words = ["".join(c if c.isprintable() else "?" for c in word) for word in words]
        return ", ".join([*words, "…"] if len(self) > 20 else words) or "no arrays at all"

    def text(self, key: str) -> str | None:
        """The text stored under `key` (also as bytes), or None if there is none or no end to it."""
        if key not in self._members:
            return None
        value = self[key]
        if value.size != 1 or value.dtype.kind not in "US" or value.nbytes > LONGEST_TEXT:
            return None
        item = value.reshape(-1)[0]
        return item.decode("utf-8", "replace") if isinstance(item, bytes) else str(item)


def _read_header(member: IO[bytes]) -> tuple[tuple[int, ...], np.dtype]:
    version = npy.read_magic(member)
    if version == (1, 0):
        shape, _, dtype = npy.read_array_header_1_0(member)
    else:  # 2.0 and 3.0 differ only in the header's text encoding; others raise here
        shape, _, dtype = npy.read_array_header_2_0(member)
    return shape, dtype


def save(dataset: Dataset, path: str | Path) -> None:
    """Write the project's npz: positions, energies, forces, atomic_numbers, temperature (NaN when
    unknown), source, notes, version; eV, Å, K. No pickle, and the same data give the same bytes.

    An array is stored in single precision when that loses nothing, so reading it back gives the
    same fingerprint. The file appears whole or not at all. Raises InputError when it cannot be
    written.
    """
    path = Path(path)
    arrays = {
        "positions": _compact(dataset.positions),
        "energies": _compact(dataset.energies),
        "forces": _compact(dataset.forces),
        "atomic_numbers": dataset.atomic_numbers.astype(np.uint8),
        "temperature": np.float64(np.nan if dataset.temperature is None else dataset.temperature),
        "source": np.str_(dataset.source),
        "notes": np.array(dataset.notes, dtype=np.str_),
        "version": np.int64(VERSION),
    }
    with disk.telling(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    with disk.replacing(path) as part, part.open("wb") as stream:
        np.savez_compressed(stream, allow_pickle=False, **arrays)


def _compact(array: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        single = array.astype(np.float32)
    return single if np.array_equal(single.astype(np.float64), array) else array
