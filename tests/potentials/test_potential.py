"""Calls out of compiled programs: what they give, how often they compile, what they raise.

The geometry of all pairs: known distances, a weight that vanishes smoothly, nothing singular.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fisherdash.errors import InputError, within
from fisherdash.potentials.potential import called, cosine_cutoff, displacements
from tests.randomised import displaced_ethanol


@dataclasses.dataclass(frozen=True)
class Doubled:
    """A function that is equal to another one of the same limit."""

    limit: float = 1e9

    def __call__(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if np.abs(x).max() > self.limit:
            raise InputError(f"more than {self.limit:g}")
        return 2 * x, x.sum(axis=1) + y


@jax.jit
def program(x, y):
    shapes = jax.ShapeDtypeStruct(x.shape, x.dtype), jax.ShapeDtypeStruct(x.shape[:1], x.dtype)
    return called(Doubled(limit=100.0), shapes, x, y)


def test_arrays_go_out_and_come_back_whole() -> None:
    x, y = np.arange(12.0).reshape(4, 3), np.ones(4)
    double, total = program(jnp.asarray(x), jnp.asarray(y))
    np.testing.assert_array_equal(double, 2 * x)
    np.testing.assert_array_equal(total, x.sum(axis=1) + 1)
    program(jnp.asarray(x + 1), jnp.asarray(y))
    assert program._cache_size() == 1


def test_blocks_are_done_one_after_the_other() -> None:
    x = np.random.default_rng(0).normal(size=(5, 4, 3))
    double, _ = jax.lax.map(lambda one: program(one, jnp.zeros(4)), jnp.asarray(x))
    np.testing.assert_array_equal(double, 2 * x)


def test_what_it_refuses_is_a_sentence() -> None:
    with pytest.raises(Exception, match="more than 100") as caught:
        jax.block_until_ready(program(jnp.full((4, 3), 101.0), jnp.ones(4)))
    assert str(within(caught.value)) == "more than 100"


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
