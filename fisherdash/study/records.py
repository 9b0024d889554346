"""What is kept of a run: a row for each trajectory, quartiles over time, thinned losses."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from fisherdash import analyse
from fisherdash.analyse import Trajectories
from fisherdash.analyse.survival import lifetimes

POINTS = 21
"""Times at which a curve is kept."""


def finite(number: float) -> float | None:
    """A number for JSON, which knows no NaN and no infinity."""
    return float(number) if math.isfinite(number) else None


def thinned(rows: Sequence[Any], most: int) -> list[Any]:
    """At most ``most`` rows, evenly spaced, the first and the last among them."""
    chosen = np.unique(np.linspace(0, len(rows) - 1, min(most, len(rows))).round().astype(int))
    return [rows[index] for index in chosen]


def trajectory_rows(traj: Trajectories, head: int) -> list[list[float | None]]:
    """For each replica: duration and lifetime (ps), died, drift (meV/atom/ps), fluctuation."""
    one = traj.of([head])
    lives, died = lifetimes(one)
    slopes = analyse.slopes(one)
    spread = analyse.fluctuations(one, slopes)
    return [
        [traj.duration, life, int(dead), finite(slope), finite(width)]
        for life, dead, slope, width in zip(lives[0], died[0], slopes[0], spread[0], strict=True)
    ]


def curves(traj: Trajectories, head: int) -> list[list[float | None]]:
    """At :data:`POINTS` times: ps, number alive, and quartiles of ΔE over these, meV/atom."""
    one = traj.of([head])
    change, alive = analyse.total_energy_change(one)[0], one.alive_counts()[0]
    frames = thinned(range(len(traj.times)), POINTS)
    found: list[list[float | None]] = []
    for frame in frames:
        values = change[:, frame][np.isfinite(change[:, frame])]
        quartiles = np.quantile(values, [0.25, 0.5, 0.75]) if len(values) else [math.nan] * 3
        found.append(
            [
                float(traj.times[frame]) * 1e-3,
                int(alive[frame]),
                *(finite(value) for value in quartiles),
            ]
        )
    return found
