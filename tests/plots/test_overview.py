"""Tables over runs and models carry each one's own numbers; small charts share their scale.

Parity charts hold the model's own numbers, the largest errors among them, and where they are.
"""

import dataclasses

import numpy as np
import pytest

from fisherdash.analysis import compare, total_energy_change
from fisherdash.dataset import Dataset
from fisherdash.plots import overview
from fisherdash.plots.chart import DEFAULT, FISHER
from fisherdash.plots.drift import median_of_survivors
from fisherdash.potentials.evaluate import Predicted
from fisherdash.workspace.headers import RunHeader
from tests.plots.planted import trajectories
from tests.randomised import random_checkpoint
from tests.workspace.recorded import SETTINGS


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
    made = overview.force_parity(one)
    points = [trace for trace in made.data if trace.mode == "markers"]
    assert {trace.name for trace in points} == {"H", "O"}
    assert sum(len(trace.x) for trace in points) == overview.PARITY_POINTS
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
    assert len(made.table) == overview.PARITY_POINTS and "3,000 of 3,600 components" in made.alt


def test_energies_are_drawn_from_the_mean_of_the_reference():
    made = overview.energy_parity(found())
    (points,) = (trace for trace in made.data if trace.mode == "markers")
    np.testing.assert_allclose(np.array(points.y) - np.array(points.x), 0.01, atol=1e-12)
    assert abs(np.mean(points.x)) < 1e-9


def test_energies_with_another_zero_are_drawn_without_their_offset():
    one = found()
    assert one.offset is None
    shifted = dataclasses.replace(one, energies=one.energies - 3900.0)
    assert shifted.offset == pytest.approx(-3899.99)
    made = overview.energy_parity(shifted)
    (points,) = (trace for trace in made.data if trace.mode == "markers")
    np.testing.assert_allclose(np.array(points.y), np.array(points.x), atol=1e-9)
    assert made.layout.yaxis.title.text == "predicted energy (eV), shifted by +3900"


def test_errors_by_element_and_by_size_of_force():
    models = {"one": found(), "worse": found(scale=3.0)}
    table = overview.element_rows(models).set_index("model")
    hydrogen, oxygen = table["H (eV/Å)"], table["O (eV/Å)"]
    assert 1.9 < hydrogen["worse"] / oxygen["worse"] < 2.2
    assert oxygen["worse"] / oxygen["one"] == 3.0 or abs(oxygen["worse"] / oxygen["one"] - 3) < 1e-9
    made = overview.magnitude_figure(models, dict.fromkeys(models, DEFAULT))
    one, worse = made.data
    assert len(one.x) == overview.BINS and np.all(np.diff(one.x) > 0)
    assert np.all(np.array(worse.y) > np.array(one.y))


def header(model=None):
    known = {"fingerprint": model.fingerprint} if model else {}
    return RunHeader(
        title="t",
        names=("a", "b"),
        roles=("default", "fisher"),
        atomic_numbers=(8, 1, 1),
        settings=SETTINGS,
        checkpoints=(known, {}),
    )


def test_a_row_for_each_head_with_its_own_numbers():
    model = random_checkpoint()
    found = compare(trajectories())
    first, second = overview.run_rows("r", header(model), found, 50.0, {model.fingerprint: model})
    assert (first["head"], second["head"]) == ("a", "b")
    assert first["head norm (eV)"] == pytest.approx(np.sqrt(np.sum(model.head**2)))
    assert second["head norm (eV)"] is None  # not at hand: unknown, not zero
    assert (first["survivors (%)"], second["survivors (%)"]) == (100.0, 80.0)
    # planted: 1 and 2 meV per atom in every frame of 10 fs
    assert first["drift (meV/atom/ps)"] == pytest.approx(100.0)
    assert second["drift (meV/atom/ps)"] == pytest.approx(200.0)
    interval = found.drift["a"]
    assert (first["drift, low"], first["drift, high"]) == (interval.low, interval.high)


def test_a_head_without_survivors_has_no_drift():
    deaths = [(1, replica, 10) for replica in range(5)]
    found = compare(trajectories(deaths=deaths))
    _, second = overview.run_rows("r", header(), found, 0.0, {})
    assert second["drift (meV/atom/ps)"] is None and second["speed (steps/s)"] is None
    assert second["survivors (%)"] == 0.0 and second[
        "median time to failure (ps)"
    ] == pytest.approx(0.1)


def test_small_charts_share_their_energies_and_name_who_lives():
    slow, fast = trajectories(), trajectories(frames=80, deaths=())
    made = overview.small_multiples([("one", header(), slow), ("two", header(), fast)])
    limits = [figure.layout.yaxis.range for figure in made]
    assert limits[0] == limits[1] and limits[0][0] < 0 and limits[0][1] > 140
    np.testing.assert_allclose(made[1].data[1].y, 2.0 * np.arange(80), atol=1e-4)
    assert [line.name for line in made[0].data] == ["a: 5 of 5", "b: 4 of 5"]
    assert [figure.layout.title.text for figure in made] == ["one", "two"]


def test_models_and_their_errors_are_listed_by_name():
    model = random_checkpoint()
    table = overview.model_rows({"m": model})
    assert table.loc[0, "fingerprint"] == model.fingerprint
    assert table.loc[0, "parameters"] == model.num_parameters
    again = dataclasses.replace(model, provenance={"made_by": "solve", "parent": "weak"})
    assert overview.model_rows({"m": again}).loc[0, "made by"] == "re-fit of weak"
    one, seen = found(), np.arange(400) < 100
    errors = overview.error_rows({"m": dataclasses.replace(one, seen=seen)}).loc[0]
    assert errors["force RMSE (eV/Å)"] == one.errors().force_rmse
    assert (errors["frames"], errors["seen in training"]) == (400, 100)
    assert errors["force RMSE on unseen (eV/Å)"] == one.errors(~seen).force_rmse


def test_runs_are_laid_over_each_other_with_their_survivors():
    slow, fast = trajectories(), trajectories(frames=80, deaths=())
    made = overview.overlaid([("one", header(), slow), ("two", header(), fast)])
    energies = [trace for trace in made.data if trace.yaxis == "y"]
    shares = [trace for trace in made.data if trace.yaxis == "y2"]
    np.testing.assert_allclose(energies[3].y, 2.0 * np.arange(80), atol=1e-4)
    assert [share.y[-1] for share in shares] == [100.0, 80.0, 100.0, 100.0]
    # A colour a run, the dash of each head as everywhere.
    colours = [trace.line.color for trace in energies]
    assert colours[0] == colours[1] != colours[2] == colours[3]
    assert [trace.line.dash for trace in energies] == ["solid", "dash"] * 2
    assert [trace.legendgroup for trace in energies] == ["one", "one", "two", "two"]
    assert made.layout.legend.traceorder == "grouped"  # else only the first run has its title
    assert made.table["survivors"].tolist() == [5, 4, 5, 5]


def test_the_heads_of_a_single_run_keep_their_own_colours():
    made = overview.overlaid([("one", header(), trajectories())])
    energies = [trace for trace in made.data if trace.yaxis == "y"]
    assert [trace.line.color for trace in energies] == [DEFAULT.colour, FISHER.colour]


def test_a_long_run_is_drawn_by_its_running_mean():
    long = trajectories(frames=400, deaths=())
    kinetic = long.kinetic + np.where(np.arange(400) % 2, 0.3, -0.3)
    made = overview.overlaid([("one", header(), dataclasses.replace(long, kinetic=kinetic))])
    exact = median_of_survivors(total_energy_change(dataclasses.replace(long, kinetic=kinetic)))
    drawn = np.asarray(made.data[0].y, float)
    assert np.abs(np.diff(drawn))[20:-20].max() < 0.2 * np.abs(np.diff(exact[0])).max()
    last = made.table["median ΔE at the end (meV/atom)"][0]
    assert last == pytest.approx(exact[0, -1])
