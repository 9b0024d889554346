"""Who labels frames: the user's calculator, or the potential that the data were made with."""

import dataclasses

import numpy as np
import pytest
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.lj import LennardJones

from fisherdash.dataset import Dataset
from fisherdash.errors import InputError
from fisherdash.reference import energy_deviations, labeller_of

POSITIONS = np.array([[[0, 0, 0], [0, 0, 1.1]], [[0, 0, 0], [0, 0, 1.2]]], float)
HYDROGEN = Dataset(POSITIONS, np.zeros(2), np.zeros((2, 2, 3)), np.array([1, 1]))
CALCULATOR = LennardJones()


class Fragile(Calculator):
    """Fails for one frame, as electronic structure does."""

    implemented_properties = ["energy", "forces"]  # noqa: RUF012

    def calculate(self, atoms=None, properties=None, system_changes=all_changes) -> None:
        super().calculate(atoms, properties, system_changes)
        if self.atoms.get_distance(0, 1) > 1.15:
            raise RuntimeError("no convergence")
        self.results = {"energy": 1.0, "forces": np.ones((2, 3))}


def test_a_calculator_may_be_an_object_or_make_one():
    for name in ("CALCULATOR", "LennardJones"):
        mine = labeller_of(HYDROGEN, f"{__name__}:{name}")
        energies, forces = mine.label(HYDROGEN.atomic_numbers, HYDROGEN.positions)
        assert energies == pytest.approx([4 * (r**-12 - r**-6) for r in (1.1, 1.2)], abs=1e-2)
        np.testing.assert_allclose(forces[:, 0], -forces[:, 1])
        assert name in mine.name


def test_a_frame_that_cannot_be_done_is_told_apart():
    mine = labeller_of(HYDROGEN, f"{__name__}:Fragile")
    energies, forces = mine.label(HYDROGEN.atomic_numbers, HYDROGEN.positions)
    assert energies[0] == 1.0 and np.isnan(energies[1]) and np.isnan(forces[1]).all()


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("nowhere", "module:object"),
        ("nowhere:x", "ModuleNotFoundError"),
        ("math:pi", "cannot be had"),
        ("builtins:dict", "is no ASE calculator"),
    ],
)
def test_what_is_no_calculator_is_refused(name, sentence):
    with pytest.raises(InputError, match=sentence):
        labeller_of(HYDROGEN, name)


def test_energies_are_measured_in_deviations_of_the_data():
    """Known answer: the data's own frames, whatever constant their energies have."""
    rng = np.random.default_rng(0)
    positions = np.zeros((40, 2, 3))
    positions[:, 1, 2] = rng.uniform(1.05, 1.3, 40)
    mine = labeller_of(HYDROGEN, f"{__name__}:CALCULATOR")
    energies, forces = mine.label(HYDROGEN.atomic_numbers, positions)
    data = Dataset(positions, energies - 7.0, forces, HYDROGEN.atomic_numbers)
    found = energy_deviations(mine, data, positions[:5])
    expected = (energies - energies.mean()) / energies.std()
    np.testing.assert_allclose(found, expected[:5], atol=1e-9)
    other = dataclasses.replace(data, energies=1.3 * data.energies)
    with pytest.raises(InputError, match="where it should be one constant"):
        energy_deviations(mine, other, positions[:5])
    with pytest.raises(InputError, match="at least 10 frames"):
        energy_deviations(mine, data.subset(np.arange(4)), positions[:5])


def test_the_data_say_who_labelled_them():
    with pytest.raises(InputError, match="do not say which potential"):
        labeller_of(HYDROGEN)
    made = dataclasses.replace(HYDROGEN, source="GFN2-xTB, a sample")
    mine = labeller_of(made)
    energies, forces = mine.label(made.atomic_numbers, made.positions)
    assert mine.name == "GFN2-xTB" and (energies < -20).all() and np.isfinite(forces).all()
