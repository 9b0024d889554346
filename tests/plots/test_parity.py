"""Parity charts hold the model's own numbers, the largest errors among them, and where they are."""

import dataclasses

import numpy as np
import pytest

from fisherdash.dataset import Dataset
from fisherdash.plots import parity
from fisherdash.plots.theme import DEFAULT
from fisherdash.potentials.evaluate import Predicted


def found(frames=400, scale=1.0):
    """Predictions with errors twice as large on hydrogen, and one wild atom."""
    rng = np.random.default_rng(0)
    numbers = np.array([8, 1, 1])
    forces = rng.normal(size=(frames, 3, 3))
    error = 0.1 * scale * rng.normal(size=forces.shape) * np.where(numbers == 1, 2, 1)[:, None]
    error[17, 2, 1] = 9.0
    water = [[0, 0, 0], [0.96, 0, 0], [-0.3, 0.9, 0]] + 0.01 * rng.normal(size=forces.shape)
    data = Dataset(water, rng.normal(size=frames), forces, numbers)
    return Predicted(data, data.energies + 0.01, forces + error, np.zeros(frames, bool))


def test_every_point_is_a_component_and_says_where_it_is():
    one = found()
    made = parity.force_parity(one)
    points = [trace for trace in made.data if trace.mode == "markers"]
    assert {trace.name for trace in points} == {"H", "O"}
    assert sum(len(trace.x) for trace in points) == parity.POINTS
    hydrogen = next(trace for trace in points if trace.name == "H")
    frames, atoms = np.array(hydrogen.customdata).T
    assert set(atoms) == {1, 2}
    for k in range(0, len(frames), 50):
        row = one.data.forces[frames[k], atoms[k]]
        part = np.argmin(np.abs(row - hydrogen.x[k]))
        assert hydrogen.x[k] == row[part]
        assert hydrogen.y[k] == one.forces[frames[k], atoms[k], part]
    worst = np.argmax(np.abs(np.array(hydrogen.y) - np.array(hydrogen.x)))
    assert (frames[worst], atoms[worst]) == (17, 2)
    assert len(made.table) == parity.POINTS and "3,000 of 3,600 components" in made.alt


def test_energies_are_drawn_from_the_mean_of_the_reference():
    made = parity.energy_parity(found())
    (points,) = (trace for trace in made.data if trace.mode == "markers")
    np.testing.assert_allclose(np.array(points.y) - np.array(points.x), 0.01, atol=1e-12)
    assert abs(np.mean(points.x)) < 1e-9


def test_energies_with_another_zero_are_drawn_without_their_offset():
    one = found()
    assert one.offset is None
    shifted = dataclasses.replace(one, energies=one.energies - 3900.0)
    assert shifted.offset == pytest.approx(-3899.99)
    made = parity.energy_parity(shifted)
    (points,) = (trace for trace in made.data if trace.mode == "markers")
    np.testing.assert_allclose(np.array(points.y), np.array(points.x), atol=1e-9)
    assert made.layout.yaxis.title.text == "predicted energy (eV), shifted by +3900"


def test_errors_by_element_and_by_size_of_force():
    models = {"one": found(), "worse": found(scale=3.0)}
    table = parity.element_rows(models).set_index("model")
    hydrogen, oxygen = table["H (eV/Å)"], table["O (eV/Å)"]
    assert 1.9 < hydrogen["worse"] / oxygen["worse"] < 2.2
    assert oxygen["worse"] / oxygen["one"] == 3.0 or abs(oxygen["worse"] / oxygen["one"] - 3) < 1e-9
    made = parity.magnitude_figure(models, dict.fromkeys(models, DEFAULT))
    one, worse = made.data
    assert len(one.x) == parity.BINS and np.all(np.diff(one.x) > 0)
    assert np.all(np.array(worse.y) > np.array(one.y))
