"""Laplacians of descriptors: the trace of the Hessian, second differences, internal directions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fisherdash.fisher.derivatives import internal_directions, is_bent
from tests.randomised import (
    ETHANOL,
    derivatives,
    descriptors,
    displaced_ethanol,
    random_checkpoint,
)


@pytest.mark.slow
def test_laplacian_equals_the_trace_of_the_hessian() -> None:
    model = random_checkpoint()
    body = jax.tree.map(jnp.asarray, model.body)
    positions = jnp.asarray(displaced_ethanol(2))

    def single(x: jax.Array) -> jax.Array:
        at = x.reshape(1, 9, 3)
        return descriptors(model.potential.config, body, jnp.asarray(ETHANOL), at)[0]

    hessian = jax.jit(jax.hessian(single))
    exact = np.stack([np.trace(hessian(x.ravel()), axis1=1, axis2=2) for x in positions])
    plain = derivatives(model, positions)
    assert np.abs(exact).min() > 1e-3 and plain.laplacian is None
    # Without translations and rotations the same comes out, from six directions less.
    for internal in (False, True):
        found = derivatives(model, positions, laplacian=True, internal=internal)
        np.testing.assert_allclose(found.laplacian, exact, rtol=1e-8, atol=1e-8)
        np.testing.assert_allclose(found.values, plain.values, rtol=1e-12)
        np.testing.assert_allclose(found.jacobian, plain.jacobian, rtol=1e-9, atol=1e-10)


@pytest.mark.slow
def test_directions_of_deformation_are_orthonormal_and_turn_nothing() -> None:
    positions = jnp.asarray(displaced_ethanol(3))
    directions, _ = internal_directions(positions)
    flat = directions.reshape(21, 3, 27)
    np.testing.assert_allclose(
        np.einsum("kmx,lmx->mkl", flat, flat), np.tile(np.eye(21), (3, 1, 1)), atol=1e-12
    )
    centred = positions - positions.mean(axis=1, keepdims=True)
    assert np.abs(directions.sum(axis=2)).max() < 1e-12
    assert np.abs(np.cross(centred[None], directions).sum(axis=2)).max() < 1e-11


def test_straight_molecules_keep_all_their_directions() -> None:
    carbon_dioxide = np.array([[0.0, 0.0, -1.16], [0.0, 0.0, 0.0], [0.0, 0.0, 1.16]])
    assert not is_bent(carbon_dioxide[None])
    assert not is_bent(np.stack([displaced_ethanol(1)[0][:3], carbon_dioxide]))
    assert is_bent(displaced_ethanol(5))
    assert not is_bent(displaced_ethanol(2)[:, :2])


@pytest.mark.slow
def test_laplacian_equals_second_differences() -> None:
    model = random_checkpoint()
    body = jax.tree.map(jnp.asarray, model.body)
    evaluate = jax.jit(
        lambda x: descriptors(
            model.potential.config, body, jnp.asarray(ETHANOL), x.reshape(-1, 9, 3)
        )
    )
    centre, step = displaced_ethanol(1)[0], 2e-3
    axes = step * np.eye(27).reshape(27, 9, 3)
    middle = np.asarray(evaluate(centre[None]))[0]

    def second(scale: float) -> np.ndarray:
        plus, minus = evaluate(centre + scale * axes), evaluate(centre - scale * axes)
        return (
            np.sum(np.asarray(plus) + np.asarray(minus) - 2 * middle, axis=0) / (scale * step) ** 2
        )

    nested = (4 * second(1.0) - second(2.0)) / 3  # Richardson: error of fourth order
    laplacian = derivatives(model, centre[None], laplacian=True).laplacian
    np.testing.assert_allclose(laplacian[0], nested, rtol=1e-4, atol=1e-4 * np.abs(nested).max())
