"""Frames from the text and trajectory formats of ASE, each chosen by its explicit name.

ASE's own guess of a format is never used, and only formats of the list below are opened: none of
them unpickles or evaluates what it reads.

A .traj is a sequence of JSON texts that point at raw arrays in the same file:

    magic(8) tag(16) version nitems pos0 (int64 each) … offsets(nitems) at pos0
    item at an offset: length (int64), JSON; {"x.": {"ndarray": [shape, dtype, offset]}} is array x

They are read here and not by ASE, whose decoder also builds objects and arrays of whatever size
the JSON claims; here only numbers that lie inside the file are taken.
"""

import io
import json
import math
import re
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import ase
import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.data import atomic_numbers as symbol_numbers
from jaxtyping import Float, Integer

from fisherdash import settings, storage
from fisherdash.dataset.checks import check_count, check_elements
from fisherdash.dataset.core import Dataset
from fisherdash.dataset.inference import (
    ENERGY_UNITS,
    force_evidence,
    length_doubt,
    total_energy_evidence,
)
from fisherdash.dataset.npz import ReadOptions, describe_difference, given_units_note
from fisherdash.dataset.temperature import from_comments
from fisherdash.errors import InputError

_MAGIC = b"- of Ulm"
_DTYPES = ("float64", "float32", "int64", "int32")


def read_trajectory(data: bytes) -> list[Atoms]:
    """All frames with the energies and forces that were written; ValueError for other content."""
    if data[:8] != _MAGIC or data[8:24].rstrip() != b"ASE-Trajectory":
        raise ValueError("it is not an ASE trajectory")
    _, count, start = _integers(data, 24, 3)
    items = [_item(data, offset) for offset in _integers(data, start, count)]
    return [_frame(data, item, items[0]) for item in items]


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


FORMATS = tuple(form for form in settings.FORMATS if form != "npz")
"""ASE formats with energies and forces that are read, by ASE's names."""


_CONTACT = 4.0
"""Å; atoms of two molecules that are further apart do not touch."""

_SMALLEST_CELL = 0.5
"""Å between two faces of a periodic cell: less than any bond."""

_MOST_WRAPPED = 300
"""Atoms up to which all pairs are looked at through the boundaries; their 27 images take memory."""


def from_structures(data: bytes, name: str, form: str, options: ReadOptions) -> Dataset:
    """The Dataset in the bytes of a file of the ASE format `form` (one of FORMATS).

    Raises InputError for content that ASE cannot read, for frames without energy or forces,
    frames of different molecules, and whatever Dataset refuses.
    """
    frames = read_frames(data, name, form)
    numbers = frames[0].numbers
    check_count(len(check_elements(numbers)))
    for index, frame in enumerate(frames):
        if not np.array_equal(frame.numbers, numbers):
            raise InputError(describe_difference(name, numbers, index, frame.numbers))
        _check_whole(frame, index, name)
    labelled = [_labels(frame, index, name, options.labels) for index, frame in enumerate(frames)]
    energies = np.array([energy for energy, _ in labelled])
    forces = np.stack([force for _, force in labelled])
    unit, why = _unit(form, options, energies, forces, numbers)
    notes = [why, *length_doubt(frames[0].positions, numbers)]
    if any(frame.pbc.any() for frame in frames):
        notes.append("The frames are marked periodic; the cell is ignored, the molecule is whole.")
    temperature, told = from_comments((frame.info for frame in frames), options.temperature)
    scale = ENERGY_UNITS[unit]
    return Dataset(
        positions=np.stack([frame.positions for frame in frames]),
        energies=energies * scale,
        forces=forces * scale,
        atomic_numbers=numbers,
        temperature=temperature,
        source=f"{name} ({form})",
        notes=(*notes, *told),
    )


def read_frames(data: bytes, name: str, form: str) -> list[ase.Atoms]:
    """All frames, at least one; InputError with one sentence when ASE cannot read them."""
    from ase.io.formats import ioformats  # slow to import

    kind: Any = ioformats[form]
    if form == "extxyz":
        _scan_xyz(data, name)
    try:
        if form == "traj":
            frames = read_trajectory(data)
        else:
            index = () if kind.single else (slice(None),)
            frames = list(kind.read(io.StringIO(data.decode("utf-8")), *index))
    except UnicodeDecodeError:
        raise InputError(f"{name} is not a text file, which {form} is.") from None
    except Exception as error:  # noqa: BLE001  ASE's parsers let everything through, even NameError
        raise InputError(f"{name} cannot be read as {form}: {_sentence(error)}.") from None
    if not frames:
        raise InputError(f"{name} holds no frames of format {form}.")
    return frames


def _sentence(error: BaseException) -> str:
    """One short line of an exception's text."""
    if isinstance(error, KeyError) and error.args and str(error.args[0]).isalpha():
        return f"unknown element or key {str(error.args[0])[:40]!r}"
    lines = str(error).strip().splitlines()
    return lines[0][:160].rstrip(".") if lines else type(error).__name__


def _scan_xyz(data: bytes, name: str) -> None:
    """Walk the frames of an XYZ file by their counts, before ASE trusts those counts.

    ASE loops as often as a count says and silently ends at the first blank line; a file cut in
    the middle or with a blank line inside is refused here instead.
    """
    lines = data.split(b"\n")
    while lines and not lines[-1].strip():
        lines.pop()
    row = frame = 0
    while row < len(lines):
        text = lines[row].strip()
        if not text.isdigit() or len(text) > 9:
            raise InputError(
                f"{name} is not an XYZ file: line {row + 1} should be the number of atoms of "
                f"frame {frame}, received {text[:40].decode('utf-8', 'replace')!r}."
            )
        count = int(text)
        if row + 2 + count > len(lines):
            raise InputError(
                f"{name} ends inside frame {frame}: {count} atoms are announced, "
                f"{max(0, len(lines) - row - 2)} lines follow."
            )
        _check_symbols(lines, row, count, name, frame)
        row += 2 + count
        frame += 1


def _check_symbols(lines: list[bytes], row: int, count: int, name: str, frame: int) -> None:
    comment = lines[row + 1]
    for columns in re.findall(rb":[A-Za-z]:(\d+)", comment):
        if len(columns) > 3:
            raise InputError(
                f"{name} announces {columns[:20].decode()} columns for one property in frame "
                f"{frame}; at most 999 are read."
            )
    if b"Properties=" in comment and b"Properties=species" not in comment.replace(b'"', b""):
        return  # the symbol is not in the first column; ASE finds it
    for line in lines[row + 2 : row + 2 + count]:
        first = line.split(None, 1)[:1]
        symbol = first[0].decode("utf-8", "replace") if first else ""
        if symbol.capitalize() not in symbol_numbers:
            raise InputError(
                f"{name} names an unknown element {symbol[:20]!r} in frame {frame}; chemical "
                "symbols such as H, C or O are needed."
            )


def _check_whole(frame: ase.Atoms, index: int, name: str) -> None:
    """Refuse a molecule that reaches through a periodic boundary, and a cell that is none."""
    periodic = frame.pbc & np.any(frame.cell, axis=1)
    if not periodic.any():
        return
    cell = np.asarray(frame.cell.complete())
    with np.errstate(all="ignore"):
        volume = abs(np.linalg.det(cell)) if np.isfinite(cell).all() else 0.0
        heights = volume / np.linalg.norm(np.cross(cell[[1, 2, 0]], cell[[2, 0, 1]]), axis=1)
    if not (np.isfinite(heights).all() and (heights > _SMALLEST_CELL).all()):
        raise InputError(f"{name} has a cell in frame {index} that no molecule fits into.")
    # Atoms on two sides of a boundary are at least the height that the molecule leaves empty apart.
    places = np.linalg.solve(cell.T, frame.positions.T).T
    empty = (1.0 - np.ptp(places, axis=0)) * heights
    if (empty[periodic] >= _CONTACT).all():
        return
    if len(frame) > _MOST_WRAPPED or _meets_itself(frame):
        raise InputError(
            f"{name} is periodic and atoms of frame {index} meet across the cell's boundary; only "
            "single molecules are read: unwrap them first."
        )


def _meets_itself(frame: ase.Atoms) -> bool:
    """Whether two atoms are closer through a boundary than within the cell, and in contact."""
    straight = frame.get_all_distances()
    try:
        wrapped = frame.get_all_distances(mic=True)
    except (ValueError, RuntimeError):  # a cell so skewed that ASE finds no shorter one
        return True
    return bool(((straight - wrapped > 1e-6) & (wrapped < _CONTACT)).any())


def _labels(
    frame: ase.Atoms, index: int, name: str, labels: str | None
) -> tuple[float, np.ndarray]:
    """Energy and forces (N, 3) of one frame, in the file's units."""
    results: dict[str, Any] = {} if frame.calc is None else dict(frame.calc.results)
    prefix = f"{labels}_" if labels else ""
    # Forces are the gradient of the free energy where the electrons are smeared.
    names = ("free_energy", "energy", "total_energy", "etot")
    energy = _first({**frame.info, **results}, prefix, *names)
    forces = _first({**frame.arrays, **results}, prefix, "forces", "force")
    for what, value, store in (("energy", energy, frame.info), ("forces", forces, frame.arrays)):
        if value is None:
            raise InputError(_missing(what, index, name, labels, store))
    energy, forces = np.asarray(energy), np.asarray(forces)
    if energy.size != 1 or energy.dtype.kind not in "iuf":
        raise InputError(f"{name} must give one number as the energy of frame {index}.")
    if forces.shape != frame.positions.shape or forces.dtype.kind not in "iuf":
        raise InputError(
            f"{name} gives forces of shape {forces.shape} in frame {index}, which has "
            f"{len(frame)} atoms."
        )
    return float(energy.reshape(())), forces.astype(np.float64)


def _first(store: dict[str, Any], prefix: str, *names: str) -> Any:
    """The first of `prefix + name` that is stored, upper and lower case being the same."""
    lower = {str(key).lower(): value for key, value in store.items()}
    wanted = ((prefix + name).lower() for name in names)
    return next((lower[key] for key in wanted if key in lower), None)


def _missing(what: str, index: int, name: str, labels: str | None, store: dict) -> str:
    """The sentence for a frame without its energy or forces, with a hint at other names."""
    stem = "energy" if what == "energy" else "force"
    others = [str(key) for key in store if stem in str(key).lower()]
    wanted = f"{labels}_{what}" if labels else what
    hint = (
        f"it has {', '.join(others)} instead, which labels= reads when given what stands before _"
        if others
        else "every frame needs an energy and forces"
    )
    return f"{name} has no {wanted} in frame {index}; {hint}."


def _unit(
    form: str, options: ReadOptions, energies: np.ndarray, forces: np.ndarray, numbers: np.ndarray
) -> tuple[str, str]:
    """The unit of the labels and why; ASE's own custom is eV for every format."""
    if form != "extxyz":
        if options.units not in (None, "eV"):
            raise InputError(f"ASE converts {form} to eV itself; received units {options.units}.")
        return "eV", f"Units: eV, to which ASE converts the format {form}."
    if options.units is not None:
        return options.units, given_units_note(options.units, energies, numbers)
    total, by_force = total_energy_evidence(energies, numbers), force_evidence(forces)
    if total is not None and total == by_force and total != "eV":
        return total, (
            f"Units inferred: {total}, against the custom of extended XYZ (eV), because both the "
            f"mean energy {np.mean(energies):.6g} and the forces are those of a molecule in "
            f"{total}."
        )
    note = "Units: eV and eV/Å, the custom of extended XYZ"
    if total == "eV":
        return "eV", f"{note}; the mean energy {np.mean(energies):.6g} is the atoms' in eV."
    if total is not None or by_force not in (None, "eV"):
        return "eV", (
            f"{note}; but they look like {total or by_force}: give the units if they are not eV."
        )
    return "eV", f"{note}."


def write_unlabelled(
    frames: Mapping[str, Float[np.ndarray, "m atoms 3"]],
    atomic_numbers: Integer[np.ndarray, " atoms"],
    path: Path,
) -> None:
    """Positions in Å as extended XYZ, without energies or forces; ``kind`` is the key of each."""
    atoms = [
        Atoms(atomic_numbers, x, info={"kind": kind}) for kind, some in frames.items() for x in some
    ]
    from ase.io import write  # slow to import

    text = io.StringIO()
    write(text, atoms, format="extxyz")
    with storage.replacing(path) as part:
        part.write_text(text.getvalue(), encoding="utf-8")
