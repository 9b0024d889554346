"""The chart beside the molecules is the figure of the run, and small enough for a live page."""

import base64
import json

import numpy as np
import pytest

from fisherdash import viewer
from fisherdash.analysis import total_energy_change
from fisherdash.plots import drift
from fisherdash.plots.chart import DEFAULT, FISHER
from fisherdash.plots.drift import BUDGET, drift_figure, plain_json
from fisherdash.statistics import Estimate
from tests.plots.planted import trajectories

LOOKS = (DEFAULT, FISHER)
ENDINGS = [[""] * 5, ["", "", "C1–C2 bond broke at 0.3 ps", "", ""]]


def ending(head, replica):
    return ENDINGS[head][replica]


def traces(made, words):
    return [trace for trace in made.data if words in (trace.name or "")]


def test_single_replicas_are_one_trace_a_head_with_gaps_and_their_numbers():
    made = drift_figure(trajectories(), LOOKS, singles=True)
    change = total_energy_change(trajectories())
    found = traces(made, "replicas")
    assert len(found) == 2
    for head, trace in enumerate(found):
        numbers, y = np.asarray(trace.customdata), np.asarray(trace.y)
        for replica in range(5):
            own = y[numbers == replica]
            assert np.isnan(own[-1])  # the gap
            np.testing.assert_allclose(own[:-1], change[head, replica], atol=1e-4)


def test_the_chosen_replica_is_drawn_alone():
    (first, second) = traces(drift_figure(trajectories(), LOOKS, chosen=3), "replicas")
    assert set(first.customdata) == set(second.customdata) == {3}


def test_a_cross_stands_where_a_replica_failed_and_says_how():
    (cross,) = traces(drift_figure(trajectories(), LOOKS, endings=ending), "failures")
    assert list(cross.customdata) == [2] and cross.x[0] == pytest.approx(0.3)
    assert list(cross.text) == ["replica 3: C1–C2 bond broke at 0.3 ps"]


def test_the_fitted_line_has_the_slope_and_the_label_says_it():
    drift = {"a": Estimate(100.0, 90.0, 110.0), "b": Estimate(200.0, 180.0, 220.0)}
    made = drift_figure(trajectories(), LOOKS, drift=drift)
    (fit,) = traces(made, "b, fit")
    rise = (fit.y[1] - fit.y[0]) / (fit.x[1] - fit.x[0])
    assert rise == pytest.approx(200.0)
    np.testing.assert_allclose(fit.y, 200.0 * np.asarray(fit.x), atol=1e-3)
    assert traces(made, "b: +200 [+180, +220] meV/atom/ps")


def test_the_range_of_curves_that_leave_the_axis_is_known():
    traj = trajectories(frames=1000, deaths=((0, 0, 500),))
    assert drift_figure(trajectories(deaths=()), LOOKS).layout.meta["full"] is None
    traj.potential[0, 0, 499] = 1e4
    meta = drift_figure(traj, LOOKS).layout.meta
    assert meta["full"][1] > 1e6 > meta["limits"][1]


def test_names_of_strangers_stay_text():
    traj = trajectories()
    object.__setattr__(traj, "names", ("<a href='https://x.org'>%{x}", "b"))
    made = drift_figure(traj, LOOKS, endings=ending)
    assert "<a" not in plain_json(made)
    assert any("<extra>&lt;a" in (trace.hovertemplate or "") for trace in made.data)


def test_many_long_trajectories_stay_below_the_budget():
    traj = trajectories(frames=20_000, replicas=64, deaths=())
    made = drift_figure(traj, LOOKS, singles=True)
    assert sum(len(trace.x) for trace in traces(made, "replicas")) <= BUDGET
    assert len(plain_json(made)) < 1_500_000
    assert json.loads(plain_json(made))["layout"]["uirevision"] == "run"
    assert "height" not in json.loads(plain_json(made))["layout"]


def test_of_very_many_replicas_some_are_drawn_and_the_chart_says_so(monkeypatch):
    monkeypatch.setattr(drift, "MOST_REPLICAS", 10)
    asked = []
    traj = trajectories(frames=40, replicas=64, deaths=[(1, replica, 30) for replica in range(50)])
    made = drift_figure(
        traj, LOOKS, singles=True, endings=lambda h, r: asked.append((h, r)) or "broke"
    )
    for trace in traces(made, "replicas")[:2]:
        assert len(set(trace.customdata)) == 10 and {0, 63} <= set(trace.customdata)
    (cross,) = traces(made, "failures")
    assert len(cross.x) == len(asked) == 10 and (1, 49) in asked
    assert traces(made, "thin: 10 of 64 replicas")


def test_forces_travel_with_their_molecule_and_must_fit_it():
    rng, water = np.random.default_rng(0), [8, 1, 1]
    positions, forces = rng.normal(size=(2, 4, 3, 3))
    pane = viewer.Pane("a", DEFAULT, positions, forces=forces, against=2 * forces, labelled=True)
    (sent,) = viewer.payload(water, [pane], np.arange(4.0), key="k")["panes"]
    back = np.frombuffer(base64.b64decode(sent["forces"]), "<f4").reshape(4, 3, 3)
    np.testing.assert_allclose(back, forces, atol=1e-6)
    assert sent["labelled"] and sent["against"] == viewer.numbers(2 * forces)
    wrong = viewer.Pane("a", DEFAULT, positions, forces=forces[:3])
    with pytest.raises(ValueError, match="forces have shape"):
        viewer.payload(water, [wrong], np.arange(4.0), key="k")


def test_the_legend_says_what_the_thin_line_is():
    shown = drift_figure(trajectories(), LOOKS, chosen=3)
    assert traces(shown, "thin: replica 4") and not traces(
        drift_figure(trajectories(), LOOKS), "thin"
    )


def test_the_program_is_whole_and_sets_no_markup():
    assert "Plotly.react" in viewer.source() and "innerHTML" not in viewer.source()
