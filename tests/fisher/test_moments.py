"""Laplacians, the fit without forces, the Boltzmann test, KL and descent: known answers."""

import numpy as np
import pytest

from fisherdash import fisher
from fisherdash.errors import InputError
from fisherdash.units import BOLTZMANN
from tests.randomised import (
    planted_dataset,
    random_checkpoint,
)


def oscillator(
    frames: int, groups: int, temperature: float, seed: int, wrong_axis: float = 1.0
) -> list[fisher.Moments]:
    """Exact samples of U = ½Σkx² in six dimensions with the descriptors x², x⁴ and cos x summed.

    ``wrong_axis`` multiplies the reported force along the first axis: not Boltzmann if not one.
    """
    rng = np.random.default_rng(seed)
    stiffness = np.array([1.0, 2.0, 4.0, 8.0, 16.0, 32.0])
    kt = BOLTZMANN * temperature
    x = rng.normal(size=(groups, frames, 6)) * np.sqrt(kt / stiffness)
    scale = np.sqrt(kt / stiffness)
    g = np.stack([2 * x / scale, 4 * x**3 / scale**3, -np.sin(x / scale)], axis=-1)
    lap = np.stack(
        [2 / scale**1 + 0 * x, 12 * x**2 / scale**3, -np.cos(x / scale) / scale], axis=-1
    )
    g, lap = g, lap
    force_gradient = stiffness * x
    force_gradient[..., 0] *= wrong_axis
    return [
        fisher.Moments(
            frames=frames,
            components=6,
            gram=np.einsum("mxd,mxe->de", g[i], g[i]),
            gradient=np.einsum("mxd,mx->d", g[i], force_gradient[i]),
            laplacian=lap[i].sum(axis=(0, 1)),
            force_squared=float(np.sum(force_gradient[i] ** 2)),
            energy=np.eye(4),
            energy_sum=np.zeros(4),
            energy_origin=0.0,
        )
        for i in range(groups)
    ]


WEIGHTS = np.array([1.0, 0.05, 0.1])


def test_the_oscillator_shows_its_temperature() -> None:
    found = fisher.boltzmann_test(oscillator(200, 25, 300.0, 0), WEIGHTS, 300.0)
    assert abs(found.temperature - 300.0) < 2 * found.stderr < 20.0
    assert found.consistent and "in agreement with 300 K" in found.verdict
    np.testing.assert_allclose(found.per_descriptor, 300.0, rtol=0.1)


def test_the_interval_is_calibrated() -> None:
    inside = 0
    for seed in range(200):
        found = fisher.boltzmann_test(oscillator(40, 25, 300.0, seed), WEIGHTS, 300.0, seed)
        inside += abs(found.temperature - 300.0) < 1.96 * found.stderr
    assert 180 <= inside <= 198, inside


def test_a_wrong_temperature_and_a_wrong_force_are_found() -> None:
    hot = fisher.boltzmann_test(oscillator(200, 25, 330.0, 1), WEIGHTS, 300.0)
    assert not hot.consistent and "standard errors away from 300 K" in hot.verdict
    wrong = fisher.boltzmann_test(oscillator(2000, 25, 300.0, 2, wrong_axis=3.0), WEIGHTS, None)
    assert abs(wrong.temperature - 300.0) > 5 * wrong.stderr


def test_too_few_groups_are_refused() -> None:
    with pytest.raises(InputError, match="at least 5 groups of frames, got 3"):
        fisher.boltzmann_test(oscillator(10, 3, 300.0, 0), WEIGHTS, 300.0)
    with pytest.raises(InputError, match="not zero"):
        fisher.boltzmann_test(oscillator(10, 6, 300.0, 0), 0 * WEIGHTS, 300.0)


def test_without_forces_the_same_head_comes_out() -> None:
    groups = oscillator(20_000, 25, 300.0, 3)
    total = sum(groups[1:], groups[0])
    explicit, implicit = fisher.equations(total), fisher.equations(total, 300.0)
    by_forces, by_laplacian = (fisher.head_at(0.0, e, np.zeros(3)) for e in (explicit, implicit))
    difference, scale = explicit.target - implicit.target, np.abs(explicit.target)
    assert np.all(np.abs(difference) < 0.02 * scale)
    assert total.divergence(by_laplacian) < 1.05 * total.divergence(by_forces) + 1e-9


def test_sums_add() -> None:
    first, second = oscillator(30, 2, 300.0, 4)
    total = first + second.with_origin(7.0).with_origin(0.0)
    assert total.frames == 60
    np.testing.assert_allclose(total.gram, first.gram + second.gram)
    np.testing.assert_allclose(total.laplacian, first.laplacian + second.laplacian)
    np.testing.assert_allclose(total.energy, first.energy + second.energy, atol=1e-12)


def test_descent_reaches_the_closed_form() -> None:
    truth = random_checkpoint()
    data = planted_dataset(truth, 64)
    start = truth.with_head(truth.head + 1.0, truth.element_bias, "start", {})
    closed = fisher.solve(
        start,
        data,
        fisher.Options(head="shared", ridge=1e-4, precision="float64", test_boltzmann=False),
    )
    slow = fisher.solve(
        start,
        data,
        fisher.Options(
            head="shared", method="gradient", ridge=1e-4, precision="float64", test_boltzmann=False
        ),
    )
    assert slow.descent is not None and slow.descent.converged
    assert slow.descent.steps[0] == 0 and slow.descent.distance[0] > 0.1
    assert slow.descent.distance[-1] < 1e-6
    np.testing.assert_allclose(slow.checkpoint.head, closed.checkpoint.head, rtol=1e-5)
    assert slow.descent.excess[-1] < 1e-9 * slow.descent.excess[0]


def test_kl_of_a_shifted_and_scaled_gaussian() -> None:
    rng = np.random.default_rng(0)
    kt = BOLTZMANN * 300.0
    x = rng.normal(size=200_000)
    found = fisher.kl_divergence(0.5 * kt * 1.3 * x**2 + 5.0, 0.5 * kt * x**2, 300.0)
    exact = kt * 0.5 * (1.3 - 1 - np.log(1.3))
    assert found.value == pytest.approx(exact, rel=0.02)
    assert found.effective_frames > 0.9 * found.frames and not found.doubtful
    same = fisher.kl_divergence(x + 3.0, x, 300.0)
    assert abs(same.value) < 1e-12 and same.effective_frames == pytest.approx(len(x))
    far = fisher.kl_divergence(0.0 * x, 4.0 * kt * x, 300.0)
    assert far.doubtful


def test_a_planted_head_is_recovered_from_points_and_a_temperature_alone() -> None:
    # Exact samples of U = θ·D with D₁ = ½Σkx², at kT: no force is used anywhere.
    rng = np.random.default_rng(7)
    kt, stiffness = BOLTZMANN * 300.0, np.array([1.0, 2.0, 4.0, 8.0, 16.0, 32.0])
    x = rng.normal(size=(400_000, 6))  # in units of √(kT/k), the width of each coordinate
    scale = np.sqrt(stiffness / kt)
    g = np.stack([kt * x, kt * 4 * x**3, -2 * kt * np.sin(2 * x)], axis=-1) * scale[:, None]
    lap = (
        np.stack([kt + 0 * x, kt * 12 * x**2, -4 * kt * np.cos(2 * x)], axis=-1)
        * scale[:, None] ** 2
    )
    moments = fisher.Moments(
        frames=len(x),
        components=6,
        gram=np.einsum("mxd,mxe->de", g, g),
        gradient=np.zeros(3),  # forces are unknown
        laplacian=lap.sum(axis=(0, 1)),
        force_squared=0.0,
        energy=np.eye(4),
        energy_sum=np.zeros(4),
        energy_origin=0.0,
    )
    head = fisher.head_at(0.0, fisher.equations(moments, 300.0), np.full(3, 5.0))
    np.testing.assert_allclose(head, [1.0, 0.0, 0.0], atol=0.02)
    hot = fisher.head_at(0.0, fisher.equations(moments, 330.0), np.zeros(3))
    np.testing.assert_allclose(hot, 1.1 * head, rtol=1e-10, atol=1e-12)
