"""The integrator that the Learn page's ball is compared with."""

from collections.abc import Callable

import numpy as np


def verlet(
    slope: Callable[[np.ndarray], np.ndarray],
    start: np.ndarray,
    velocity: np.ndarray,
    step: float,
    steps: int,
) -> np.ndarray:
    """Velocity Verlet of unit masses with ∇U = ``slope``; the positions (steps + 1, n, 2)."""
    x, v, acceleration = start, velocity, -slope(start)
    path = [x]
    for _ in range(steps):
        v = v + 0.5 * step * acceleration
        x = x + step * v
        acceleration = -slope(x)
        v = v + 0.5 * step * acceleration
        path.append(x)
    return np.array(path)
