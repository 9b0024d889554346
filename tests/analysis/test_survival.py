"""Survival against counts by hand, and planted hazards."""

import numpy as np
import pytest
from scipy import stats

from fisherdash import analysis
from tests.analysis import planted

END = 2000  # steps of the planted runs: 101 frames of 20 steps


def _with_failures(*failed):
    return planted.trajectories(
        np.zeros((len(failed), len(failed[0]))), failed_step=np.array(failed)
    )


def _random_failures(hazards, replicas, seed):
    """Exponential times to failure in steps, −1 beyond the end."""
    rng = np.random.default_rng(seed)
    times = [rng.exponential(END / hazard, replicas) for hazard in hazards]
    return [np.where(time < END, np.ceil(time), -1).astype(int) for time in times]


@pytest.mark.parametrize(
    ("failed", "median"),
    [
        ([200, 400, -1, -1], 0.2),
        ([200, -1, -1, -1], None),
        ([200, 400, 600, -1, -1], 0.3),
        ([-1], None),
        ([0, 0, 0], 0.0),
    ],
)
def test_time_to_failure_is_the_kaplan_meier_median(failed, median):
    from lifelines import KaplanMeierFitter

    traj = _with_failures(failed)
    assert analysis.time_to_failure(traj) == {"head 0": pytest.approx(median) if median else median}
    times = np.where(np.array(failed) >= 0, np.array(failed) * 5e-4, 1.0)
    theirs = KaplanMeierFitter().fit(times, np.array(failed) >= 0).median_survival_time_
    assert theirs == pytest.approx(np.inf if median is None else median)


def test_a_planted_hazard_ratio_is_found():
    traj = _with_failures(*_random_failures((0.3, 3.0), 48, seed=1))
    p = analysis.logrank_p_value(traj)
    assert p is not None and p < 1e-6


def test_equal_hazards_give_uniform_p_values():
    found = [
        analysis.logrank_p_value(_with_failures(*_random_failures((1.0, 1.0), 40, seed)))
        for seed in range(150)
    ]
    assert stats.kstest(np.array(found, float), "uniform").pvalue > 0.01


def test_no_failures_or_no_second_head_give_no_p_value():
    assert analysis.logrank_p_value(_with_failures([-1, -1], [-1, -1])) is None
    assert analysis.logrank_p_value(_with_failures([5, -1])) is None


def test_everybody_dead_at_the_start():
    traj = _with_failures([0, 0, 0], [0, 0, 0])
    comparison = analysis.compare(traj)
    assert comparison.survivors == {"head 0": 0, "head 1": 0}
    assert comparison.against[0].lives_longer is None
