"""Reading npz files of any known layout safely, and writing the project's own.

An .npz is a zip of .npy files, each a short header (shape, dtype) before raw bytes. Nothing is
unpickled, and before an array is read its header must agree with the size that the zip's
directory states: a header alone could otherwise ask for any amount of memory.

| layout | positions | energies | forces | atomic numbers | units |
|---|---|---|---|---|---|
| this project | positions | energies | forces | atomic_numbers (+ version) | eV, Å |
| MD17, sGDML | R | E | F | z | e_unit, r_unit, otherwise inferred |
| rMD17 | coords | energies | forces | nuclear_charges | inferred (kcal/mol) |
| plain | positions | energy | forces | atomic_numbers (N,) or (M, N) | inferred |

Every published data set makes its own mixture, so each role is looked up on its own.
"""

import lzma
import math
import os
import tokenize
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import IO, BinaryIO

import numpy as np
from ase.data import chemical_symbols
from ase.formula import Formula
from numpy.lib import format as npy

from fisherdash import storage
from fisherdash.dataset import raw as known
from fisherdash.dataset.core import Dataset, check_temperature
from fisherdash.dataset.inference import Declared
from fisherdash.dataset.raw import Raw, ReadOptions, assemble
from fisherdash.errors import InputError
from fisherdash.units import ENERGY_UNITS, LENGTH_UNITS, energy_unit, force_unit, length_unit

VERSION = 1
LARGEST_TOTAL = 4 * 2**30
"""Bytes that all arrays of one file may take in memory, every number in double precision."""

ALWAYS_ALLOWED = 64 * 2**20
"""Bytes in memory that any file may take, however small it is."""

HIGHEST_RATIO = 10
"""Times its own size that a larger file may take in memory; noise in real data forbids more."""

LONGEST_TEXT = 2000
"""Bytes of a text beside the arrays: the name of a unit, where the frames came from."""

MOST_FILES = 10_000
"""Members of a zip, arrays or not."""
MOST_MEMBERS = 1000
"""Arrays of one file; those in use have fewer than twenty."""

# What zipfile, its decompressors and numpy's reader of headers let through.
READ_ERRORS = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, RuntimeError,
                ValueError, OverflowError, tokenize.TokenError, MemoryError)  # fmt: skip


_MEMBER = 1000
"""Bytes of the directory of a zip for each member; members that take more are few for its size."""


def check_directory(stream: BinaryIO, name: str, most: int) -> None:
    """InputError for a zip of more than so many members, before ``zipfile`` makes objects of all.

    A member takes 46 bytes in a file and some 600 in memory, so they are counted first: in the
    directory, which is at the end.
    """
    size = stream.seek(0, os.SEEK_END)
    stream.seek(max(0, size - most * _MEMBER - 2**17))
    count = stream.read().count(b"PK\1\2")
    stream.seek(0)
    if count > most:
        raise InputError(f"{name} holds {count} files or more, of which at most {most} are read.")


class Arrays(Mapping[str, np.ndarray]):
    """The arrays of an open .npz, read when asked for; every header is checked at the start.

    Raises InputError when the file is no zip, holds pickled content, or a header lies.
    """

    def __init__(self, stream: BinaryIO, name: str) -> None:
        self._name = name
        check_directory(stream, name, MOST_FILES)
        try:
            self._zip = zipfile.ZipFile(stream)
        except READ_ERRORS:
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
        except READ_ERRORS:
            raise InputError(
                f"{self._name} is damaged: its array {key!r} cannot be read."
            ) from None
        if dtype.hasobject:
            raise InputError(
                f"{self._name} holds pickled Python objects under {key!r}, which are never "
                "loaded; save that array as plain numbers."
            )
        elements = math.prod(map(int, shape))  # Python integers: no overflow
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
        except READ_ERRORS:
            raise InputError(
                f"{self._name} is damaged: its array {key!r} cannot be read."
            ) from None

    def __iter__(self):
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)

    @property
    def listed(self) -> str:
        """The keys for a message."""
        return known.listed(self) if len(self) else "no arrays at all"

    def text(self, key: str) -> str | None:
        """The text stored under `key` (also as bytes); None if there is none or it is long."""
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
        "warnings": np.array(dataset.warnings, dtype=np.str_),
        "left_out": np.array(dataset.left_out, dtype=np.str_),
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


def from_arrays(arrays: Arrays, name: str, options: ReadOptions) -> Dataset:
    """The Dataset in an open npz of any known layout.

    Raises InputError for missing keys, frames of different molecules, and whatever Dataset refuses.
    """
    if {"version", "energies", "positions"} <= set(arrays):
        return _from_project(arrays, name, options)
    keys, gradients = _find_keys(arrays, name, options)
    positions, energies, forces = (
        real(arrays[keys[role]], keys[role], name) for role in ("positions", "energies", "forces")
    )
    numbers = known.numbers_of(arrays[keys["atomic_numbers"]], name)
    if energies.ndim and energies.size == len(energies):  # (M, 1)
        energies = energies.ravel()
    if numbers.ndim == 3 and numbers.shape[2] == 1:
        numbers = numbers[:, :, 0]
    atoms = numbers.shape[-1] if numbers.ndim else 0
    positions, forces = (
        one.reshape(-1, atoms, 3) if one.ndim == 2 and one.shape[1] == 3 * atoms > 0 else one
        for one in (positions, forces)
    )
    positions, forces, numbers = _unpadded(positions, forces, numbers)
    raw = Raw(
        positions, energies, forces, one_molecule(numbers, name),
        source=f"{name} ({', '.join(keys.values())})",
        declared=declared_units(
            {key: text for key in arrays if (text := arrays.text(key)) is not None}, name, options
        ),
        gradients=gradients,
    )  # fmt: skip
    if "old_forces" in arrays and not options.labels:
        raw.notes.append(
            "The geometries of this file were sampled with the potential of old_energies and "
            'old_forces (labels="old" loads those); they are not a Boltzmann sample of the labels '
            "loaded here."
        )
    drop_unlabelled(raw)
    return assemble(raw, name, options)


def drop_unlabelled(raw: Raw) -> None:
    """Leave frames out whose energy or forces are NaN, and count them."""
    shapes = raw.positions.ndim == 3 and raw.forces.shape == raw.positions.shape
    if not shapes or raw.energies.shape != raw.positions.shape[:1] or not len(raw.energies):
        return
    labelled = ~(np.isnan(raw.energies) | np.isnan(raw.forces).any(axis=(1, 2)))
    missing = int((~labelled).sum())
    if 0 < missing < len(labelled):
        raw.left_out.append(
            f"{missing} of {len(labelled)} frames without an energy or forces (NaN), the first is "
            f"frame {int(np.argmin(labelled))}."
        )
        raw.positions, raw.energies = raw.positions[labelled], raw.energies[labelled]
        raw.forces = raw.forces[labelled]


def _unpadded(
    positions: np.ndarray, forces: np.ndarray, numbers: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Without the atoms of number 0 or −1 behind the molecule, with which files are filled up."""
    if positions.ndim != 3 or forces.shape != positions.shape or not numbers.size:
        return positions, forces, numbers
    if (
        not numbers.ndim
        or numbers.dtype.kind not in "iuf"
        or numbers.shape[-1] != positions.shape[1]
    ):
        return positions, forces, numbers
    rows = numbers.reshape(-1, numbers.shape[-1])
    real = (rows[0] != 0) & (rows[0] != -1)
    size = int(real.sum())
    same = (((rows != 0) & (rows != -1)) == real).all()
    if 0 < size < len(real) and real[:size].all() and same:
        numbers = numbers[..., :size]
        positions, forces = positions[:, :size], forces[:, :size]
    return positions, forces, numbers


def declared_units(texts: Mapping[str, str], name: str, options: ReadOptions) -> Declared:
    """What a file's texts say of its units; InputError for a unit that is none we know.

    What the user says counts instead.
    """
    found: dict[str, str] = {}
    why = []
    for role, names, read, every, option in (
        ("energy", known.ENERGY_UNIT_KEYS, energy_unit, ENERGY_UNITS, "--units"),
        (
            "forces",
            known.FORCE_UNIT_KEYS,
            force_unit,
            ("eV/Å", "hartree/bohr", "…"),
            "--force-units",
        ),
        ("length", known.LENGTH_UNIT_KEYS, length_unit, LENGTH_UNITS, "--length-units"),
    ):
        key = known.lookup(texts, names)
        if key is None:
            continue
        unit = read(texts[key])
        given = {"energy": options.units, "forces": options.force_units}
        if given.get(role, options.length_units) is not None:
            continue
        if unit is None and key.lower() in ("units", "unit"):
            continue
        if unit is None:
            what = "length" if role == "length" else "force" if role == "forces" else "energy"
            raise InputError(
                f"{name} gives {key} = {texts[key][:40]!r}, an unknown unit of {what}; known are "
                f"{', '.join(every)}; say another with {option}."
            )
        found[role] = unit
        why.append(f"{key}={texts[key]}")
    said = f"because the file says {', '.join(why)}" if why else ""
    return Declared(found.get("energy"), found.get("forces"), found.get("length"), said)


def one_molecule(numbers: np.ndarray, name: str) -> np.ndarray:
    """(N,) from atomic numbers (N,) or (M, N); InputError when the frames differ."""
    if numbers.ndim != 2 or numbers.shape[0] == 0 or numbers.dtype.names:
        return numbers  # what is no list of numbers is refused where it is checked
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


def _find_keys(arrays: Arrays, name: str, options: ReadOptions) -> tuple[dict[str, str], bool]:
    """Role → key, and whether the forces are called gradients."""
    keys, gradients = known.roles(arrays, name, options)
    names = {"positions": known.POSITIONS, "energies": known.ENERGIES, "forces": known.FORCES,
             "atomic_numbers": known.ATOMS}  # fmt: skip
    for role, key in keys.items():
        if key is not None:
            continue
        words = [f"{options.labels}_{one}" if options.labels and role in ("energies", "forces")
                 else one for one in names[role][:4]]  # fmt: skip
        option = {"energies": "--energy-key", "forces": "--forces-key"}.get(role, "")
        like = known.hint(*([] if keys[one] else list(arrays) for one in ("energies", "forces")))
        like = like if option else ""
        more = f"; {like}" if like else f", or name it with {option}" if option else ""
        raise InputError(
            f"{name} has no {role.replace('_', ' ')}: none of the keys {', '.join(words)} is "
            f"there{more}; received {arrays.listed}."
        )
    return keys, gradients


def real(array: np.ndarray, key: str, name: str) -> np.ndarray:
    """An array in double precision; InputError unless it holds real numbers."""
    if array.dtype.kind not in "iuf":
        raise InputError(
            f"{name} must hold real numbers under {key!r}, received type {array.dtype}."
        )
    return array.astype(np.float64)


def _from_project(arrays: Arrays, name: str, options: ReadOptions) -> Dataset:
    for key in ("forces", "atomic_numbers"):
        if key not in arrays:
            raise InputError(f"{name} has no {key.replace('_', ' ')}; received {arrays.listed}.")
    other = [options.units not in (None, "eV") and options.units,
             options.force_units not in (None, "eV/Å") and options.force_units,
             options.length_units not in (None, "Å") and options.length_units]  # fmt: skip
    if any(other):
        raise InputError(
            f"{name} is a FisherDash file, always in eV and Å; received units "
            f"{next(filter(None, other))}."
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
    sign = -1.0 if options.gradients else 1.0
    forces = arrays["forces"]
    return Dataset(
        positions=arrays["positions"],
        energies=arrays["energies"],
        forces=sign * forces if forces.dtype.kind in "iuf" else forces,
        atomic_numbers=one_molecule(arrays["atomic_numbers"], name),
        temperature=temperature,
        source=arrays.text("source") or name,
        notes=_sentences(arrays, "notes"),
        warnings=_sentences(arrays, "warnings"),
        left_out=_sentences(arrays, "left_out"),
    )


def _sentences(arrays: Arrays, key: str) -> tuple[str, ...]:
    if key not in arrays or arrays[key].dtype.kind != "U":
        return ()
    return tuple(str(one)[:1000] for one in arrays[key].reshape(-1)[:50])
