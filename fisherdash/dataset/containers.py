"""Data bases: ASE and SchNetPack db, DeePMD folders, HDF5 of ANI, SPICE and QM7-X.

Nothing is unpickled: an ASE data base is SQLite whose arrays are raw numbers, and its ``data`` is
JSON behind them; HDF5 is read by its own library, external links and storage are not followed.
"""

import contextlib
import io
import itertools
import json
import math
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fisherdash.dataset import raw as known
from fisherdash.dataset.archives import LARGEST, allowed_size
from fisherdash.dataset.core import Dataset, check_count
from fisherdash.dataset.inference import Declared
from fisherdash.dataset.npz import (
    ALWAYS_ALLOWED,
    HIGHEST_RATIO,
    READ_ERRORS,
    declared_units,
    drop_unlabelled,
    one_molecule,
    real,
)
from fisherdash.dataset.raw import Raw, ReadOptions, assemble
from fisherdash.dataset.structures import collect
from fisherdash.dataset.xyz import Frame, decode, number
from fisherdash.errors import InputError
from fisherdash.units import energy_unit, force_unit, length_unit

_MOST_GROUPS = 200_000
"""Groups of an HDF5 file that are looked at."""
_LONGEST_JSON = 2_000_000
"""Characters of what a row of a data base says beside its columns."""
_STEPS = 20_000_000
"""Steps of SQLite's machine that reading may take."""


def database_frames(data: bytes, name: str) -> tuple[list[Frame], dict[str, Any]]:
    """Frames of an ASE or SchNetPack data base (SQLite), and its metadata."""
    if not data.startswith(b"SQLite format 3\0"):
        raise InputError(f"{name} is not an ASE data base of SQLite, which .db files are.")
    base = sqlite3.connect(":memory:")
    try:
        base.deserialize(data)
        steps = iter(range(_STEPS // 10_000))
        base.set_progress_handler(lambda: next(steps, None) is None, 10_000)
        base.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, len(data))  # no value is made larger than all
        base.execute("PRAGMA trusted_schema=OFF")
        kinds = dict(base.execute("SELECT name, type FROM sqlite_master").fetchmany(1000))
        if kinds.get("systems") != "table":
            raise InputError(f"{name} is a data base without ASE's table of systems.")
        metadata = _metadata(base) if kinds.get("information") == "table" else {}
        return list(_rows(base, allowed_size(data, HIGHEST_RATIO, ALWAYS_ALLOWED), name)), metadata
    except (sqlite3.Error, ValueError, KeyError, TypeError, IndexError, OverflowError, MemoryError,
            RecursionError, UnicodeDecodeError) as error:  # fmt: skip
        if isinstance(error, InputError):
            raise
        raise InputError(f"{name} is a damaged data base, or not one of ASE.") from None
    finally:
        base.close()


def from_database(data: bytes, name: str, options: ReadOptions) -> Dataset:
    """The Dataset in an ASE or SchNetPack data base."""
    frames, metadata = database_frames(data, name)
    raw = collect(frames, name, "db", options)
    raw.declared = _units_of(metadata, options) or raw.declared
    return assemble(raw, name, options)


def _metadata(base: sqlite3.Connection) -> dict[str, Any]:
    row = base.execute("SELECT value FROM information WHERE name='metadata'").fetchone()
    found = json.loads(row[0]) if row and isinstance(row[0], str) else {}
    return found if isinstance(found, dict) else {}


def _units_of(metadata: dict[str, Any], options: ReadOptions) -> Declared | None:
    """SchNetPack's units; None for a data base of ASE alone, which is in eV and Å."""
    units = metadata.get("_property_unit_dict")
    if not isinstance(units, dict):
        return None
    energy_key = options.energy_key or known.lookup(units, known.ENERGIES, options.labels)
    forces = options.forces_key or known.lookup(units, known.FORCES, options.labels)
    found = Declared(
        energy_unit(str(units.get(energy_key, ""))),
        force_unit(str(units.get(forces, ""))),
        length_unit(str(metadata.get("_distance_unit", "Ang"))),
    )
    said = f"because the data base says {units.get(energy_key)} and {units.get(forces)}"
    return Declared(found.energy, found.forces, found.length, said, usual="eV")


def _rows(base: sqlite3.Connection, allowed: int, name: str) -> Iterator[Frame]:
    """A frame of every row; all that is stored in them takes at most the bytes that are allowed.

    Pages of a forged file may stand for one another, so that one long row is read many times.
    """
    names = [row[1] for row in base.execute("PRAGMA table_info(systems)").fetchmany(100)]
    wanted = ["numbers", "positions", "energy", "free_energy", "forces", "key_value_pairs", "data"]
    chosen = [one for one in wanted if one in names]
    for row in base.execute(f"SELECT {', '.join(chosen)} FROM systems ORDER BY id"):
        one = dict(zip(chosen, row, strict=True))
        allowed -= sum(len(value) for value in row if isinstance(value, str | bytes))
        if allowed < 0:
            raise InputError(f"{name} holds rows of far more bytes than it has itself.")
        if any(len(one.get(key) or "") > _LONGEST_JSON for key in ("key_value_pairs", "data")):
            raise InputError(
                f"{name} has a row with more than {_LONGEST_JSON:,} characters of further data."
            )
        numbers = np.frombuffer(one["numbers"], "<i4")
        check_count(len(numbers))
        frame = Frame(numbers.astype(int), {"pos": _vectors(one["positions"], len(numbers))})
        stored = {**_json(one.get("key_value_pairs")), **_json(one.get("data"))}
        for key, value in stored.items():
            array = np.asarray(value) if not isinstance(value, str | dict) else np.zeros(0)
            if array.dtype.kind in "iuf" and array.size == 1:
                frame.comment[key] = float(array.reshape(()))
            elif array.dtype.kind in "iuf" and array.shape == (len(numbers), 3):
                frame.columns[key] = array.astype(float)
        for key in ("energy", "free_energy"):
            if isinstance(one.get(key), int | float):
                frame.comment[key] = float(one[key])
        if isinstance(one.get("forces"), bytes):
            frame.columns["forces"] = _vectors(one["forces"], len(numbers))
        yield frame


def _vectors(blob: bytes, atoms: int) -> np.ndarray:
    return np.frombuffer(blob, "<f8").reshape(atoms, 3).copy()


def _json(stored: Any) -> dict[str, Any]:
    """A dict from JSON text, or from arrays and the JSON that points into them, as ASE writes."""
    if isinstance(stored, str):
        found = json.loads(stored)
        return found if isinstance(found, dict) else {}
    if not isinstance(stored, bytes) or len(stored) < 8:
        return {}
    start = int.from_bytes(stored[:8], "little")
    found = json.loads(stored[start:].decode()) if 8 <= start < len(stored) else {}
    if not isinstance(found, dict):
        return {}
    return {key: _pointed(value, stored) for key, value in found.items()}


def _pointed(value: Any, stored: bytes) -> Any:
    if not (isinstance(value, dict) and "__ndarray__" in value):
        return value
    shape, kind, offset = value["__ndarray__"]
    if kind not in ("float64", "float32", "int64", "int32"):
        return ""
    count = math.prod(int(n) for n in shape)
    if min([*shape, 0]) < 0 or offset < 0 or offset + count * np.dtype(kind).itemsize > len(stored):
        raise ValueError("an array outside the file")
    return np.frombuffer(stored, np.dtype(kind).newbyteorder("<"), count, offset).reshape(shape)


def deepmd_folder(path: Path) -> dict[str, bytes]:
    """Files of a DeePMD folder by their names below it."""
    wanted = [*path.glob("*.raw"), *path.glob("nopbc"), *path.glob("set.*/*.npy")]
    if sum(one.stat().st_size for one in wanted) > LARGEST:
        raise InputError(f"{path.name} holds more than {LARGEST / 2**20:.0f} MiB.")
    return {one.relative_to(path).as_posix(): one.read_bytes() for one in wanted if one.is_file()}


def deepmd_frames(files: Mapping[str, bytes], name: str) -> list[Frame]:
    """Frames of a DeePMD folder: type.raw, type_map.raw and set.*/coord.npy or coord.raw, …."""
    try:
        types = [int(word) for word in decode(files["type.raw"], name).split()]
        names = decode(files.get("type_map.raw", b""), name).split()
        numbers = known.numbers_of(np.array([names[one] for one in types if one >= 0]), name)
    except (KeyError, ValueError, IndexError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"{name} is no DeePMD folder with elements: type.raw and type_map.raw are needed."
        ) from None
    sets = sorted({key.partition("/")[0] for key in files if key.startswith("set.")})
    names = ("coord", "energy", "force")
    if sets:
        found = {
            key: np.concatenate([_npy(files, f"{one}/{key}.npy", name) for one in sets])
            for key in names
        }
    elif "coord.raw" in files:
        found = {key: _raw(files, f"{key}.raw", name) for key in names}
    else:
        raise InputError(f"{name} has no set.* with coord.npy, energy.npy and force.npy.")
    try:
        shape = (-1, len(numbers), 3)
        positions, forces = found["coord"].reshape(shape), found["force"].reshape(shape)
    except ValueError:
        raise InputError(
            f"{name} has coordinates of shape {found['coord'].shape}, which are not those of "
            f"{len(numbers)} atoms."
        ) from None
    return [
        Frame(numbers, {"pos": x, "forces": f}, {"energy": e} | _deepmd_box(files, sets, name))
        for x, f, e in zip(positions, forces, found["energy"].reshape(-1).tolist(), strict=False)
    ]


def _deepmd_box(files: Mapping[str, bytes], sets: list[str], name: str) -> dict[str, Any]:
    key = f"{sets[0]}/box.npy" if sets else "box.raw"
    if "nopbc" in files or key not in files:
        return {}
    box = (_npy if sets else _raw)(files, key, name)
    return {"Lattice": box.reshape(-1)[:9].astype(float), "pbc": np.ones(3, bool)}


def _raw(files: Mapping[str, bytes], key: str, name: str) -> np.ndarray:
    """(frames, …) of numbers in text, a line a frame."""
    if key not in files:
        raise InputError(f"{name} has no {key}.")
    lines = [line.split() for line in decode(files[key], name).splitlines() if line.strip()]
    rows = [[number(word) for word in line] for line in lines]
    if not rows or None in itertools.chain(*rows) or len({len(row) for row in rows}) > 1:
        raise InputError(f"{name} is damaged: {key} cannot be read.")
    return np.array(rows, dtype=float)


def _npy(files: Mapping[str, bytes], key: str, name: str) -> np.ndarray:
    try:
        if not files[key].startswith(np.lib.format.MAGIC_PREFIX):
            raise ValueError  # a zip of arrays, whose directory alone may fill the memory
        array = np.load(io.BytesIO(files[key]), allow_pickle=False)
        if array.dtype.kind not in "iuf" or array.dtype.itemsize < 4:
            raise ValueError  # single bytes, which packed well, would grow eight times below
        return array.astype(np.float64).reshape(len(array), -1)
    except KeyError:
        raise InputError(f"{name} has no {key}.") from None
    except (*READ_ERRORS, TypeError, SyntaxError):
        raise InputError(f"{name} is damaged: {key} cannot be read.") from None


@contextlib.contextmanager
def _hdf5(data: bytes, name: str) -> Iterator[Any]:
    """An open HDF5 file; what h5py raises becomes an InputError."""
    import h5py  # slow to import

    try:
        with h5py.File(io.BytesIO(data), "r") as file:
            yield file
    except InputError:
        raise
    except Exception as error:  # noqa: BLE001
        raise InputError(
            f"{name} is not a readable HDF5 file ({type(error).__name__}): damaged or cut short."
        ) from None


def hdf5_shapes(
    data: bytes, name: str, molecule: str | None
) -> tuple[list[str], dict[str, tuple[int, ...]]]:
    """Names of the molecules in an HDF5 file, and shapes of the arrays of one of them by key."""
    with _hdf5(data, name) as file:
        molecules = _molecules(file, name)
        group = molecules.get((molecule or "").strip("/")) or next(iter(molecules.values()))
        return list(molecules), {key: group[0][key].shape for key in _datasets(group[0])}


def from_hdf5(data: bytes, name: str, options: ReadOptions) -> Dataset:
    """The Dataset of one molecule in an HDF5 file: ANI, SPICE, QM7-X, or the like."""
    with _hdf5(data, name) as file:
        groups = _groups_of_one(file, name, options.molecule)
        keys, gradients = known.roles(_datasets(groups[0]), name, options)
        for role, key in keys.items():
            if key is None:
                raise InputError(
                    f"{name} has no {role.replace('_', ' ')}; it has "
                    f"{known.listed(_datasets(groups[0]))}."
                )
        found = _stacked(groups, keys, name, allowed_size(data, HIGHEST_RATIO, ALWAYS_ALLOWED))
        texts = _units_said(file, groups[0], keys)
    numbers = known.numbers_of(found["atomic_numbers"], name)
    positions, energies, forces = (
        real(found[role], str(keys[role]), name) for role in ("positions", "energies", "forces")
    )
    raw = Raw(
        positions, energies.reshape(-1), forces, one_molecule(numbers, name),
        source=f"{name} ({', '.join(str(key) for key in keys.values())})",
        declared=declared_units(texts, name, options),
        gradients=gradients,
    )  # fmt: skip
    drop_unlabelled(raw)
    return assemble(raw, name, options)


def _groups(file: Any, depth: int = 4) -> Iterator[tuple[str, Any, int]]:
    """Groups that hold positions: path, group, dimensions of the positions.

    Only links inside the file are followed.
    """
    import h5py

    keys = list(file)[:_MOST_GROUPS]
    key = known.lookup(keys, known.POSITIONS)
    if key is not None and key in _datasets(file):
        yield file.name, file, file[key].ndim
    elif depth:
        for key in keys:
            if isinstance(file.get(key, getlink=True), h5py.HardLink):
                inner = file[key]
                if isinstance(inner, h5py.Group):
                    yield from _groups(inner, depth - 1)


def _molecules(file: Any, name: str) -> dict[str, list[Any]]:
    """Molecule → its group, or those of its conformations where each has its own."""
    found: dict[str, list[Any]] = {}
    for path, group, dimensions in itertools.islice(_groups(file), _MOST_GROUPS):
        parent = path.rpartition("/")[0] if dimensions == 2 else path
        found.setdefault(parent.strip("/"), []).append(group)
    if not found:
        raise InputError(f"{name} has no group with positions (coordinates, conformations).")
    return found


def _groups_of_one(file: Any, name: str, wished: str | None) -> list[Any]:
    """The groups of the one molecule, or of the one that was wished for."""
    molecules = _molecules(file, name)
    if wished is not None:
        wanted = wished.strip("/")
        fits = [one for path, one in molecules.items()
                if wanted in (path, path.rpartition("/")[2])]  # fmt: skip
        if len(fits) != 1:
            raise InputError(
                f"{name} has no one molecule {wished[:60]!r}; it has {known.listed(molecules)}."
            )
        return fits[0]
    if len(molecules) > 1:
        raise InputError(
            f"{name} holds {len(molecules)} molecules; choose one with --molecule: "
            f"{known.listed(molecules)}."
        )
    return next(iter(molecules.values()))


def _datasets(group: Any) -> list[str]:
    """Names of the arrays in a group; only links inside the file are followed."""
    import h5py

    return [key for key in list(group)[:1000]
            if isinstance(group.get(key, getlink=True), h5py.HardLink)
            and isinstance(group[key], h5py.Dataset)]  # fmt: skip


def _stacked(
    groups: list[Any], keys: Mapping[str, str], name: str, allowed: int
) -> dict[str, np.ndarray]:
    """Arrays of every role, of several groups one above the other."""
    found: dict[str, list[np.ndarray]] = {role: [] for role in keys}
    for group in groups:
        for role, key in keys.items():
            one = group[key]
            if one.external or one.is_virtual:
                raise InputError(
                    f"{name} keeps {key[:40]!r} outside itself, which is not followed."
                )
            allowed -= math.prod(one.shape or (0,)) * max(8, one.dtype.itemsize)
            if allowed < 0:
                raise InputError(
                    f"{name} claims the shape {one.shape} for {key[:40]!r}, too much to read."
                )
            array = np.asarray(one[()])
            found[role].append(array.astype("S") if array.dtype.kind == "O" else array)
    if len(groups) == 1 and found["positions"][0].ndim != 2:
        return {role: arrays[0] for role, arrays in found.items()}
    atoms = {array.shape for array in found["positions"]}
    if len(atoms) > 1:
        raise InputError(f"{name} holds conformations of different numbers of atoms: {atoms}.")
    return {role: np.stack(arrays) for role, arrays in found.items()}


def _units_said(file: Any, group: Any, keys: Mapping[str, str]) -> dict[str, str]:
    """Texts about units: attributes of the arrays, of their group and of the file."""
    found = {}
    for place in (file, group):
        found |= {key: _text(value) for key, value in itertools.islice(place.attrs.items(), 100)}
    for role, key in (("energies", "energy_unit"), ("forces", "force_unit"),
                      ("positions", "length_unit")):  # fmt: skip
        attributes = group[keys[role]].attrs
        if unit := _text(attributes.get("units", attributes.get("unit", ""))):
            found[key] = unit
    return {key: text for key, text in found.items() if text}


def _text(value: Any) -> str:
    text = value.decode("latin-1") if isinstance(value, bytes) else value
    return text if isinstance(text, str) and len(text) < 100 else ""
