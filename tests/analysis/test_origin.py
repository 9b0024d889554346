"""Planted drifts told apart, and a real Verlet run whose errors are of second order."""

import numpy as np
import pytest

from fisherdash.analysis import Trajectories
from fisherdash.analysis.drift import told_apart, up_to
from fisherdash.errors import InputError
from fisherdash.md import integrator

TIMES = np.arange(0.0, 1000.0, 5.0)
NUMBERS = np.array([8, 1, 1])


def planted(slope, swing, *, timestep=0.5, replicas=12, died=(), times=TIMES, seed=0):
    """Total energy per atom drifts by ``slope`` meV/ps and swings by ``swing`` meV."""
    rng = np.random.default_rng(seed)
    each = np.array([slope]) + 0.01 * rng.standard_normal((1, replicas))
    ripple = swing * np.sin(2 * np.pi * times / 37.0)
    energy = (each[..., None] * times / 1e3 + ripple) * len(NUMBERS) / 1e3
    kinetic = np.broadcast_to(np.linspace(1, 2, replicas)[:, None], energy.shape)
    dead = np.full((1, replicas), -1)
    dead[0, list(died)] = 100
    return Trajectories(("head",), times, energy - kinetic, kinetic, dead, timestep, len(NUMBERS))


def test_a_drift_of_both_kinds_is_told_apart():
    model, step = 0.3, 0.8
    coarse = planted(model + step, 4.0)
    fine = planted(model + step / 4, 1.0, timestep=0.25)
    found = told_apart(coarse, fine, "time step")
    assert found.due["head"].value == pytest.approx(step, abs=0.03)
    assert found.left["head"].value == pytest.approx(model, abs=0.03)
    assert found.due["head"].sign == 1 and found.pairs == {"head": 12}
    assert found.order["head"] == pytest.approx(2.0, abs=0.05)


def test_round_off_is_the_difference_itself():
    found = told_apart(planted(0.5, 1.0), planted(0.2, 1.0), "round-off")
    assert found.due["head"].value == pytest.approx(0.3, abs=0.02)
    assert found.left["head"].value == pytest.approx(found.fine["head"].value)
    assert found.order["head"] is None


def test_only_starts_that_survive_both_and_only_the_time_of_both_count():
    coarse = planted(0.5, 1.0, died=(0, 1))
    short = planted(0.5, 1.0, died=(1, 2, 3), times=TIMES[:60])
    found = told_apart(coarse, short, "round-off")
    assert found.pairs == {"head": 8} and found.duration == pytest.approx(TIMES[59] / 1e3)
    # A death after the common end is none: the replicas 0 and 1 die at 50 fs, within it.
    cut = up_to(coarse, 40.0)
    assert cut.survivors.all() and len(cut.times) == 9


def test_runs_that_do_not_belong_together_are_refused():
    with pytest.raises(InputError, match="same momenta"):
        other = planted(0.5, 1.0)
        told_apart(
            planted(0.5, 1.0),
            Trajectories(
                ("head",),
                TIMES,
                other.potential,
                1.1 * other.kinetic,
                other.failed_step,
                0.5,
                len(NUMBERS),
            ),
            "time step",
        )
    with pytest.raises(InputError, match="same heads and replicas"):
        told_apart(planted(0.5, 1.0), planted(0.5, 1.0, replicas=3), "time step")


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

        motion, u, kin = integrator.init(x, p, evaluate), [], []
        for step in range(steps + 1):
            if step % every == 0:
                u.append(np.asarray(motion.potential))
                kin.append(np.asarray(integrator.kinetic_energy(motion.momenta, mass)))
            motion = integrator.step(motion, evaluate, mass, timestep)
        u, kin = (np.stack(one, axis=-1)[None] for one in (u, kin))
        times = every * timestep * np.arange(u.shape[-1])
        alive = np.full((1, 12), -1)
        return Trajectories(("spring",), times, u, kin, alive, timestep, 2)

    coarse, fine = springs(0.4, 600, 1), springs(0.2, 1200, 2)
    found = told_apart(coarse, fine, "time step")
    assert found.order["spring"] == pytest.approx(2.0, abs=0.05)
    assert abs(found.left["spring"].value) < 0.1
