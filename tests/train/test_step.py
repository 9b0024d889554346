"""One step of training: learning rates, clipped gradients, sharpness-aware steps, averages."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fisherdash.dataset import Dataset
from fisherdash.potentials.e3x import ModelConfig
from fisherdash.train import TrainSettings
from fisherdash.train.loop import first_state, learning_frames, stack
from fisherdash.train.step import (
    Hyperparameters,
    Rate,
    Sums,
    _errors,
    _limited,
    _uphill,
    advance,
)
from tests.randomised import milder, planted_dataset, random_checkpoint

pytestmark = pytest.mark.slow

CONFIG = ModelConfig(features=4, max_degree=1, iterations=1, basis=4, cutoff=3.0)


@pytest.fixture(scope="module")
def data() -> Dataset:
    truth = random_checkpoint()
    return planted_dataset(milder(truth), 60)


def test_uphill_is_a_step_of_the_radius_along_the_gradient() -> None:
    params = {"a": jnp.array([1.0, 2.0]), "b": jnp.array([[3.0]])}
    gradient = {"a": jnp.array([0.0, 3.0]), "b": jnp.array([[4.0]])}
    moved = _uphill(params, gradient, jnp.float32(0.5))
    np.testing.assert_allclose(moved["a"], [1.0, 2.3], rtol=1e-6)
    np.testing.assert_allclose(moved["b"], [[3.4]], rtol=1e-6)
    still = _uphill(params, jax.tree.map(jnp.zeros_like, gradient), jnp.float32(0.5))
    np.testing.assert_array_equal(still["a"], params["a"])


def test_a_sharpness_aware_step_takes_the_gradient_found_uphill(data: Dataset) -> None:
    """Adam's first step follows the gradient alone: lr · g / (|g| + ε), entry by entry."""
    frames = learning_frames(data.subset(np.arange(5)), float(data.energies.mean()))
    numbers, weight, radius = jnp.asarray(data.atomic_numbers), jnp.float32(1), jnp.float32(0.3)
    state = first_state(CONFIG, 3)
    start = jax.tree.map(jnp.copy, state.params)

    @jax.jit
    @jax.grad
    def slope(params):
        return _errors(CONFIG, params, numbers, frames, weight)[0]

    expected = slope(_uphill(start, slope(start), radius))
    settings = TrainSettings(schedule="constant", learning_rate=0.01, sharpness_radius=0.3)
    order, zero, one = jnp.arange(5)[None], jnp.asarray(0), jnp.asarray(1)
    stacked = [stack([each]) for each in (state, frames, Hyperparameters.of(settings, 1))]
    after, _ = advance(
        CONFIG, 5, stacked[0], Sums.zero(1), numbers, stacked[1], order, zero, one, stacked[2]
    )
    step = jax.tree.map(lambda new, old: (old - new[0]) / 0.01, after.params, start)
    wanted = jax.tree.map(lambda g: g / (jnp.abs(g) + 1e-8), expected)
    plain = jax.tree.map(lambda g: g / (jnp.abs(g) + 1e-8), slope(start))
    close, far = (
        max(
            float(jnp.max(jnp.abs(a - b))) for a, b in zip(*map(jax.tree.leaves, pair), strict=True)
        )
        for pair in ((step, wanted), (step, plain))
    )
    assert close < 1e-2 < 1 < far


def test_a_cosine_climbs_first_and_ends_at_a_thousandth() -> None:
    rate = Rate.of("cosine", 0.02, 1000)
    rates = np.array([float(rate.at(jnp.asarray(step))) for step in range(1001)])
    np.testing.assert_allclose(rates[:10], 0.002 * np.arange(1, 11), rtol=1e-12)
    assert (np.diff(rates[10:]) < 0).all()
    assert rates[505] == pytest.approx(0.5 * (1 + 0.001) * 0.02, rel=1e-9)  # halfway down
    assert rates[1000] == pytest.approx(0.001 * 0.02)


def test_a_gradient_is_limited_to_its_usual_length_times_a_factor() -> None:
    gradient = {"a": jnp.array([3.0, 0.0]), "b": jnp.array(4.0)}  # of length 5
    same, norm = _limited(gradient, jnp.asarray(2.0), jnp.asarray(3.0))
    assert float(norm) == pytest.approx(2.0 + 0.01 * 3.0)
    np.testing.assert_array_equal(same["a"], gradient["a"])
    short, norm = _limited(gradient, jnp.asarray(2.0), jnp.asarray(1.5))
    np.testing.assert_allclose(short["a"], [1.8, 0.0])
    np.testing.assert_allclose(short["b"], 2.4)
    assert float(norm) == pytest.approx(2.0 + 0.01 * 1.0)
    first, norm = _limited(gradient, jnp.asarray(0.0), jnp.asarray(1.5))
    assert float(norm) == 5.0 and float(first["b"]) == 4.0
    free, _ = _limited(gradient, jnp.asarray(0.1), jnp.asarray(0.0))
    assert float(free["b"]) == 4.0
