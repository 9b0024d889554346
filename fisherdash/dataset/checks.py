"""Checks of the arrays of a data set; each refusal is one sentence."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from ase.data import atomic_numbers as symbol_numbers
from ase.data import chemical_symbols

from fisherdash.errors import InputError

LARGEST_ELEMENT = 118
LARGEST = {"positions": (1e7, "Å"), "energies": (1e12, "eV"), "forces": (1e9, "eV/Å")}
"""Beyond any molecule's, and far within what can be squared and summed."""
CLOSEST_ATOMS = 0.3
"""Å; no two nuclei of a molecule come this close (H–H at its shortest is about 0.6 Å in MD)."""

MOST_ATOMS = 1000
"""The network looks at all pairs of atoms, so more are out of its reach."""

_BLOCK = 1_000_000  # distances computed at once, some tens of MB
_MANY_ATOMS = 64  # from here on a tree finds the closest atoms sooner than all pairs do


def check_arrays(positions: Any, energies: Any, forces: Any, atomic_numbers: Any) -> dict:
    """Own copies of the four arrays with the Dataset's dtypes and shapes.

    Args: positions (M, N, 3) Å, energies (M,) or (M, 1) eV, forces (M, N, 3) eV/Å,
    atomic_numbers (N,). Raises InputError with one sentence for whatever does not fit.
    """
    positions = _floats("positions", positions)
    energies = _floats("energies", energies)
    forces = _floats("forces", forces)
    if positions.ndim != 3 or positions.shape[2] != 3:
        raise InputError(
            f"positions must have the shape (frames, atoms, 3), received {positions.shape}."
        )
    frames, atoms = positions.shape[:2]
    if frames == 0:
        raise InputError("The data set has no frames; at least one is needed.")
    check_count(atoms)
    atomic_numbers = check_elements(atomic_numbers)
    if len(atomic_numbers) != atoms:
        raise InputError(
            f"atomic_numbers lists {len(atomic_numbers)} atoms, but positions has {atoms}."
        )
    if forces.shape != positions.shape:
        raise InputError(
            f"forces must have the shape of positions, {positions.shape}, received {forces.shape}."
        )
    if energies.shape == (frames, 1):
        energies = energies[:, 0].copy()
    if energies.shape != (frames,):
        raise InputError(
            f"energies must hold one number for each of the {frames} frames, received an array "
            f"of shape {energies.shape}."
        )
    for name, array in (("positions", positions), ("energies", energies), ("forces", forces)):
        _check_finite(name, array)
        _check_size(name, array)
    _check_apart(positions, atomic_numbers)
    return {
        "positions": positions,
        "energies": energies,
        "forces": forces,
        "atomic_numbers": atomic_numbers,
    }


def check_elements(atomic_numbers: Any) -> np.ndarray:
    """(N,) int64 atomic numbers; InputError unless they are 1 to 118 and at least two."""
    numbers = np.asarray(atomic_numbers)
    if numbers.ndim != 1 or numbers.dtype.kind not in "iuf":
        raise InputError(
            "atomic_numbers must be a list of integers, one for each atom, received an array of "
            f"shape {numbers.shape} and type {numbers.dtype}."
        )
    if len(numbers) < 2:
        raise InputError(f"A molecule needs at least two atoms, received {len(numbers)}.")
    wrong = ~((numbers >= 1) & (numbers <= LARGEST_ELEMENT) & (numbers == np.round(numbers)))
    if wrong.any():
        index = int(np.argmax(wrong))
        raise InputError(
            f"Unknown element: atom {index} has the atomic number {numbers[index]}; known are "
            f"the whole numbers 1 to {LARGEST_ELEMENT}."
        )
    return numbers.astype(np.int64)


def elements(words: Sequence[str], who: str, where: str = "") -> np.ndarray:
    """Atomic numbers, shape (N,), of symbols, labels such as H1 or C_2, or numbers; "" is 0.

    InputError, "``who`` an unknown element … ``where``", for any other word.
    """
    found = []
    for word in words:
        symbol = word.strip().capitalize()
        bare = re.sub(r"[\d_].*$", "", symbol)
        if not symbol:
            found.append(0)
        elif word.isascii() and symbol.isdigit() and len(symbol) < 4:
            found.append(int(symbol))
        elif symbol in symbol_numbers or (bare in symbol_numbers and bare != "X"):
            found.append(symbol_numbers[bare])
        else:
            raise InputError(
                f"{who} an unknown element {word.strip()[:20]!r}{where}; chemical symbols such as "
                "H, C or O are needed."
            )
    return np.array(found, dtype=np.int64)


def check_count(atoms: int) -> None:
    """InputError for a molecule of more atoms than can be worked with."""
    if atoms > MOST_ATOMS:
        raise InputError(
            f"A molecule of {atoms} atoms was received; at most {MOST_ATOMS} are read, and some "
            "dozens are comfortable."
        )


def _floats(name: str, value: Any) -> np.ndarray:
    array = np.asarray(value)
    if array.dtype.kind not in "iuf":
        raise InputError(f"{name} must be real numbers, received values of type {array.dtype}.")
    return np.array(array, dtype=np.float64)


def _check_finite(name: str, array: np.ndarray) -> None:
    frames = np.all(np.isfinite(array.reshape(len(array), -1)), axis=1)
    if not frames.all():
        raise InputError(
            f"{name} holds NaN or infinite values in {int((~frames).sum())} of {len(array)} "
            f"frames, the first is frame {int(np.argmin(frames))}; remove those frames."
        )


def _check_size(name: str, array: np.ndarray) -> None:
    most, unit = LARGEST[name]
    largest = float(np.abs(array).max(initial=0.0))
    if largest > most:
        raise InputError(
            f"{name} holds a value of {largest:.3g} {unit}; no molecule has more than {most:g} "
            f"{unit}."
        )


def _check_apart(positions: np.ndarray, atomic_numbers: np.ndarray) -> None:
    for frame, i, j, distance in _closest(positions):
        if distance < CLOSEST_ATOMS:
            raise InputError(
                f"Atoms {i} ({chemical_symbols[atomic_numbers[i]]}) and {j} "
                f"({chemical_symbols[atomic_numbers[j]]}) of frame {frame} are {distance:.3g} Å "
                "apart, which no molecule is; positions must be in Å, or in the unit that "
                "--length-units names."
            )


def _closest(positions: np.ndarray) -> Iterator[tuple[int, int, int, float]]:
    """Frame, two atoms and their distance: the least of a frame, or of a block of small frames."""
    atoms = positions.shape[1]
    if atoms > _MANY_ATOMS:
        from scipy.spatial import KDTree  # slow to import, and only needed here

        for frame, geometry in enumerate(positions):
            distances, neighbours = map(np.asarray, KDTree(geometry).query(geometry, k=2))
            atom = int(np.argmin(distances[:, 1]))
            other = next(n for n in neighbours[atom].tolist() if n != atom)
            yield frame, min(atom, other), max(atom, other), float(distances[atom, 1])
        return
    first, second = np.triu_indices(atoms, k=1)
    step = max(1, _BLOCK // len(first))
    for start in range(0, len(positions), step):
        block = positions[start : start + step]
        with np.errstate(over="ignore"):
            distances = np.linalg.norm(block[:, first] - block[:, second], axis=-1)
        frame, pair = np.unravel_index(np.argmin(distances), distances.shape)
        i, j = int(first[pair]), int(second[pair])
        yield start + int(frame), i, j, float(distances[frame, pair])
