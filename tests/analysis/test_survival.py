"""Survival against counts by hand, and planted hazards."""

import numpy as np
import pytest
from scipy import stats

from fisherdash import analysis
from tests.analysis import planted

END = 2000  # steps of the planted runs: 101 frames of 20 steps


def _with_deaths(*died):
    return planted.trajectories(np.zeros((len(died), len(died[0]))), failed_step=np.array(died))


def _random_deaths(hazards, replicas, seed):
    """Exponential times to failure in steps, −1 beyond the end."""
    rng = np.random.default_rng(seed)
    lives = [rng.exponential(END / hazard, replicas) for hazard in hazards]
    return [np.where(life < END, np.ceil(life), -1).astype(int) for life in lives]


@pytest.mark.parametrize(
    ("died", "median"),
    [
        ([200, 400, -1, -1], 0.2),
        ([200, -1, -1, -1], None),
        ([200, 400, 600, -1, -1], 0.3),
        ([-1], None),
        ([0, 0, 0], 0.0),
    ],
)
def test_time_to_failure_is_the_kaplan_meier_median(died, median):
    from lifelines import KaplanMeierFitter

    traj = _with_deaths(died)
    assert analysis.time_to_failure(traj) == {"head 0": pytest.approx(median) if median else median}
    lives = np.where(np.array(died) >= 0, np.array(died) * 5e-4, 1.0)
    theirs = KaplanMeierFitter().fit(lives, np.array(died) >= 0).median_survival_time_
    assert theirs == pytest.approx(np.inf if median is None else median)


def test_a_planted_hazard_ratio_is_found():
    traj = _with_deaths(*_random_deaths((0.3, 3.0), 48, seed=1))
    p = analysis.logrank_p_value(traj)
    assert p is not None and p < 1e-6


def test_equal_hazards_give_uniform_p_values():
    found = [
        analysis.logrank_p_value(_with_deaths(*_random_deaths((1.0, 1.0), 40, seed)))
        for seed in range(150)
    ]
    assert stats.kstest(np.array(found, float), "uniform").pvalue > 0.01


def test_no_deaths_or_no_second_head_give_no_p_value():
    assert analysis.logrank_p_value(_with_deaths([-1, -1], [-1, -1])) is None
    assert analysis.logrank_p_value(_with_deaths([5, -1])) is None


def test_everybody_dead_at_the_start():
    traj = _with_deaths([0, 0, 0], [0, 0, 0])
    comparison = analysis.compare(traj)
    assert comparison.survivors == {"head 0": 0, "head 1": 0}
    assert comparison.against[0].lives_longer is None
