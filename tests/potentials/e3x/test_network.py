"""The fast evaluation is the E3x network: same weights, same numbers."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fisherdash.errors import InputError
from fisherdash.potentials.e3x import E3x, ModelConfig, body_shapes, init, reference_descriptors
from fisherdash.potentials.e3x.network import Network
from fisherdash.potentials.e3x.sparse import choose
from tests.randomised import ETHANOL, descriptors, displaced_ethanol, random_body

FEW = [(0, 1), (1, 4), (2, 3), (3, 2)]
GRID = list(itertools.product(range(4), range(1, 5)))
# Compiling the reference takes several seconds a shape; the whole grid is for `make validate`.
SHAPES = [
    pytest.param(*shape, marks=pytest.mark.slow if shape in FEW else pytest.mark.validate)
    for shape in GRID
]


@pytest.mark.parametrize(("max_degree", "iterations"), SHAPES)
def test_descriptors_equal_the_reference(max_degree: int, iterations: int) -> None:
    config = ModelConfig(5, max_degree, iterations, 7, 3.1)
    body, positions = random_body(config), displaced_ethanol(2)
    reference = reference_descriptors(config, body, jnp.asarray(ETHANOL), jnp.asarray(positions))
    fast = jax.jit(functools.partial(descriptors, config))
    scale = np.abs(reference).max()
    double = fast(jax.tree.map(jnp.asarray, body), ETHANOL, positions)
    single = fast(jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), body), ETHANOL, positions)
    assert scale > 0.1
    assert np.abs(double - reference).max() < 1e-12 * scale
    assert single.dtype == jnp.float32
    assert np.abs(single - reference).max() < 2e-6 * scale
    listed, unusable = choose(config.cutoff, 8, jnp.asarray(positions))
    assert not unusable
    weights = jax.tree.map(jnp.asarray, body)
    among = jax.jit(functools.partial(E3x(config).features, neighbours=listed))
    summed = among(weights, ETHANOL, positions).features.sum(axis=1)
    assert np.abs(summed - reference).max() < 1e-12 * scale


@pytest.mark.slow
@pytest.mark.parametrize("atomic_numbers", [[8, 1, 1], [6, 1, 1, 1, 1]])
def test_other_molecules(atomic_numbers: list[int]) -> None:
    config = ModelConfig(features=5, max_degree=1, iterations=2, basis=7)
    body = random_body(config)
    positions = np.random.default_rng(0).normal(size=(3, len(atomic_numbers), 3))
    numbers = jnp.asarray(atomic_numbers)
    reference = reference_descriptors(config, body, numbers, jnp.asarray(positions))
    fast = jax.jit(functools.partial(descriptors, config))(
        jax.tree.map(jnp.asarray, body), numbers, jnp.asarray(positions)
    )
    np.testing.assert_allclose(fast, reference, rtol=1e-11, atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize(("max_degree", "iterations"), GRID)
def test_shapes_are_those_of_the_modules(max_degree: int, iterations: int) -> None:
    config = ModelConfig(5, max_degree, iterations, 7, 3.1)
    pair = jnp.array([0, 1]), jnp.array([1, 0])
    variables = jax.eval_shape(
        Network(config).init, jax.random.key(0), jnp.array([1, 1]), jnp.eye(2, 3), *pair
    )
    asked = jax.tree.map(lambda leaf: leaf.shape, variables["params"])
    assert jax.tree.map(lambda leaf: leaf.shape, body_shapes(config)) == asked


@pytest.mark.slow
def test_initial_weights_are_reproducible_and_single_precision() -> None:
    config = ModelConfig(features=4, max_degree=1, iterations=1, basis=4)
    body, again, other = (init(config, seed) for seed in (0, 0, 1))
    leaves = [jax.tree.leaves(tree) for tree in (body, again, other)]
    assert all(leaf.dtype == np.float32 for leaf in leaves[0])
    assert all(np.array_equal(a, b) for a, b in zip(leaves[0], leaves[1], strict=True))
    assert any(not np.array_equal(a, b) for a, b in zip(leaves[0], leaves[2], strict=True))
    assert E3x(config).num_features == 4


@pytest.mark.parametrize(
    ("field", "value"),
    [("features", 0), ("max_degree", 4), ("iterations", 2.5), ("basis", 1), ("cutoff", -3.0)],
)
def test_bad_configuration_is_refused_with_the_value_received(field: str, value: float) -> None:
    with pytest.raises(InputError, match=f"{field} must be .* received {value}"):
        ModelConfig(**{field: value})
