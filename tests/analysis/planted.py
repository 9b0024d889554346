"""Trajectories with planted drift and planted failures."""

import numpy as np

from fisherdash.analysis import Trajectories

ATOMS = np.array([6, 6, 8, 1, 1, 1, 1, 1, 1])
WATER = np.array([8, 1, 1])
SWING_TIMES = np.arange(0.0, 1000.0, 5.0)


def trajectories(
    slopes,
    *,
    failed_step=None,
    frames: int = 101,
    spacing: float = 10.0,
    noise: float = 0.0,
    seed: int = 0,
    names=None,
) -> Trajectories:
    """Total energies that drift by ``slopes`` (heads, replicas) in meV/atom/ps, plus noise.

    The kinetic energy beats against the potential with an amplitude a thousand times the drift, so
    that whoever looks at one of them alone finds nothing.
    """
    slopes = np.asarray(slopes, float)
    rng = np.random.default_rng(seed)
    times = spacing * np.arange(frames)
    total = slopes[..., None] * times * 1e-6 * len(ATOMS)
    total = total + noise * 1e-3 * len(ATOMS) * rng.standard_normal(total.shape)
    kinetic = 0.5 + 0.3 * np.sin(times / 7.0) + np.zeros(total.shape)
    failed = np.full(slopes.shape, -1) if failed_step is None else np.asarray(failed_step)
    names = names or tuple(f"head {index}" for index in range(len(slopes)))
    return Trajectories(names, times, total - kinetic - 4.0, kinetic, failed, 0.5, len(ATOMS))


def swinging(slope, swing, *, timestep=0.5, replicas=12, failed=(), times=SWING_TIMES, seed=0):
    """Total energy per atom drifts by ``slope`` meV/ps and swings by ``swing`` meV."""
    rng = np.random.default_rng(seed)
    each = np.array([slope]) + 0.01 * rng.standard_normal((1, replicas))
    ripple = swing * np.sin(2 * np.pi * times / 37.0)
    energy = (each[..., None] * times / 1e3 + ripple) * len(WATER) / 1e3
    kinetic = np.broadcast_to(np.linspace(1, 2, replicas)[:, None], energy.shape)
    steps = np.full((1, replicas), -1)
    steps[0, list(failed)] = 100
    return Trajectories(("head",), times, energy - kinetic, kinetic, steps, timestep, len(WATER))
