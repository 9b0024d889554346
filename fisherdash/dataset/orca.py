"""Frames of an ORCA output: geometry, energy and gradient of every step that has all three.

ASE's reader takes one geometry for granted and stumbles over files whose header is missing.
"""

import re

import numpy as np
from ase.data import atomic_numbers

from fisherdash.dataset.xyz import Frame
from fisherdash.errors import InputError
from fisherdash.units import BOHR, HARTREE

_ATOM = re.compile(r"^\s*([A-Z][a-z]?)\s+([-+.\dEe]+)\s+([-+.\dEe]+)\s+([-+.\dEe]+)\s*$")
_SLOPE = re.compile(r"^\s*\d+\s+[A-Z][a-z]?\s*:\s*([-+.\dEe]+)\s+([-+.\dEe]+)\s+([-+.\dEe]+)\s*$")
_ENERGY = re.compile(r"^FINAL SINGLE POINT ENERGY(?:\s*\(.*\))?\s+(-?\d+\.\d+)")


def read_orca(text: str, name: str) -> list[Frame]:
    """All frames in eV and Å, complete or not; InputError where there is no geometry."""
    lines = text.splitlines()
    frames: list[Frame] = []
    for row, line in enumerate(lines):
        said = line.strip()
        if said == "CARTESIAN COORDINATES (ANGSTROEM)":
            frames += _geometry(lines, row + 2)
        elif not frames:
            continue
        elif found := _ENERGY.match(line):
            frames[-1].comment["energy"] = float(found[1]) * HARTREE
        elif said.startswith("CARTESIAN GRADIENT") and "NUMERICAL" not in said:
            slopes = _block(lines, row + 1, _SLOPE)
            if slopes.shape == frames[-1].columns["pos"].shape:
                frames[-1].columns["forces"] = -slopes * HARTREE / BOHR
    if not frames:
        raise InputError(
            f"{name} is not an ORCA output: it has no CARTESIAN COORDINATES (ANGSTROEM)."
        )
    return frames


def _geometry(lines: list[str], row: int) -> list[Frame]:
    numbers, places = [], []
    for line in lines[row:]:
        found = _ATOM.match(line)
        if not found or found[1] not in atomic_numbers:
            break
        numbers.append(atomic_numbers[found[1]])
        places.append([_float(word) for word in found.groups()[1:]])
    if not numbers:
        return []
    return [Frame(np.array(numbers), {"pos": np.array(places)})]


def _block(lines: list[str], row: int, pattern: re.Pattern[str]) -> np.ndarray:
    """Rows of three numbers, after a few lines of rules and blanks."""
    found: list[list[float]] = []
    for line in lines[row:]:
        match = pattern.match(line)
        if match:
            found.append([_float(word) for word in match.groups()])
        elif found or line.strip(" -"):
            break
    return np.array(found).reshape(-1, 3)


def _float(word: str) -> float:
    try:
        return float(word)
    except ValueError:
        return float("nan")
