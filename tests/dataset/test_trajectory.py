"""ASE's .traj: what points at the same bytes many times takes no more memory than other files."""

import io
import json
import struct

import numpy as np
import pytest
from ase.build import molecule
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write

from fisherdash import dataset
from fisherdash.errors import InputError


def crafted(items: list[bytes], arrays: bytes, offsets: list[int] | None = None) -> bytes:
    """A .traj of these JSON texts; ``offsets`` are numbers of items, each of them unless given."""
    count = len(items) if offsets is None else len(offsets)
    place = 48 + 8 * count + len(arrays)
    where, body = [], b""
    for item in items:
        where.append(place + len(body))
        body += struct.pack("<q", len(item)) + item
    named = where if offsets is None else [where[number] for number in offsets]
    head = b"- of Ulm" + b"ASE-Trajectory".ljust(16) + struct.pack("<qqq", 3, count, 48)
    return head + struct.pack(f"<{count}q", *named) + arrays + body


def frame(count: int, atoms: int) -> tuple[bytes, bytes]:
    """A frame whose arrays stand before the texts of ``count`` frames, and the arrays."""
    base = 48 + 8 * count
    places = np.stack(np.meshgrid(*[np.arange(10.0)] * 3), -1).reshape(-1, 3)[:atoms]
    pointer = {"ndarray": [[atoms, 3], "float64", base + 8 * atoms]}
    text = {
        "numbers.": {"ndarray": [[atoms], "int64", base]},
        "positions.": pointer,
        "calculator.": {"energy": -2079.9, "forces.": pointer},
    }
    arrays = np.ones(atoms, "<i8").tobytes() + np.ascontiguousarray(places).tobytes()
    return json.dumps(text).encode(), arrays


def test_a_file_that_names_one_frame_20_000_times_is_refused():
    """156 kB whose offsets name one frame again and again once took 2.9 GB."""
    text, arrays = frame(20_000, 1000)
    with pytest.raises(InputError, match="it names one frame several times"):
        dataset.load_bytes("x.traj", crafted([text], arrays, [0] * 20_000))


def test_frames_that_share_their_arrays_are_bounded_by_the_size_of_the_file():
    text, arrays = frame(20_000, 1000)
    data = crafted([text] * 20_000, arrays)
    assert len(data) < 6e6
    with pytest.raises(InputError, match=r"more than \d+ MiB of memory"):
        dataset.load_bytes("x.traj", data)


def test_what_ase_writes_is_read(tmp_path):
    frames, rng = [], np.random.default_rng(0)
    for number in range(200):
        atoms = molecule("CH3CH2OH")
        atoms.positions += 0.02 * rng.normal(size=(9, 3))
        forces = rng.normal(size=(9, 3))
        atoms.calc = SinglePointCalculator(atoms, energy=-100.0 + 0.1 * number, forces=forces)
        frames.append(atoms)
    stream = io.BytesIO()
    write(stream, frames, format="traj")
    found = dataset.load_bytes("x.traj", stream.getvalue(), units="eV", force_units="eV/Å")
    assert len(found) == 200
