"""Error bars: calibrated where their assumptions hold, scaled up where they do not."""

import jax
import numpy as np
import pytest

from fisherdash import fisher
from fisherdash.errors import InputError
from tests.fisher.test_ridge import linear_data
from tests.randomised import ETHANOL, derivatives, displaced_ethanol, random_checkpoint

WEIGHTS = np.array([1.0, -2.0, 0.5])


def groups_of(
    number: int, frames: int, noise: float, seed: int, *, shared_noise: bool = False
) -> list[fisher.Moments]:
    """Independent groups; with ``shared_noise`` all frames of a group err in the same direction."""
    found = []
    for index in range(number):
        weights = WEIGHTS
        if shared_noise:
            weights = WEIGHTS + 0.5 * np.random.default_rng([seed, index]).normal(size=3)
        found.append(linear_data(frames, weights, noise, seed * 1000 + index)[0])
    return found


def posterior_of(groups: list[fisher.Moments], ridge: float) -> fisher.Posterior:
    """Of a fit around a head of zeros."""
    total = sum(groups[1:], groups[0])
    halves = [fisher.equations(half) for half in fisher.halved(groups)]
    return fisher.posterior(total, fisher.equations(total), halves, ridge, np.zeros(3))


def test_error_bars_cover_the_truth() -> None:
    inside, total = 0, 0
    for seed in range(100):
        groups = groups_of(25, 4, 0.7, seed)
        problem = fisher.equations(sum(groups[1:], groups[0]))
        head = fisher.head_at(0.0, problem, np.zeros(3))
        spread = posterior_of(groups, 0.0)
        # Without the safety factor, which only ever widens, the bars are exactly Gaussian.
        sigma = np.sqrt(np.diag(spread.covariance)) / spread.scale
        inside += int(np.sum(np.abs(head - WEIGHTS) < 1.96 * sigma))
        total += 3
    assert 0.91 * total <= inside <= 0.985 * total, inside / total


def test_groups_that_err_together_widen_the_bars() -> None:
    alone = posterior_of(groups_of(25, 40, 0.2, 1), 0.0)
    together = posterior_of(groups_of(25, 40, 0.2, 1, shared_noise=True), 0.0)
    assert alone.scale < 2.5
    assert (
        together.scale > 1.5 * alone.scale or together.half_difference > 5 * alone.half_difference
    )
    assert together.force_stderr > 2 * alone.force_stderr
    assert alone.half_cosine > 0.99


def test_a_strong_ridge_leaves_no_freedom() -> None:
    spread = posterior_of(groups_of(10, 10, 0.5, 2), 1e6)
    free = posterior_of(groups_of(10, 10, 0.5, 2), 0.0)
    assert spread.half_difference < 1e-4 * free.half_difference + 1e-6


def test_half_of_one_group_is_refused() -> None:
    with pytest.raises(InputError, match="two groups of frames, got 1"):
        posterior_of(groups_of(1, 10, 0.5, 3), 0.0)


@pytest.mark.slow
def test_force_bars_are_those_of_the_covariance() -> None:
    model = random_checkpoint()
    rng = np.random.default_rng(4)
    root = rng.normal(size=(len(model.head), len(model.head)))
    known = model.with_head(model.head, model.element_bias, "known", {}, root @ root.T)
    positions = displaced_ethanol(3)
    bars = fisher.force_stderr(known, ETHANOL, positions)
    g = derivatives(model, positions).jacobian
    expected = np.sqrt(np.einsum("mxd,de,mxe->mx", g, root @ root.T, g)).reshape(3, 9, 3)
    np.testing.assert_allclose(bars, expected, rtol=1e-4)
    with pytest.raises(InputError, match="no uncertainty of its head"):
        fisher.force_stderr(model, ETHANOL, positions)


@pytest.mark.slow
def test_estimated_laplacians_are_unbiased() -> None:
    model = random_checkpoint()
    centre = displaced_ethanol(1)[0]
    exact = derivatives(model, centre[None], laplacian=True).laplacian
    # Every copy of the frame draws its own directions.
    copies = np.repeat(centre[None], 64, axis=0)
    found = derivatives(model, copies, laplacian=8, key=jax.random.key(0))
    g, estimates = found.jacobian, np.asarray(found.laplacian)
    stderr = estimates.std(axis=0, ddof=1) / np.sqrt(len(estimates))
    assert np.all(np.abs(estimates.mean(axis=0) - exact[0]) < 4 * stderr)
    assert np.all(stderr < 0.2 * np.abs(exact[0]).max())
    assert g.shape == (64, 27, len(model.head))
