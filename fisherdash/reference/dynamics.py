"""GFN2-xTB forces under Langevin dynamics that is split as BAOAB.

    dx = v dt,   m dv = F dt − γ m v dt + √(2 γ m kT) dW

BAOAB (Leimkuhler and Matthews, J. Chem. Phys. 138, 174102 (2013)) takes half a kick B, half a
drift A, the exact Ornstein–Uhlenbeck step O, A, B. Its configurations carry no error of the time
step for harmonic modes, where other schemes come out hot by about (ωΔt)²/4 in the stiffest. Its
velocities at the end of a step come out cold by as much, so the kinetic temperature reads about
one per cent low at 0.5 fs; the positions, which are what is sampled, do not.

GFN2-xTB: Bannwarth, Ehlert and Grimme, J. Chem. Theory Comput. 15, 1652 (2019), from tblite.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.calculators.calculator import CalculationFailed, SCFError
from ase.calculators.calculator import InputError as CalculatorInputError
from ase.md.langevinbaoab import LangevinBAOAB
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from fisherdash.dataset import reference_bonds
from fisherdash.errors import InputError

METHOD = "GFN2-xTB"

_ELECTRONIC_ERRORS = (CalculationFailed, CalculatorInputError, SCFError, RuntimeError)


def langevin(
    atoms: Atoms, temperature: float, timestep_fs: float, friction_fs: float, seed: int
) -> LangevinBAOAB:
    """BAOAB dynamics of atoms that have a calculator, started from Maxwell–Boltzmann momenta."""
    random = np.random.default_rng(seed)
    spread = np.sqrt(atoms.get_masses() * units.kB * temperature)[:, None]
    atoms.set_momenta(spread * random.normal(size=(len(atoms), 3)))
    # Without an external stress `hydrostatic` only spares a matrix exponential in every step.
    return LangevinBAOAB(
        atoms,
        timestep_fs * units.fs,
        temperature_K=temperature,
        T_tau=friction_fs * units.fs,
        hydrostatic=True,
        rng=random,
    )


def calculator(atoms: Atoms) -> Any:
    """A silent GFN2-xTB calculator with the charge and spin of the atoms.

    Raises RuntimeError when tblite is not installed in working order.
    """
    # One thread is fastest for a few atoms, and keeps the sums in one order. Only libraries
    # loaded from here on see the variable; a user's own setting is kept.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    try:
        from tblite.ase import TBLite
    except (ImportError, OSError) as error:
        raise RuntimeError(f"{METHOD} is not available, tblite cannot be loaded: {error}") from None
    electrons = int(atoms.numbers.sum() - round(atoms.get_initial_charges().sum()))
    unpaired = abs(round(atoms.get_initial_magnetic_moments().sum()))
    if (electrons - unpaired) % 2:  # the moments were not given: the lowest spin that fits
        unpaired = electrons % 2
    return TBLite(method=METHOD, verbosity=0, multiplicity=unpaired + 1)


@contextmanager
def refusing(doing: str) -> Iterator[None]:
    """Turns a failure of the electronic structure into one sentence for the user."""
    try:
        yield
    except _ELECTRONIC_ERRORS as error:
        reason = (str(error).strip().splitlines() or ["no reason given"])[0].rstrip(".")
        raise InputError(f"{METHOD} failed while {doing}: {reason}.") from None


def fragments(atoms: Atoms, tolerance: float) -> int:
    """Number of pieces that hang together when bonds reach `tolerance` × the covalent radii."""
    pairs, _ = reference_bonds(atoms.numbers, atoms.positions, tolerance)
    size = len(atoms)
    graph = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(size, size))
    return int(connected_components(graph, directed=False, return_labels=False))
