"""Frames of one molecule with energies and forces: the Dataset, its split and its bonds.

A Dataset is immutable and checked when it is made, so whatever holds one may rely on its shapes,
its finiteness and its units (eV, Å, eV/Å).

Atoms i and j are bonded when r_ij < 1.3 (R_i + R_j), with the single-bond radii R of Cordero et
al., Dalton Trans. 2832 (2008), as tabulated in ase.data. The factor lies well between a stretched
bond at a few hundred kelvin (about 1.15) and the nearest non-bonded pair (about 1.5).
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from ase.data import chemical_symbols, covalent_radii
from ase.formula import Formula

from fisherdash import molecules
from fisherdash.dataset.checks import check_arrays
from fisherdash.errors import InputError
from fisherdash.settings import LoadSettings, settings_of


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

    @property
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
