"""Known answers of the estimates, how often their intervals hold the truth, and how they read."""

import doctest
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
from scipy import stats

from fisherdash import statistics
from fisherdash.statistics import FEWEST, Estimate

RNG = np.random.default_rng


def average(values):
    """The statistic of a mean, as :func:`statistics.bootstrap` takes it."""
    return lambda often: often @ values / len(values)


def test_examples_in_the_docstrings_are_true():
    assert doctest.testmod(statistics).failed == 0


def test_the_interval_of_a_mean_is_that_of_student():
    values = RNG(0).normal(1.0, 2.0, size=60)
    found = statistics.bootstrap(average(values), 60, student=True)
    low, high = stats.t.interval(0.95, 59, values.mean(), stats.sem(values))
    assert found.value == pytest.approx(values.mean())
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.1)
    plain = statistics.bootstrap(average(values), 60)
    assert found.low < plain.low and plain.high < found.high


def test_the_same_intervals_as_scipy():
    values = RNG(1).exponential(size=31)
    theirs = stats.bootstrap(
        (values,), np.mean, n_resamples=statistics.DRAWS, method="percentile", rng=RNG(5)
    ).confidence_interval
    ours = statistics.bootstrap(average(values), 31, seed=5)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), rel=1e-12)
    theirs = stats.bootstrap(
        (np.sort(values),), np.median, n_resamples=statistics.DRAWS, method="percentile", rng=RNG(5)
    ).confidence_interval
    ours = statistics.median(values, seed=5)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), rel=1e-12)


@pytest.mark.parametrize("count", [6, 7, 30])
def test_medians_are_those_of_the_values_drawn(count):
    values = np.round(RNG(count).normal(size=count), 1)  # with ties
    found = statistics.median(np.append(values, [np.nan, np.inf]))
    assert found.value == np.median(values) and found.n == found.clusters == count
    often = statistics.how_often(count, 0).astype(int)
    drawn = [np.median(np.repeat(np.sort(values), row)) for row in often]
    assert [found.low, found.high] == pytest.approx(np.quantile(drawn, [0.025, 0.975]))
    assert statistics.median(values[::-1]) == statistics.median(values)


@pytest.mark.parametrize(
    ("estimate", "least"),
    [
        (lambda x, seed: statistics.median(x, seed), 0.91),
        (lambda x, seed: statistics.bootstrap(average(x), len(x), seed, student=True), 0.92),
        (lambda x, seed: statistics.cluster_mean(x.reshape(8, 3), seed), 0.92),
    ],
    ids=["median", "mean", "cluster mean"],
)
def test_intervals_cover_the_truth_as_often_as_they_say(estimate, least):
    hits = 0
    for seed in range(400):
        found = estimate(RNG(seed).normal(0.4, 1.0, size=24), seed)
        hits += found.low <= 0.4 <= found.high
    assert least <= hits / 400 <= 0.99


def test_clusters_that_differ_widen_the_interval_as_they_should():
    """48 members that share their clusters' luck are little more than 8 values."""
    hits = naive = 0
    for seed in range(400):
        rng = RNG(seed)
        values = rng.normal(size=(8, 1)) + 0.3 * rng.normal(size=(8, 6))
        found = statistics.cluster_mean(values, seed)
        hits += found.low <= 0 <= found.high
        flat = statistics.bootstrap(average(values.ravel()), 48, seed)
        naive += flat.low <= 0 <= flat.high
    assert 0.92 <= hits / 400 <= 0.98 and naive / 400 < 0.7


def test_pairs_stay_pairs():
    """Both sides share their luck, so the ratio is known far better than either side."""
    luck = RNG(2).exponential(size=40)
    first, second = luck, 0.9 * luck * RNG(3).normal(1.0, 0.01, size=40)
    found = statistics.bootstrap(lambda often: (often @ second) / (often @ first), 40)
    assert found.low < 0.9 < found.high and found.high - found.low < 0.02
    apart = statistics.bootstrap(average(first), 40)
    assert (apart.high - apart.low) / apart.value > 0.3


def test_paired_differences_have_the_signed_rank_test():
    values = RNG(4).normal(1.0, 1.0, size=20)
    found = statistics.paired(np.append(values, np.nan))
    assert found.p_value == pytest.approx(stats.wilcoxon(values).pvalue)
    assert (found.value, found.n) == (np.median(values), 20)
    assert found.sign == found.sign_at(0.05) == 1 and found.sign_at(1e-9) == 0
    assert statistics.paired(np.zeros(9)).p_value == 1.0
    assert statistics.paired(np.ones(FEWEST - 1)).p_value is None
    assert statistics.median(values).sign_at(1.0) == 0  # without a test nothing is claimed


def test_a_cluster_of_one_member_and_one_of_none():
    values = RNG(5).normal(size=(9, 4))
    values[0, 1:], values[1] = np.nan, np.nan
    found = statistics.cluster_mean(values)
    assert (found.n, found.clusters) == (7 * 4 + 1, 8)
    assert found.value == pytest.approx(
        np.mean([np.nanmean(row) for row in values[[0, *range(2, 9)]]])
    )
    assert found.low < found.value < found.high
    assert statistics.cluster_median(values).clusters == 8


def test_the_interval_of_equal_members_is_that_of_the_clusters_alone():
    effects = RNG(0).normal(size=40)
    low, high = stats.t.interval(0.95, 39, effects.mean(), stats.sem(effects))
    for values in (effects[:, None], np.repeat(effects[:, None], 5, axis=1)):
        found = statistics.cluster_mean(values)
        assert (found.low, found.high) == pytest.approx((low, high), abs=0.05)
    same = statistics.cluster_mean(np.full((9, 4), 2.0))
    assert (same.value, same.low, same.high) == (2.0, 2.0, 2.0)


def test_noise_of_members_counts_once():
    noise = RNG(1).normal(size=(60, 8))
    found = statistics.cluster_mean(noise)
    low, high = stats.t.interval(0.95, 59, noise.mean(), stats.sem(noise.mean(axis=1)))
    assert found.high - found.low == pytest.approx(high - low, rel=0.15)


def test_every_cluster_weighs_the_same_and_the_missing_do_not_count():
    values = np.array([[1.0, 1.0, 1.0], [5.0, np.nan, np.nan], [np.nan] * 3])
    found = statistics.cluster_mean(values)
    assert (found.value, found.clusters, found.n) == (3.0, 2, 4)
    assert found.low is None and found.high is None and found.sign == 0


def test_a_ratio_of_sums_over_clusters():
    below = RNG(7).uniform(1.0, 2.0, size=(30, 5))
    found = statistics.cluster_ratio(3.0 * below, below)
    assert (found.value, found.low, found.high) == pytest.approx((3.0, 3.0, 3.0))


def test_the_band_of_constant_curves_is_the_interval_of_their_means():
    levels = RNG(8).normal(size=25)
    low, high = statistics.cluster_band(np.repeat(levels[:, None], 3, axis=1), seed=1)
    found = statistics.bootstrap(average(levels), 25, seed=1, student=True)
    np.testing.assert_allclose([low, high], [[found.low] * 3, [found.high] * 3])
    assert np.isnan(statistics.cluster_band(np.ones((FEWEST - 1, 3)))).all()


def test_few_samples_have_no_interval_and_say_so():
    values = np.arange(FEWEST - 1.0)
    for found in (
        statistics.median(values),
        statistics.bootstrap(average(values), len(values)),
        statistics.cluster_mean(values[:, None]),
        statistics.cluster_median(values[:, None]),
    ):
        assert (found.value, found.low, found.high, found.sign) == (2.0, None, None, 0)
        assert found.text() == "2" and found.span() == "too few for a 95 % interval"
        assert found.to_json() == {"value": 2.0, "low": None, "high": None}
    assert statistics.median(np.arange(float(FEWEST))).low is not None


def test_nothing_is_no_number():
    nothing = np.full((9, 4), np.nan)
    for found in (
        statistics.median(nothing[0]),
        statistics.paired(nothing[0]),
        statistics.bootstrap(lambda often: np.full(len(often), np.nan), 9),
        statistics.cluster_mean(nothing),
        statistics.cluster_median(nothing),
        statistics.cluster_ratio(nothing, nothing),
    ):
        assert found.value is None and found.low is None and found.sign == 0
        assert found.text(unit="ps") == "–"


def test_draws_without_a_value_are_left_out():
    found = statistics.bootstrap(lambda often: np.where(often[:, 0] > 0, 1.0, np.nan), 10)
    assert (found.value, found.low, found.high) == (1.0, 1.0, 1.0)


def test_a_statistic_that_takes_some_values_only_is_not_interpolated():
    grid = np.array([0.0, 1.0, 10.0])
    losses = RNG(9).normal(size=(12, 3))
    best = statistics.bootstrap(
        lambda often: grid[np.argmin(often @ losses, axis=1)], 12, level=0.68, quantile="nearest"
    )
    assert best.low in grid and best.high in grid and best.span().startswith("68 % interval")


def test_the_seed_decides():
    values = RNG(10).normal(size=(50, 4))
    for estimate in (
        lambda seed: statistics.median(values[:, 0], seed),
        lambda seed: statistics.cluster_mean(values, seed),
        lambda seed: statistics.cluster_median(values, seed),
    ):
        first, second, other = map(estimate, (5, 5, 6))
        assert first == second != other


def test_changes_of_scale_move_the_interval_too():
    found = Estimate(0.5, -1.0, 2.0, n=9, clusters=3, p_value=0.1)
    assert found.map(np.exp) == Estimate(*map(float, np.exp([0.5, -1.0, 2.0])), 9, 3, 0.1)
    assert found.scaled(100.0) == Estimate(50.0, -100.0, 200.0, 9, 3, 0.1)
    assert Estimate(None).scaled(100.0) == Estimate(None)


def test_one_way_to_write_an_estimate():
    found = Estimate(-0.0312, -0.04, 0.02)
    assert found.text() == "−0.0312 [−0.04, 0.02]"
    assert found.text(sign=True, unit="meV/atom/ps") == "−0.0312 [−0.04, +0.02] meV/atom/ps"
    assert found.scaled(100.0).span(".1f", sign=True, unit="%") == "95 % interval −4.0 % to +2.0 %"
    assert Estimate(12345.0, 0.0, 99999.0).text() == "12300 [0, 100000]"


@pytest.mark.parametrize(("count", "most"), [(1, 5), (5, 5), (7, 3), (101, 21), (1000, 101)])
def test_rows_are_distinct_and_have_both_ends(count, most):
    rows = statistics.evenly_spaced(count, most)
    assert len(set(rows.tolist())) == min(count, most)
    assert rows[0] == 0 and rows[-1] == count - 1
    assert np.ptp(np.diff(rows)) <= 1 if len(rows) > 1 else True


def test_rows_may_begin_later_and_may_be_none():
    assert statistics.evenly_spaced(5, 9, first=1).tolist() == [1, 2, 3, 4]
    assert (
        statistics.evenly_spaced(1, 9, first=1).tolist()
        == statistics.evenly_spaced(0, 9).tolist()
        == []
    )
    assert statistics.evenly_spaced(8, 1).tolist() == [0]


def test_it_brings_no_library_along():
    """The shell imports it before it knows whether there is anything to test."""
    slow = "jax", "scipy", "pandas", "lifelines", "statsmodels"
    code = f"import sys, fisherdash.statistics; print([x for x in {slow} if x in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_draws_of_many_samples_are_never_held_together() -> None:
    values = np.random.default_rng(0).normal(size=20_000)
    tracemalloc.start()
    try:
        found = statistics.median(values)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert found.low is not None and found.high is not None
    assert -0.05 < found.low < found.high < 0.05
    assert peak < 3e8  # all 2,000 draws of 20,000 together: 960 MB


def test_draws_in_parts_are_the_same_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).normal(size=(30, 12))
    together = [statistics.median(values[0]), statistics.cluster_mean(values)]
    monkeypatch.setattr(statistics, "_AT_ONCE", 500)
    apart = [statistics.median(values[0]), statistics.cluster_mean(values)]
    for one, other in zip(together, apart, strict=True):
        assert [one.low, one.high] == pytest.approx([other.low, other.high], rel=1e-12)
