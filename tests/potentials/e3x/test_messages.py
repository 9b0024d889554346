"""The stored constants are those of the installed E3x, and spare the programs its import."""

import subprocess
import sys

import e3x
import jax.numpy as jnp
import numpy as np
import pytest

from fisherdash.potentials.e3x import messages
from tools.e3x_constants import constants


@pytest.mark.slow
@pytest.mark.usefixtures("optimised")  # to the last digit
def test_the_file_holds_what_e3x_computes() -> None:
    found, stored = constants(), messages._constants()
    assert set(found) == set(stored)
    for name, array in found.items():
        np.testing.assert_array_equal(stored[name], array, err_msg=name)


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_lower_degrees_are_a_corner_of_the_highest(degree: int) -> None:
    expected = e3x.so3.clebsch_gordan(degree, degree, degree)
    np.testing.assert_array_equal(messages.clebsch_gordan(degree), expected)


def test_harmonics_of_any_direction_follow_from_the_recursion() -> None:
    direction = np.array([0.6, -0.64, 0.48])
    matrix, products = messages.harmonics_recursion(3)
    found = [np.ones(1), matrix @ direction]
    for table in products:
        found.append(np.einsum("a,b,abc->c", found[-1], found[1], table))
    expected = e3x.so3.spherical_harmonics(jnp.asarray(direction), 3)
    np.testing.assert_allclose(np.concatenate(found), expected, atol=1e-14)


def test_dynamics_of_a_checkpoint_do_not_wait_for_slow_imports() -> None:
    """Together they take longer to import than JAX, which is most of every start."""
    program = (
        "import sys; from fisherdash import dataset, md, workspace; "
        "from fisherdash.potentials import checkpoint; "
        "print(*{'e3x', 'flax', 'sympy', 'scipy.spatial', 'ase.io', 'pandas', 'optax'} "
        "& set(sys.modules))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == ""
