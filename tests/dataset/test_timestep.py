"""Timesteps that a molecule's lightest atoms allow, held against measured vibrations."""

import numpy as np
import pytest

from fisherdash.dataset.timestep import longest_timestep, timestep_warning

LIGHT_SPEED = 2.99792458e-5
"""cm/fs"""

# Fastest fundamental of a molecule, cm⁻¹, measured.
FASTEST = {
    (8, 1, 1): 3756.0,
    (6, 1, 1, 1, 1): 3019.0,
    (7, 7): 2330.0,
    (6, 8): 2143.0,
    (9, 1): 3962.0,
    (6, 9, 9, 9, 9): 1283.0,
}


@pytest.mark.parametrize(("numbers", "wavenumber"), FASTEST.items())
def test_every_period_has_enough_steps(numbers, wavenumber):
    period = 1 / (LIGHT_SPEED * wavenumber)
    assert period / longest_timestep(np.array(numbers)) > 5.5


def test_hydrogen_bears_one_and_a_half_femtoseconds():
    assert 1.4 < longest_timestep(np.array([6, 1, 1, 1, 1])) < 1.6
    assert longest_timestep(np.array([6, 8])) > 2


@pytest.mark.parametrize("timestep", [2.0, 5.0, 50.0])
def test_a_long_timestep_is_warned_of(timestep):
    said = timestep_warning(timestep, np.array([6, 1, 1, 1, 1]))
    assert f"{timestep:g} fs is too long for the vibrations of hydrogen" in said
    assert "--timestep-fs 0.5" in said


@pytest.mark.parametrize("timestep", [0.25, 0.5, 1.0, 1.5])
def test_a_usual_timestep_is_not(timestep):
    assert timestep_warning(timestep, np.array([6, 1, 1, 1, 1])) == ""
