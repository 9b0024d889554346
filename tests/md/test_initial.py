"""Initial states: canonical, without overall motion, the same for everybody."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from scipy import stats

from fisherdash.dataset import Dataset
from fisherdash.md import initial
from fisherdash.units import ACCELERATION, BOLTZMANN
from tests.md import force_fields as ff

WATER = np.array([8, 1, 1])
WATER_POSITIONS = np.array([[0.0, 0.0, 0.12], [0.0, 0.76, -0.48], [0.0, -0.76, -0.48]])
CARBON_DIOXIDE = np.array([8, 6, 8])
LINE = np.array([[-1.16, 0.0, 0.0], [0.0, 0.0, 0.0], [1.16, 0.0, 0.0]])


def _drawn(numbers, geometry, replicas, temperature=300.0, seed=5):
    masses = initial.masses(numbers)
    turn = stats.special_ortho_group.rvs(3, random_state=1)
    positions = np.tile(geometry @ turn.T + [3.0, -1.0, 2.0], (replicas, 1, 1))
    linear = initial.is_linear(positions)
    return masses, positions, initial.thermal_momenta(positions, masses, temperature, seed, linear)


@pytest.mark.parametrize(
    ("numbers", "geometry", "freedom"),
    [
        (WATER, WATER_POSITIONS, 3),
        (CARBON_DIOXIDE, LINE, 4),
        (np.array([1, 9]), LINE[:2], 1),
        (ff.CARBON, ff.chain(1)[0][0], 6),
    ],
)
def test_kinetic_energy_is_chi_squared_in_the_internal_degrees_of_freedom(
    numbers, geometry, freedom
):
    masses, positions, momenta = _drawn(numbers, geometry, 4000)
    linear = initial.is_linear(positions)
    assert initial.degrees_of_freedom(len(numbers), linear) == freedom
    kinetic = np.sum(momenta**2 / masses[:, None], axis=(1, 2)) / (2 * ACCELERATION)
    reduced = 2 * kinetic / (BOLTZMANN * 300.0)
    assert stats.kstest(reduced, stats.chi2(freedom).cdf).pvalue > 0.01
    assert np.mean(reduced) == pytest.approx(freedom, abs=4 * np.sqrt(2 * freedom / 4000))


@pytest.mark.parametrize(
    ("numbers", "geometry"), [(WATER, WATER_POSITIONS), (CARBON_DIOXIDE, LINE)]
)
def test_nothing_moves_or_turns_as_a_whole(numbers, geometry):
    _, positions, momenta = _drawn(numbers, geometry, 50)
    assert np.abs(momenta).max() > 0.01
    np.testing.assert_allclose(momenta.sum(axis=1), 0.0, atol=1e-14)
    np.testing.assert_allclose(np.cross(positions, momenta).sum(axis=1), 0.0, atol=1e-13)


def warm(molecule: Atoms, temperature: float, frames: int, stiffness: float = 15.0) -> np.ndarray:
    """Frames of ideal springs between all atoms and for every displacement off the axis, eV/Å²."""
    rng = np.random.default_rng(8)
    width = np.sqrt(BOLTZMANN * temperature / stiffness)
    return molecule.positions + width * rng.standard_normal((frames, len(molecule), 3))


@pytest.mark.parametrize("name", ["CO2", "HCN", "C2H2", "N2O", "N2", "LiF"])
def test_a_linear_molecule_is_one_however_warm(name):
    """Frames bent by warmth once counted as not linear, so CO₂ settled at 359 K in place of 300."""
    assert initial.is_linear(warm(molecule(name), 1000.0, 200, stiffness=3.0))
    assert initial.is_linear(molecule(name).positions[None])


@pytest.mark.parametrize("name", ["H2O", "HOCl", "C3H4_C3v", "CH3CN", "NH3", "C2H6", "SO2", "O3"])
def test_a_bent_molecule_is_none(name):
    assert not initial.is_linear(warm(molecule(name), 1000.0, 200, stiffness=3.0))
    assert not initial.is_linear(molecule(name).positions[None])


def test_a_linear_molecule_that_is_bent_keeps_all_its_vibrations():
    """Kinetic energy is χ² with 3N − 5 degrees in frames none of which is exactly linear."""
    masses = initial.masses(CARBON_DIOXIDE)
    frames = warm(Atoms("OCO", LINE), 300.0, 4000)
    assert initial.is_linear(frames)
    momenta = initial.thermal_momenta(frames, masses, 300.0, 1, linear=True)
    kinetic = np.sum(momenta**2 / masses[:, None], axis=(1, 2)) / (2 * ACCELERATION)
    reduced = 2 * kinetic / (BOLTZMANN * 300.0)
    assert stats.kstest(reduced, stats.chi2(4).cdf).pvalue > 0.01
    np.testing.assert_allclose(momenta.sum(axis=1), 0.0, atol=1e-14)


def test_the_axis_of_a_linear_molecule_does_not_turn():
    masses = initial.masses(CARBON_DIOXIDE)
    bent = LINE + np.array([[0, 0, 0], [0, 1e-3, 0], [0, 0, 0]])
    momenta = initial.thermal_momenta(bent[None], masses, 300.0, 1, linear=True)
    angular = np.cross(bent, momenta[0]).sum(axis=0)
    np.testing.assert_allclose(angular[1:], 0.0, atol=1e-12)
    assert abs(angular[0]) > 1e-6


def test_vibration_survives_the_projection():
    """The projection is one: it takes nothing from a momentum without overall motion."""
    masses, positions, momenta = _drawn(WATER, WATER_POSITIONS, 5)
    again = initial.remove_overall_motion(positions, momenta, masses)
    np.testing.assert_allclose(again, momenta, atol=1e-15)


def test_same_seed_same_momenta_and_more_replicas_keep_the_first_ones():
    masses, positions, momenta = _drawn(WATER, WATER_POSITIONS, 6)
    few = initial.thermal_momenta(positions[:4], masses, 300.0, 5, linear=False)
    other = initial.thermal_momenta(positions, masses, 300.0, 6, linear=False)
    assert np.array_equal(few, momenta[:4])
    assert not np.any(other == momenta)


def test_frames_are_distinct_while_there_are_enough():
    frames, note = initial.pick_frames(40, 40, 3)
    assert sorted(frames) == list(range(40))
    assert "distinct" in note
    assert np.array_equal(initial.pick_frames(40, 7, 3)[0], frames[:7])


def test_frames_are_used_again_only_when_all_are_used_and_it_is_said():
    frames, note = initial.pick_frames(4, 10, 3)
    assert sorted(np.bincount(frames)) == [2, 2, 3, 3]
    assert "10 replicas start from only 4 frames" in note


def test_bonds_of_the_majority_with_mean_lengths():
    rng = np.random.default_rng(0)
    frames = WATER_POSITIONS + 0.01 * rng.standard_normal((21, 3, 3))
    frames[0, 1] += [0.0, 2.0, 0.0]  # one torn molecule, and it comes first
    dataset = Dataset(frames, np.zeros(21), np.zeros((21, 3, 3)), WATER)
    bonds = initial.find_bonds(dataset)
    assert bonds.pairs.tolist() == [[0, 1], [0, 2]]
    lengths = np.linalg.norm(frames[:, 1:] - frames[:, :1], axis=-1).mean(axis=0)
    np.testing.assert_allclose(bonds.lengths, lengths, rtol=1e-12)
