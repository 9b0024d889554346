"""The sampler has the known answer where there is one: harmonic oscillators."""

import numpy as np
import pytest
from ase import Atoms, units
from ase.calculators.calculator import Calculator, all_changes

from fisherdash.reference.sampling import fragments, langevin

STIFFNESS = np.array([0.5, 5.0, 50.0])  # eV/Å² along x, y, z


class Springs(Calculator):
    """Every atom on its own three springs."""

    implemented_properties = ["energy", "forces"]  # noqa: RUF012  ASE wants a list

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        assert self.atoms is not None
        x = self.atoms.positions
        self.results = {"energy": 0.5 * float((STIFFNESS * x**2).sum()), "forces": -STIFFNESS * x}


@pytest.fixture(scope="module")
def squares():
    """Mean squares of positions and velocities, per direction, of 1600 independent atoms."""
    atoms = Atoms("H1600", positions=np.zeros((1600, 3)), calculator=Springs())
    dynamics = langevin(atoms, 300.0, timestep_fs=0.5, friction_fs=20.0, seed=1)
    dynamics.run(600)
    x2, v2 = [], []
    for _ in range(60):
        dynamics.run(40)
        x2.append((atoms.positions**2).mean(axis=0))
        v2.append((atoms.get_velocities() ** 2).mean(axis=0))
    return np.mean(x2, axis=0), np.mean(v2, axis=0), atoms.get_masses()[0]


def test_positions_are_exact_whatever_the_stiffness(squares):
    """<x²> = kT/k. The stiffest spring has ωΔt = 0.35, as O–H has at 0.5 fs: an error of
    (ωΔt)²/4 = 3 %, which other Langevin schemes make, would show."""
    x2, _, _ = squares
    np.testing.assert_allclose(x2 * STIFFNESS / (300 * units.kB), 1.0, atol=0.015)


def test_velocities_at_the_end_of_a_step_are_cold_by_a_known_amount(squares):
    """<v²> = kT/m (1 − (ωΔt)²/4), which is why the kinetic temperature reads a little low."""
    _, v2, mass = squares
    expected = 1 - STIFFNESS / mass * (0.5 * units.fs) ** 2 / 4
    np.testing.assert_allclose(v2 * mass / (300 * units.kB), expected, atol=0.015)


def test_start_has_the_temperature_and_follows_the_seed():
    atoms = Atoms("H4000", positions=np.zeros((4000, 3)), calculator=Springs())
    langevin(atoms, 300.0, 0.5, 20.0, seed=1)
    assert atoms.get_temperature() == pytest.approx(300, rel=0.03)
    first = atoms.get_momenta()
    langevin(atoms, 300.0, 0.5, 20.0, seed=1)
    assert np.array_equal(atoms.get_momenta(), first)
    langevin(atoms, 300.0, 0.5, 20.0, seed=2)
    assert not np.array_equal(atoms.get_momenta(), first)


def test_fragments_are_counted():
    atoms = Atoms("H4", positions=[[0, 0, 0], [0, 0, 0.7], [0, 0, 5], [0, 0, 5.7]])
    assert fragments(atoms, 1.3) == 2
    assert fragments(atoms[:2], 1.3) == 1
