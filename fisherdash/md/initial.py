"""Initial states: geometries, thermal momenta without overall motion, relaxed structures, bonds.

Momenta are drawn from the Maxwell–Boltzmann distribution, p_i ~ N(0, m_i k_B T), and the motion of
the whole molecule is then taken out: with r' measured from the centre of mass, L = Σ r' × p and I
the tensor of inertia,

    p_i ← p_i − m_i (V + ω × r'_i),     V = Σp / Σm,     I ω = L.

In mass-weighted coordinates this is an orthogonal projection of an isotropic Gaussian, so what
remains is canonical in the remaining 3N − 6 degrees of freedom (3N − 5 for a linear molecule)
and must not be rescaled: 2K/k_BT is χ² with that many degrees of freedom.

A linear molecule is bent by warmth in nearly every frame, and what then looks like a rotation about
its axis is part of a vibration: it stays, whatever the frame.
"""

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.data import atomic_masses
from jaxtyping import Float, Int

from fisherdash.dataset import Dataset, reference_bonds
from fisherdash.errors import InputError
from fisherdash.md.failure import Bonds
from fisherdash.statistics import evenly_spaced
from fisherdash.units import ACCELERATION, BOLTZMANN

_SAMPLE = 101
"""Evenly spaced frames that say what the molecule is like, at most."""

_DETOUR = 0.05
"""By which the way from end to end through all atoms is longer than a linear molecule, at most: an
angle of some 144°. At 1000 K vibrations of 3 eV/Å² make it 0.03 to 0.045."""


def masses(atomic_numbers: Int[np.ndarray, " atoms"]) -> Float[np.ndarray, " atoms"]:
    """Standard atomic masses, amu."""
    return np.asarray(atomic_masses[np.asarray(atomic_numbers)], np.float64)


def pick_frames(frames: int, replicas: int, seed: int) -> tuple[np.ndarray, str]:
    """Indices of random frames, shape (replicas,), and how they were drawn, in words.

    Distinct frames while there are enough; otherwise every frame is used before any is used again.
    The first frames of a longer draw are those of a shorter one.
    """
    rng = _generator(seed, "frames")
    rounds = -(-replicas // frames)
    order = np.concatenate([rng.permutation(frames) for _ in range(rounds)])[:replicas]
    if rounds == 1:
        return order, f"{replicas} distinct frames out of {frames}, drawn at random"
    return order, (
        f"{replicas} replicas start from only {frames} frames: frames are used up to {rounds} "
        "times, each time with other momenta"
    )


def thermal_momenta(
    positions: Float[np.ndarray, "replicas atoms 3"],
    masses: Float[np.ndarray, " atoms"],
    temperature: float,
    seed: int,
    linear: bool,
) -> Float[np.ndarray, "replicas atoms 3"]:
    """Maxwell–Boltzmann momenta at ``temperature`` (K) without overall motion, amu Å/fs.

    ``linear`` says whether the molecule is (:func:`is_linear`).
    """
    rng = _generator(seed, "momenta")
    width = np.sqrt(masses * BOLTZMANN * temperature * ACCELERATION)
    drawn = width[:, None] * rng.standard_normal(positions.shape)
    for _ in range(2):  # the second pass takes out what round-off left of the first
        drawn = remove_overall_motion(positions, drawn, masses, linear)
    return drawn


def remove_overall_motion(
    positions: Float[np.ndarray, "*batch atoms 3"],
    momenta: Float[np.ndarray, "*batch atoms 3"],
    masses: Float[np.ndarray, " atoms"],
    linear: bool = False,
) -> Float[np.ndarray, "*batch atoms 3"]:
    """Momenta with zero total momentum and zero angular momentum.

    That about the axis of least inertia stays for a ``linear`` molecule.
    """
    weights = masses[:, None]
    momenta = momenta - weights * momenta.sum(axis=-2, keepdims=True) / masses.sum()
    arms = _from_centre(positions, masses)
    angular = np.cross(arms, momenta).sum(axis=-2)
    moments, axes = np.linalg.eigh(_inertia(arms, masses))
    if linear:
        moments, axes = moments[..., 1:], axes[..., 1:]
    rotation = np.einsum("...ik,...k,...jk,...j->...i", axes, 1.0 / moments, axes, angular)
    return momenta - weights * np.cross(rotation[..., None, :], arms)


def is_linear(positions: Float[np.ndarray, "frames atoms 3"]) -> bool:
    """Whether the molecule is linear but for its vibrations, by the means of its distances."""
    some = positions[evenly_spaced(len(positions), _SAMPLE)]
    gaps = some[:, :, None] - some[:, None]
    mean = np.linalg.norm(gaps, axis=-1).mean(axis=0)
    order = np.argsort(mean[mean.max(axis=1).argmax()])  # from one end to the other
    way = mean[order[:-1], order[1:]].sum()
    return bool(way < (1.0 + _DETOUR) * mean.max())


def degrees_of_freedom(num_atoms: int, linear: bool) -> int:
    """Of the internal motion: 3N − 6, or 3N − 5 of a linear molecule."""
    return 3 * num_atoms - (5 if linear else 6)


def find_bonds(dataset: Dataset) -> Bonds:
    """Bonds of the molecule, and their mean lengths over the data set.

    A bond is one that most of up to 101 evenly spaced frames show, so that one odd frame neither
    makes nor breaks it.
    """
    frames = evenly_spaced(len(dataset), _SAMPLE)
    votes = np.zeros((dataset.num_atoms, dataset.num_atoms), int)
    for frame in frames:
        pairs, _ = reference_bonds(dataset.atomic_numbers, dataset.positions[frame])
        votes[tuple(np.asarray(pairs).reshape(-1, 2).T)] += 1
    pairs = np.argwhere(2 * votes > len(frames))
    lengths = Bonds(pairs, np.zeros(len(pairs))).measure(dataset.positions).mean(axis=0)
    return Bonds(pairs, lengths)


def _generator(seed: int, purpose: str) -> np.random.Generator:
    """Independent streams of one seed, so that the draw of frames does not shift the momenta."""
    stream = {"frames": 0, "momenta": 1}[purpose]
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(stream,)))


def _from_centre(positions: np.ndarray, masses: np.ndarray) -> np.ndarray:
    centre = np.einsum("a,...ai->...i", masses, positions) / masses.sum()
    return positions - centre[..., None, :]


def _inertia(arms: np.ndarray, masses: np.ndarray) -> np.ndarray:
    square = np.einsum("a,...ai,...ai->...", masses, arms, arms)
    outer = np.einsum("a,...ai,...aj->...ij", masses, arms, arms)
    return square[..., None, None] * np.eye(3) - outer


def relax(
    calculator: Calculator,
    atomic_numbers: Int[np.ndarray, " atoms"],
    positions: Float[np.ndarray, "atoms 3"],
) -> tuple[Float[np.ndarray, "atoms 3"], float]:
    """Positions at a minimum, Å, and the largest force left on an atom, eV/Å.

    Ends when no atom feels more than 1 meV/Å, or after 500 steps. Raises InputError when an energy
    or a force is not finite on the way.
    """
    from ase.optimize import LBFGS  # slow to import

    atoms = Atoms(numbers=atomic_numbers, positions=positions, calculator=calculator)
    for _ in LBFGS(atoms, logfile=None).irun(fmax=1e-3, steps=500):  # pyright: ignore
        if not np.all(np.isfinite([atoms.get_potential_energy(), *atoms.get_forces().flat])):
            raise InputError(
                'start="relaxed" met an energy or a force that is not finite while relaxing the '
                'molecule with the first checkpoint; start="data" needs no relaxation'
            )
    left = np.linalg.norm(atoms.get_forces(), axis=-1).max()
    return np.array(atoms.get_positions()), float(left)
