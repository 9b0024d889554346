"""A unit planted in the numbers is found again, or the doubt is spoken."""

import numpy as np
import pytest
from ase.build import molecule
from hypothesis import given, settings
from hypothesis import strategies as st

from fisherdash.dataset.inference import (
    Declared,
    Wanted,
    check_units,
    energy_unit,
    nearest_over_bond,
    resolve,
    total_energy_evidence,
)
from fisherdash.errors import InputError
from fisherdash.units import BOHR, ENERGY_UNITS, HARTREE

# All-electron total energies (hartree) near those of common density functionals.
TOTAL = {
    "H2": -1.17, "H2O": -76.4, "CH4": -40.5, "CH3CH2OH": -155.0, "CO2": -188.6, "C6H6": -232.2,
    "CH3Cl": -500.1, "SiH4": -291.9, "N2": -109.5, "SO2": -548.6, "LiH": -8.08, "HCl": -460.8,
}  # fmt: skip


def thermal_forces(atoms: int, unit: str) -> np.ndarray:
    forces = np.random.default_rng(0).normal(size=(5, atoms, 3))  # eV/Å
    return forces / ENERGY_UNITS[unit]


def found(energies, forces, numbers, **said):
    count = len(forces)
    positions = np.tile(molecule("CH3CH2OH").positions[: len(numbers)], (count, 1, 1))
    arrays = {"positions": positions, "energies": energies, "forces": forces,
              "atomic_numbers": np.asarray(numbers)}  # fmt: skip
    return resolve(arrays, "x", Wanted(length_units="Å", **said), Declared())


@pytest.mark.parametrize("unit", ENERGY_UNITS)
@pytest.mark.parametrize("name", TOTAL)
def test_total_energy_tells_the_unit(name, unit):
    numbers = molecule(name).numbers
    energies = np.full(5, TOTAL[name] * HARTREE / ENERGY_UNITS[unit])
    assert total_energy_evidence(energies, numbers) == unit


@pytest.mark.parametrize("unit", ["eV", "kcal/mol"])
@settings(deadline=None)
@given(scale=st.floats(0.4, 2.5))
def test_forces_tell_the_unit_when_the_energies_cannot(unit, scale):
    """Energies from which atomic references were subtracted: the finding is an assumption."""
    numbers = molecule("CH3CH2OH").numbers
    energies = np.full(5, -33.0 / ENERGY_UNITS[unit])
    units = found(energies, scale * thermal_forces(9, unit), numbers)
    assert units.energy == unit
    assert units.notes[0].startswith(f"Units assumed: {unit}, from the size of the forces")


def test_energy_and_forces_that_disagree_are_asked_about():
    numbers = molecule("H2O").numbers
    energies = np.full(5, -76.4 * HARTREE)
    with pytest.raises(InputError, match=r"in kcal/mol/Å.*--force-units"):
        found(energies, thermal_forces(3, "kcal/mol"), numbers)
    units = found(energies, thermal_forces(3, "kcal/mol"), numbers, force_units="kcal/mol/Å")
    assert (units.energy, units.forces) == ("eV", "kcal/mol/Å")


def test_nothing_to_infer_from_is_refused():
    with pytest.raises(InputError, match="Cannot tell the units of x: forces of 0 rms and a mean"):
        found(np.zeros(3), np.zeros((3, 3, 3)), [8, 1, 1])


def test_heavy_elements_give_no_evidence():
    assert total_energy_evidence(np.array([-7000.0]), np.array([53, 53])) is None


def test_spellings():
    assert energy_unit("kcal mol-1") == energy_unit("KCAL/MOL") == "kcal/mol"
    assert energy_unit("Hartree") == energy_unit("Eh") == "hartree"
    assert energy_unit("furlong") is None
    assert check_units("ev") == "eV"
    assert check_units(None) is None


def test_lengths_in_bohr_are_seen():
    atoms = molecule("CH3CH2OH")
    assert nearest_over_bond(atoms.positions, atoms.numbers) < 1.3
    assert nearest_over_bond(atoms.positions / BOHR, atoms.numbers) > 1.6
