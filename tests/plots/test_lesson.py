"""The lesson draws the numbers of fisherdash.learn, and the story that it tells holds."""

import base64
import json

import numpy as np
import pytest

from fisherdash import learn
from fisherdash.plots import lesson


def decoded(text):
    return np.frombuffer(base64.b64decode(text), "<f4")


def test_landscapes_on_the_grid_are_those_of_the_heads():
    made = lesson.lesson("boltzmann", 300, "own", 0.0)
    sent = json.loads(json.dumps(lesson.payload(made), allow_nan=False))
    field = decoded(sent["truth"])
    model = np.array(sent["closed"]) @ decoded(sent["basis"]).reshape(4, -1)
    np.testing.assert_allclose(model, field, atol=1e-3)  # four own terms: exact
    x = np.linspace(*learn.BOX[:2], sent["grid"])
    y = np.linspace(*learn.BOX[2:], sent["grid"])
    at = np.array([[x[10], y[20]]])
    assert field[20 * sent["grid"] + 10] == pytest.approx(learn.potential(at)[0], rel=1e-5)


def test_forces_forgive_points_that_are_no_boltzmann_sample_and_points_alone_do_not():
    for source in ("boltzmann", "hot", "even"):
        j = lesson.lesson(source, 3000, "own", 0.0).divergences()
        assert j["closed"] == pytest.approx(0.0, abs=1e-6)
        assert (j["alone"] < 0.1 * j["default"]) == (source == "boltzmann")


def test_the_closed_form_of_gaussians_digs_holes_that_a_ridge_fills():
    """The lowest divergence is no promise: the landscape is deepest where there are no points."""

    def depth(ridge):
        made = lesson.lesson("boltzmann", 1000, "gaussians", ridge)
        grid = np.stack(np.meshgrid(*np.linspace(learn.BOX[::2], learn.BOX[1::2], 40).T), -1)
        everywhere = made.basis.values(grid.reshape(-1, 2)) @ made.closed
        return everywhere.min() - (made.basis.values(made.points) @ made.closed).min()

    assert depth(0.0) < -5.0
    assert depth(1e-1) > depth(0.0) + 5.0


def test_the_ridge_and_the_descent_begin_and_end_where_they_should():
    sent = lesson.payload(lesson.lesson("boltzmann", 300, "own", 0.0))
    np.testing.assert_allclose(sent["descent"][0], sent["default"])
    np.testing.assert_allclose(sent["ridges"][0], sent["closed"], rtol=1e-6)
    far = np.linalg.norm(np.subtract(sent["closed"], sent["default"]))
    assert np.linalg.norm(np.subtract(sent["ridges"][-1], sent["default"])) < 0.02 * far


def test_a_ridge_of_noise_closes_the_holes_of_many_functions_and_keeps_the_fit():
    grid = np.stack(np.meshgrid(*np.linspace(learn.BOX[::2], learn.BOX[1::2], 40).T), -1)

    def fit(ridge, noise):
        made = lesson.lesson("boltzmann", 1000, "many", ridge, noise=noise)
        everywhere = made.basis.values(grid.reshape(-1, 2)) @ made.closed
        hole = (made.basis.values(made.points) @ made.closed).min() - everywhere.min()
        return hole, made.divergences()["closed"]

    plain, weights, held = fit(0.0, False), fit(1e-4, False), fit(1e-2, True)
    assert plain[0] > 10 and max(weights[0], held[0]) < 0.1
    assert plain[1] < held[1] < 0.6 * weights[1]
