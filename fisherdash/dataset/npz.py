"""Reading a zip of numpy arrays from a stranger, and writing the project's own.

An .npz is a zip of .npy files, each a short header (shape, dtype) before raw bytes. Nothing is
unpickled, and before an array is read its header must agree with the size that the zip's
directory states: a header alone could otherwise ask for any amount of memory.

The npz layouts in use, told apart by their keys, and their conversion to a Dataset.

| layout | positions | energies | forces | atomic numbers | units |
|---|---|---|---|---|---|
| this project | positions | energies | forces | atomic_numbers (+ version) | eV, Å |
| MD17, sGDML | R | E | F | z | e_unit, r_unit, otherwise inferred |
| rMD17 | coords | energies | forces | nuclear_charges | inferred (kcal/mol) |
| plain | positions | energy | forces | atomic_numbers (N,) or (M, N) | inferred |

Every published data set makes its own mixture, so each role is looked up on its own.
"""

import lzma
import os
import tokenize
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO

import numpy as np
from ase.data import chemical_symbols
from ase.formula import Formula
from numpy.lib import format as npy

from fisherdash import storage
from fisherdash.dataset.checks import check_arrays
from fisherdash.dataset.core import Dataset, check_temperature
from fisherdash.dataset.inference import (
    ENERGY_UNITS,
    LENGTH_UNITS,
    energy_unit,
    infer_energy_unit,
    length_doubt,
    length_unit,
    total_energy_evidence,
)
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
    with storage.telling(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    with storage.replacing(path) as part, part.open("wb") as stream:
        np.savez_compressed(stream, allow_pickle=False, **arrays)


def _compact(array: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        single = array.astype(np.float32)
    return single if np.array_equal(single.astype(np.float64), array) else array


_ROLES = {
    "positions": ("positions", "R", "coords"),
    "energies": ("energies", "E", "energy"),
    "forces": ("forces", "F"),
    "atomic_numbers": ("atomic_numbers", "z", "nuclear_charges", "numbers"),
}
_ENERGY_UNIT_KEYS = ("e_unit", "energy_unit", "energy_units", "units")
_LENGTH_UNIT_KEYS = ("r_unit", "length_unit", "positions_unit", "coords_unit")


@dataclass(frozen=True)
class ReadOptions:
    """What the user said about a file; None where it is to be inferred."""

    units: str | None = None
    temperature: float | None = None
    labels: str | None = None


def from_arrays(arrays: Arrays, name: str, options: ReadOptions) -> Dataset:
    """The Dataset in an open npz of any known layout.

    Raises InputError for missing keys, frames of different molecules, and whatever Dataset refuses.
    """
    if {"version", "energies", "positions"} <= set(arrays):
        return _from_project(arrays, name, options)
    keys = _find_keys(arrays, name, options.labels)
    positions, energies, forces = (
        _real(arrays[keys[role]], keys[role], name) for role in ("positions", "energies", "forces")
    )
    notes: list[str] = []
    length = _length(arrays, name, notes)
    numbers = one_molecule(arrays[keys["atomic_numbers"]], name)
    # Checked before the units are inferred, so that inference meets only sound numbers.
    sound = check_arrays(positions * length, energies, forces / length, numbers)
    unit, why = _energy(arrays, name, options, keys, sound)
    notes.append(why)
    if length == 1.0:
        notes += length_doubt(sound["positions"][0], sound["atomic_numbers"])
    notes += _about_old_labels(arrays, options)
    return Dataset(
        positions=sound["positions"],
        energies=sound["energies"] * ENERGY_UNITS[unit],
        forces=sound["forces"] * ENERGY_UNITS[unit],
        atomic_numbers=sound["atomic_numbers"],
        temperature=options.temperature,
        source=f"{name} ({', '.join(keys.values())})",
        notes=tuple(notes),
    )


def one_molecule(numbers: np.ndarray, name: str) -> np.ndarray:
    """(N,) from atomic numbers (N,) or (M, N); InputError when the frames differ."""
    if numbers.ndim != 2 or numbers.shape[0] == 0:
        return numbers
    different = (numbers != numbers[0]).any(axis=1)
    if different.any():
        index = int(np.argmax(different))
        raise InputError(describe_difference(name, numbers[0], index, numbers[index]))
    return numbers[0]


def describe_difference(name: str, first: np.ndarray, index: int, other: np.ndarray) -> str:
    """The sentence for a file whose frame `index` is not the molecule of frame 0."""
    a, b = _formula(first), _formula(other)
    if a == b:
        return (
            f"{name} lists the atoms of frame {index} in another order than those of frame 0; "
            "all frames need the same order."
        )
    return (
        f"{name} holds frames of different molecules: frame 0 is {a}, frame {index} is {b}; "
        "a data set is one molecule."
    )


def _formula(numbers: np.ndarray) -> str:
    known = [chemical_symbols[int(z)] for z in numbers if 0 <= z < len(chemical_symbols)]
    return Formula.from_list(known).format("hill")


def _find_keys(arrays: Arrays, name: str, labels: str | None) -> dict[str, str]:
    keys = {}
    for role, names in _ROLES.items():
        if labels and role in ("energies", "forces"):
            names = tuple(f"{labels}_{key}" for key in names)
        found = next((key for key in names if key in arrays), None)
        if found is None:
            raise InputError(
                f"{name} has no {role.replace('_', ' ')}: none of the keys {', '.join(names)} is "
                f"there; received {arrays.listed}."
            )
        keys[role] = found
    return keys


def _real(array: np.ndarray, key: str, name: str) -> np.ndarray:
    if array.dtype.kind not in "iuf":
        raise InputError(
            f"{name} must hold real numbers under {key!r}, received type {array.dtype}."
        )
    return array.astype(np.float64)


def _length(arrays: Arrays, name: str, notes: list[str]) -> float:
    """Å in one unit of length of the file."""
    for key in _LENGTH_UNIT_KEYS:
        text = arrays.text(key)
        if text is None:
            continue
        unit = length_unit(text)
        if unit is None:
            raise InputError(
                f"{name} gives {key} = {text!r}, an unknown unit of length; known are "
                f"{', '.join(LENGTH_UNITS)}."
            )
        if unit != "Å":
            notes.append(f"Lengths converted from {unit} to Å, because the file says {key}={text}.")
        return LENGTH_UNITS[unit]
    return 1.0


def _energy(
    arrays: Arrays,
    name: str,
    options: ReadOptions,
    keys: dict[str, str],
    sound: dict[str, np.ndarray],
) -> tuple[str, str]:
    """The energy unit of the file and the sentence that says why."""
    energies, forces, numbers = sound["energies"], sound["forces"], sound["atomic_numbers"]
    if options.units is not None:
        return options.units, given_units_note(options.units, energies, numbers)
    for key in _ENERGY_UNIT_KEYS:
        text = arrays.text(key)
        if text is None:
            continue
        unit = energy_unit(text)
        if unit is None:
            raise InputError(
                f"{name} gives {key} = {text!r}, an unknown unit of energy; name one of "
                f"{', '.join(ENERGY_UNITS)} with units."
            )
        return unit, f"Units: {unit}, because the file says {key}={text}."
    try:
        return infer_energy_unit(energies, forces, numbers)
    except InputError:
        if keys["atomic_numbers"] in ("z", "nuclear_charges"):
            return "kcal/mol", (
                "Units assumed: kcal/mol, the custom of MD17 files; neither the energies nor the "
                "forces tell."
            )
        raise


def given_units_note(units: str, energies: np.ndarray, numbers: np.ndarray) -> str:
    """A sentence for units named by the user, with a warning where the energies disagree."""
    note = f"Units: {units}, as given."
    seen = total_energy_evidence(energies, numbers)
    if seen in (None, units):
        return note
    return f"{note} The mean energy {np.mean(energies):.6g} looks like {seen} instead."


def _about_old_labels(arrays: Arrays, options: ReadOptions) -> list[str]:
    if "old_forces" not in arrays or options.labels:
        return []
    return [
        "The geometries of this file were sampled with the potential of old_energies and "
        'old_forces (labels="old" loads those); they are not a Boltzmann sample of the labels '
        "loaded here."
    ]


def _from_project(arrays: Arrays, name: str, options: ReadOptions) -> Dataset:
    for key in ("forces", "atomic_numbers"):
        if key not in arrays:
            raise InputError(f"{name} has no {key.replace('_', ' ')}; received {arrays.listed}.")
    if options.units not in (None, "eV"):
        raise InputError(
            f"{name} is a FisherDash file, always in eV; received units {options.units}."
        )
    if options.labels:
        raise InputError(
            f"{name} is a FisherDash file with one set of labels; "
            f"received labels {options.labels!r}."
        )
    version = arrays["version"]
    if version.size != 1 or version.dtype.kind not in "iu" or int(version.item()) != VERSION:
        received = str(version.reshape(-1)[:1].tolist())[:40]
        raise InputError(
            f"{name} is of FisherDash data version {received}; this program reads version "
            f"{VERSION}."
        )
    temperature = options.temperature
    if temperature is None and "temperature" in arrays:
        stored = arrays["temperature"]
        if stored.size != 1 or stored.dtype.kind not in "iuf":
            raise InputError(f"{name} must hold one number under 'temperature'.")
        temperature = None if np.isnan(stored.item()) else check_temperature(stored.item())
    notes = arrays["notes"] if "notes" in arrays else np.array([], dtype=np.str_)
    return Dataset(
        positions=arrays["positions"],
        energies=arrays["energies"],
        forces=arrays["forces"],
        atomic_numbers=one_molecule(arrays["atomic_numbers"], name),
        temperature=temperature,
        source=arrays.text("source") or name,
        notes=tuple(str(n)[:1000] for n in notes.reshape(-1)[:50])
        if notes.dtype.kind == "U"
        else (),
    )
