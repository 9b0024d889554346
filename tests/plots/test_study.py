"""Figures of a population: the right numbers, every trajectory, one look a head."""

import dataclasses
import json

import numpy as np
import pytest

from fisherdash.plots import evidence, study
from fisherdash.plots.figure import DEFAULT, FISHER
from fisherdash.plots.study import kinds_figure, looks, on_grid, survival_figure
from fisherdash.study.statistics import KINDS, Condition, Findings, survival
from tests.study import planted

HOT = Condition(1000.0, 0.5)
FOUND = Findings(planted.tables(seed=3, models=18, replicas=6, epochs=20))
LOOKS = looks(FOUND.heads)
CURVES = [survival(FOUND.trajectories, head, HOT) for head in LOOKS]


def source(made):
    return made.option["dataset"]["source"]


def drift_figures():
    return study.drift_figures(FOUND.tables.curves, FOUND.trajectories, HOT, LOOKS)


def quality():
    return study.quality_figure(FOUND.effects_at(HOT), FOUND.default_errors, "survivors", LOOKS)


def powers():
    return FOUND.seen_at(HOT)


def test_default_and_the_first_re_fit_look_as_everywhere_and_no_two_alike():
    assert LOOKS["default"] == DEFAULT and LOOKS[FOUND.heads[0]] == FISHER
    assert len(set(LOOKS.values())) == len(LOOKS) == 5
    assert looks([]) == {"default": DEFAULT}
    assert len(looks([str(k) for k in range(20)])) == 21


def test_survival_is_that_of_the_curve_and_the_band_lies_around_it():
    made = survival_figure(CURVES, LOOKS)
    data, times = source(made), source(made)["t"].to_numpy()
    for number, curve in enumerate(CURVES):
        share, _, high = on_grid(curve, times)
        np.testing.assert_array_equal(data[f"s{number}"], share)
        np.testing.assert_allclose(data[f"l{number}"] + data[f"w{number}"], high)
        assert share[0] <= 100.0 and np.all(np.diff(share) <= 0)
        alive = curve.replicas - curve.deaths
        assert share[-1] == pytest.approx(100.0 * alive / curve.replicas)
        assert f"{curve.name}: {alive} of {curve.replicas}" in made.alt
    assert made.option["legend"]["data"] == list(LOOKS)


def test_kinds_of_failure_add_up_to_every_trajectory():
    counts = FOUND.kinds[HOT]
    assert counts.to_numpy().sum() == len(HOT.of(FOUND.trajectories))
    data = source(kinds_figure(counts))
    np.testing.assert_allclose(data[[f"k{k}" for k in range(len(KINDS))]].sum(axis=1), 100.0)


@pytest.mark.parametrize("effect", ["survivors", "life", "drift"])
def test_a_forest_has_every_comparison_with_its_interval(effect):
    made = study.forest_figure(FOUND.comparisons, effect, LOOKS)
    bars = made.option["series"][:-1]
    assert len(bars) == len(FOUND.comparisons) == 8
    for row, (bar, one) in enumerate(zip(bars, FOUND.comparisons, strict=True)):
        found = study.shown(one, effect)
        assert bar["data"] == [[pytest.approx(found.value, rel=1e-5), row]]
        ends = [end["coord"][0] for end in bar["markLine"]["data"][0]]
        assert ends == pytest.approx([found.low, found.high], rel=1e-5)
        assert bar["color"] == LOOKS[one.second].colour
        assert made.option["xAxis"]["min"] <= found.low < found.high <= made.option["xAxis"]["max"]


def test_every_member_and_every_trajectory_is_accounted_for():
    figures = drift_figures()
    assert len(figures) == 5
    assert len({json.dumps(made.option["yAxis"]) for made in figures}) == 1  # equal axes
    for made, head in zip(figures, LOOKS, strict=True):
        runs = HOT.of(FOUND.trajectories, head)
        died = int(runs["died"].sum())
        members = [c for c in source(made).columns if c.startswith("m")]
        assert len(members) == 18
        assert f"18 models, {len(runs) - died:,} of {len(runs):,} alive, {died:,} died" in made.alt
        assert source(made)["alive"].iloc[-1] == pytest.approx(100 * (1 - died / len(runs)))


def test_a_member_that_dies_out_ends_in_a_cross():
    curves = FOUND.tables.curves.copy()
    last = (curves["model"] == "m000") & (curves["head"] == "plain") & (curves["time_ps"] > 5)
    curves.loc[last, curves.columns[-3:]] = np.nan
    made = study.drift_figures(curves, FOUND.trajectories, HOT, LOOKS)[1]
    crosses = next(s for s in made.option["series"] if s["name"] == "all dead")["data"]
    before = curves.loc[~last & (curves["model"] == "m000"), "time_ps"].max()
    times = sorted(set(curves["time_ps"]))
    at_most_five = max(time for time in times if time <= 5)
    assert [pytest.approx(at_most_five, rel=1e-4)] in [cross[:1] for cross in crosses]
    assert before == times[-1]  # under the other heads it lives on


def test_losses_are_grouped_by_frames_and_the_diverged_are_marked():
    figures = study.losses_figures(FOUND.whole.losses, FOUND.tables.models)
    frames = sorted(set(FOUND.tables.models["frames"]))
    assert len(figures) == len(frames)
    shown = sum(len(source(made).columns) - 1 for made in figures)
    assert shown == 2 * 18
    red = [s for made in figures for s in made.option["series"] if s["name"] == "diverged"]
    assert len(red) == 2 * FOUND.tables.models["diverged"].sum() > 0
    assert "1 diverged" in " ".join(made.alt for made in figures)


def test_quality_has_a_point_for_every_model_and_head():
    made = quality()
    assert len(made.table) == 4 * 18
    assert [series["name"] for series in made.option["series"]] == FOUND.heads


def test_more_models_are_needed_for_smaller_effects():
    made = study.power_figure(powers(), LOOKS)
    needed = source(made)["n0"].to_numpy()
    assert np.all(np.diff(needed) <= 0) and needed[0] > needed[-1] >= 6
    assert made.option["series"][0]["markLine"]["data"] == [{"yAxis": 18}]


def test_every_option_is_plain_data():
    made = [
        survival_figure(CURVES, LOOKS),
        survival_figure([], LOOKS),
        kinds_figure(FOUND.kinds[HOT]),
        study.forest_figure(FOUND.comparisons, "drift", LOOKS),
        study.forest_figure([], "drift", LOOKS),
        quality(),
        study.quality_figure({}, {}, "life", LOOKS),
        study.power_figure(powers(), LOOKS),
        study.power_figure({}, LOOKS),
        *drift_figures(),
        *study.losses_figures(FOUND.whole.losses, FOUND.tables.models),
    ]
    for one in made:
        option = dict(one.option, dataset=None)
        assert json.loads(json.dumps(option, allow_nan=False)) == option
        assert one.alt


def test_few_models_have_points_without_bars():
    few = FOUND.trajectories.query("model < 'm004'")
    found = Findings(dataclasses.replace(FOUND.whole, trajectories=few))
    made = study.forest_figure(found.comparisons, "survivors", LOOKS)
    assert all("markLine" not in bar for bar in made.option["series"][:-1])
    curve = survival(few, "plain", HOT)
    assert len(survival_figure([curve], LOOKS).option["series"]) == 1  # no band


def test_tables_hold_what_was_found():
    rows = evidence.comparison_rows(FOUND.comparisons)
    assert rows["died, this head"].tolist() == [one.deaths[1] for one in FOUND.comparisons]
    alike = rows[["models helped", "models hurt", "models alike"]].sum(axis=1)
    assert (alike == rows["models"]).all()
    thirds = {head: FOUND.thirds[head, HOT] for head in FOUND.heads}
    assert evidence.third_rows(thirds, "survivors").shape == (4, 4)
    assert len(evidence.rate_rows(FOUND.rates)) == 10
    assert len(evidence.change_rows(FOUND.structure)) == 8
    assert len(evidence.association_rows(FOUND.associations)) == 48
