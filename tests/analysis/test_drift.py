"""Planted slopes are recovered; known answers of the estimator."""

import dataclasses

import numpy as np
import pytest

from fisherdash import analysis
from tests.analysis import planted


def test_a_planted_slope_is_recovered_exactly_without_noise():
    slopes = np.array([[0.3, -0.2, 0.0], [5.0, -7.0, 0.1]])
    for frames in (101, 4321):  # the second is averaged in buckets that do not divide it
        found = analysis.slopes(planted.trajectories(slopes, frames=frames))
        np.testing.assert_allclose(found, slopes, atol=1e-8)


def test_change_of_total_energy_is_per_atom_and_starts_at_zero():
    traj = planted.trajectories([[2.0, 4.0]], failed_step=[[-1, 100]])
    change = analysis.total_energy_change(traj)
    np.testing.assert_allclose(change[0, 0], 2.0 * traj.times * 1e-3, atol=1e-10)
    np.testing.assert_allclose(change[0, 1, :5], 4.0 * traj.times[:5] * 1e-3, atol=1e-10)
    assert np.all(np.isnan(change[0, 1, 5:]))


def test_theil_sen_ignores_outliers_where_least_squares_does_not():
    x = np.arange(50.0)
    y = 0.7 * x
    y[[3, 20, 40]] += 500.0
    assert analysis.theil_sen(x, y) == pytest.approx(0.7, abs=1e-12)
    assert abs(np.polyfit(x, y, 1)[0] - 0.7) > 0.5


def test_the_dead_have_no_slope():
    traj = planted.trajectories(np.ones((1, 3)), failed_step=[[-1, 1000, -1]])
    found = analysis.slopes(traj)
    assert np.isnan(found[0, 1])
    drift = analysis.head_drift(traj)["head 0"]
    assert drift.n == 2 and drift.low is None


def test_nobody_left_and_too_early_are_no_drift():
    dead = planted.trajectories(np.ones((1, 2)), failed_step=[[5, 9]])
    early = planted.trajectories(np.ones((1, 2)), frames=2)
    for traj in (dead, early):
        assert analysis.head_drift(traj)["head 0"].value is None
        assert np.all(np.isnan(analysis.fluctuations(traj)))


def test_fluctuation_is_measured_about_the_drift():
    traj = planted.trajectories(np.full((1, 20), 8.0), noise=0.25, frames=2000)
    np.testing.assert_allclose(analysis.fluctuations(traj), 0.25, rtol=0.1)
    doubled = dataclasses.replace(traj, kinetic=2 * traj.kinetic)
    assert np.all(analysis.fluctuations(doubled) > 5 * analysis.fluctuations(traj))


def test_intervals_cover_a_planted_slope_as_often_as_they_say():
    """100 experiments of 24 noisy replicas: the 95 % interval holds the truth 88 to 100 times."""
    rng = np.random.default_rng(11)
    hits = 0
    for seed in range(100):
        slopes = 0.4 + 0.2 * rng.standard_normal((1, 24))
        traj = planted.trajectories(slopes, noise=0.05, frames=60, seed=seed)
        drift = analysis.head_drift(traj, seed=seed)["head 0"]
        assert drift.low is not None and drift.high is not None
        hits += drift.low <= 0.4 <= drift.high
    assert 88 <= hits <= 100


def test_buckets_are_means_of_equal_runs():
    values = np.arange(12.0)
    assert analysis.bucketed(values, 12).tolist() == values.tolist()
    assert analysis.bucketed(values, 4).tolist() == [1.0, 4.0, 7.0, 10.0]
    assert analysis.bucketed(values, 5).tolist() == [0.5, 2.5, 5.0, 7.5, 10.0]
