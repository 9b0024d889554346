"""A unit planted in the numbers is found again, or the doubt is spoken."""

import numpy as np
import pytest
from ase.build import molecule
from hypothesis import given, settings
from hypothesis import strategies as st

from fisherdash.dataset.inference import (
    ENERGY_UNITS,
    check_units,
    energy_unit,
    infer_energy_unit,
    length_doubt,
    total_energy_evidence,
)
from fisherdash.errors import InputError
from fisherdash.units import BOHR, HARTREE

# All-electron total energies (hartree) near those of common density functionals.
TOTAL = {
    "H2": -1.17, "H2O": -76.4, "CH4": -40.5, "CH3CH2OH": -155.0, "CO2": -188.6, "C6H6": -232.2,
    "CH3Cl": -500.1, "SiH4": -291.9, "N2": -109.5, "SO2": -548.6, "LiH": -8.08, "HCl": -460.8,
}  # fmt: skip


def thermal_forces(atoms: int, unit: str) -> np.ndarray:
    forces = np.random.default_rng(0).normal(size=(5, atoms, 3))  # eV/Å
    return forces / ENERGY_UNITS[unit]


@pytest.mark.parametrize("unit", ENERGY_UNITS)
@pytest.mark.parametrize("name", TOTAL)
def test_total_energy_tells_the_unit(name, unit):
    numbers = molecule(name).numbers
    energies = np.full(5, TOTAL[name] * HARTREE / ENERGY_UNITS[unit])
    found, note = infer_energy_unit(energies, thermal_forces(len(numbers), unit), numbers)
    assert found == unit
    assert note.startswith(f"Units inferred: {unit}, because")
    assert "as they should" in note


@pytest.mark.parametrize("unit", ["eV", "kcal/mol", "hartree"])
@settings(deadline=None)
@given(scale=st.floats(0.4, 2.5))
def test_forces_tell_the_unit_when_the_energies_cannot(unit, scale):
    """Energies from which atomic references were subtracted: the finding is an assumption."""
    numbers = molecule("CH3CH2OH").numbers
    energies = np.full(5, -33.0 / ENERGY_UNITS[unit])
    found, note = infer_energy_unit(energies, scale * thermal_forces(9, unit), numbers)
    assert found == unit
    assert note.startswith(f"Units assumed: {unit}, because the forces")


def test_energy_and_forces_that_disagree_are_called_out():
    numbers = molecule("H2O").numbers
    found, note = infer_energy_unit(
        np.full(5, -76.4 * HARTREE), thermal_forces(3, "kcal/mol"), numbers
    )
    assert found == "eV"
    assert "check that energies and forces have the same unit" in note


def test_nothing_to_infer_from_is_refused():
    with pytest.raises(InputError, match="Cannot tell the units: forces of 0 rms and a mean"):
        infer_energy_unit(np.zeros(3), np.zeros((3, 3, 3)), np.array([8, 1, 1]))


def test_heavy_elements_give_no_evidence():
    assert total_energy_evidence(np.array([-7000.0]), np.array([53, 53])) is None


def test_spellings():
    assert energy_unit("kcal mol-1") == energy_unit("KCAL/MOL") == "kcal/mol"
    assert energy_unit("Hartree") == energy_unit("Eh") == "hartree"
    assert energy_unit("furlong") is None
    assert check_units("ev") == "eV"
    assert check_units(None) is None


def test_lengths_in_bohr_are_doubted():
    atoms = molecule("CH3CH2OH")
    assert length_doubt(atoms.positions, atoms.numbers) == []
    (doubt,) = length_doubt(atoms.positions / BOHR, atoms.numbers)
    assert "the positions are in bohr" in doubt
