"""Laplacians, the fit without forces, the Boltzmann test, KL and descent: known answers."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fisherdash import fisher
from fisherdash.dataset import Dataset
from fisherdash.errors import InputError
from fisherdash.fisher.derivatives import internal_directions, is_bent
from fisherdash.units import BOLTZMANN
from tests.randomised import (
    ETHANOL,
    derivatives,
    descriptors,
    displaced_ethanol,
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
        start, data, fisher.Options(ridge=1e-4, precision="float64", test_boltzmann=False)
    )
    slow = fisher.solve(
        start,
        data,
        fisher.Options(method="gradient", ridge=1e-4, precision="float64", test_boltzmann=False),
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


def test_the_laplacian_way_needs_a_temperature() -> None:
    truth = random_checkpoint()
    data = planted_dataset(truth, 20)
    unknown = Dataset(data.positions, data.energies, data.forces, data.atomic_numbers)
    with pytest.raises(InputError, match="needs the temperature"):
        fisher.solve(truth, unknown, fisher.Options(method="laplacian"))
    with pytest.raises(InputError, match=r"above 0 and .* K, received 0\.0"):
        fisher.solve(truth, data, fisher.Options(method="laplacian", temperature=0.0))


def test_repeated_frames_and_zero_forces_are_warned_about() -> None:
    truth = random_checkpoint()
    data = planted_dataset(truth, 20)
    twice = data.subset(np.repeat(np.arange(10), 2))
    refit = fisher.solve(truth, twice, fisher.Options(test_boltzmann=False))
    assert any("Only 10 of the 20 frames are different" in text for text in refit.warnings)
    flat = Dataset(data.positions, data.energies, 0 * data.forces, data.atomic_numbers)
    refit = fisher.solve(truth, flat, fisher.Options(ridge=0.0, test_boltzmann=False))
    assert any("All forces are zero" in text for text in refit.warnings)


def test_another_zero_of_energy_is_told_and_a_sound_model_is_not_accused() -> None:
    truth, options = random_checkpoint(), fisher.Options(test_boltzmann=False)
    data = planted_dataset(truth, 20)
    for shift, said in ((0.0, False), (-3900.0, True)):
        moved = Dataset(data.positions, data.energies + shift, data.forces, data.atomic_numbers)
        refit = fisher.solve(truth, moved, options)
        assert any("another zero of energy" in warning for warning in refit.warnings) == said
        assert refit.energy_rmse["fisher"] < 1e-3


def test_another_molecule_than_that_of_the_training_is_warned_about() -> None:
    truth = random_checkpoint()
    data, options = planted_dataset(truth, 20), fisher.Options(test_boltzmann=False)
    for molecule, said in (("C2H6O", False), ("C5H8O2", True)):
        taught = dataclasses.replace(truth, provenance={"molecule": molecule})
        refit = fisher.solve(taught, data, options)
        assert (
            any("trained on C5H8O2 and these frames are C2H6O" in w for w in refit.warnings) == said
        )


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


def test_a_head_that_is_already_optimal_is_left_alone() -> None:
    truth = random_checkpoint()
    refit = fisher.solve(
        truth, planted_dataset(truth, 80), fisher.Options(precision="float64", test_boltzmann=False)
    )
    np.testing.assert_allclose(refit.checkpoint.head, truth.head, rtol=1e-7, atol=1e-8)
    assert max(refit.force_rmse.values()) < 1e-8
    assert refit.posterior is not None and refit.posterior.force_stderr < 1e-8
