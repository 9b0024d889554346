"""Frames of an ASE trajectory, without ASE's decoder.

A .traj is a sequence of JSON texts that point at raw arrays in the same file:

    magic(8) tag(16) version nitems pos0 (int64 each) … offsets(nitems) at pos0
    item at an offset: length (int64), JSON; {"x.": {"ndarray": [shape, dtype, offset]}} is array x

ASE would also build objects and arrays of whatever size the JSON claims; here only numbers that lie
inside the file are taken, and many frames that point at the same ones take no more memory than any
other packed file may.
"""

import json
import math
import struct
from typing import Any, Literal

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from fisherdash.dataset.archives import allowed_size

_MAGIC = b"- of Ulm"
_ATOMS_OBJECT, _BYTES_AN_ATOM = 4000, 80
"""Memory of a frame: positions, forces, numbers and what ASE adds."""
_DTYPES = ("float64", "float32", "int64", "int32")


def read_trajectory(data: bytes) -> list[Atoms]:
    """All frames with the energies and forces that were written; ValueError for other content."""
    if data[:8] != _MAGIC or data[8:24].rstrip() != b"ASE-Trajectory":
        raise ValueError("it is not an ASE trajectory")
    _, count, start = _integers(data, 24, 3)
    offsets = _integers(data, start, count)
    if len(set(offsets)) < count:
        raise ValueError("it names one frame several times")
    items = [_item(data, offset) for offset in offsets]
    allowed, taken, frames = allowed_size(data), 0, []
    for item in items:
        frame = _frame(data, item, items[0])
        taken += _ATOMS_OBJECT + _BYTES_AN_ATOM * len(frame)
        if taken > allowed:
            raise ValueError(
                f"its frames would take more than {allowed / 2**20:.0f} MiB of memory, which a "
                "file of its size may take at most"
            )
        frames.append(frame)
    return frames


def _integers(data: bytes, offset: int, count: int) -> tuple[int, ...]:
    if count < 0 or offset < 0 or offset + 8 * count > len(data):
        raise ValueError("the trajectory is cut short")
    return struct.unpack_from(f"<{count}q", data, offset)


def _item(data: bytes, offset: int) -> dict[str, Any]:
    (size,) = _integers(data, offset, 1)
    if size < 0 or offset + 8 + size > len(data):
        raise ValueError("the trajectory is cut short")
    item = json.loads(data[offset + 8 : offset + 8 + size])
    if not isinstance(item, dict):
        raise ValueError("a frame of the trajectory is not readable")
    return item


def _frame(data: bytes, item: dict[str, Any], first: dict[str, Any]) -> Atoms:
    order: Literal["<", ">"] = "<" if item.get("_little_endian", True) else ">"
    header = item if "numbers." in item else first
    atoms = Atoms(
        numbers=_array(data, header["numbers."], order),
        positions=_array(data, item["positions."], order),
        cell=item.get("cell"),
        pbc=header.get("pbc", False),
    )
    written = item.get("calculator.", {})
    results = {key: written[key] for key in ("energy", "free_energy") if key in written}
    if "forces." in written:
        results["forces"] = _array(data, written["forces."], order)
    atoms.calc = SinglePointCalculator(atoms, **results)
    return atoms


def _array(data: bytes, pointer: dict[str, Any], order: Literal["<", ">"]) -> np.ndarray:
    shape, name, offset = pointer["ndarray"]
    if name not in _DTYPES or not all(isinstance(n, int) and n >= 0 for n in (*shape, offset)):
        raise ValueError("an array of the trajectory is not readable")
    dtype = np.dtype(name).newbyteorder(order)
    count = math.prod(shape)
    if offset + count * dtype.itemsize > len(data):
        raise ValueError("the trajectory is cut short")
    return np.frombuffer(data, dtype, count, offset).reshape(shape).astype(name)
