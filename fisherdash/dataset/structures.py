"""Frames from XYZ, outputs of programs and trajectories of ASE, each format chosen by its name.

ASE's own guess of a format is never used, and only formats of the list below are opened: none of
them unpickles or evaluates what it reads.

Molecules in a periodic box are whole, made whole, or refused: along bonds every
atom is moved to the image nearest to the one that it is bonded to. Where bonds join all atoms there
is one way to do so, and it is taken.

ASE's own decoder of trajectories is not used. A .traj is a sequence of JSON texts that point at raw
arrays in the same file:

    magic(8) tag(16) version nitems pos0 (int64 each) … offsets(nitems) at pos0
    item at an offset: length (int64), JSON; {"x.": {"ndarray": [shape, dtype, offset]}} is array x

ASE would also build objects and arrays of whatever size the JSON claims; here only numbers that lie
inside the file are taken, and many frames that point at the same ones take no more memory than any
other packed file may.
"""

import contextlib
import io
import json
import logging
import math
import re
import struct
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.data import covalent_radii
from jaxtyping import Float, Integer

from fisherdash import settings, storage
from fisherdash.dataset import raw as known
from fisherdash.dataset.archives import allowed_size
from fisherdash.dataset.core import TOLERANCE, Dataset, check_count, check_elements, from_comments
from fisherdash.dataset.inference import Declared
from fisherdash.dataset.npz import declared_units, describe_difference
from fisherdash.dataset.raw import Raw, ReadOptions, assemble
from fisherdash.dataset.xyz import OWN, UNNAMED, Frame, decode, read_output, read_xyz
from fisherdash.errors import InputError

FORMATS = tuple(form for form in settings.FORMATS if form != "npz")
"""Formats with energies and forces that are read; most by ASE's names."""

_PROGRAMS = tuple(one for one in FORMATS if one not in ("extxyz", "traj", "db", "hdf5", "deepmd"))
"""Outputs, which may end anywhere."""
_UNFINISHED = {"aims-output": {"non_convergence_ok": True}}
"""With which ASE reads a run that has no end yet."""
_END = {"castep-castep": "\n Finalisation time   = 0.00 s\n"}
"""What it wants to find there."""
_STARTS = {
    "aims-output": "Begin self-consistency loop: Re-init", "castep-castep": " Starting MD iter",
    "vasp-xml": "<calculation", "gaussian-out": "Input orientation", "gpaw-out": "\nPositions:",
    "espresso-out": "     Self-consistent Calculation",
}  # fmt: skip
"""With which a frame begins; the last one of a run that was stopped is cut off there."""
_LONGEST_LINE = 200
_MANY_LINES, _SHORT = 1_000_000, 16
"""More lines than these are not taken apart if they have fewer characters than that on average."""
_FREE_ENERGY = ("free_energy",)
"""Forces are the gradient of the free energy where the electrons are smeared."""


def from_structures(
    data: bytes, name: str, form: str, options: ReadOptions, forces: bytes | None = None
) -> Dataset:
    """The Dataset in the bytes of a file of the format `form` (one of FORMATS).

    ``forces`` is CP2K's file of forces that belongs to a file of positions. Raises InputError for
    content that cannot be read, for files without energies or forces, frames of different
    molecules, and whatever Dataset refuses.
    """
    frames = structure_frames(data, name, form, forces)
    return assemble(collect(frames, name, form, options), name, options)


def read_frames(data: bytes, name: str, form: str) -> list[Atoms]:
    """All frames of a structure file, at least one; InputError when it cannot be read."""
    if form == "extxyz" or form in OWN:
        return [
            Atoms(numbers=frame.numbers, positions=frame.columns["pos"])
            for frame in _frames(data, name, form)
        ]
    return _by_ase(data, name, form)


def structure_frames(data: bytes, name: str, form: str, forces: bytes | None = None) -> list[Frame]:
    """Frames as the file has them, complete or not."""
    frames = _frames(data, name, form)
    if forces is None:
        return frames
    return _with_forces(frames, _frames(forces, f"the forces of {name}", form))


def _frames(data: bytes, name: str, form: str) -> list[Frame]:
    if form == "extxyz":
        text = decode(data, name)
        if text.lstrip().startswith("ITEM: TIMESTEP"):
            raise InputError(
                f"{name} is a LAMMPS dump, which has no energies of frames; write extended XYZ "
                "with energy= in every comment (or npz) instead."
            )
        return read_xyz(text, name)
    if form in _PROGRAMS:
        count = data.count(b"\n")
        if count > _MANY_LINES and len(data) < _SHORT * count:
            raise InputError(f"{name} has {count} lines of hardly any characters: it is no output.")
        if form != "vasp-xml":  # half a line may be half a number
            data = data[: data.rfind(b"\n") + 1] or data
    if form in OWN:
        return read_output(decode(data, name), name, form)
    if form == "gaussian-out":
        _check_orientation(decode(data, name), name)
    try:
        return [_frame(atoms) for atoms in _by_ase(data, name, form)]
    except InputError as refusal:
        start = data.rfind(_STARTS[form].encode()) if form in _STARTS else 0
        try:
            frames = _by_ase(data[: max(0, start)], name, form)
        except InputError:
            raise refusal from None
        nothing = Frame(np.zeros(0, dtype=int), {"pos": np.zeros((0, 3))})
        return [*map(_frame, frames), nothing]


def _check_orientation(text: str, name: str) -> None:
    """Gaussian prints forces in the input orientation, positions perhaps only in the standard."""
    if "Standard orientation:" not in text or "Forces (Hartrees/Bohr)" not in text:
        return
    if "Input orientation:" in text or "Z-Matrix orientation:" in text or "nosym" in text.lower():
        return
    raise InputError(
        f"{name} gives positions in Gaussian's standard orientation and forces in the input "
        "orientation, which it does not print: they do not belong together; run it again with "
        "geom=printinputorient or nosymm."
    )


def _by_ase(data: bytes, name: str, form: str) -> list[Atoms]:
    from ase.io.formats import ioformats  # slow to import

    logging.getLogger("ase").setLevel(logging.CRITICAL)  # its warnings are given here
    try:
        if form == "traj":
            frames = read_trajectory(data)
        else:
            kind: Any = ioformats[form]
            index = () if kind.single else (slice(None),)
            with (
                warnings.catch_warnings(),
                tempfile.TemporaryDirectory() as folder,
                contextlib.ExitStack() as stack,
            ):
                warnings.simplefilter("ignore")
                stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
                place = Path(folder) / "output"
                text, end = decode(data, name), _END.get(form, "")
                if form == "castep-castep":  # ASE's patterns take the cube of a line's length
                    text = "\n".join(line[:_LONGEST_LINE] for line in text.splitlines())
                place.write_text(text if end in text else text + end, encoding="utf-8")
                with place.open(encoding="utf-8") as stream:
                    frames = kind.read(stream, *index, **_UNFINISHED.get(form, {}))
                    frames = [frames] if isinstance(frames, Atoms) else list(frames)
    except InputError:
        raise
    except Exception as error:  # noqa: BLE001  ASE's parsers let everything through, even NameError
        raise InputError(f"{name} cannot be read as {form}: {_sentence(error)}.") from None
    if not frames:
        raise InputError(f"{name} holds no frames of format {form}.")
    return frames


def _frame(atoms: Atoms) -> Frame:
    results: dict[str, Any] = {} if atoms.calc is None else dict(atoms.calc.results)
    comment = {**atoms.info}
    for key in ("energy", "free_energy"):
        if results.get(key) is not None:
            comment[key] = results[key]
    columns = {"pos": atoms.positions}
    if results.get("forces") is not None:
        columns["forces"] = np.asarray(results["forces"])
    if atoms.pbc.any():
        comment["Lattice"] = np.asarray(atoms.cell.array).reshape(-1)
        comment["pbc"] = atoms.pbc
    return Frame(np.asarray(atoms.numbers), columns, comment)


def _sentence(error: BaseException) -> str:
    """One short line of an exception's text, without Python's own words."""
    if isinstance(error, KeyError) and error.args and str(error.args[0]).isalpha():
        return f"unknown element or key {str(error.args[0])[:40]!r}"
    if isinstance(error, TypeError | AttributeError | NameError | IndexError | UnboundLocalError):
        return "something that the format needs is missing in it, or it is cut short"
    lines = str(error).strip().splitlines()
    return lines[0][:160].rstrip(".") if lines else "something that the format needs is missing"


def _with_forces(frames: list[Frame], forces: list[Frame]) -> list[Frame]:
    """CP2K's positions with the forces of its other file, matched by the step."""
    steps = {frame.comment.get("i"): frame for frame in forces}
    for frame in frames:
        other = steps.get(frame.comment.get("i"))
        if other is not None and np.array_equal(other.numbers, frame.numbers):
            frame.columns["forces"] = other.columns["pos"]
    return frames


def collect(frames: Sequence[Frame], name: str, form: str, options: ReadOptions) -> Raw:
    """Frames of one molecule with labels; single atoms and frames without labels are left out."""
    left_out: list[str] = []
    if not frames:
        raise InputError(f"{name} holds no frames.")
    if form in _PROGRAMS and len(frames[-1].numbers) < len(frames[0].numbers):
        frames = frames[:-1]
        left_out.append(f"1 of {len(frames) + 1} frames, the last one, which is cut short.")
    frames = _molecules(frames, left_out)
    numbers = frames[0].numbers
    check_count(len(check_elements(numbers)))
    for index, frame in enumerate(frames):
        if not np.array_equal(frame.numbers, numbers):
            raise InputError(describe_difference(name, numbers, index, frame.numbers))
    kept, energies, forces, gradients, unnamed = _labelled(frames, name, options, left_out)
    positions, notes = made_whole(kept, name)
    declared = _declared(kept, name, form, options)
    temperature, told = from_comments((frame.comment for frame in kept), options.temperature)
    return Raw(
        np.stack(positions), energies, forces, numbers,
        source=f"{name} ({form})",
        declared=declared,
        gradients=gradients,
        unnamed=unnamed,
        temperature=temperature,
        left_out=left_out,
        notes=[*notes, *told],
    )  # fmt: skip


def _molecules(frames: Sequence[Frame], left_out: list[str]) -> list[Frame]:
    single = [index for index, frame in enumerate(frames) if len(frame.numbers) == 1]
    if not single or len(single) == len(frames):
        return list(frames)
    left_out.append(
        f"{len(single)} of {len(frames)} frames of a single atom (references of atoms), the first "
        f"is frame {single[0]}."
    )
    return [frame for frame in frames if len(frame.numbers) != 1]


def _labelled(
    frames: list[Frame], name: str, options: ReadOptions, left_out: list[str]
) -> tuple[list[Frame], np.ndarray, np.ndarray, bool, str]:
    """Frames with both labels, the labels, whether they are gradients, columns without a name."""
    found = [_labels(frame, name, options) for frame in frames]
    whole = [index for index, (energy, forces, _, _) in enumerate(found)
             if energy is not None and forces is not None]  # fmt: skip
    if not whole:
        raise InputError(_missing(frames[0], found[0], name, options))
    if len(whole) < len(frames):
        first = next(index for index in range(len(frames)) if index not in set(whole))
        what = "an energy" if found[first][0] is None else "forces"
        left_out.append(
            f"{len(frames) - len(whole)} of {len(frames)} frames without {what}, the first is "
            f"frame {first}."
        )
    energies = np.array([found[index][0] for index in whole], dtype=np.float64)
    forces = np.stack([np.asarray(found[index][1]) for index in whole])
    _, _, gradients, unnamed = found[whole[0]]
    return [frames[index] for index in whole], energies, forces, gradients, unnamed


def _labels(
    frame: Frame, name: str, options: ReadOptions
) -> tuple[float | None, np.ndarray | None, bool, str]:
    """Energy and forces (N, 3) of one frame, None where they lack; whether they are gradients;
    which columns they are, if nothing names them."""
    store, columns = frame.comment, frame.columns
    key = known.lookup(store, _FREE_ENERGY, options.labels) if options.energy_key is None else None
    if options.energy_key is not None:
        key = options.energy_key if options.energy_key in store else None
    elif key is None or not one_number(store[key]):
        key = known.lookup(store, known.ENERGIES, options.labels)
    energy = float(np.asarray(store[key]).reshape(())) if key and one_number(store[key]) else None
    vectors = [k for k, v in columns.items() if k != "pos" and v.shape == columns["pos"].shape]
    gradients, unnamed = False, ""
    if options.forces_key is not None:
        force = options.forces_key if options.forces_key in vectors else None
        gradients = "grad" in options.forces_key.lower()
    else:
        force, gradients = known.forces_key(vectors, name, options.labels, None)
    if force is None and options.forces_key is None and not options.labels:
        force = unnamed = next((key for key in vectors if UNNAMED.fullmatch(key)), "")
    forces = columns[force] if force else None
    if energy is not None and np.isnan(energy):
        energy = None
    if forces is not None and np.isnan(forces).any():
        forces = None
    return energy, forces, gradients, unnamed


def one_number(value: Any) -> bool:
    """Whether a value is one number."""
    array = np.asarray(value)
    return array.size == 1 and array.dtype.kind in "iuf"


def _missing(frame: Frame, found: tuple, name: str, options: ReadOptions) -> str:
    """The sentence for a file in which no frame has energy and forces, with what it has instead."""
    energies = [] if found[0] is not None else [
        key for key, value in frame.comment.items() if one_number(value)
    ]  # fmt: skip
    vectors = [] if found[1] is not None else [
        key for key, value in frame.columns.items()
        if key != "pos" and value.ndim == 2 and not UNNAMED.fullmatch(key)
    ]  # fmt: skip
    lacking = " and no ".join(
        word for word, value in (("energy", found[0]), ("forces", found[1])) if value is None
    )
    if options.labels:
        lacking = f"{lacking} of the labels {options.labels}"
    if {"i", "E"} <= set(frame.comment) and found[1] is None:
        if "-frc-" in name:
            return (
                f"{name} is CP2K's file of forces: give its file of positions (-pos-1.xyz), beside "
                "which it has to lie, or a zip of both."
            )
        return (
            f"{name} has energies (E, hartree) as CP2K writes them, but no forces: those are in "
            "its file of forces (-frc-1.xyz), which has to lie beside it under CP2K's own name, or "
            "in a zip with it."
        )
    hint = known.hint(energies, vectors)
    prefix = _prefix([*energies, *vectors])
    if hint and prefix and not options.labels:
        hint += f" (or --labels {prefix})"
    if not hint and (energies or vectors):
        options_of = [*["--energy-key"] * bool(energies), *["--forces-key"] * bool(vectors)]
        hint = (
            f"it has {known.listed([*energies, *vectors])}: name it with {' and '.join(options_of)}"
        )
    return (
        f"{name} has no {lacking} in frame 0; {hint or 'every frame needs an energy and forces'}."
    )


def _prefix(keys: list[str]) -> str:
    """The prefix or suffix that the keys of energies and forces share."""
    bare = {key: re.sub(r"(?i)energ(y|ies)|forces?", "", key).strip("_-") for key in keys}
    parts = [{bare[key] for key in keys if stem in key.lower()} for stem in ("energ", "forc")]
    common = sorted((parts[0] & parts[1]) - {""})
    return common[0] if common else ""


def _declared(frames: Sequence[Frame], name: str, form: str, options: ReadOptions) -> Declared:
    if form in ("db", "deepmd"):
        return Declared(usual="eV")
    if form != "extxyz":
        return Declared("eV", "eV/Å", "Å", f"to which {form} is converted", certain=True)
    texts = {
        key: value
        for key, value in frames[0].comment.items()
        if isinstance(value, str) and len(value) < 100
    }
    found = declared_units(texts, name, options)
    if {"i", "time", "E"} <= set(frames[0].comment) and not found.why:
        return Declared("hartree", "hartree/bohr", "Å", "as CP2K writes them", certain=True)
    usual = None if frames[0].bare else "eV"
    return Declared(found.energy, found.forces, found.length, found.why, usual=usual)


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


_SMALLEST_CELL = 0.5
"""Å between two faces of a periodic cell: less than any bond."""
_MOST_ATOMS = 300
"""Up to which wrapped molecules are put together; all pairs are looked at."""
_CONTACT = 4.0
"""Å of empty cell beside a larger molecule, with which it surely does not touch its images."""


def made_whole(frames: Sequence[Frame], name: str) -> tuple[list[np.ndarray], list[str]]:
    """Positions (N, 3) of every frame, and notes. InputError where there is no one way."""
    found, mended, boxed = [], 0, False
    for index, frame in enumerate(frames):
        positions = frame.columns["pos"]
        cell, periodic = _box(frame)
        if cell is None:
            found.append(positions)
            continue
        boxed = True
        heights = _check_cell(cell, periodic, index, name)
        whole = _whole(frame, positions, cell, heights, periodic)
        if whole is None:
            raise InputError(
                f"{name} is periodic and atoms of frame {index} meet across the cell's boundary in "
                "more than one way; only single molecules are read: unwrap them first."
            )
        mended += not np.allclose(whole, positions)
        found.append(whole)
    notes = []
    if mended:
        notes.append(
            f"The molecule reached through the boundary of its cell in {mended} of {len(frames)} "
            "frames and was made whole along its bonds."
        )
    elif boxed:
        notes.append("The frames are marked periodic; the cell is ignored, the molecule is whole.")
    return found, notes


def _box(frame: Frame) -> tuple[np.ndarray | None, np.ndarray]:
    """Cell (3, 3) and which of its directions are periodic; None without any."""
    lower = {key.lower(): value for key, value in frame.comment.items()}
    lattice, pbc = lower.get("lattice"), lower.get("pbc")
    cell = np.asarray(lattice) if lattice is not None else np.zeros(0)
    if isinstance(lattice, str):  # no numbers, or nan among them: refused where it is periodic
        cell = np.full(9, np.nan)
    if cell.dtype.kind != "f" or cell.size != 9:
        return None, np.zeros(3, bool)
    if pbc is None:
        periodic = np.ones(3, bool)
    elif isinstance(pbc, str):
        periodic = np.array([word.lower()[:1] in "t1" for word in pbc.split()][:3])
    else:
        periodic = np.asarray(pbc).astype(bool).reshape(-1)
    cell = cell.reshape(3, 3)
    if periodic.shape != (3,) or not (periodic & cell.any(axis=1)).any():
        return None, np.zeros(3, bool)
    return cell, periodic & cell.any(axis=1)


def _check_cell(cell: np.ndarray, periodic: np.ndarray, index: int, name: str) -> np.ndarray:
    """Distances between opposite faces, Å; InputError for a cell without volume."""
    from ase.cell import Cell

    with np.errstate(all="ignore"):
        whole = (
            np.asarray(Cell(cell).complete())
            if np.isfinite(cell).all()
            else np.full((3, 3), np.nan)
        )
        volume = abs(np.linalg.det(whole)) if np.isfinite(whole).all() else 0.0
        heights = volume / np.linalg.norm(np.cross(whole[[1, 2, 0]], whole[[2, 0, 1]]), axis=1)
    if not (np.isfinite(heights).all() and (heights[periodic] > _SMALLEST_CELL).all()):
        raise InputError(f"{name} has a cell in frame {index} that no molecule fits into.")
    return heights


def _whole(
    frame: Frame, positions: np.ndarray, cell: np.ndarray, heights: np.ndarray, periodic: np.ndarray
) -> np.ndarray | None:
    """Positions with bonds that pass no boundary; None where bonds contradict one another."""
    from ase.cell import Cell

    box = np.asarray(Cell(cell).complete())
    if len(positions) > _MOST_ATOMS:
        places = np.linalg.solve(box.T, positions.T).T
        empty = (1.0 - np.ptp(places, axis=0)) * heights
        return positions if (empty[periodic] >= _CONTACT).all() else None
    radii = covalent_radii[np.clip(frame.numbers, 0, 96)]
    reach = TOLERANCE * (radii[:, None] + radii[None])
    with np.errstate(all="ignore"):
        straight = positions[None] - positions[:, None]
        turns = np.round(np.linalg.solve(box.T, straight.reshape(-1, 3).T).T).reshape(
            straight.shape
        )
        turns *= periodic
        nearest = straight - turns @ box
        bonded = np.linalg.norm(nearest, axis=-1) < reach
    np.fill_diagonal(bonded, False)
    if not np.isfinite(straight).all() or not (bonded & turns.any(axis=-1)).any():
        return positions
    whole, seen, todo = positions.copy(), {0}, [0]
    while todo:
        atom = todo.pop()
        for other in np.flatnonzero(bonded[atom]).tolist():
            if other not in seen:
                whole[other] = whole[atom] + nearest[atom, other]
                seen.add(other)
                todo.append(other)
    apart = np.linalg.norm(whole[None] - whole[:, None], axis=-1)
    fits = len(seen) == len(positions) and (apart[bonded] < reach[bonded] + 1e-6).all()
    return whole if fits else None


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
        frame = _written_frame(data, item, items[0])
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


def _written_frame(data: bytes, item: dict[str, Any], first: dict[str, Any]) -> Atoms:
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
