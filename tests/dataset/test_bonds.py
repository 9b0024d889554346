"""Bonds of known molecules."""

import numpy as np
import pytest
from ase.build import molecule

from fisherdash.dataset import reference_bonds

# Molecule → number of bonds, by its Lewis formula.
BONDS = {"H2": 1, "H2O": 2, "CH4": 4, "CH3CH2OH": 8, "C6H6": 12, "CO2": 2, "CH3Cl": 4, "NaCl": 1}


@pytest.mark.parametrize(("name", "count"), BONDS.items())
def test_number_of_bonds(name, count):
    atoms = molecule(name)
    pairs, lengths = reference_bonds(atoms.numbers, atoms.positions)
    assert pairs.shape == (count, 2)
    assert (pairs[:, 0] < pairs[:, 1]).all()
    measured = np.linalg.norm(atoms.positions[pairs[:, 0]] - atoms.positions[pairs[:, 1]], axis=1)
    np.testing.assert_allclose(lengths, measured)


def test_bonds_of_a_thermal_geometry(shared_data):
    """The connectivity of a molecule at its temperature is that of its Lewis formula."""
    data = np.load(shared_data / "rmd17_ethanol_train_01.npz")
    counts = [len(reference_bonds(data["nuclear_charges"], x)[0]) for x in data["coords"]]
    assert set(counts) == {8}


def test_separate_molecules_have_no_bond():
    pairs, lengths = reference_bonds(np.array([1, 1]), np.array([[0.0, 0, 0], [0, 0, 3.0]]))
    assert pairs.shape == (0, 2)
    assert lengths.shape == (0,)
