"""Networks trained together are those trained apart, and sharpness-aware steps look uphill."""

import dataclasses
import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fisherdash.dataset import Dataset
from fisherdash.errors import InputError
from fisherdash.potentials.e3x import ModelConfig
from fisherdash.train import Trainee, TrainSettings, train, train_together
from fisherdash.train.loop import first_state, learning_frames, stack
from fisherdash.train.step import (
    Hyperparameters,
    Sums,
    _errors,
    _uphill,
    advance,
    validate,
)
from tests.randomised import planted_dataset, random_checkpoint

CONFIG = ModelConfig(features=4, max_degree=1, iterations=1, basis=4, cutoff=3.0)
SETTINGS = TrainSettings(epochs=3, batch_size=5, learning_rate=0.02)


@pytest.fixture(scope="module")
def data() -> Dataset:
    truth = random_checkpoint()
    return planted_dataset(truth.with_head(0.1 * truth.head, truth.element_bias, "m", {}), 60)


def trainees(data: Dataset, **changes) -> list[Trainee]:
    found = []
    for seed in (0, 1, 2):
        settings = dataclasses.replace(SETTINGS, seed=seed, **changes)
        frames = data.subset(np.arange(10 * seed, 10 * seed + 26))
        pair = frames.subset(np.arange(20)), frames.subset(np.arange(20, 26))
        found.append(Trainee(*pair, settings, f"member {seed}"))
    return found


def apart(trainee: Trainee):
    return list(train(CONFIG, trainee.train_set, trainee.valid_set, trainee.settings))[-1]


@pytest.mark.parametrize("radius", [0.0, 0.1])
def test_members_take_the_steps_they_would_take_alone(data: Dataset, radius: float) -> None:
    members = trainees(data, sharpness_radius=radius)
    together = list(train_together(CONFIG, members))[-1]
    for member, report in zip(members[:2], together, strict=False):
        alone = apart(member)
        assert report.best_errors == pytest.approx(alone.best_errors, rel=1e-5)
        np.testing.assert_allclose(report.checkpoint.head, alone.checkpoint.head, rtol=1e-5)
        assert report.best_epoch == alone.best_epoch and report.status == "finished"
        assert report.checkpoint.name == member.name


def test_a_batched_step_is_the_step_of_each(data: Dataset) -> None:
    """On an accelerator members go through vmap; the same function, tested on this device."""
    members = trainees(data)
    one = list(train_together(CONFIG, members))[-1]
    backend = jax.default_backend
    try:
        jax.default_backend = lambda: "an accelerator"  # type: ignore[assignment]
        for compiled in (advance, validate):
            compiled.clear_cache()
        batched = list(train_together(CONFIG, members))[-1]
    finally:
        jax.default_backend = backend
        for compiled in (advance, validate):
            compiled.clear_cache()
    for first, second in zip(one, batched, strict=True):
        assert second.valid_loss == pytest.approx(first.valid_loss, rel=1e-3)


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

    def slope(params):
        return jax.grad(lambda p: _errors(CONFIG, p, numbers, frames, weight)[0])(params)

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


def test_members_must_be_of_one_shape(data: Dataset) -> None:
    members = trainees(data)
    other = dataclasses.replace(members[1], train_set=members[1].train_set.subset(np.arange(15)))
    with pytest.raises(InputError, match="trained together when"):
        train_together(CONFIG, [members[0], other])


def test_stopping_keeps_what_there_is(data: Dataset) -> None:
    cancel = threading.Event()
    cancel.set()
    last = list(train_together(CONFIG, trainees(data), cancel=cancel))[-1]
    assert [report.status for report in last] == ["cancelled"] * 3
    assert all(report.checkpoint is None for report in last)


def test_a_radius_below_zero_is_refused() -> None:
    with pytest.raises(InputError, match="sharpness_radius must be from 0 to 1000000, received -1"):
        TrainSettings(sharpness_radius=-1)
