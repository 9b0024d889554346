"""Frames of the outputs of ORCA, NWChem, Psi4, Q-Chem, Turbomole and VASP (OUTCAR).

Every output is a row of headings with tables below them: geometry, energy, gradient, in an order
that is the program's own. What stands together is taken together, so that a run that was stopped,
a last step without a gradient or a line search costs only the frames that lack something. ASE's
readers of these formats stumble over such files.
"""

import bisect
import itertools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase.data import atomic_numbers

from fisherdash.dataset.xyz import Frame, number
from fisherdash.errors import InputError
from fisherdash.units import BOHR, HARTREE

Row = tuple[str, list[float]]
"""Symbol of the atom ("" without one) and the numbers behind it."""
_LONGEST_HEADING = 5
"""Lines between a heading and its table: rules, blanks, names of columns."""


@dataclass(frozen=True)
class Layout:
    """Headings and tables of one program.

    Attributes:
        program: its name.
        geometry: heading above symbols and coordinates.
        energy: line with the energy, its first group.
        forces: heading above forces or gradients; that of ``geometry`` where one table has both.
        length, size, slope: Å, eV and eV/Å of a number of the tables; the slope of a gradient is
            negative.
        late: the energy follows the table that has geometry and forces; else it comes before it.
    """

    program: str
    geometry: str
    energy: str
    forces: str
    length: float = 1.0
    size: float = HARTREE
    slope: float = -HARTREE / BOHR
    late: bool = False


_LAYOUTS = {
    "orca-output": Layout(
        "ORCA", r"CARTESIAN COORDINATES \(ANGSTROEM\)",
        r"FINAL SINGLE POINT ENERGY(?:\s*\(.*\))?\s+(\S+)", r"CARTESIAN GRADIENT$",
    ),
    "nwchem-out": Layout(
        "NWChem", r"\S* ?ENERGY GRADIENTS$",
        r"(?:Total (?:SCF|DFT|MP2|CCSD\S*) energy|CCSD\S* total energy.*?)\s*[:=]\s*(\S+)",
        r"\S* ?ENERGY GRADIENTS$", length=BOHR,
    ),
    "psi4-out": Layout(
        "Psi4", r"Geometry \(in Angstrom\)", r"Total Energy =\s*(\S+)",
        r"-?\s*Total Gradient:?$",
    ),
    "qchem-out": Layout(
        "Q-Chem", r"Standard Nuclear Orientation \(Angstroms\)",
        r"(?:Total energy in the final basis set|Total energy|.*\bTotal Energy) =\s*(\S+)",
        r"(?:Full Analytical )?Gradient of \S+ Energy",
    ),
    "vasp-out": Layout(
        "VASP", r"POSITION +TOTAL-FORCE(?!.*\(ML\))", r"free  energy   TOTEN  =\s*(\S+)",
        r"POSITION +TOTAL-FORCE(?!.*\(ML\))", size=1.0, slope=1.0, late=True,
    ),
}  # fmt: skip
OWN = (*_LAYOUTS, "turbomole-gradient")
_CYCLE = re.compile(r"^\s*cycle\s*=.*?energy\s*=\s*(\S+)", re.MULTILINE)


def read_output(text: str, name: str, form: str) -> list[Frame]:
    """All frames in eV and Å; InputError where there is no geometry."""
    if form == "turbomole-gradient":
        return _turbomole(text, name)
    layout, lines = _LAYOUTS[form], text.splitlines()
    heads = {key: re.compile(getattr(layout, key)) for key in ("geometry", "energy", "forces")}
    both = layout.geometry == layout.forces
    vasp = _Vasp(lines) if form == "vasp-out" else None
    frames: list[Frame] = []
    energy: float | None = None
    for row, line in enumerate(lines):
        said = line.strip()
        if heads["geometry"].match(said):
            table = list(_table(lines, row + 1))
            frame = _frame(table, layout, both, vasp and vasp.header(row))
            if frame is None or (not both and frames and _same(frame, frames[-1])):
                continue
            frames.append(frame)
            if both and not layout.late and energy is not None:
                frame.comment["energy"] = energy
            energy = None
        elif found := heads["energy"].match(said):
            value = number(found[1])
            energy = None if value is None else value * layout.size
            if frames and energy is not None and (not both or layout.late):
                frames[-1].comment["energy"] = energy
        elif frames and not both and heads["forces"].match(said):
            read = _columns if form == "qchem-out" else _slopes
            slopes = read(lines, row + 1)
            if slopes.shape == frames[-1].columns["pos"].shape:
                frames[-1].columns["forces"] = slopes * layout.slope
    if not frames:
        raise InputError(
            f"{name} is not an output of {layout.program} with geometries"
            f"{' and forces' if both else ''}: the heading of their table is not in it."
        )
    return frames


def _frame(
    table: list[Row], layout: Layout, both: bool, header: tuple[np.ndarray, dict] | None
) -> Frame | None:
    """A geometry, with the forces of the same table where it has both; None if it is none."""
    symbols = np.array([atomic_numbers.get(symbol, 0) for symbol, _ in table], dtype=np.int64)
    numbers, comment = (symbols, {}) if header is None else header
    width = 6 if both else 3
    if not table or len(numbers) != len(table) or not numbers.all():
        return None
    if any(len(values) < width for _, values in table):
        return None
    places = np.array([values[:width] for _, values in table])
    columns = {"pos": places[:, :3] * layout.length}
    if both:
        columns["forces"] = places[:, 3:] * layout.slope
    return Frame(numbers, columns, dict(comment))


def _turbomole(text: str, name: str) -> list[Frame]:
    """Frames of Turbomole's file ``gradient``: for every cycle coordinates and then slopes."""
    frames: list[Frame] = []
    for found, after in itertools.pairwise([*_CYCLE.finditer(text), None]):
        assert found is not None  # only the last one is
        part = text[found.end() : after.start() if after else None].splitlines()[1:]
        rows = [line.split() for line in part]
        places = [row for row in rows if len(row) == 4 and row[3].capitalize() in atomic_numbers]
        slopes = [row for row in rows[len(places) : 2 * len(places)] if len(row) == 3]
        values = [number(word) for row in (*places, *slopes) for word in row[:3]]
        energy = number(found[1])
        if not places or energy is None or None in values:
            continue
        both = np.array(values, dtype=float).reshape(-1, 3)
        columns = {"pos": both[: len(places)] * BOHR}
        if len(slopes) == len(places):
            columns["forces"] = -both[len(places) :] * HARTREE / BOHR
        symbols = [atomic_numbers[row[3].capitalize()] for row in places]
        frames.append(Frame(np.array(symbols), columns, {"energy": energy * HARTREE}))
    if not frames:
        raise InputError(f"{name} is not a file of gradients of Turbomole: it has no cycles.")
    return frames


def _same(one: Frame, other: Frame) -> bool:
    """Whether a geometry is only printed once more."""
    return np.array_equal(one.numbers, other.numbers) and np.array_equal(
        one.columns["pos"], other.columns["pos"]
    )


def _table(lines: list[str], start: int) -> Iterator[Row]:
    """Rows below a heading: an index perhaps, a symbol perhaps, numbers."""
    found = False
    for row in range(start, len(lines)):
        words = lines[row].replace(":", " ").split()
        symbol = ""
        for place, word in enumerate(words[:2]):
            bare = word.rstrip("0123456789").capitalize()
            if bare in atomic_numbers:
                symbol, words = bare, words[place + 1 :]
                break
        values: list[float] = []
        for value in map(number, words):
            if value is None:
                break
            values.append(value)
        if len(values) >= 3 and "." in lines[row]:
            found = True
            yield symbol, values
        elif found or row - start >= _LONGEST_HEADING:
            return


def _slopes(lines: list[str], row: int) -> np.ndarray:
    """(N, 3) of a table with a row for each atom, behind its index."""
    return np.array([values[-3:] for _, values in _table(lines, row)]).reshape(-1, 3)


def _columns(lines: list[str], row: int) -> np.ndarray:
    """(N, 3) of Q-Chem's tables, which have a column for each atom, six side by side."""
    found: list[list[list[float]]] = []
    for line in lines[row:]:
        words = line.split()
        if words and all(word.isdigit() for word in words):
            found.append([])
            continue
        values = [number(word) for word in words[1:]]
        if not found or not values or None in values or not words[0].isdigit():
            break
        found[-1].append([value for value in values if value is not None])
    blocks = [np.array(one).T for one in found if len(one) == 3 and len(set(map(len, one))) == 1]
    return np.concatenate(blocks) if blocks else np.zeros((0, 3))


class _Vasp:
    """What VASP says once: elements, how many of each, and the cell at a line."""

    def __init__(self, lines: list[str]) -> None:
        names = _all(r"VRHFIN *= *([A-Z][a-z]?)", lines)
        if not names:  # POTCAR: PAW_PBE Ti 08Apr2002, all of them twice
            names = _all(r"POTCAR: +\S+ +([A-Z][a-z]?)", lines)
            names = names[: len(names) // 2]
        self._numbers = np.array(
            [
                atomic_numbers.get(name, 0)
                for name, count in zip(names, _counts(lines), strict=False)
                for _ in range(count)
            ],
            dtype=np.int64,
        )
        self._lines = lines
        self._cells = [row for row, line in enumerate(lines)
                       if line.strip().startswith("direct lattice vectors")]  # fmt: skip

    def header(self, row: int) -> tuple[np.ndarray, dict[str, Any]]:
        """Atomic numbers and the cell of the frame whose table is at a line."""
        at = bisect.bisect(self._cells, row)
        before = self._cells[max(0, at - 1) : at]
        cell = [values[:3] for one in before for _, values in _table(self._lines, one + 1)][:3]
        comment: dict[str, Any] = {}
        if len(cell) == 3:
            comment = {"Lattice": np.array(cell).reshape(-1), "pbc": np.ones(3, bool)}
        return self._numbers, comment


def _counts(lines: list[str]) -> list[int]:
    """Atoms of every element, where VASP lists them, in one line or in several."""
    start = next((row for row, line in enumerate(lines) if "ions per type" in line), len(lines))
    words = [word for line in lines[start : start + 1] for word in line.partition("=")[2].split()]
    for line in lines[start + 1 :]:
        if not line.strip() or not all(word.isdigit() for word in line.split()):
            break
        words += line.split()
    return [min(int(word[:6]), 10_000) for word in words[:1000] if word.isdigit()]


def _all(pattern: str, lines: list[str]) -> list[str]:
    find: Callable[[str], re.Match[str] | None] = re.compile(pattern).search
    return [found[1] for line in lines if (found := find(line))]
