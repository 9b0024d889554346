"""What is kept of a run: a row for each trajectory, quartiles over time, thinned losses."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from fisherdash import analyse
from fisherdash.analyse import Trajectories
from fisherdash.analyse.survival import lifetimes
from fisherdash.simulate import MDSettings

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


def curves(traj: Trajectories, head: int, settings: MDSettings) -> list[list[float | None]]:
    """At :data:`POINTS` times: ps, number alive, and quartiles of ΔE over these, meV/atom.

    The times are those of the settings, also of a run that ended early because nobody lived on.
    """
    one = traj.of([head])
    change, alive = analyse.total_energy_change(one)[0], one.alive_counts()[0]
    last = -(-settings.steps // settings.record_every)
    found: list[list[float | None]] = []
    for frame in thinned(range(last + 1), POINTS):
        time = min(frame * settings.record_every, settings.steps) * settings.timestep
        seen = int(np.searchsorted(traj.times, time + 0.5 * settings.timestep)) - 1
        values = change[:, seen][np.isfinite(change[:, seen])]
        quartiles = np.quantile(values, [0.25, 0.5, 0.75]) if len(values) else [math.nan] * 3
        found.append([time * 1e-3, int(alive[seen]), *(finite(value) for value in quartiles)])
    return found
