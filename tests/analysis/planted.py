"""Trajectories with planted drift and planted deaths."""

import numpy as np

from fisherdash.analysis import Trajectories

ATOMS = np.array([6, 6, 8, 1, 1, 1, 1, 1, 1])


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
    died = np.full(slopes.shape, -1) if failed_step is None else np.asarray(failed_step)
    names = names or tuple(f"head {index}" for index in range(len(slopes)))
    return Trajectories(names, times, total - kinetic - 4.0, kinetic, died, 0.5, len(ATOMS))
