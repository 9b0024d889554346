"""XYZ and extended XYZ as people write them.

    number of atoms
    comment: words, key=value (extended XYZ, CP2K), or the energy alone (sGDML, QM-22)
    symbol or atomic number, x, y, z, further columns (as Properties=name:type:columns says)

Byte order marks, Latin-1, Fortran's D exponents, blank lines and ``>`` between frames are read.
"""

import re
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from ase.data import atomic_numbers as symbol_numbers

from fisherdash.errors import InputError

_PAIR = re.compile(r"""([^\s=,]+)\s*=\s*("[^"]*"|'[^']*'|\{[^}]*\}|\[[^\]]*\]|[^\s,]+)""")
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eEdD][-+]?\d+)?")
_SPECIES = ("species", "z", "numbers", "atomic_numbers")
_MOST_COLUMNS = 999
_EXPONENT = re.compile(r"(?<=[\d.])[dD](?=[-+]?\d)")


@dataclass
class Frame:
    """One frame.

    Attributes:
        numbers: (N,) atomic numbers.
        columns: name → (N,) or (N, k) of numbers; those without names are "5-7", "8-10", ….
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
    lines = text.splitlines()
    frames: list[Frame] = []
    row = 0
    while row < len(lines):
        first = lines[row].strip()
        if not first or first == ">":
            row += 1
            continue
        index = len(frames)
        if not (first.isascii() and first.isdigit()) or len(first) > 9:
            raise InputError(
                f"{name} is not an XYZ file: line {row + 1} should be the number of atoms of "
                f"frame {index}, received {first[:40]!r}."
            )
        count = int(first)
        if row + 2 + count > len(lines):
            raise InputError(
                f"{name} ends inside frame {index}: {count} atoms are announced, "
                f"{max(0, len(lines) - row - 2)} lines follow."
            )
        frames.append(_frame(lines[row + 1], lines[row + 2 : row + 2 + count], name, index))
        row += 2 + count
    if not frames:
        raise InputError(f"{name} holds no frames of format extxyz.")
    return frames


def _frame(comment: str, lines: list[str], name: str, index: int) -> Frame:
    rows = [line.split() for line in lines]
    widths = {len(row) for row in rows}
    if len(widths) > 1:
        # What has spaces in it and stands where a symbol should is told first.
        _elements(np.array([row[0] for row in rows if row and number(row[0]) is None]), name, index)
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
        else _usual(width or 0)
    )
    total = sum(size for _, _, _, size in layout) if width is None else width
    table = np.array(rows, dtype=object).reshape(len(rows), total)
    columns: dict[str, np.ndarray] = {}
    numbers = None
    for key, kind, start, size in layout:
        part = table[:, start : start + size]
        if key.lower() in _SPECIES and size == 1 and numbers is None:
            numbers = _elements(part[:, 0], name, index)
        elif kind in "RI":
            values = _numbers(part, name, index, key)
            columns[key] = values[:, 0] if size == 1 else values
    if numbers is None or columns.get("pos", np.zeros(0)).shape != (len(rows), 3):
        raise InputError(
            f"{name} needs a symbol and three coordinates for every atom of frame {index}."
        )
    frame = Frame(numbers, columns, pairs)
    _bare_energy(frame, comment)
    return frame


def _usual(width: int) -> list[tuple[str, str, int, int]]:
    found = [("species", "S", 0, 1), ("pos", "R", 1, 3)] if width >= 4 else []
    for start in range(4, width - 2, 3):
        found.append((f"{start + 1}-{start + 3}", "R", start, 3))
    return found


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


def _elements(words: np.ndarray, name: str, index: int) -> np.ndarray:
    found = []
    for word in words.tolist():
        symbol = word.capitalize()
        if word.isascii() and word.isdigit() and len(word) < 4:
            found.append(int(word))
        elif symbol in symbol_numbers:
            found.append(symbol_numbers[symbol])
        elif (bare := re.sub(r"[\d_].*$", "", symbol)) in symbol_numbers and bare != "X":
            found.append(symbol_numbers[bare])  # H1, C_2: labels of atoms
        else:
            raise InputError(
                f"{name} names an unknown element {word[:20]!r} in frame {index}; chemical "
                "symbols such as H, C or O are needed."
            )
    return np.array(found, dtype=np.int64)


def _numbers(part: np.ndarray, name: str, index: int, key: str) -> np.ndarray:
    try:
        return part.astype(np.float64)
    except (ValueError, OverflowError):
        pass
    try:
        return np.array([[float(_EXPONENT.sub("e", w)) for w in row] for row in part]).reshape(
            part.shape
        )
    except ValueError as error:
        word = str(error).rpartition(": ")[2][:40]
        raise InputError(
            f"{name} has {word} where frame {index} should have a number of {key[:40]}."
        ) from None


def number(text: str) -> float | None:
    """A number, with Fortran's exponents too; None for other text."""
    text = text.strip().rstrip(",;")
    if not _NUMBER.fullmatch(text):
        return None
    return float(_EXPONENT.sub("e", text))


def _value(text: str) -> Any:
    """A number, an array of numbers, or text."""
    text = text.strip("\"'{}[]").strip()
    found = number(text)
    if found is not None:
        return found
    words = text.replace(",", " ").split()
    many = [number(word) for word in words[:100]]
    if len(words) > 1 and None not in many:
        return np.array(many, dtype=float)
    lower = text.lower()
    return lower in ("t", "true") if lower in ("t", "f", "true", "false") else text


def _bare_energy(frame: Frame, comment: str) -> None:
    """The energy where the comment is a number, or begins with one."""
    if frame.comment:
        return
    words = comment.replace(";", " ").split()
    found = [number(word) for word in words]
    # A number alone, or before words.
    alone = found and found[0] is not None and found.count(None) == len(found) - 1
    if alone and (len(found) == 1 or "." in words[0]):
        frame.comment["energy"], frame.bare = found[0], True
