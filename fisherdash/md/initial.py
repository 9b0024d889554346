"""Initial states: geometries, thermal momenta without overall motion, relaxed structures, bonds.

Momenta are drawn from the Maxwell–Boltzmann distribution, p_i ~ N(0, m_i k_B T), and the motion of
the whole molecule is then taken out: with r' measured from the centre of mass, L = Σ r' × p and I
the tensor of inertia,

    p_i ← p_i − m_i (V + ω × r'_i),     V = Σp / Σm,     I ω = L.

In mass-weighted coordinates this is an orthogonal projection of an isotropic Gaussian, so what
remains is canonical in the remaining 3N − 6 degrees of freedom (3N − 5 for a linear molecule)
and must not be rescaled: 2K/k_BT is χ² with that many degrees of freedom.
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

_SINGULAR = 1e-10
"""Moments of inertia below this share of the largest belong to a rotation that does not exist."""


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
) -> Float[np.ndarray, "replicas atoms 3"]:
    """Maxwell–Boltzmann momenta at ``temperature`` (K) without overall motion, amu Å/fs."""
    rng = _generator(seed, "momenta")
    width = np.sqrt(masses * BOLTZMANN * temperature * ACCELERATION)
    drawn = width[:, None] * rng.standard_normal(positions.shape)
    # Twice: the second pass takes out what round-off left of the first.
    return remove_overall_motion(positions, remove_overall_motion(positions, drawn, masses), masses)


def remove_overall_motion(
    positions: Float[np.ndarray, "*batch atoms 3"],
    momenta: Float[np.ndarray, "*batch atoms 3"],
    masses: Float[np.ndarray, " atoms"],
) -> Float[np.ndarray, "*batch atoms 3"]:
    """Momenta with zero total momentum and zero angular momentum."""
    weights = masses[:, None]
    momenta = momenta - weights * momenta.sum(axis=-2, keepdims=True) / masses.sum()
    arms = _from_centre(positions, masses)
    angular = np.cross(arms, momenta).sum(axis=-2)
    # The pseudo-inverse leaves out the axis of a linear molecule, about which nothing turns.
    inverse = np.linalg.pinv(_inertia(arms, masses), rcond=_SINGULAR, hermitian=True)
    rotation = np.einsum("...ij,...j->...i", inverse, angular)
    return momenta - weights * np.cross(rotation[..., None, :], arms)


def degrees_of_freedom(
    positions: Float[np.ndarray, "*batch atoms 3"], masses: Float[np.ndarray, " atoms"]
) -> int:
    """3N − 6, or 3N − 5 when every one of these geometries is exactly linear."""
    moments = np.linalg.eigvalsh(_inertia(_from_centre(positions, masses), masses))
    rotations = np.sum(moments > _SINGULAR * moments[..., -1:], axis=-1)
    return 3 * positions.shape[-2] - 3 - int(np.max(rotations))


def find_bonds(dataset: Dataset, sample: int = 101) -> Bonds:
    """Bonds of the molecule, and their mean lengths over the data set.

    A bond is one that most of up to ``sample`` evenly spaced frames show, so that one odd frame
    neither makes nor breaks it.
    """
    frames = evenly_spaced(len(dataset), sample)
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
    *,
    largest_force: float = 1e-3,
    steps: int = 500,
) -> tuple[Float[np.ndarray, "atoms 3"], float]:
    """Positions at a minimum, Å, and the largest force left on an atom, eV/Å.

    Ends when no atom feels more than ``largest_force`` (eV/Å), or after ``steps`` steps. Raises
    InputError when an energy or a force is not finite on the way.
    """
    from ase.optimize import LBFGS  # slow to import

    atoms = Atoms(numbers=atomic_numbers, positions=positions, calculator=calculator)
    for _ in LBFGS(atoms, logfile=None).irun(fmax=largest_force, steps=steps):  # pyright: ignore
        if not np.all(np.isfinite([atoms.get_potential_energy(), *atoms.get_forces().flat])):
            raise InputError(
                'start="relaxed" met an energy or a force that is not finite while relaxing the '
                'molecule with the first checkpoint; start="data" needs no relaxation'
            )
    left = np.linalg.norm(atoms.get_forces(), axis=-1).max()
    return np.array(atoms.get_positions()), float(left)
