"""Energy drift: how the total energy, which should stay, moves away.

ΔE(t) = [U(t) + K(t) − U(0) − K(0)] / N in meV per atom. Its slope is the Theil–Sen estimate, the
median of the slopes between all pairs of points (P. K. Sen, J. Am. Stat. Assoc. 63, 1379 (1968)),
which the regular oscillation of the Verlet energy and single jumps hardly move. Long trajectories
are averaged in at most 200 buckets of consecutive frames first: the number of pairs grows with the
square of the points, and a slow slope loses nothing by averaging.

Only replicas that live to the end have a slope. What a dying replica did before its death is no
measure of drift, so it is left out here and counted as a death in :mod:`survival`.
"""

from typing import Final

import numpy as np
from jaxtyping import Float

from fisherdash.analyse.intervals import Interval, median_interval
from fisherdash.analyse.trajectories import Trajectories

MOST_POINTS: Final = 200
_FEWEST_POINTS: Final = 3
_MEV: Final = 1e3
_PER_PS: Final = 1e3


def total_energy_change(traj: Trajectories) -> Float[np.ndarray, "heads replicas frames"]:
    """ΔE per atom in meV, relative to the first frame; NaN from a replica's death on."""
    total = np.where(traj.alive, traj.potential + traj.kinetic, np.nan)
    return (total - total[..., :1]) * (_MEV / traj.num_atoms)


def bucketed(
    values: Float[np.ndarray, "*batch frames"], most: int = MOST_POINTS
) -> Float[np.ndarray, "*batch points"]:
    """Means over at most ``most`` runs of consecutive frames, as equal in length as possible."""
    frames = values.shape[-1]
    if frames <= most:
        return values
    edges = np.arange(most) * frames // most
    lengths = np.diff(np.append(edges, frames))
    return np.add.reduceat(values, edges, axis=-1) / lengths


def theil_sen(
    x: Float[np.ndarray, " points"], y: Float[np.ndarray, "*batch points"]
) -> Float[np.ndarray, "*batch"]:
    """Median of the slopes between all pairs of points; y must be finite."""
    first, second = np.triu_indices(len(x), k=1)
    flat = y.reshape(-1, len(x))
    run = x[second] - x[first]
    found = [np.median((row[second] - row[first]) / run) for row in flat]
    return np.array(found).reshape(y.shape[:-1])


def slopes(traj: Trajectories) -> Float[np.ndarray, "heads replicas"]:
    """Drift of every survivor, meV/atom/ps; NaN for the dead, and with fewer than three frames."""
    found = np.full(traj.died_step.shape, np.nan)
    if len(traj.times) < _FEWEST_POINTS or not np.any(traj.survivors):
        return found
    change = bucketed(total_energy_change(traj)[traj.survivors])
    found[traj.survivors] = theil_sen(bucketed(traj.times), change) * _PER_PS
    return found


def fluctuations(
    traj: Trajectories, replica_slopes: Float[np.ndarray, "heads replicas"] | None = None
) -> Float[np.ndarray, "heads replicas"]:
    """Standard deviation of ΔE about its drift, meV/atom, from all frames; NaN for the dead."""
    found = slopes(traj) if replica_slopes is None else replica_slopes
    trend = found[..., None] * (traj.times / _PER_PS)
    found = np.full(traj.died_step.shape, np.nan)
    if len(traj.times) >= _FEWEST_POINTS:
        rest = (total_energy_change(traj) - trend)[traj.survivors]
        found[traj.survivors] = np.std(rest, axis=-1)
    return found


def head_drift(
    traj: Trajectories,
    replica_slopes: Float[np.ndarray, "heads replicas"] | None = None,
    seed: int = 0,
) -> dict[str, Interval | None]:
    """Median drift of every head over its survivors; None where nobody survived."""
    found = slopes(traj) if replica_slopes is None else replica_slopes
    return {name: median_interval(row, seed) for name, row in zip(traj.names, found, strict=True)}
