"""Figures of a population: the right numbers, every trajectory, one look a head."""

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest

from fisherdash.plots import evidence, study
from fisherdash.plots.chart import DEFAULT, FAILED, FISHER, NEUTRAL
from fisherdash.plots.study import kinds_figure, looks, on_grid, survival_figure
from fisherdash.study.statistics import KINDS, Condition, Findings, survival
from tests.study import planted

HOT = Condition(1000.0, 0.5)
FOUND = Findings(planted.tables(seed=3, models=18, replicas=6, epochs=20))
LOOKS = looks(FOUND.heads)
CURVES = [survival(FOUND.trajectories, head, HOT) for head in LOOKS]


def traces(made):
    """The traces of a figure that stand in its legend, by name."""
    return {one.name: one for one in made.data if one.showlegend is not False}


def lines_in(trace):
    """How many lines a trace has; each ends with a gap."""
    return sum(value is None for value in trace.x)


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
    times = made.table["time (ps)"].to_numpy()
    for curve in CURVES:
        share, low, high = on_grid(curve, times)
        np.testing.assert_array_equal(traces(made)[curve.name].y, share)
        assert traces(made)[curve.name].line.color == LOOKS[curve.name].colour
        lower, upper, _ = (one.y for one in made.data if one.name == curve.name)
        np.testing.assert_allclose([lower, upper], [low, high])
        assert share[0] <= 100.0 and np.all(np.diff(share) <= 0)
        survivors = curve.replicas - curve.failures
        assert share[-1] == pytest.approx(100.0 * survivors / curve.replicas)
        assert f"{curve.name}: {survivors} of {curve.replicas}" in made.alt
    assert list(traces(made)) == list(LOOKS)


def test_kinds_of_failure_add_up_to_every_trajectory():
    counts = FOUND.kinds[HOT]
    assert counts.to_numpy().sum() == len(HOT.of(FOUND.trajectories))
    bars = kinds_figure(counts).data
    assert [bar.name for bar in bars] == list(KINDS)
    np.testing.assert_allclose(np.sum([bar.x for bar in bars], axis=0), 100.0)


@pytest.mark.parametrize("effect", ["survivors", "time to failure", "drift"])
def test_a_forest_has_every_comparison_with_its_interval(effect):
    made = study.forest_figure(FOUND.comparisons, effect, LOOKS)
    assert len(made.data) == len(FOUND.comparisons) == 8
    for row, (bar, one) in enumerate(zip(made.data, FOUND.comparisons, strict=True)):
        found = study.shown(one, effect)
        assert (list(bar.x), list(bar.y)) == ([found.value], [row])
        ends = bar.x[0] - bar.error_x.arrayminus[0], bar.x[0] + bar.error_x.array[0]
        assert ends == pytest.approx([found.low, found.high])
        assert bar.marker.color == LOOKS[one.second].colour
        low, high = made.layout.xaxis.range
        assert low <= found.low < found.high <= high


def test_every_member_and_every_trajectory_is_accounted_for():
    figures = drift_figures()
    assert len(figures) == 5
    assert len({made.layout.yaxis.range for made in figures}) == 1  # equal axes
    for made, head in zip(figures, LOOKS, strict=True):
        runs = HOT.of(FOUND.trajectories, head)
        failed = int(runs["failed"].sum())
        median, survivors = (
            next(one for one in made.data if one.name == name) for name in ("median", "survivors")
        )
        assert lines_in(median) == 18
        assert (
            f"18 models, {len(runs) - failed:,} of {len(runs):,} survive, {failed:,} failed"
            in made.alt
        )
        assert survivors.y[-1] == pytest.approx(100 * (1 - failed / len(runs)))


def test_a_member_that_dies_out_ends_in_a_cross():
    curves = FOUND.tables.curves.copy()
    last = (curves["model"] == "m000") & (curves["head"] == "plain") & (curves["time_ps"] > 5)
    curves.loc[last, curves.columns[-3:]] = np.nan
    made = study.drift_figures(curves, FOUND.trajectories, HOT, LOOKS)[1]
    crosses = next(one for one in made.data if one.name == "all failed").x
    before = curves.loc[~last & (curves["model"] == "m000"), "time_ps"].max()
    times = sorted(set(curves["time_ps"]))
    at_most_five = max(time for time in times if time <= 5)
    assert at_most_five in crosses
    assert before == times[-1]  # under the other heads it lives on


def test_losses_are_grouped_by_frames_and_the_diverged_are_marked():
    figures = study.losses_figures(FOUND.whole.losses, FOUND.tables.models)
    frames = sorted(set(FOUND.tables.models["frames"]))
    assert len(figures) == len(frames)
    assert sum(lines_in(one) for made in figures for one in made.data) == 2 * 18
    red = sum(lines_in(one) for made in figures for one in made.data if one.name == "diverged")
    assert red == 2 * FOUND.tables.models["diverged"].sum() > 0
    assert "1 diverged" in " ".join(made.alt for made in figures)


def test_losses_of_models_that_kept_other_epochs_are_lines_without_gaps():
    models = pd.DataFrame({"model": ["each", "some"], "frames": [100, 100], "diverged": [0, 0]})
    rows = [("each", epoch, 0.1) for epoch in range(1, 9)]
    rows += [("some", epoch, 0.2) for epoch in (1, 4, 8)]
    losses = pd.DataFrame(rows, columns=["model", "epoch", "train_loss_eV2"])
    (made,) = study.losses_figures(losses.assign(valid_loss_eV2=0.1), models)
    for one in made.data:
        assert list(one.x) == [*range(1, 9), None, 1, 4, 8, None]
        assert [y is None for y in one.y] == [x is None for x in one.x]


def test_quality_has_a_point_for_every_model_and_head():
    made = quality()
    assert len(made.table) == 4 * 18
    assert [one.name for one in made.data] == FOUND.heads


def test_the_heads_of_a_model_stand_side_by_side_around_its_error():
    aside = [np.sign(one.marker.angle) * one.marker.standoff for one in quality().data]
    assert aside == [-10.5, -3.5, 3.5, 10.5]


def test_every_model_is_a_line_between_its_two_shares_of_failures():
    pairs = FOUND.pairs_at(HOT)
    made = study.paired_figures(pairs, LOOKS)
    for (head, of_head), one in zip(pairs.items(), made, strict=True):
        *lines, means = one.data
        table = one.table
        assert table["models"].sum() == len(of_head.units) == 18 and len(lines) == len(table)
        ends = table[["default (%)", f"{head} (%)"]].to_numpy()
        mean = np.average(ends, axis=0, weights=table["models"])
        np.testing.assert_allclose(mean, 100.0 * of_head.failed.mean(axis=(1, 2)))
        np.testing.assert_allclose(means.y, mean)
        for drawn, (before, after) in zip(lines, ends, strict=True):
            colour = LOOKS[head].colour if after < before else FAILED
            assert drawn.line.color == (NEUTRAL if after == before else colour)
        failed = of_head.failed.sum(axis=(1, 2)).astype(int)
        assert f"{failed[0]} → {failed[1]} of {of_head.count}" in one.alt


def test_more_models_are_needed_for_smaller_effects():
    made = study.power_figure(powers(), LOOKS)
    needed = np.array(made.data[0].y)
    assert np.all(np.diff(needed) <= 0) and needed[0] > needed[-1] >= 6
    assert made.layout.shapes[0].y0 == made.layout.shapes[0].y1 == 18


def test_every_figure_is_plain_data_even_of_nothing():
    made = [
        survival_figure(CURVES, LOOKS),
        survival_figure([], LOOKS),
        kinds_figure(FOUND.kinds[HOT]),
        study.forest_figure(FOUND.comparisons, "drift", LOOKS),
        study.forest_figure([], "drift", LOOKS),
        quality(),
        study.quality_figure({}, {}, "time to failure", LOOKS),
        study.power_figure(powers(), LOOKS),
        study.power_figure({}, LOOKS),
        *drift_figures(),
        *study.paired_figures(FOUND.pairs_at(HOT), LOOKS),
        *study.losses_figures(FOUND.whole.losses, FOUND.tables.models),
    ]
    for one in made:
        assert "NaN" not in one.to_json() and json.loads(one.to_json())["layout"] and one.alt


def test_few_models_have_points_without_bars():
    few = FOUND.trajectories.query("model < 'm004'")
    found = Findings(dataclasses.replace(FOUND.whole, trajectories=few))
    made = study.forest_figure(found.comparisons, "survivors", LOOKS)
    assert all(bar.error_x.array is None for bar in made.data)
    curve = survival(few, "plain", HOT)
    assert len(survival_figure([curve], LOOKS).data) == 1  # no band


def test_tables_hold_what_was_found():
    rows = evidence.comparison_rows(FOUND.comparisons)
    assert rows["failed, this head"].tolist() == [one.failures[1] for one in FOUND.comparisons]
    alike = rows[["more survive", "fewer", "as many"]].sum(axis=1)
    assert (alike == rows["models"]).all()
    thirds = {head: FOUND.thirds[head, HOT] for head in FOUND.heads}
    assert evidence.third_rows(thirds, "survivors").shape == (4, 4)
    assert len(evidence.rate_rows(FOUND.rates)) == 10
    assert len(evidence.change_rows(FOUND.structure)) == 8
    assert len(evidence.association_rows(FOUND.associations)) == 48
