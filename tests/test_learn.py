"""The lesson's mathematics: derivatives, the planted head, integration by parts, dynamics."""

import itertools

import numpy as np
import pytest

from fisherdash import learn
from fisherdash.errors import InputError

BASES = {"own": learn.own_terms(), "gaussians": learn.gaussians()}


def test_the_potential_has_the_published_minima_and_saddle():
    # Müller and Brown, table 1: minima at (−0.558, 1.442), (0.623, 0.028), saddle (−0.822, 0.624)
    places = np.array([[-0.558, 1.442], [0.623, 0.028], [-0.822, 0.624]])
    assert learn.potential(places) / learn.SCALE == pytest.approx([-146.7, -108.2, -40.7], abs=0.1)
    assert np.abs(learn.gradient(places)).max() < 0.03 * np.abs(learn.gradient(places + 0.1)).max()


@pytest.mark.parametrize("basis", BASES.values(), ids=BASES)
def test_derivatives_are_those_of_finite_differences(basis):
    x, step = learn.scatter(7, seed=1), 1e-4
    ahead = [basis.values(x + step * axis) for axis in np.eye(2)]
    back = [basis.values(x - step * axis) for axis in np.eye(2)]
    slope = np.stack([(a - b) / (2 * step) for a, b in zip(ahead, back, strict=True)], axis=1)
    np.testing.assert_allclose(basis.gradients(x), slope, atol=1e-5)
    bend = sum((a + b - 2 * basis.values(x)) / step**2 for a, b in zip(ahead, back, strict=True))
    np.testing.assert_allclose(basis.laplacians(x), bend, atol=1e-4)


def test_the_planted_head_is_found_in_one_step_from_any_points_with_forces():
    for points in (learn.sample(50), learn.sample(50, temperature=3.0), learn.scatter(50)):
        found = learn.moments(points, learn.own_terms())
        theta = found.solve(0.0, np.ones(4))
        np.testing.assert_allclose(theta, learn.AMPLITUDES, rtol=1e-6)
        assert found.divergence(theta) == pytest.approx(0.0, abs=1e-9)
        assert found.divergence(theta + 0.1) > 1e-4


def by_parts(points, basis, temperature):
    """Deviation from E[∇U·∇φ] = kT E[Δφ] in standard errors, for every function."""
    left = np.einsum("ni,nik->nk", learn.gradient(points), basis.gradients(points))
    difference = left - temperature * basis.laplacians(points)
    return difference.mean(axis=0) / (difference.std(axis=0) / np.sqrt(len(points)))


@pytest.mark.parametrize("temperature", [0.7, 1.0, 2.0])
def test_integration_by_parts_holds_for_boltzmann_points_only(temperature):
    basis, points = learn.gaussians(3), learn.sample(20_000, temperature, seed=2)
    assert np.abs(by_parts(points, basis, temperature)).max() < 4.0
    assert np.abs(by_parts(points, basis, 1.5 * temperature)).max() > 10.0
    assert np.abs(by_parts(learn.scatter(20_000), basis, temperature)).max() > 10.0


@pytest.mark.slow
def test_points_alone_give_the_head_up_to_their_number():
    errors = []
    for count in (2_000, 50_000):
        found = learn.moments(learn.sample(count, seed=3), learn.own_terms())
        theta = found.solve(0.0, np.ones(4), alone=True)
        errors.append(found.divergence(theta))
    default = found.divergence(0.6 * learn.AMPLITUDES)
    assert errors[1] < errors[0] < 0.1 * default
    wrong = learn.moments(learn.scatter(50_000), learn.own_terms())
    assert wrong.divergence(wrong.solve(0.0, np.ones(4), alone=True)) > 100 * errors[1]


def test_descent_goes_down_and_closes_in_as_the_eigenvalues_say():
    found, start = learn.moments(learn.sample(500), learn.gaussians(3)), np.zeros(9)
    path = found.descent(start, 60)
    heights = [found.divergence(theta) for theta in path]
    assert all(after < before for before, after in itertools.pairwise(heights))
    # θ_n − θ* = (1 − T/λ_max)ⁿ (θ_0 − θ*)
    best = found.solve(0.0, start)
    shrink = np.eye(9) - found.t / np.linalg.eigvalsh(found.t)[-1]
    left = np.linalg.matrix_power(shrink, 60) @ (start - best)
    np.testing.assert_allclose(path[-1] - best, left, rtol=1e-6, atol=1e-6)


def test_a_ridge_leads_from_the_closed_form_back_to_the_start():
    found, start = learn.moments(learn.sample(300), learn.gaussians(3)), np.full(9, -1.0)
    ways = [found.solve(ridge, start) for ridge in (0.0, 1e-4, 1e-2, 1.0, 1e9)]
    distances = [float(np.linalg.norm(theta - start)) for theta in ways]
    assert distances == sorted(distances, reverse=True) and distances[-1] < 1e-6 * distances[0]
    heights = [found.divergence(theta) for theta in ways]
    assert heights == sorted(heights)


def test_dynamics_keep_the_energy_to_second_order():
    start, velocity = np.array([[-0.5, 1.4]]), np.array([[0.3, -0.8]])
    worst = []
    for step in (0.02, 0.01):
        path = learn.dynamics(learn.gradient, start, velocity, step, round(4 / step))[:, 0]
        speed = (path[2:] - path[:-2]) / (2 * step)
        total = learn.potential(path[1:-1]) + 0.5 * (speed**2).sum(axis=1)
        worst.append(np.ptp(total))
    assert 3.0 < worst[0] / worst[1] < 5.0


def test_no_points_are_refused():
    with pytest.raises(InputError, match="above 0"):
        learn.sample(0)
