"""Calls out of compiled programs: what they give, how often they compile, what they raise."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fisherdash.errors import InputError, within
from fisherdash.potentials.potential import called


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
