"""A checkpoint as an ASE calculator, for everything that ASE can do with energies and forces.

    from fisherdash.potentials.calculator import FisherDashCalculator

    atoms.calc = FisherDashCalculator("model.safetensors")

Energies are in eV with the checkpoint's constant included, forces in eV/Å: F = −∂U/∂x, by the same
function that this program's own dynamics call.
"""

import os
from collections.abc import Sequence
from typing import Any, ClassVar

import ase
import jax.numpy as jnp
import numpy as np
from ase.calculators.calculator import Calculator, all_changes

from fisherdash.errors import InputError
from fisherdash.potentials import checkpoint as checkpoints
from fisherdash.potentials import head
from fisherdash.potentials.checkpoint import Checkpoint


class FisherDashCalculator(Calculator):
    """Energy (eV) and forces (eV/Å) of single molecules in vacuum.

    Args:
      checkpoint: a checkpoint or the path of one.
      precision: of the network, "float32" or "float64"; displacements are formed in double
        precision before they are rounded.

    Raises:
      InputError: for a file that is no checkpoint; when energies are asked for, for periodic
        systems and for elements that the model was never trained on.
    """

    implemented_properties: ClassVar[list[str]] = ["energy", "free_energy", "forces"]

    def __init__(
        self,
        checkpoint: Checkpoint | str | os.PathLike[str],
        precision: str = "float32",
        **more: Any,
    ) -> None:
        super().__init__(**more)
        if not isinstance(checkpoint, Checkpoint):
            checkpoint = checkpoints.load(checkpoint)
        self.checkpoint = checkpoint
        self._arrays = checkpoint.on_device(precision)

    def calculate(
        self,
        atoms: ase.Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = all_changes,
    ) -> None:
        """Fills ``results`` for the atoms' present positions; called by ASE."""
        super().calculate(atoms, list(properties), list(system_changes))
        assert self.atoms is not None
        if self.atoms.pbc.any():
            raise InputError("the model knows single molecules in vacuum, the atoms are periodic")
        numbers = self.atoms.numbers
        self.checkpoint.check_elements(numbers)
        energies, forces = head.evaluate(
            self.checkpoint.potential,
            self.checkpoint.form,
            *self._arrays,
            jnp.asarray(numbers),
            jnp.asarray(self.atoms.positions[None]),
        )
        energy = float(energies[0]) + self.checkpoint.constant(numbers)
        self.results = {
            "energy": energy,
            "free_energy": energy,
            "forces": np.asarray(forces[0], np.float64),
        }


def snippet(path: str | os.PathLike[str]) -> str:
    """Python to paste: molecular dynamics in ASE with the checkpoint in ``path``."""
    return f"""\
from ase import units
from ase.io import read
from ase.md.verlet import VelocityVerlet
from ase.md.velocitydistribution import thermalize_momenta
from fisherdash.potentials.calculator import FisherDashCalculator

atoms = read('my_molecule.xyz')  # the molecule that the model was trained on
atoms.calc = FisherDashCalculator({os.fspath(path)!r})
thermalize_momenta(atoms, temperature_K=500)
dynamics = VelocityVerlet(atoms, timestep=0.5 * units.fs)
dynamics.run(1000)
print(atoms.get_total_energy(), "eV")
"""
