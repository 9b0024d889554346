"""The integrator against theorems and exact solutions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fisherdash.md import initial, integrator
from fisherdash.units import ACCELERATION, BOLTZMANN
from tests.md import force_fields as ff

MASSES = jnp.asarray(initial.masses(ff.CARBON))


def _follow(positions, momenta, timestep, steps):
    """Total energies and the last motion of a Morse chain, by the pure functions alone."""

    def evaluate(x):
        energies, forces = ff.MorseChain()(np.array([4.0]), x[None])
        return energies[0], forces[0]

    def one(motion, _):
        motion = integrator.step(motion, evaluate, MASSES, timestep)
        return motion, motion.potential + integrator.kinetic_energy(motion.momenta, MASSES)

    @jax.jit
    def all_steps(positions, momenta):
        motion = integrator.Motion(positions, momenta, *evaluate(positions)[::-1])
        first = motion.potential + integrator.kinetic_energy(motion.momenta, MASSES)
        motion, energies = jax.lax.scan(one, motion, length=steps)
        return motion, np.zeros(()) + first, energies

    motion, first, energies = all_steps(positions, momenta)
    return motion, np.asarray(energies) - np.asarray(first)


def test_the_energy_error_is_of_second_order():
    positions, momenta = ff.chain(8)
    timesteps = np.array([0.2, 0.4, 0.8, 1.6])
    errors = [
        np.sqrt(np.mean(_follow(positions, momenta, dt, round(96 / dt))[1] ** 2))
        for dt in timesteps
    ]
    order = np.polyfit(np.log(timesteps), np.log(errors), 1)[0]
    assert 1.9 < order < 2.1
    assert errors[0] > 1e-7  # far above round-off: it is the method that is measured


def test_an_oscillator_follows_the_exact_solution_of_the_discrete_scheme():
    """x_n = x_0 cos nμ + v_0 Δt/sin μ · sin nμ with cos μ = 1 − (ωΔt)²/2."""
    k, dt, steps = 20.0, 1.0, 400
    positions, momenta = ff.chain(3, seed=1)
    chunks = ff.trajectory(
        positions,
        momenta,
        force_field=ff.Harmonic(),
        params=np.array([k]),
        timestep=dt,
        steps=steps,
        record_every=1,
    )
    mass = MASSES[0]
    mu = np.arccos(1.0 - 0.5 * (ACCELERATION * k / mass) * dt**2)
    n = np.arange(steps + 1)[:, None, None]
    exact = positions[:, None] * np.cos(n * mu)
    exact = exact + momenta[:, None] / mass * dt / np.sin(mu) * np.sin(n * mu)
    np.testing.assert_allclose(ff.joined(chunks, "positions")[0], exact, atol=2e-6)  # float32
    np.testing.assert_allclose(chunks[-1].state.positions[0], exact[:, -1], atol=1e-11)


def test_flipped_momenta_lead_back_to_the_start():
    positions, momenta = ff.chain(4, seed=2)
    there, _ = _follow(positions, momenta, 1.0, 500)
    assert np.abs(np.asarray(there.positions) - positions).max() > 0.1
    back, _ = _follow(there.positions, -there.momenta, 1.0, 500)
    np.testing.assert_allclose(back.positions, positions, atol=1e-9)
    np.testing.assert_allclose(-np.asarray(back.momenta), momenta, atol=1e-9)


def test_momentum_and_angular_momentum_are_kept():
    positions, _ = ff.chain(4, seed=3)
    rng = np.random.default_rng(3)
    momenta = 0.1 * rng.standard_normal(positions.shape)  # moving and turning, not only vibrating
    end, _ = _follow(positions, momenta, 1.0, 500)

    def totals(x, p):
        return np.sum(p, axis=1), np.sum(np.cross(x, p), axis=1)

    for before, after in zip(
        totals(positions, momenta),
        totals(np.asarray(end.positions), np.asarray(end.momenta)),
        strict=True,
    ):
        assert np.abs(before).max() > 0.05
        np.testing.assert_allclose(after, before, atol=1e-11)


def test_a_step_of_zero_length_changes_no_bit():
    positions, momenta = ff.chain(2, seed=4)
    motion, _ = _follow(positions, momenta, 0.0, 3)
    assert np.array_equal(motion.positions, positions)
    assert np.array_equal(motion.momenta, momenta)


def test_kinetic_energy_of_a_known_momentum():
    thermal = jnp.sqrt(MASSES * BOLTZMANN * 300.0 * ACCELERATION)
    momenta = jnp.ones((4, 3)) * thermal[:, None]
    expected = 12 * 0.5 * BOLTZMANN * 300.0
    assert float(integrator.kinetic_energy(momenta, MASSES)) == pytest.approx(expected, rel=1e-12)
