"""The lesson's mathematics: derivatives, the planted head, integration by parts, dynamics.

The lesson draws the numbers of fisherdash.learn, and the story that it tells holds.
"""

import base64
import itertools
import json

import numpy as np
import pytest

from fisherdash import learn
from fisherdash.errors import InputError
from tests.verlet import verlet

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
        path = verlet(learn.gradient, start, velocity, step, round(4 / step))[:, 0]
        speed = (path[2:] - path[:-2]) / (2 * step)
        total = learn.potential(path[1:-1]) + 0.5 * (speed**2).sum(axis=1)
        worst.append(np.ptp(total))
    assert 3.0 < worst[0] / worst[1] < 5.0


def test_no_points_are_refused():
    with pytest.raises(InputError, match="above 0"):
        learn.sample(0)


def decoded(text):
    return np.frombuffer(base64.b64decode(text), "<f4")


def test_landscapes_on_the_grid_are_those_of_the_heads():
    made = learn.lesson("boltzmann", 300, "own", 0.0)
    sent = json.loads(json.dumps(learn.payload(made), allow_nan=False))
    field = decoded(sent["truth"])
    model = np.array(sent["closed"]) @ decoded(sent["basis"]).reshape(4, -1)
    np.testing.assert_allclose(model, field, atol=1e-3)  # four own terms: exact
    x = np.linspace(*learn.BOX[:2], sent["grid"])
    y = np.linspace(*learn.BOX[2:], sent["grid"])
    at = np.array([[x[10], y[20]]])
    assert field[20 * sent["grid"] + 10] == pytest.approx(learn.potential(at)[0], rel=1e-5)


def test_forces_forgive_points_that_are_no_boltzmann_sample_and_points_alone_do_not():
    for source in ("boltzmann", "hot", "even"):
        j = learn.lesson(source, 3000, "own", 0.0).divergences()
        assert j["closed"] == pytest.approx(0.0, abs=1e-6)
        assert (j["alone"] < 0.1 * j["default"]) == (source == "boltzmann")


def test_the_closed_form_of_gaussians_digs_holes_that_a_ridge_fills():
    """The lowest divergence is no promise: the landscape is deepest where there are no points."""

    def depth(ridge):
        made = learn.lesson("boltzmann", 1000, "gaussians", ridge)
        grid = np.stack(np.meshgrid(*np.linspace(learn.BOX[::2], learn.BOX[1::2], 40).T), -1)
        everywhere = made.basis.values(grid.reshape(-1, 2)) @ made.closed
        return everywhere.min() - (made.basis.values(made.points) @ made.closed).min()

    assert depth(0.0) < -5.0
    assert depth(1e-1) > depth(0.0) + 5.0


def test_the_ridge_and_the_descent_begin_and_end_where_they_should():
    sent = learn.payload(learn.lesson("boltzmann", 300, "own", 0.0))
    np.testing.assert_allclose(sent["descent"][0], sent["default"])
    np.testing.assert_allclose(sent["ridges"][0], sent["closed"], rtol=1e-6)
    far = np.linalg.norm(np.subtract(sent["closed"], sent["default"]))
    assert np.linalg.norm(np.subtract(sent["ridges"][-1], sent["default"])) < 0.02 * far


def test_a_ridge_of_noise_closes_the_holes_of_many_functions_and_keeps_the_fit():
    grid = np.stack(np.meshgrid(*np.linspace(learn.BOX[::2], learn.BOX[1::2], 40).T), -1)

    def fit(ridge, noise):
        made = learn.lesson("boltzmann", 1000, "many", ridge, noise=noise)
        everywhere = made.basis.values(grid.reshape(-1, 2)) @ made.closed
        hole = (made.basis.values(made.points) @ made.closed).min() - everywhere.min()
        return hole, made.divergences()["closed"]

    plain, weights, held = fit(0.0, False), fit(1e-4, False), fit(1e-2, True)
    assert plain[0] > 10 and max(weights[0], held[0]) < 0.1
    assert plain[1] < held[1] < 0.6 * weights[1]
