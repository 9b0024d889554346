"""What trajectories refuse, who is alive when, and temperature."""

import dataclasses

import numpy as np
import pytest

from fisherdash.analysis import Trajectories
from fisherdash.errors import InputError
from fisherdash.units import BOLTZMANN
from tests.analysis import planted


def test_alive_until_the_frame_before_death():
    # Frames every 10 fs are 20 steps of 0.5 fs: step 40 is the frame at 20 fs, step 41 after it.
    traj = planted.trajectories([[0.0, 0.0, 0.0, 0.0]], died_step=[[-1, 40, 41, 0]], frames=5)
    assert traj.alive.tolist() == [
        [
            [True, True, True, True, True],
            [True, True, False, False, False],
            [True, True, True, False, False],
            [False, False, False, False, False],
        ]
    ]
    assert traj.alive_counts().tolist() == [[3, 3, 2, 1, 1]]


def test_temperature_is_that_of_the_living():
    traj = planted.trajectories(np.zeros((1, 3)), died_step=[[-1, -1, 40]], frames=4)
    kinetic = np.array([[[1.0, 1.0, 1.0, 1.0], [2.0, 2.0, 2.0, 2.0], [9.0, 9.0, np.nan, np.nan]]])
    traj = dataclasses.replace(traj, kinetic=kinetic)
    expected = 2 * np.array([[4.0, 4.0, 1.5, 1.5]]) / (21 * BOLTZMANN)
    np.testing.assert_allclose(traj.kinetic_temperature(), expected, rtol=1e-12)


def test_nobody_alive_has_no_temperature():
    traj = planted.trajectories([[0.0]], died_step=[[0]], frames=3)
    assert np.all(np.isnan(traj.kinetic_temperature()))


def test_energies_after_death_may_be_anything():
    traj = planted.trajectories([[0.0, 0.0]], died_step=[[-1, 40]], frames=5)
    potential = traj.potential.copy()
    potential[0, 1, 2:] = np.nan
    assert dataclasses.replace(traj, potential=potential).died_step[0, 1] == 40


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kinetic": np.zeros((2, 3, 4))}, "kinetic must have the shape"),
        ({"died_step": np.zeros((2, 2), int)}, "died_step must have the shape"),
        ({"times": np.arange(6.0)}, "potential energies of 2 heads at 6 times"),
        ({"times": np.array([0.0, 1.0, 1.0, 2.0, 3.0])}, "increase"),
        ({"names": ("a", "a")}, "different names"),
        ({"timestep": 0.0}, "time step"),
        ({"potential": np.full((2, 3, 5), np.nan)}, "potential energy of a living"),
    ],
)
def test_wrong_trajectories_are_refused(change, message):
    traj = planted.trajectories(np.zeros((2, 3)), frames=5)
    with pytest.raises(InputError, match=message):
        dataclasses.replace(traj, **change)


def test_degrees_of_freedom_of_two_and_of_many_atoms():
    def freedom(numbers):
        empty = np.zeros((1, 1, 0))
        return Trajectories(
            ("a",), np.zeros(0), empty, empty, np.array([[-1]]), 0.5, np.array(numbers)
        ).degrees_of_freedom

    assert freedom([1, 1]) == 1
    assert freedom([8, 1, 1]) == 3
