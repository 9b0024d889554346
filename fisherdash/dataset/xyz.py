"""Frames in text: XYZ and extended XYZ as people write them, and the outputs of programs.

    number of atoms
    comment: key=value (extended XYZ, CP2K), words and an energy (xtb, ORCA), or the energy alone
    symbol or atomic number, x, y, z, further columns (as Properties=name:type:columns says)

Byte order marks, Latin-1, Fortran's exponents, commas, an index before the symbols, blank lines,
``>`` and ``#`` between frames are read.

An output of ORCA, NWChem, Psi4, Q-Chem, Turbomole or VASP (OUTCAR) is a row of headings with tables
below them: geometry, energy, gradient, in an order that is the program's own. What stands together
is taken together, so that a run that was stopped, a last step without a gradient or a line search
costs only the frames that lack something. ASE's readers of these formats stumble over such files.
"""

import bisect
import itertools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from ase.data import atomic_numbers

from fisherdash.dataset.core import check_count, elements
from fisherdash.errors import InputError
from fisherdash.units import BOHR, HARTREE, energy_unit

_PAIR = re.compile(
    r"""(?<![^\s=,])([^\s=,]+)\s*=\s*("[^"]*"|'[^']*'|\{[^}]*\}|\[[^\]]*\]|[-+]?\d+,\d+(?![\d.,])|[^\s,]+)"""
)
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eEdD][-+]?\d+)?|[-+]?\d*\.\d+[-+]\d{2,3}", re.ASCII)
_SPECIES = ("species", "z", "numbers", "atomic_numbers")
_MOST_COLUMNS = 999
_LONGEST = 20_000
"""Characters of a comment that are read."""
_LONGEST_LINE = 100_000
"""Characters of an atom's line: room for all columns."""
_BLOCK = 100_000
"""Characters that are divided into lines at once."""
_MOST_FRAMES = 1_000_000
"""The smallest frame takes 20 bytes of text and 1 kB of memory."""
_EXPONENT = re.compile(r"(?<=[\d.])(?:[dD](?=[-+]?\d)|(?=[-+]\d{2,3}$))")
"""Of Fortran: 1.0D-05, and 1.0-105, in which no place is left for the letter."""
_SAID = re.compile(
    r"""(?<![\w.])["']?(?:(?:total|potential|scf)[ _]?)?(?:energy|e|etot|epot)["']?
        \s{0,9}[:=]?\s{0,9}
        ([-+]?\d+\.\d*(?:[eEdD][-+]?\d+)?)(?:\s{1,9}(?![\w/.]*\s{0,9}=)([A-Za-z][\w/.]*))?""",
    re.VERBOSE | re.IGNORECASE,
)
"""An energy, and perhaps its unit, among the words of a comment."""
UNNAMED = re.compile(r"\d+-\d+")
"""Key of columns without a name."""
_COUNT = re.compile(r"(\d{1,9})(?:\s+[A-Za-z]\w*)?", re.ASCII)


@dataclass
class Frame:
    """One frame.

    Attributes:
        numbers: (N,) atomic numbers.
        columns: name → (N,) or (N, k) of numbers; those without names are "5-7", "6-8", ….
        comment: key → value of the comment; "energy" also where it stands alone there.
        bare: the energy is a number without a name.
    """

    numbers: np.ndarray
    columns: dict[str, np.ndarray]
    comment: dict[str, Any] = field(default_factory=dict)
    bare: bool = False


def decode(data: bytes, name: str) -> str:
    """The text of a file in UTF-8, UTF-16 with its mark, or Latin-1; InputError for binary ones."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        try:
            return data.decode("utf-16")
        except UnicodeDecodeError:
            raise InputError(f"{name} is not a text file.") from None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    if "\0" in text:
        raise InputError(f"{name} is not a text file.")
    return text


def read_xyz(text: str, name: str) -> list[Frame]:
    """All frames; InputError with the line of what cannot be read."""
    lines = enumerate(_lines(text), start=1)
    frames: list[Frame] = []
    for row, line in lines:
        first = line.strip()
        if not first or first == ">" or first[0] == "#":
            continue
        index, found = len(frames), _COUNT.fullmatch(first)
        if found is None:
            raise InputError(
                f"{name} is not an XYZ file: line {row} should be the number of atoms of "
                f"frame {index}, received {first[:40]!r}."
            )
        count = int(found[1])
        check_count(count)
        if index == _MOST_FRAMES:
            raise InputError(
                f"{name} has more than {_MOST_FRAMES:,} frames, the most that are read of a text; "
                "divide it, or write it as npz."
            )
        _, comment = next(lines, (0, None))
        atoms = [atom for _, atom in itertools.islice(lines, count)]
        if comment is None or len(atoms) < count:
            raise InputError(
                f"{name} ends inside frame {index}: {count} atoms are announced, {len(atoms)} "
                "lines follow."
            )
        if (longest := max(map(len, atoms), default=0)) > _LONGEST_LINE:
            raise InputError(
                f"{name} has a line of {longest:,} characters in frame {index}; at most "
                f"{_LONGEST_LINE:,} are read."
            )
        frames.append(_frame(comment, atoms, name, index))
    if not frames:
        raise InputError(f"{name} holds no frames of format extxyz.")
    return frames


def _lines(text: str) -> Iterator[str]:
    """Lines with any end, block by block: all of them at once take many times the text's memory."""
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    start, last = 0, len(text) - text.endswith("\n")
    while start < last:
        end = text.find("\n", start + _BLOCK, last)
        end = last if end < 0 else end
        yield from text[start:end].split("\n")
        start = end + 1


def _frame(comment: str, lines: list[str], name: str, index: int) -> Frame:
    comment = comment[:_LONGEST]
    rows = _rows(lines)
    widths = {len(row) for row in rows}
    if len(widths) > 1:
        # Text with spaces in place of a symbol is reported first.
        first = [row[0] for row in rows if row and number(row[0]) is None]
        elements(first, f"{name} names", f" in frame {index}")
        raise InputError(
            f"{name} has lines of different numbers of columns in frame {index}: "
            f"{', '.join(map(str, sorted(widths)[:4]))}."
        )
    pairs = {key: _value(value) for key, value in _PAIR.findall(comment)}
    described = next((v for k, v in pairs.items() if k.lower() == "properties"), None)
    width = widths.pop() if widths else None
    layout = (
        _described(str(described), width, name, index)
        if described is not None
        else _usual(width or 0, _indexed(rows))
    )
    total = sum(size for _, _, _, size in layout) if width is None else width
    table = np.array(rows, dtype=object).reshape(len(rows), total)
    columns: dict[str, np.ndarray] = {}
    numbers = None
    for key, kind, start, size in layout:
        part = table[:, start : start + size]
        if key.lower() in _SPECIES and size == 1 and numbers is None:
            numbers = elements(part[:, 0].tolist(), f"{name} names", f" in frame {index}")
        elif kind in "RI":
            values = _numbers(part, name, index, key)
            columns[key] = values[:, 0] if size == 1 else values
    if numbers is None or columns.get("pos", np.zeros(0)).shape != (len(rows), 3):
        raise InputError(
            f"{name} needs a symbol and three coordinates for every atom of frame {index}."
        )
    frame = Frame(numbers, columns, pairs)
    _said_energy(frame, comment)
    return frame


def _rows(lines: list[str]) -> list[list[str]]:
    """Words of the lines; commas stand between numbers, or in them where there are no points."""
    if any("," in line for line in lines):
        other = " " if any("." in line for line in lines) else "."
        lines = [line.replace(",", other) for line in lines]
    return [line.split() for line in lines]


def _indexed(rows: list[list[str]]) -> bool:
    """Whether symbols stand behind an index."""
    return bool(rows) and all(
        len(row) > 4 and row[0].isdigit() and row[1].capitalize() in atomic_numbers for row in rows
    )


def _usual(width: int, indexed: bool) -> list[tuple[str, str, int, int]]:
    """The columns of plain XYZ, each three of those behind the positions by their numbers."""
    start = 1 if indexed else 0
    if width < start + 4:
        return []
    found = [("species", "S", start, 1), ("pos", "R", start + 1, 3)]
    return found + [(f"{at + 1}-{at + 3}", "R", at, 3)
                    for at in range(start + 4, min(width - 2, 30))]  # fmt: skip


def _described(
    text: str, width: int | None, name: str, index: int
) -> list[tuple[str, str, int, int]]:
    """Name, kind, first column and columns of every property; ``width`` is None without atoms."""
    words, found, start = text.split(":"), [], 0
    for key, kind, size in zip(words[::3], words[1::3], words[2::3], strict=False):
        if not (size.isascii() and size.isdigit()) or len(size) > 3:
            raise InputError(
                f"{name} announces {size[:20]} columns for one property in frame {index}; at most "
                f"{_MOST_COLUMNS} are read."
            )
        found.append((key, kind.upper(), start, int(size)))
        start += int(size)
    if width not in (None, start) or len(words) % 3:
        raise InputError(
            f"{name} announces {start} columns in frame {index} (Properties=), its lines have "
            f"{width}."
        )
    return found


def _numbers(part: np.ndarray, name: str, index: int, key: str) -> np.ndarray:
    try:
        return part.astype(np.float64)
    except (ValueError, OverflowError):
        pass
    found = [number(word) if word.strip("*") else np.nan for word in part.reshape(-1).tolist()]
    if None in found:
        word = part.reshape(-1)[found.index(None)]
        raise InputError(
            f"{name} has {word[:38]!r} where frame {index} should have a number of {key[:40]}."
        )
    return np.array(found, dtype=np.float64).reshape(part.shape)


def number(text: str) -> float | None:
    """A number, with Fortran's exponents too; None for other text.

    Asterisks, where a number did not fit into its column, are dealt with by the caller.
    """
    text = text.strip().rstrip(",;")
    if not _NUMBER.fullmatch(text):
        return None
    return float(_EXPONENT.sub("e", text))


def _value(text: str) -> Any:
    """A number, an array of numbers, or text."""
    text = text.strip("\"'{}[]").strip()
    found = number(text.replace(",", ".") if text.count(",") == 1 else text)
    if found is not None:
        return found
    words = text.replace(",", " ").split()
    many = [number(word) for word in words[:100]]
    if len(words) > 1 and None not in many:
        return np.array(many, dtype=float)
    lower = text.lower()
    return lower in ("t", "true") if lower in ("t", "f", "true", "false") else text


def _said_energy(frame: Frame, comment: str) -> None:
    """The energy of a comment without key=value: named there, or its only number with a point."""
    said = _SAID.search(comment)
    if said and (unit := energy_unit(said[2] or "")):
        frame.comment.setdefault("energy_unit", unit)
    if frame.comment.keys() - {"energy_unit"}:
        return
    words = comment.replace(";", " ").split()
    found = [number(word) for word in words]
    values = [value for value, word in zip(found, words, strict=True)
              if value is not None and ("." in word or len(words) == 1)]  # fmt: skip
    # A number alone, before words, or behind the number of the step.
    if said or (len(values) == 1 and (found[0] == values[0] or None not in found)):
        frame.comment["energy"] = number(said[1]) if said else values[0]
        frame.bare = True


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
            frame = _table_frame(table, layout, both, vasp and vasp.header(row))
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


def _table_frame(
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
