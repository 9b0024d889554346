"""Drift of the total energy, which should be conserved, and where it comes from.

ΔE(t) = [U(t) + K(t) − U(0) − K(0)] / N in meV per atom. Its slope is the Theil–Sen estimate, the
median of the slopes between all pairs of points (P. K. Sen, J. Am. Stat. Assoc. 63, 1379 (1968)),
which the regular oscillation of the Verlet energy and single jumps hardly move. Long trajectories
are first averaged in at most 200 buckets of consecutive frames: the number of pairs grows with the
square of the points, and a slow slope loses nothing by averaging. Only survivors have a slope; the
others are counted as failures in :mod:`fisherdash.analysis.compare`.

The origin of a drift is found by a second, finer run from the same initial states. The energy error
of velocity Verlet is of second order in Δt. Of a drift s(Δt) = s₀ + bΔt², half the timestep leaves
a quarter of the second part:

    due to the step  bΔt² = 4/3 [s(Δt) − s(Δt/2)],    left at Δt → 0   s₀ = s(Δt) − bΔt²

(Richardson extrapolation), replica by replica. The same for single against double precision, whose
round-off counts as nothing: due to round-off is the difference itself. The fluctuation about the
drift tells whether Δt is small enough for that: it falls by 2^order when Δt is halved, order 2.
"""

import dataclasses
from typing import Final, Literal

import numpy as np
from jaxtyping import Float

from fisherdash.errors import InputError
from fisherdash.statistics import Estimate, median, paired
from fisherdash.trajectories import Trajectories

MOST_POINTS: Final = 200
_FEWEST_POINTS: Final = 3
_MEV: Final = 1e3
_PER_PS: Final = 1e3


def total_energy_change(traj: Trajectories) -> Float[np.ndarray, "heads replicas frames"]:
    """ΔE per atom in meV, relative to the first frame; NaN from a replica's failure on."""
    total = np.where(traj.surviving, traj.potential + traj.kinetic, np.nan)
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
    run = x[second] - x[first]
    rise = [np.median((row[second] - row[first]) / run) for row in y.reshape(-1, len(x))]
    return np.array(rise).reshape(y.shape[:-1])


def slopes(traj: Trajectories) -> Float[np.ndarray, "heads replicas"]:
    """Drift of every survivor, meV/atom/ps; NaN for the failed and with fewer than 3 frames."""
    found = np.full(traj.failed_step.shape, np.nan)
    if len(traj.times) < _FEWEST_POINTS or not np.any(traj.survivors):
        return found
    change = bucketed(total_energy_change(traj)[traj.survivors])
    found[traj.survivors] = theil_sen(bucketed(traj.times), change) * _PER_PS
    return found


def fluctuations(
    traj: Trajectories, replica_slopes: Float[np.ndarray, "heads replicas"] | None = None
) -> Float[np.ndarray, "heads replicas"]:
    """Standard deviation of ΔE about its drift, meV/atom, from all frames; NaN for the failed."""
    found = slopes(traj) if replica_slopes is None else replica_slopes
    trend = found[..., None] * (traj.times / _PER_PS)
    found = np.full(traj.failed_step.shape, np.nan)
    if len(traj.times) >= _FEWEST_POINTS:
        rest = (total_energy_change(traj) - trend)[traj.survivors]
        found[traj.survivors] = np.std(rest, axis=-1)
    return found


def head_drift(
    traj: Trajectories,
    replica_slopes: Float[np.ndarray, "heads replicas"] | None = None,
    seed: int = 0,
) -> dict[str, Estimate]:
    """Median drift of every head over its survivors."""
    found = slopes(traj) if replica_slopes is None else replica_slopes
    return {name: median(row, seed) for name, row in zip(traj.names, found, strict=True)}


Cause = Literal["time step", "round-off"]

LEFT_OVER: dict[Cause, float] = {"time step": 0.25, "round-off": 0.0}
"""Share of the error that the finer run still has."""


@dataclasses.dataclass(frozen=True)
class Origin:
    """Where the drift of each head comes from, by name; slopes in meV/atom/ps.

    Attributes:
        cause: what the finer run has less of.
        names: of the heads.
        duration: of the part that both runs have, ps.
        pairs: number of initial states from which the head survives in both.
        coarse, fine: median slope of these, in the run and in the finer one.
        due: paired difference that is due to the cause; zero is in its interval where nothing is.
        left: median slope without it.
        order: of the fluctuation in Δt; about 2 where Δt is small enough (time step only).
        fluctuation: about the drift in the run and in the finer one, meV/atom.
    """

    cause: Cause
    names: tuple[str, ...]
    duration: float
    pairs: dict[str, int]
    coarse: dict[str, Estimate]
    fine: dict[str, Estimate]
    due: dict[str, Estimate]
    left: dict[str, Estimate]
    fluctuation: dict[str, tuple[float, float] | None]
    order: dict[str, float | None]


def told_apart(coarse: Trajectories, fine: Trajectories, cause: Cause) -> Origin:
    """Which part of a drift has this cause: a run beside a finer one from the same initial states.

    Args:
        coarse: the run.
        fine: with half the time step, or in double precision; the same heads and replicas. What one
            of the two has beyond the end of the other is left out.
        cause: "time step" or "round-off".

    Raises:
        InputError: if the two did not start from the same states, or have too few frames yet.
    """
    shape, other = coarse.failed_step.shape, fine.failed_step.shape
    if shape != other or min(len(coarse.times), len(fine.times)) < 3:
        raise InputError(
            f"two runs of the same heads and replicas with at least 3 frames are needed, received "
            f"{shape} and {other} with {len(coarse.times)} and {len(fine.times)} frames"
        )
    if not np.allclose(coarse.kinetic[..., 0], fine.kinetic[..., 0], rtol=1e-9):
        raise InputError("the two runs did not start from the same momenta")
    end = min(coarse.times[-1], fine.times[-1])
    runs = [up_to(traj, end) for traj in (coarse, fine)]
    both = runs[0].survivors & runs[1].survivors
    found = [np.where(both, slopes(traj), np.nan) for traj in runs]
    spread = [fluctuations(traj, slope) for traj, slope in zip(runs, found, strict=True)]
    due = (found[0] - found[1]) / (1.0 - LEFT_OVER[cause])
    widths: dict[str, tuple[float, float] | None] = dict.fromkeys(coarse.names)
    for head in np.flatnonzero(both.any(axis=1)):
        first, second = (float(np.nanmedian(one[head])) for one in spread)
        widths[coarse.names[head]] = first, second
    halved = cause == "time step"
    return Origin(
        cause=cause,
        names=coarse.names,
        duration=float(runs[0].duration),
        pairs=dict(zip(coarse.names, both.sum(axis=1).tolist(), strict=True)),
        coarse=head_drift(coarse, found[0]),
        fine=head_drift(coarse, found[1]),
        due={name: paired(row) for name, row in zip(coarse.names, due, strict=True)},
        left=head_drift(coarse, found[0] - due),
        fluctuation=widths,
        order={
            name: float(np.log2(pair[0] / pair[1])) if halved and pair and min(pair) > 0 else None
            for name, pair in widths.items()
        },
    )


def up_to(traj: Trajectories, end: float) -> Trajectories:
    """The trajectories until ``end`` (fs), as if the run had stopped there."""
    last = end + 0.5 * traj.timestep
    keep, later = traj.times <= last, traj.failed_step * traj.timestep > last
    return dataclasses.replace(
        traj,
        times=traj.times[keep],
        potential=traj.potential[..., keep],
        kinetic=traj.kinetic[..., keep],
        failed_step=np.where(later, -1, traj.failed_step),
        reference_energy=None,
    )
