"""The nearest minimum of a potential, by L-BFGS with limited steps (ASE)."""

from collections.abc import Callable
from typing import ClassVar

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.optimize import LBFGS
from jaxtyping import Float, Int

from fisherdash.errors import InputError

Potential = Callable[[Float[np.ndarray, "atoms 3"]], tuple[float, Float[np.ndarray, "atoms 3"]]]
"""positions in Å → (energy in eV, forces in eV/Å)."""


def relax(
    potential: Potential,
    atomic_numbers: Int[np.ndarray, " atoms"],
    positions: Float[np.ndarray, "atoms 3"],
    *,
    largest_force: float = 1e-3,
    steps: int = 500,
) -> tuple[Float[np.ndarray, "atoms 3"], float]:
    """Positions at a minimum, Å, and the largest force left on an atom, eV/Å.

    Ends when no atom feels more than ``largest_force`` (eV/Å), or after ``steps`` steps. Raises
    InputError when the potential is not finite on the way.
    """
    atoms = Atoms(numbers=atomic_numbers, positions=positions, calculator=_AsCalculator(potential))
    LBFGS(atoms, logfile=None).run(fmax=largest_force, steps=steps)  # pyright: ignore
    left = np.linalg.norm(atoms.get_forces(), axis=-1).max()
    return np.array(atoms.get_positions()), float(left)


class _AsCalculator(Calculator):
    """A potential in the shape that ASE's optimisers expect."""

    implemented_properties: ClassVar[list[str]] = ["energy", "forces"]

    def __init__(self, potential: Potential) -> None:
        super().__init__()
        self._potential = potential

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        energy, forces = self._potential(self.atoms.get_positions())  # pyright: ignore
        if not (np.isfinite(energy) and np.all(np.isfinite(forces))):
            raise InputError(
                'start="relaxed" met an energy or a force that is not finite while relaxing the '
                'molecule with the first checkpoint; start="data" needs no relaxation'
            )
        self.results = {"energy": float(energy), "forces": np.asarray(forces)}
