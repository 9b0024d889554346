"""The longest sensible timestep for a molecule, from the fastest vibration its atoms allow.

A stretch of two atoms has the period 2π √(μ/k), with the reduced mass μ. The stiffest bonds to
hydrogen have k near 780 N/m (O–H of water), the stiffest of all others near 2300 N/m (N₂; K. P.
Huber and G. Herzberg, Constants of Diatomic Molecules, 1979). Velocity Verlet needs about six
steps in a period to follow it; it fails altogether at π.
"""

import numpy as np
from ase.data import atomic_masses
from ase.units import _amu

TO_HYDROGEN = 780.0
BETWEEN_OTHERS = 2300.0
"""N/m, of the stiffest bonds."""
STEPS_IN_A_PERIOD = 6.0


def longest_timestep(atomic_numbers: np.ndarray) -> float:
    """Longest sensible timestep in fs for a molecule of these atoms, shape (N,): 1.5 with hydrogen.

    It is a bound by elements alone, whatever the bonds are.
    """
    masses = np.sort(atomic_masses[np.asarray(atomic_numbers, dtype=int)])
    heavy = masses[masses > 2.5]
    found = []
    if len(heavy) < len(masses):
        partner = heavy[0] if len(heavy) else masses[0]
        found.append(_period(masses[0], partner, TO_HYDROGEN))
    if len(heavy):
        found.append(_period(heavy[0], heavy[min(1, len(heavy) - 1)], BETWEEN_OTHERS))
    return min(found) / STEPS_IN_A_PERIOD


def _period(first: float, second: float, stiffness: float) -> float:
    """Period of the stretch between two atoms of these masses (amu), fs."""
    reduced = first * second / (first + second) * _amu
    return float(2e15 * np.pi * np.sqrt(reduced / stiffness))


def timestep_warning(timestep: float, atomic_numbers: np.ndarray) -> str:
    """One sentence if a timestep (fs) is too long for a molecule of these atoms, else ""."""
    longest = longest_timestep(atomic_numbers)
    if timestep <= longest * 1.05:
        return ""
    lightest = "hydrogen" if (np.asarray(atomic_numbers) == 1).any() else "the lightest atoms"
    return (
        f"the timestep of {timestep:g} fs is too long for the vibrations of {lightest}, which need "
        f"at most about {longest:.2g} fs: energies will not be conserved and molecules break "
        "whatever the model; use --timestep-fs 0.5"
    )
