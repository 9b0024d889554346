"""Planted slopes are recovered, planted drifts told apart; Verlet's errors are of second order."""

import dataclasses

import numpy as np
import pytest

from fisherdash import analysis
from fisherdash.analysis import Trajectories
from fisherdash.analysis.drift import told_apart, up_to
from fisherdash.errors import InputError
from fisherdash.md import integrator
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
    assert analysis.drift.theil_sen(x, y) == pytest.approx(0.7, abs=1e-12)
    assert abs(np.polyfit(x, y, 1)[0] - 0.7) > 0.5


def test_the_dead_have_no_slope():
    traj = planted.trajectories(np.ones((1, 3)), failed_step=[[-1, 1000, -1]])
    found = analysis.slopes(traj)
    assert np.isnan(found[0, 1])
    drift = analysis.head_drift(traj)["head 0"]
    assert drift.n == 2 and drift.low is None


def test_nobody_left_and_too_early_are_no_drift():
    none_left = planted.trajectories(np.ones((1, 2)), failed_step=[[5, 9]])
    early = planted.trajectories(np.ones((1, 2)), frames=2)
    for traj in (none_left, early):
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
    assert analysis.drift.bucketed(values, 12).tolist() == values.tolist()
    assert analysis.drift.bucketed(values, 4).tolist() == [1.0, 4.0, 7.0, 10.0]
    assert analysis.drift.bucketed(values, 5).tolist() == [0.5, 2.5, 5.0, 7.5, 10.0]


def test_a_drift_of_both_kinds_is_told_apart():
    model, step = 0.3, 0.8
    coarse = planted.swinging(model + step, 4.0)
    fine = planted.swinging(model + step / 4, 1.0, timestep=0.25)
    found = told_apart(coarse, fine, "time step")
    assert found.due["head"].value == pytest.approx(step, abs=0.03)
    assert found.left["head"].value == pytest.approx(model, abs=0.03)
    assert found.due["head"].sign == 1 and found.pairs == {"head": 12}
    assert found.order["head"] == pytest.approx(2.0, abs=0.05)


def test_round_off_is_the_difference_itself():
    found = told_apart(planted.swinging(0.5, 1.0), planted.swinging(0.2, 1.0), "round-off")
    assert found.due["head"].value == pytest.approx(0.3, abs=0.02)
    assert found.left["head"].value == pytest.approx(found.fine["head"].value)
    assert found.order["head"] is None


def test_only_starts_that_survive_both_and_only_the_time_of_both_count():
    coarse = planted.swinging(0.5, 1.0, failed=(0, 1))
    short = planted.swinging(0.5, 1.0, failed=(1, 2, 3), times=planted.SWING_TIMES[:60])
    found = told_apart(coarse, short, "round-off")
    assert found.pairs == {"head": 8} and found.duration == pytest.approx(
        planted.SWING_TIMES[59] / 1e3
    )
    # A death after the common end is none: the replicas 0 and 1 die at 50 fs, within it.
    cut = up_to(coarse, 40.0)
    assert cut.survivors.all() and len(cut.times) == 9


def test_runs_that_do_not_belong_together_are_refused():
    with pytest.raises(InputError, match="same momenta"):
        other = planted.swinging(0.5, 1.0)
        told_apart(
            planted.swinging(0.5, 1.0),
            Trajectories(
                ("head",),
                planted.SWING_TIMES,
                other.potential,
                1.1 * other.kinetic,
                other.failed_step,
                0.5,
                len(planted.WATER),
            ),
            "time step",
        )
    with pytest.raises(InputError, match="same heads and replicas"):
        told_apart(planted.swinging(0.5, 1.0), planted.swinging(0.5, 1.0, replicas=3), "time step")


def test_the_swing_of_a_verlet_spring_is_of_second_order():
    def springs(timestep, steps, every):
        """Twelve bonds of O–H stiffness from the same states; energies in eV."""
        mass, k = np.array([1.0, 1.0]), 45.0
        rng = np.random.default_rng(1)
        x = np.zeros((12, 2, 3))
        x[:, 1, 0] = 1.0 + 0.05 * rng.standard_normal(12)
        p = 0.02 * rng.standard_normal((12, 2, 3)) * [1, 0, 0]

        def evaluate(x):
            arm = x[:, 1] - x[:, 0]
            length = np.linalg.norm(arm, axis=-1)
            pull = (k * (length - 1.0) / length)[:, None] * arm
            return 0.5 * k * (length - 1.0) ** 2, np.stack([pull, -pull], axis=1)

        motion, u, kin = integrator.Motion(x, p, *evaluate(x)[::-1]), [], []
        for step in range(steps + 1):
            if step % every == 0:
                u.append(np.asarray(motion.potential))
                kin.append(np.asarray(integrator.kinetic_energy(motion.momenta, mass)))
            motion = integrator.step(motion, evaluate, mass, timestep)
        u, kin = (np.stack(one, axis=-1)[None] for one in (u, kin))
        times = every * timestep * np.arange(u.shape[-1])
        surviving = np.full((1, 12), -1)
        return Trajectories(("spring",), times, u, kin, surviving, timestep, 2)

    coarse, fine = springs(0.4, 600, 1), springs(0.2, 1200, 2)
    found = told_apart(coarse, fine, "time step")
    assert found.order["spring"] == pytest.approx(2.0, abs=0.05)
    assert abs(found.left["spring"].value) < 0.1
