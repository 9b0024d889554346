"""Frames of one molecule with energies and forces: the Dataset, its split and its bonds.

A Dataset is immutable and checked when it is made, so whatever holds one may rely on its shapes,
its finiteness and its units (eV, Å, eV/Å).

Atoms i and j are bonded when r_ij < 1.3 (R_i + R_j), with the single-bond radii R of Cordero et
al., Dalton Trans. 2832 (2008), as tabulated in ase.data. The factor lies well between a stretched
bond at a few hundred kelvin (about 1.15) and the nearest non-bonded pair (about 1.5).

What a file says of the temperature of its frames, and what only hints at one, is read here too.
"""

import functools
import hashlib
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
from ase.data import atomic_numbers as symbol_numbers
from ase.data import chemical_symbols, covalent_radii
from ase.formula import Formula

from fisherdash import molecules
from fisherdash.errors import InputError
from fisherdash.settings import LoadSettings, settings_of

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
    positions = _real("positions", positions)
    energies = _real("energies", energies)
    forces = _real("forces", forces)
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
        energies = energies[:, 0]
    if energies.shape != (frames,):
        raise InputError(
            f"energies must hold one number for each of the {frames} frames, received an array "
            f"of shape {energies.shape}."
        )
    # Copied only now: what does not fit together may be large.
    positions, energies, forces = (
        np.array(array, dtype=np.float64) for array in (positions, energies, forces)
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
    found = [_atomic_number(word.strip()[:_LONGEST_WORD]) for word in words]
    if None in found:
        word = words[found.index(None)]
        raise InputError(
            f"{who} an unknown element {word.strip()[:20]!r}{where}; chemical symbols such as "
            "H, C or O are needed."
        )
    return np.array(found, dtype=np.int64)


_LONGEST_WORD = 40
"""Characters of a label that are looked at."""


@functools.lru_cache(1024)
def _atomic_number(word: str) -> int | None:
    """None for a word that names no element."""
    symbol = word.capitalize()
    bare = re.sub(r"[\d_].*$", "", symbol)
    if not symbol:
        return 0
    if word.isascii() and symbol.isdigit() and len(symbol) < 4:
        return int(symbol)
    if symbol in symbol_numbers:
        return symbol_numbers[symbol]
    return symbol_numbers.get(bare) if bare != "X" else None


def check_count(atoms: int) -> None:
    """InputError for a molecule of more atoms than can be worked with."""
    if atoms > MOST_ATOMS:
        raise InputError(
            f"A molecule of {atoms} atoms was received; at most {MOST_ATOMS} are read, and some "
            "dozens are comfortable."
        )


def _real(name: str, value: Any) -> np.ndarray:
    array = np.asarray(value)
    if array.dtype.kind not in "iuf":
        raise InputError(f"{name} must be real numbers, received values of type {array.dtype}.")
    return array


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


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """M frames of one molecule of N atoms, in the project's units.

    Attributes:
        positions: (M, N, 3) float64, Å.
        energies: (M,) float64, eV.
        forces: (M, N, 3) float64, eV/Å.
        atomic_numbers: (N,) int64, the same molecule in the same order in every frame.
        temperature: the temperature in K at which the frames were sampled, None if unknown.
        source: where the frames came from, in a few words.
        notes: what was inferred while loading and why, plain sentences.
        warnings: doubts about these numbers, plain sentences.
        left_out: frames of the file that were not taken, and why.
        units: of the file, by quantity; empty where it was in this project's.

    The arrays are copied and made read-only. Raises InputError for wrong shapes, NaN or infinite
    values, unknown elements, fewer than two atoms, no frames, atoms on top of each other.
    """

    positions: np.ndarray
    energies: np.ndarray
    forces: np.ndarray
    atomic_numbers: np.ndarray
    temperature: float | None = None
    source: str = ""
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    units: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        arrays = check_arrays(self.positions, self.energies, self.forces, self.atomic_numbers)
        for name, array in arrays.items():
            array.setflags(write=False)
            object.__setattr__(self, name, array)
        object.__setattr__(self, "temperature", check_temperature(self.temperature))
        object.__setattr__(self, "source", str(self.source))
        for told in ("notes", "warnings", "left_out"):
            object.__setattr__(self, told, tuple(str(one) for one in getattr(self, told)))

    def __len__(self) -> int:
        """Number of frames M."""
        return len(self.energies)

    def __repr__(self) -> str:
        known = "unknown temperature" if self.temperature is None else f"{self.temperature:g} K"
        return f"Dataset({len(self)} frames of {self.formula}, {known}, from {self.source!r})"

    @property
    def num_atoms(self) -> int:
        """Number of atoms N."""
        return len(self.atomic_numbers)

    @property
    def symbols(self) -> tuple[str, ...]:
        """Chemical symbols of the N atoms, in order."""
        return tuple(chemical_symbols[z] for z in self.atomic_numbers)

    @property
    def formula(self) -> str:
        """Hill formula, for example C2H6O."""
        return Formula.from_list(list(self.symbols)).format("hill")

    @functools.cached_property
    def fingerprint(self) -> str:
        """First 16 characters of the SHA-256 of atoms, positions, energies and forces.

        Temperature, source and notes are left out: the same frames have the same fingerprint.
        """
        digest = hashlib.sha256()
        digest.update(np.asarray(self.positions.shape, "<i8").tobytes())
        digest.update(self.atomic_numbers.astype("<i8").tobytes())
        for array in (self.positions, self.energies, self.forces):
            digest.update(np.ascontiguousarray(array, "<f8").tobytes())
        return digest.hexdigest()[:16]

    def view(self, frame: int = 0) -> Any:
        """A frame in three dimensions, as a ``py3Dmol.view`` for notebooks; negative ones count
        from the end. InputError for a frame that is not there."""
        return molecules.view(self.atomic_numbers, self.subset([frame]).positions)

    def subset(self, indices: Sequence[int] | np.ndarray | slice) -> "Dataset":
        """The frames at `indices` (integers, a boolean mask or a slice), in that order.

        Raises InputError when an index lies outside the data set or nothing is left.
        """
        if not isinstance(indices, slice):
            indices = np.asarray(indices)
            indices = indices if indices.size else indices.astype(np.int64)
        try:
            rows = np.arange(len(self))[indices]
        except IndexError:
            raise InputError(
                f"A frame index lies outside the data set, which has {len(self)} frames."
            ) from None
        return replace(
            self,
            positions=self.positions[rows],
            energies=self.energies[rows],
            forces=self.forces[rows],
        )


_TEMPERATURE = next(one for one in settings_of(LoadSettings) if one.name == "temperature")


def check_temperature(value: float | None) -> float | None:
    """A temperature in K as a float, or None; InputError outside of what the settings allow."""
    if value is None:
        return None
    try:
        temperature = float(value)
    except (TypeError, ValueError):
        temperature = float("nan")
    if not (np.isfinite(temperature) and _TEMPERATURE.allows(temperature)):
        raise InputError(
            f"temperature must be a positive number of kelvin, received {value!r:.60}; at most "
            f"{_TEMPERATURE.high:.0f}."
        )
    return temperature


def split_order(frames: int, seed: int) -> np.ndarray:
    """Indices of all frames in the order in which :func:`split` takes them."""
    return np.random.default_rng(seed).permutation(frames)


def split(dataset: Dataset, train: int, valid: int, seed: int) -> tuple[Dataset, Dataset]:
    """Two disjoint random subsets with `train` and `valid` frames; the same seed, the same split.

    Raises InputError when either is below one or there are too few frames.
    """
    for name, count in (("train", train), ("valid", valid)):
        if count < 1:
            raise InputError(f"{name} must be at least 1 frame, received {count}.")
    if train + valid > len(dataset):
        raise InputError(
            f"The data set has {len(dataset)} frames, too few for {train} training and {valid} "
            f"validation frames ({train + valid} together)."
        )
    order = split_order(len(dataset), seed)
    return dataset.subset(order[:train]), dataset.subset(order[train : train + valid])


TOLERANCE = 1.3


def reference_bonds(
    atomic_numbers: np.ndarray, positions: np.ndarray, tolerance: float = TOLERANCE
) -> tuple[np.ndarray, np.ndarray]:
    """Bonded pairs of one geometry.

    Args: atomic_numbers (N,), positions (N, 3) in Å, tolerance the factor of the rule above.
    Returns: pairs (P, 2) int64 with i < j, in ascending order, and their lengths (P,) in Å.
    """
    numbers = np.asarray(atomic_numbers)
    positions = np.asarray(positions, dtype=np.float64)
    first, second = np.triu_indices(len(numbers), k=1)
    lengths = np.linalg.norm(positions[first] - positions[second], axis=-1)
    radii = covalent_radii[numbers]
    bonded = lengths < tolerance * (radii[first] + radii[second])
    pairs = np.stack([first[bonded], second[bonded]], axis=1).astype(np.int64)
    return pairs, lengths[bonded]


_KEYS = ("temperature", "temperature_k", "temp")
_IN_NAME = re.compile(r"(?<![0-9.])([1-9][0-9]{2,3})\s?K(?![A-Za-z0-9])")
_BY_HAND = "The temperature was set by hand."
_UNKNOWN_BY_HAND = "The temperature was declared unknown by hand."
_BY_NAME = "The file's name says"
_BY_COMMENTS = ("The temperature of", "Comments name")


def from_comments(
    comments: Iterable[Mapping[str, Any]], wished: float | None
) -> tuple[float | None, list[str]]:
    """The temperature that the comments of all frames name alike, K, and notes about it.

    Args:
        comments: key and value of every frame's comment.
        wished: what the user says, which counts.
    """
    if wished is not None:
        return wished, []
    said = [_number(comment) for comment in comments]
    found = [value for value in said if value is not None]
    if not found:
        return None, []
    low, high = min(found), max(found)
    if len(found) == len(said) and high - low <= 1e-6 * high:
        return low, [f"{_BY_COMMENTS[0]} {low:g} K is what every frame's comment says."]
    span = f"{low:g} K" if low == high else f"from {low:g} to {high:g} K"
    return None, [
        f"{_BY_COMMENTS[1]} a temperature of {span} in {len(found)} of {len(said)} frames, those "
        "of moments or of several samples; give that of the thermostat, if there was one."
    ]


def _number(comment: Mapping[str, Any]) -> float | None:
    for key, value in comment.items():
        if key.lower() in _KEYS and isinstance(value, Real) and not isinstance(value, bool):
            number = float(value)
            return number if math.isfinite(number) and number > 0 else None
    return None


def hinted(dataset: Dataset, name: str) -> Dataset:
    """With a note where the temperature is unknown and the file's name seems to say it."""
    found = _IN_NAME.findall(Path(name).stem.replace("_", " "))
    said = any(note.startswith((_BY_NAME, _BY_HAND, _UNKNOWN_BY_HAND)) for note in dataset.notes)
    if said or dataset.temperature is not None or len(found) != 1:
        return dataset
    note = (
        f"{_BY_NAME} {found[0]} K, nothing in it does: the temperature stays unknown "
        "until you give it."
    )
    return replace(dataset, notes=(*dataset.notes, note))


def at_temperature(dataset: Dataset, temperature: float | None) -> Dataset:
    """The same frames at another temperature (K, None if unknown), and a note about it.

    The fingerprint stays, so runs and models of these frames still know them. InputError for a
    temperature that is none.
    """
    outdated = (_BY_HAND, _UNKNOWN_BY_HAND, _BY_NAME, *_BY_COMMENTS)
    notes = [note for note in dataset.notes if not note.startswith(outdated)]
    note = _BY_HAND if temperature is not None else _UNKNOWN_BY_HAND
    return replace(dataset, temperature=temperature, notes=(*notes, note))
