"""Where a drift comes from: the same initial states once more, finer, and what changes.

The energy error of velocity Verlet is of second order in Δt. Of a drift s(Δt) = s₀ + bΔt², half the
time step leaves a quarter of the second part:

    due to the step  bΔt² = 4/3 [s(Δt) − s(Δt/2)],    left at Δt → 0   s₀ = s(Δt) − bΔt²

(L. F. Richardson's deferred approach to the limit), replica by replica. The same for single against
double precision, whose round-off counts as nothing: due to round-off is the difference itself.
The fluctuation about the drift tells whether Δt is small enough for that: it falls by
2^order when Δt is halved, with order 2.
"""

import dataclasses
from typing import Literal

import numpy as np

from fisherdash.analyse.drift import fluctuations, slopes
from fisherdash.analyse.intervals import Interval, PairedDifference, median_interval, paired
from fisherdash.analyse.trajectories import Trajectories
from fisherdash.errors import InputError

Cause = Literal["time step", "round-off"]

LEFT_OVER: dict[Cause, float] = {"time step": 0.25, "round-off": 0.0}
"""Share of the error that the finer run still has."""


@dataclasses.dataclass(frozen=True)
class Origin:
    """Drift of each head told apart, by name; slopes in meV/atom/ps, None without pairs.

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
    coarse: dict[str, Interval | None]
    fine: dict[str, Interval | None]
    due: dict[str, PairedDifference | None]
    left: dict[str, Interval | None]
    fluctuation: dict[str, tuple[float, float] | None]
    order: dict[str, float | None]


def told_apart(coarse: Trajectories, fine: Trajectories, cause: Cause, seed: int = 0) -> Origin:
    """The drift of a run told apart with a finer run from the same initial states.

    Args:
        coarse: the run.
        fine: with half the time step, or in double precision; the same heads and replicas. What one
            of the two has beyond the end of the other is left out.
        cause: "time step" or "round-off".
        seed: of the bootstrap.

    Raises:
        InputError: if the two did not start from the same states, or have too few frames yet.
    """
    shape, other = coarse.died_step.shape, fine.died_step.shape
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
    spread = [
        np.where(both, fluctuations(traj, slope), np.nan)
        for traj, slope in zip(runs, found, strict=True)
    ]
    due = (found[0] - found[1]) / (1.0 - LEFT_OVER[cause])

    def by_name(rows: np.ndarray) -> dict[str, Interval | None]:
        return {n: median_interval(row, seed) for n, row in zip(coarse.names, rows, strict=True)}

    def both_spreads(head: int) -> tuple[float, float] | None:
        if not both[head].any():
            return None
        first, second = (float(np.nanmedian(one[head])) for one in spread)
        return first, second

    pairs = {name: both_spreads(head) for head, name in enumerate(coarse.names)}
    halved = cause == "time step"
    return Origin(
        cause=cause,
        names=coarse.names,
        duration=float(runs[0].duration),
        pairs=dict(zip(coarse.names, both.sum(axis=1).tolist(), strict=True)),
        coarse=by_name(found[0]),
        fine=by_name(found[1]),
        due={name: paired(row, seed) for name, row in zip(coarse.names, due, strict=True)},
        left=by_name(found[0] - due),
        fluctuation=pairs,
        order={
            name: float(np.log2(pair[0] / pair[1])) if halved and pair and min(pair) > 0 else None
            for name, pair in pairs.items()
        },
    )


def up_to(traj: Trajectories, end: float) -> Trajectories:
    """The trajectories until ``end`` (fs), as if the run had stopped there."""
    keep = traj.times <= end + 0.5 * traj.timestep
    died = np.where(traj.died_step * traj.timestep > end + 0.5 * traj.timestep, -1, traj.died_step)
    return dataclasses.replace(
        traj,
        times=traj.times[keep],
        potential=traj.potential[..., keep],
        kinetic=traj.kinetic[..., keep],
        died_step=died,
    )
