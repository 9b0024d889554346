"""One system of units inside: eV, Å, amu, fs and K; everything else is converted on input.

Values are those of ASE, which takes them from CODATA 2014; ASE's own unit of time (Å √(amu/eV))
is not used, so that a time step read in this project is always in femtoseconds.
"""

from typing import Final

from ase import units as _ase

BOLTZMANN: Final = float(_ase.kB)
"""Boltzmann constant in eV/K."""

ACCELERATION: Final = float(_ase.fs**2)
"""1 eV/Å/amu expressed in Å/fs²: acceleration = ACCELERATION · force / mass,
kinetic energy = ½ mass · velocity² / ACCELERATION."""

KCAL_PER_MOL: Final = float(_ase.kcal / _ase.mol)
"""1 kcal/mol in eV."""

KJ_PER_MOL: Final = float(_ase.kJ / _ase.mol)
"""1 kJ/mol in eV."""

HARTREE: Final = float(_ase.Hartree)
"""1 hartree in eV."""

BOHR: Final = float(_ase.Bohr)
"""1 bohr in Å."""
