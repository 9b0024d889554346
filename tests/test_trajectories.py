"""What trajectories refuse, which replicas survive, and temperature."""

import dataclasses

import numpy as np
import pytest

from fisherdash.analysis import Trajectories
from fisherdash.errors import InputError
from fisherdash.units import BOLTZMANN
from tests.analysis import planted


def test_alive_until_the_frame_before_death():
    # Frames every 10 fs are 20 steps of 0.5 fs: step 40 is the frame at 20 fs, step 41 after it.
    traj = planted.trajectories([[0.0, 0.0, 0.0, 0.0]], failed_step=[[-1, 40, 41, 0]], frames=5)
    assert traj.surviving.tolist() == [
        [
            [True, True, True, True, True],
            [True, True, False, False, False],
            [True, True, True, False, False],
            [False, False, False, False, False],
        ]
    ]
    assert traj.surviving_counts().tolist() == [[3, 3, 2, 1, 1]]


def test_temperature_is_that_of_the_living():
    traj = planted.trajectories(np.zeros((1, 3)), failed_step=[[-1, -1, 40]], frames=4)
    kinetic = np.array([[[1.0, 1.0, 1.0, 1.0], [2.0, 2.0, 2.0, 2.0], [9.0, 9.0, np.nan, np.nan]]])
    traj = dataclasses.replace(traj, kinetic=kinetic)
    expected = 2 * np.array([[4.0, 4.0, 1.5, 1.5]]) / (21 * BOLTZMANN)
    np.testing.assert_allclose(traj.kinetic_temperature(), expected, rtol=1e-12)


def test_nobody_alive_has_no_temperature():
    traj = planted.trajectories([[0.0]], failed_step=[[0]], frames=3)
    assert np.all(np.isnan(traj.kinetic_temperature()))


def test_energies_after_death_may_be_anything():
    traj = planted.trajectories([[0.0, 0.0]], failed_step=[[-1, 40]], frames=5)
    potential = traj.potential.copy()
    potential[0, 1, 2:] = np.nan
    assert dataclasses.replace(traj, potential=potential).failed_step[0, 1] == 40


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kinetic": np.zeros((2, 3, 4))}, "kinetic must have the shape"),
        ({"cause": np.zeros((2, 4), int)}, "cause must have the shape"),
        ({"positions": np.zeros((2, 3, 5, 4, 3))}, "positions must have the shape"),
        ({"failed_step": np.zeros((2, 2), int)}, "failed_step must have the shape"),
        ({"times": np.arange(6.0)}, r"potential must have the shape \(2, 3, 6\)"),
        ({"times": np.array([0.0, 1.0, 1.0, 2.0, 3.0])}, "increase"),
        ({"names": ("a", "a")}, "different names"),
        ({"timestep": 0.0}, "time step"),
        ({"potential": np.full((2, 3, 5), np.nan)}, "potential energy of a surviving"),
    ],
)
def test_wrong_trajectories_are_refused(change, message):
    traj = planted.trajectories(np.zeros((2, 3)), frames=5)
    with pytest.raises(InputError, match=message):
        dataclasses.replace(traj, **change)


def test_degrees_of_freedom_of_two_and_of_many_atoms():
    def freedom(atoms):
        empty = np.zeros((1, 1, 0))
        return Trajectories(
            ("a",), np.zeros(0), empty, empty, np.array([[-1]]), 0.5, atoms
        ).degrees_of_freedom

    assert freedom(2) == 1
    assert freedom(3) == 3


def test_pieces_follow_one_another():
    whole = planted.trajectories([[1.0, 2.0]], failed_step=[[-1, 40]], frames=5)
    parts = [
        dataclasses.replace(
            whole,
            times=whole.times[part],
            potential=whole.potential[..., part],
            kinetic=whole.kinetic[..., part],
            failed_step=np.array([[-1, 40 if part.stop is None else -1]]),
        )
        for part in (slice(0, 2), slice(2, None))
    ]
    joined = parts[0].followed_by(parts[1])
    for name in ("times", "potential", "kinetic", "failed_step"):
        np.testing.assert_array_equal(getattr(joined, name), getattr(whole, name))
    with pytest.raises(InputError, match="agree in heads and replicas"):
        parts[0].followed_by(planted.trajectories([[1.0]], frames=2))
    with pytest.raises(InputError, match="increase"):
        parts[1].followed_by(parts[0])
