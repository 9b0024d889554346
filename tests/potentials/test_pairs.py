"""The geometry of all pairs: known distances, a weight that vanishes smoothly, nothing singular."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fisherdash.potentials.pairs import cosine_cutoff, displacements
from tests.randomised import displaced_ethanol

CUTOFF = 3.0


def test_displacements_point_from_i_to_j():
    positions = displaced_ethanol(2)
    r, d = displacements(jnp.asarray(positions), CUTOFF, jnp.float64)
    expected = positions[:, None] - positions[:, :, None]
    np.testing.assert_array_equal(r, expected)
    apart = np.linalg.norm(expected, axis=-1)
    apart[:, np.arange(9), np.arange(9)] = CUTOFF  # an atom is out of its own sight
    np.testing.assert_allclose(d, apart, rtol=1e-14)


def test_the_weight_falls_from_one_to_zero_and_leaves_out_an_atom_itself():
    d = jnp.array([[[0.0, 1.5], [2.999999, 0.0]]])
    weight = cosine_cutoff(d, CUTOFF)[0]
    assert weight[0, 1] == pytest.approx(0.5) and 0 < weight[1, 0] < 1e-11
    assert weight[0, 0] == weight[1, 1] == 0.0
    assert cosine_cutoff(d + 1.6, CUTOFF).tolist() == [[[0.0, 0.0], [0.0, 0.0]]]


def test_derivatives_are_finite_also_of_an_atom_with_itself():
    def total(x):
        return jnp.sum(cosine_cutoff(displacements(x, CUTOFF, x.dtype)[1], CUTOFF))

    slope = jax.grad(total)(jnp.asarray(displaced_ethanol(1)))
    assert np.isfinite(slope).all() and np.abs(slope).max() > 0.1
