"""XYZ and extended XYZ as people write them.

    number of atoms
    comment: key=value (extended XYZ, CP2K), words and an energy (xtb, ORCA), or the energy alone
    symbol or atomic number, x, y, z, further columns (as Properties=name:type:columns says)

Byte order marks, Latin-1, Fortran's exponents, commas, an index before the symbols, blank lines,
``>`` and ``#`` between frames are read.
"""

import io
import itertools
import re
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from ase.data import atomic_numbers as symbol_numbers

from fisherdash.dataset.checks import elements
from fisherdash.errors import InputError
from fisherdash.units import energy_unit

_PAIR = re.compile(
    r"""(?<![^\s=,])([^\s=,]+)\s*=\s*("[^"]*"|'[^']*'|\{[^}]*\}|\[[^\]]*\]|[-+]?\d+,\d+(?![\d.,])|[^\s,]+)"""
)
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eEdD][-+]?\d+)?|[-+]?\d*\.\d+[-+]\d{2,3}", re.ASCII)
_SPECIES = ("species", "z", "numbers", "atomic_numbers")
_MOST_COLUMNS = 999
_LONGEST = 20_000
"""Characters of a comment that are read."""
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
    lines = enumerate(io.StringIO(text, newline=None), start=1)
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
        _, comment = next(lines, (0, None))
        atoms = [atom for _, atom in itertools.islice(lines, count)]
        if comment is None or len(atoms) < count:
            raise InputError(
                f"{name} ends inside frame {index}: {count} atoms are announced, {len(atoms)} "
                "lines follow."
            )
        frames.append(_frame(comment, atoms, name, index))
    if not frames:
        raise InputError(f"{name} holds no frames of format extxyz.")
    return frames


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
        len(row) > 4 and row[0].isdigit() and row[1].capitalize() in symbol_numbers for row in rows
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
