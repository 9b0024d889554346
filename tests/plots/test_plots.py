"""View: figures carry the right numbers, no spike is lost, heads keep their look."""

import base64
import dataclasses
import json

import numpy as np
import plotly.graph_objects as go
import pytest

from fisherdash import fisher, viewer
from fisherdash.plots import refit
from fisherdash.plots import refit as uncertainty
from fisherdash.plots.chart import DEFAULT, FISHER, axis, decimate, limits, styles
from fisherdash.plots.drift import (
    BAND,
    LIVE_BAND,
    _bands,
    drift_figure,
    running_mean,
    temperature_figure,
    time_axis_end,
)
from fisherdash.statistics import Estimate
from tests.plots.planted import trajectories

STYLES = (DEFAULT, FISHER)
PATH = tuple(
    fisher.RidgePoint(ridge, divergence, rmse, 0.02, 1.0, 0.1 / (1 + ridge), 2.0, None, None)
    for ridge, rmse, divergence in ((1e-6, 0.12, 3.0), (0.0, 0.11, 2.0), (1e-2, 0.13, 5.0))
)
HEATED = fisher.Boltzmann(
    temperature=300.0,
    stderr=2.0,
    believed=310.0,
    per_descriptor=np.array([290.0, 301.0, -4000.0]),
    per_descriptor_stderr=np.array([10.0, 3.0, 9000.0]),
    p_descriptors=0.4,
    consistent=False,
    frames=100,
    groups=25,
)


def test_few_points_are_left_alone():
    times, values = np.arange(10.0), np.ones((2, 10))
    assert decimate(times, values, 10) == (times, values)


@pytest.mark.parametrize("count", [4001, 12345, 100_000])
def test_decimation_keeps_extremes_order_and_ends(count):
    rng = np.random.default_rng(count)
    times, values = np.arange(float(count)), rng.normal(size=(3, count))
    values[1, count // 3] = 1e3  # one spike
    values[2, 2 * count // 3 :] = np.nan  # a trajectory that died
    shown_times, shown = decimate(times, values)
    assert len(shown_times) <= 4000 + 2 and np.all(np.diff(shown_times) >= 0)
    np.testing.assert_array_equal(np.nanmax(shown, axis=1), np.nanmax(values, axis=1))
    np.testing.assert_array_equal(np.nanmin(shown, axis=1), np.nanmin(values, axis=1))
    assert shown_times[np.nanargmax(shown[1])] == pytest.approx(
        count // 3, abs=2 * count / 4000 + 2
    )
    assert np.isnan(shown[2, -1]) and np.all(np.isfinite(shown[:2]))


def test_decimation_of_a_rising_line_rises():
    times = np.arange(50_000.0)
    _, shown = decimate(times, times[None], 1000)
    assert np.all(np.diff(shown[0]) >= 0)


@pytest.mark.parametrize("how", [{"singles": True}, {"chosen": 1}, {}])
def test_every_property_of_the_drift_chart_is_one_of_plotlys(how):
    """The chart is made without Plotly's own check, which takes most of a redraw."""
    drift = {"a": Estimate(1.0, 0.5, 1.5, n=5), "b": Estimate(None)}
    made = drift_figure(trajectories(), STYLES, drift=drift, end=2.0, **how)
    checked = go.Figure(json.loads(made.to_json()))
    assert len(checked.data) == len(made.data) > 6
    assert set(json.loads(checked.to_json())["layout"]) >= set(json.loads(made.to_json())["layout"])
    with pytest.raises(ValueError, match="Invalid property"):
        go.Figure({"data": [{"type": "scatter", "wrong": 1}]})


def test_drift_is_the_planted_one_and_the_failed_are_counted():
    made = drift_figure(trajectories(), STYLES)
    data = made.table
    np.testing.assert_allclose(data["time (ps)"], 0.01 * np.arange(40))
    np.testing.assert_allclose(data["a: median ΔE (meV/atom)"], np.arange(40), atol=1e-4)
    np.testing.assert_allclose(data["b: median ΔE (meV/atom)"], 2.0 * np.arange(40), atol=1e-4)
    assert data["b: survivors"].tolist() == [5] * 30 + [4] * 10
    assert "a: 5 of 5 survive; b: 4 of 5 survive" in made.alt
    # The running mean of a straight line is that line, but for the ends.
    mean = next(trace for trace in made.data if trace.name == "b")
    np.testing.assert_allclose(mean.y[1:-1], 2.0 * np.arange(1, 39), atol=1e-4)


def test_the_band_holds_four_fifths_of_the_replicas():
    change = np.random.default_rng(0).normal(size=(1, 1001, 3))
    shown, (low, middle, high) = _bands(change, 1001)
    assert shown.tolist() == [0, 1, 2]
    np.testing.assert_allclose([low, middle, high], np.quantile(change, [0.1, 0.5, 0.9], axis=1))
    change[0, 1:, 2] = np.nan  # one survivor is its own band
    assert [part[0, 2] for part in _bands(change, 1001)[1]] == [change[0, 0, 2]] * 3


def test_the_chart_of_a_run_that_goes_on_has_fewer_points():
    long = trajectories(frames=4000)
    for end, most in ((None, BAND), (50.0, LIVE_BAND)):
        made = drift_figure(long, STYLES, end=end)
        assert max(len(trace.x) for trace in made.data) <= 2 * most + 2
        assert max(made.data[0].x) == pytest.approx(long.duration)


def test_a_running_mean_leaves_out_what_is_missing():
    found = running_mean(np.array([1.0, 2.0, 6.0, np.nan, np.nan]), 3)
    np.testing.assert_allclose(found, [1.5, 3.0, 4.0, np.nan, np.nan])


def test_each_head_keeps_its_colour_and_dash_in_every_series():
    made = drift_figure(trajectories(), STYLES)
    for name, style in (("a", DEFAULT), ("b", FISHER)):
        lines = [one.line for one in made.data if one.name == name]
        assert len(lines) == 2  # drift and survivors
        assert {(line.color, line.dash) for line in lines} == {(style.colour, style.dash)}


def test_axes_name_their_units():
    layout = drift_figure(trajectories(), STYLES).layout
    assert layout.yaxis.title.text == "ΔE total (meV/atom)"
    assert layout.yaxis2.title.text == "survivors" and layout.xaxis2.title.text == "time (ps)"
    heat = temperature_figure(trajectories(), STYLES)
    assert heat.layout.yaxis.title.text == "kinetic temperature (K)"


@pytest.mark.parametrize(("end", "shown"), [(None, 0.39), (0.4, 0.4), (1.0, 0.5), (64.0, 4.0)])
def test_the_axis_of_time_grows_towards_the_end_of_a_live_run(end, shown):
    layout = drift_figure(trajectories(), STYLES, end=end).layout  # 0.39 ps so far
    assert [layout.xaxis.range[1], layout.xaxis2.range[1]] == [shown, shown]


def test_one_explosion_does_not_flatten_the_others():
    traj = trajectories(frames=1000, deaths=((0, 0, 500),))
    traj.potential[0, 0, 499] = 1e4  # the last frame before its failure
    low, high = drift_figure(traj, STYLES).layout.yaxis.range
    assert low < 0 < 1990 < high < 4000


def test_a_head_without_survivors_has_no_median():
    deaths = [(1, replica, 10) for replica in range(5)]
    data = drift_figure(trajectories(deaths=deaths), STYLES).table
    assert np.isnan(data["b: median ΔE (meV/atom)"][10:]).all()
    assert (data["b: survivors"][10:] == 0).all()


def test_temperature_is_that_of_the_kinetic_energy():
    heat = temperature_figure(trajectories(), STYLES)
    # three internal degrees of freedom: T = 2 · 0.1 eV / (3 k_B)
    assert heat.data[0].y[0] == pytest.approx(0.2 / (3 * 8.617333e-5), rel=1e-5)
    assert heat.layout.annotations[0].text == "momenta drawn at 300 K"
    assert heat.layout.shapes[0].y0 == 300.0


def test_every_figure_of_a_re_fit_is_plain_data():
    made = [
        refit.path_figure(PATH, 1e-6),
        refit.path_figure(PATH, np.inf),
        refit.spectrum_figure([2.0, 0.5, 0.0], 1e-3),
        refit.spectrum_figure([2.0, 0.5, 0.1], np.inf),
        refit.head_figure(np.array([1.0, -2.0]), np.array([3.0, 0.5])),
        uncertainty.temperature_figure(HEATED),
        uncertainty.error_bar_figure(np.arange(3.0), [np.ones(3), np.ones(3)], ["a", "b"], STYLES),
        refit.descent_figure(
            fisher.Descent(np.ones(2), (0, 1, 9), (1.0, 0.5, 0.0), (3, 2, 1), True)
        ),
    ]
    for one in made:
        assert "NaN" not in one.to_json() and json.loads(one.to_json())["data"]
        assert one.alt and len(one.table)


def test_ridge_path_runs_from_the_default_head_to_the_free_one():
    long = [dataclasses.replace(PATH[0], ridge=10.0**-k) for k in range(25)]
    ticks = refit.path_figure([*long, dataclasses.replace(PATH[0], ridge=0.0)], 1e-6)
    assert ticks.layout.xaxis.tickvals[-2:] == ("1e-23", "0")  # not upon each other
    made = refit.path_figure(PATH, 1e-6)
    assert list(made.data[0].x) == made.table["ridge"].tolist() == ["1e-2", "1e-6", "0"]
    assert list(made.data[0].y) == [0.13, 0.12, 0.11]
    assert refit.shown_ridges(PATH) == [1e-2, 1e-6, 0.0]
    assert list(made.layout.xaxis3.tickvals) == ["1e-2", "1e-6", "0"]  # whole powers of ten
    default, *chosen = made.layout.shapes
    assert default.y0 == default.y1 == 0.13
    assert [mark.x0 for mark in chosen] == [1, 1, 1]  # the place of 1e-6, in every panel


def test_the_best_determined_descriptors_come_first_and_endless_bars_are_cut():
    made = uncertainty.temperature_figure(HEATED)
    assert made.table["descriptor"].tolist() == [2, 1, 3]
    low, high = made.layout.yaxis.range
    assert low < 280 < 310 < high < 2000
    assert list(made.data[0].error_y.array) == [3.0, 10.0, 9000.0]


def test_the_share_that_the_data_decide_falls_with_the_eigenvalue():
    shares = refit.spectrum_figure([2.0, 0.002, 0.0], 1e-3).table["decided by the data"]
    np.testing.assert_allclose(shares, [1 / 1.001, 0.5, 0.0])


def test_ticks_of_an_axis_in_decades_are_whole_numbers():
    made = axis("force RMSE (eV/Å)", type="log")
    assert made["dtick"] == "D2" and made["tickformat"] == "~g"  # 0.2, not a small 2


def test_limits_of_nothing_and_of_a_constant():
    assert limits(np.array([np.nan, np.inf]), robust=True) is None
    low, high = limits(np.full(9, 5.0))
    assert low < 5.0 < high


@pytest.mark.parametrize("scale", [1e-6, 1.0, 3.7e5])
@pytest.mark.parametrize("offset", [0.0, 1e3])
def test_limits_hold_all_values_and_little_more(scale, offset):
    values = scale * (offset + np.random.default_rng(3).normal(size=200))
    low, high = limits(values)
    span = values.max() - values.min()
    assert low < values.min() and values.max() < high
    assert high - low < 1.3 * span


def test_limits_do_not_blow_up_a_difference_of_no_consequence():
    low, high = limits(np.array([1.0, 1.001]), least=0.05)
    assert low < 0.98 and high > 1.02


def test_further_heads_get_looks_of_their_own():
    found = styles(["default", "fisher", "fisher", "default", "other"])
    assert found[:2] == (DEFAULT, FISHER)
    assert len(set(found)) == 5


def test_payload_carries_positions_exactly_and_captions_as_text():
    positions = np.random.default_rng(2).normal(size=(7, 3, 3)).astype(np.float32)
    nasty = "</script><script>alert(1)</script>"
    made = viewer.payload(
        [8, 1, 1],
        [viewer.Pane(nasty, DEFAULT, positions, failed=4, ending="broke")],
        np.arange(7.0),
        key="run",
    )
    pane = json.loads(json.dumps(made, allow_nan=False))["panes"][0]
    back = np.frombuffer(base64.b64decode(pane["positions"]), "<f4").reshape(7, 3, 3)
    np.testing.assert_array_equal(back, positions)
    assert (pane["caption"], pane["failed"], made["elements"]) == (nasty, 4, ["O", "H", "H"])
    assert "innerHTML" not in viewer.source()


def test_payload_refuses_frames_that_do_not_fit():
    with pytest.raises(ValueError, match=r"\(6, 3, 3\).*\(7, 3, 3\)"):
        viewer.payload(
            [8, 1, 1], [viewer.Pane("", DEFAULT, np.zeros((6, 3, 3)))], np.zeros(7), key=""
        )


def test_thinning_keeps_both_ends():
    assert viewer.thinned(0).tolist() == []
    assert viewer.thinned(5, 10).tolist() == [0, 1, 2, 3, 4]
    some = viewer.thinned(10_001, 600)
    assert 300 <= len(some) <= 600 and some[0] == 0 and some[-1] == 10_000


def test_what_is_shown_of_a_growing_run_stays_until_it_is_halved():
    old = viewer.thinned(1, 16)[:-1]
    for count in range(2, 500):
        new = viewer.thinned(count, 16)[:-1]
        assert len(new) < 16
        assert set(old) <= set(new) or set(new) <= set(old)
        assert set(old[::2]) <= set(new)
        old = new


def test_the_axis_of_time_ends_behind_the_last_death_where_all_died_early():
    everybody = [(head, replica, 3) for head in range(2) for replica in range(5)]
    dead = trajectories(frames=400, deaths=everybody)
    assert time_axis_end(dead, None) == 0.04  # the frame at 0.03 ps is the first without anybody
    one_lives = trajectories(frames=400, deaths=everybody[1:])
    assert time_axis_end(one_lives, None) == pytest.approx(3.99)
    at_once = trajectories(frames=400, deaths=[(h, r, 0) for h, r, _ in everybody])
    assert time_axis_end(at_once, None) == pytest.approx(3.99)
    late = trajectories(frames=400, deaths=[(h, r, 399) for h, r, _ in everybody])
    assert time_axis_end(late, None) == pytest.approx(3.99)


def test_what_a_page_changes_of_a_copy_stays_with_it():
    made = drift_figure(trajectories(), STYLES)
    other = made.copied()
    other.update_layout(height=1000)
    assert made.layout.height == 448 and other.alt == made.alt and len(other.data) == len(made.data)
    assert other.table.equals(made.table)
