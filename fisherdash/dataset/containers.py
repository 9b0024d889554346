"""Packed files and data bases: gz, bz2, xz; ASE db, DeePMD folders, HDF5 of ANI and SPICE.

Nothing is unpickled: an ASE data base is SQLite whose arrays are raw numbers, and its ``data`` is
JSON behind them; HDF5 is read by its own library, external links and storage are not followed.
"""

import bz2
import gzip
import io
import json
import lzma
import math
import sqlite3
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from fisherdash.dataset import keys as known
from fisherdash.dataset.core import Dataset
from fisherdash.dataset.inference import Declared
from fisherdash.dataset.npz import ALWAYS_ALLOWED, declared_units, one_molecule
from fisherdash.dataset.raw import Raw, ReadOptions, assemble
from fisherdash.dataset.structures import collect
from fisherdash.dataset.xyz import Frame, decode
from fisherdash.errors import InputError
from fisherdash.units import energy_unit, force_unit, length_unit

LARGEST = 2**30
"""Bytes that a packed file may unpack to, whatever it is."""
HIGHEST_RATIO = 50
"""Times its own size that a packed file of more than little content may unpack to."""
_PACKED: dict[bytes, Any] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\0": lzma.open,
}
PACKED_ENDINGS = (".gz", ".bz2", ".xz")
_STEPS = 20_000_000
"""Steps of SQLite's machine that reading may take."""


def _allowed(data: bytes) -> int:
    """Bytes that packed data may unpack to."""
    return min(LARGEST, max(ALWAYS_ALLOWED, HIGHEST_RATIO * len(data)))


def unpacked(data: bytes, name: str) -> tuple[bytes, str]:
    """The content of a gz, bz2 or xz file and its name without that ending; others as they are."""
    opener = next((one for magic, one in _PACKED.items() if data.startswith(magic)), None)
    if opener is None:
        return data, name
    allowed = _allowed(data)
    try:
        with opener(io.BytesIO(data)) as stream:
            content = stream.read(allowed + 1)
    except (OSError, EOFError, zlib.error, lzma.LZMAError, ValueError, MemoryError):
        raise InputError(f"{name} is a damaged packed file, or cut short.") from None
    if len(content) > allowed:
        raise InputError(
            f"{name} would unpack to more than {allowed / 2**20:.0f} MiB, which a file of its size "
            "may take at most."
        )
    if not content:
        raise InputError(f"{name} is empty.")
    path = Path(name)
    return content, path.stem if path.suffix.lower() in PACKED_ENDINGS else name


def from_database(data: bytes, name: str, options: ReadOptions) -> Dataset:
    """The Dataset in an ASE or SchNetPack data base (SQLite)."""
    if not data.startswith(b"SQLite format 3\0"):
        raise InputError(f"{name} is not an ASE data base of SQLite, which .db files are.")
    base = sqlite3.connect(":memory:")
    try:
        base.deserialize(data)
        steps = iter(range(_STEPS // 10_000))
        base.set_progress_handler(lambda: next(steps, None) is None, 10_000)
        base.execute("PRAGMA trusted_schema=OFF")
        kinds = dict(base.execute("SELECT name, type FROM sqlite_master").fetchmany(1000))
        if kinds.get("systems") != "table":
            raise InputError(f"{name} is a data base without ASE's table of systems.")
        metadata = _metadata(base) if kinds.get("information") == "table" else {}
        frames = list(_rows(base))
    except (sqlite3.Error, ValueError, KeyError, TypeError, IndexError, OverflowError, MemoryError,
            RecursionError, UnicodeDecodeError) as error:  # fmt: skip
        if isinstance(error, InputError):
            raise
        raise InputError(f"{name} is a damaged data base, or not one of ASE.") from None
    finally:
        base.close()
    if not frames:
        raise InputError(f"{name} holds no frames.")
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
    return Declared(found.energy, found.forces, found.length, said, custom="eV")


def _rows(base: sqlite3.Connection) -> Iterator[Frame]:
    names = [row[1] for row in base.execute("PRAGMA table_info(systems)").fetchmany(100)]
    wanted = ["numbers", "positions", "energy", "free_energy", "forces", "key_value_pairs", "data"]
    chosen = [one for one in wanted if one in names]
    for row in base.execute(f"SELECT {', '.join(chosen)} FROM systems ORDER BY id"):
        one = dict(zip(chosen, row, strict=True))
        numbers = np.frombuffer(one["numbers"], "<i4")
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
    wanted = [*path.glob("type*.raw"), *path.glob("nopbc"), *path.glob("set.*/*.npy")]
    if sum(one.stat().st_size for one in wanted) > LARGEST:
        raise InputError(f"{path.name} holds more than {LARGEST / 2**20:.0f} MiB.")
    return {one.relative_to(path).as_posix(): one.read_bytes() for one in wanted if one.is_file()}


def deepmd_zip(data: bytes, name: str) -> dict[str, bytes]:
    """The same from a zip of the folder."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as file:
            members = [
                one for one in file.infolist() if one.filename.endswith((".raw", ".npy", "nopbc"))
            ]
            allowed = _allowed(data)
            if len(members) > 10_000 or sum(one.file_size for one in members) > allowed:
                raise InputError(f"{name} would unpack to more than {allowed / 2**20:.0f} MiB.")
            found = {one.filename: file.read(one) for one in members}
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, OSError, EOFError, RuntimeError,
            ValueError, NotImplementedError, MemoryError) as error:  # fmt: skip
        if isinstance(error, InputError):
            raise
        raise InputError(f"{name} is a damaged zip, or none.") from None
    roots = [PurePosixPath(key).parent for key in found if PurePosixPath(key).name == "type.raw"]
    if len(roots) != 1:
        raise InputError(
            f"{name} holds {len(roots)} DeePMD folders (type.raw and set.*); one is needed."
        )
    return {
        PurePosixPath(key).relative_to(roots[0]).as_posix(): value
        for key, value in found.items()
        if PurePosixPath(key).is_relative_to(roots[0])
    }


def from_deepmd(files: Mapping[str, bytes], name: str, options: ReadOptions) -> Dataset:
    """The Dataset of a DeePMD folder: type.raw, type_map.raw and set.*/coord, energy, force."""
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
    if not sets:
        raise InputError(f"{name} has no set.* with coord.npy, energy.npy and force.npy.")
    found = {
        key: np.concatenate([_npy(files, f"{one}/{key}.npy", name) for one in sets])
        for key in ("coord", "energy", "force")
    }
    try:
        shape = (-1, len(numbers), 3)
        positions, forces = found["coord"].reshape(shape), found["force"].reshape(shape)
    except ValueError:
        raise InputError(
            f"{name} has coordinates of shape {found['coord'].shape}, which are not those of "
            f"{len(numbers)} atoms."
        ) from None
    frames = [
        Frame(numbers, {"pos": x, "forces": f}, {"energy": e} | _deepmd_box(files, sets, name))
        for x, f, e in zip(positions, forces, found["energy"].reshape(-1).tolist(), strict=False)
    ]
    return assemble(collect(frames, name, "deepmd", options), name, options)


def _deepmd_box(files: Mapping[str, bytes], sets: list[str], name: str) -> dict[str, Any]:
    if "nopbc" in files or f"{sets[0]}/box.npy" not in files:
        return {}
    box = _npy(files, f"{sets[0]}/box.npy", name)
    return {"Lattice": box.reshape(-1)[:9].astype(float), "pbc": np.ones(3, bool)}


def _npy(files: Mapping[str, bytes], key: str, name: str) -> np.ndarray:
    try:
        array = np.load(io.BytesIO(files[key]), allow_pickle=False)
        if array.dtype.kind not in "iuf":
            raise ValueError
        return array.astype(np.float64).reshape(len(array), -1)
    except KeyError:
        raise InputError(f"{name} has no {key}.") from None
    except (ValueError, OSError, EOFError, MemoryError, TypeError, SyntaxError, OverflowError):
        raise InputError(f"{name} is damaged: {key} cannot be read.") from None


def from_hdf5(data: bytes, name: str, options: ReadOptions) -> Dataset:
    """The Dataset of one molecule in an HDF5 file: ANI, SPICE, or the like."""
    import h5py  # slow to import

    try:
        with h5py.File(io.BytesIO(data), "r") as file:
            group = _group(file, name, options.molecule)
            arrays = {key: _array(one, key, name) for key, one in _datasets(group)}
            texts = _attributes(group)
    except InputError:
        raise
    except Exception as error:  # noqa: BLE001
        raise InputError(
            f"{name} is not a readable HDF5 file ({type(error).__name__}): damaged or cut short."
        ) from None
    keys, gradients = known.roles(arrays, name, options)
    for role, key in keys.items():
        if key is None:
            raise InputError(
                f"{name} has no {role.replace('_', ' ')}; it has {known.listed(arrays)}."
            )
    found = {role: arrays[key] for role, key in keys.items()}
    units = {role: texts.get(f"{key}/units", "") for role, key in keys.items()}
    named = {"energy_unit": units["energies"], "force_unit": units["forces"],
             "length_unit": units["positions"]}  # fmt: skip
    numbers = known.numbers_of(found["atomic_numbers"], name)
    raw = Raw(
        found["positions"], found["energies"].reshape(-1), found["forces"],
        one_molecule(numbers, name),
        source=f"{name} ({', '.join(str(key) for key in keys.values())})",
        declared=declared_units({key: text for key, text in named.items() if text}, name, options),
        gradients=gradients,
    )  # fmt: skip
    return assemble(raw, name, options)


def _groups(file: Any, depth: int = 4) -> Iterator[tuple[str, Any]]:
    """Groups that hold positions, by their path; only links inside the file are followed."""
    import h5py

    keys = list(file)[:200_000]
    if known.lookup(keys, known.POSITIONS) is not None:
        yield file.name, file
    elif depth:
        for key in keys:
            if isinstance(file.get(key, getlink=True), h5py.HardLink):
                inner = file[key]
                if isinstance(inner, h5py.Group):
                    yield from _groups(inner, depth - 1)


def _group(file: Any, name: str, molecule: str | None) -> Any:
    found = dict(_groups(file))
    if not found:
        raise InputError(f"{name} has no group with positions (coordinates, conformations).")
    if molecule is not None:
        chosen = [one for path, one in found.items()
                  if molecule.strip("/") in (path.strip("/"), path.rpartition("/")[2])]  # fmt: skip
        if len(chosen) != 1:
            raise InputError(
                f"{name} has no one molecule {molecule[:60]!r}; it has "
                f"{known.listed(path.strip('/') for path in found)}."
            )
        return chosen[0]
    if len(found) > 1:
        raise InputError(
            f"{name} holds {len(found)} molecules; choose one with --molecule: "
            f"{known.listed(path.strip('/') for path in found)}."
        )
    return next(iter(found.values()))


def _datasets(group: Any) -> Iterator[tuple[str, Any]]:
    import h5py

    for key in list(group)[:1000]:
        if isinstance(group.get(key, getlink=True), h5py.HardLink):
            one = group[key]
            if isinstance(one, h5py.Dataset):
                yield key, one


def _array(one: Any, key: str, name: str) -> np.ndarray:
    if one.external or one.is_virtual:
        raise InputError(f"{name} keeps {key[:40]!r} outside itself, which is not followed.")
    if math.prod(one.shape or (0,)) * max(8, one.dtype.itemsize) > LARGEST:
        raise InputError(f"{name} claims the shape {one.shape} for {key[:40]!r}, too much to read.")
    array = np.asarray(one[()])
    return array.astype("S") if array.dtype.kind == "O" else array


def _attributes(group: Any) -> dict[str, str]:
    found = {}
    for key, one in _datasets(group):
        text = one.attrs.get("units", one.attrs.get("unit", ""))
        found[f"{key}/units"] = text.decode() if isinstance(text, bytes) else str(text)
    return found
