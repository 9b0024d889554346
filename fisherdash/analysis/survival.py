"""How long replicas live: Kaplan–Meier curves and the log-rank test (lifelines).

A replica that lives at the end of the run is censored there: it lived at least so long.
E. L. Kaplan and P. Meier, J. Am. Stat. Assoc. 53, 457 (1958). The log-rank test takes the heads'
replicas as independent; they start alike in pairs, which if anything makes the test too careful.
"""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float

from fisherdash.trajectories import Trajectories


@dataclasses.dataclass(frozen=True, eq=False)
class SurvivalCurve:
    """Share of a head's replicas alive over time: a step function that falls at ``times``.

    Attributes:
        name: of the head.
        times: ps, starting at 0 and ending at the end of the run.
        fraction: alive from that time on.
        low, high: 95 % interval of ``fraction``.
        deaths: number of replicas that died.
        replicas: number of replicas.
    """

    name: str
    times: Float[np.ndarray, " points"]
    fraction: Float[np.ndarray, " points"]
    low: Float[np.ndarray, " points"]
    high: Float[np.ndarray, " points"]
    deaths: int
    replicas: int


def lifetimes(
    traj: Trajectories,
) -> tuple[Float[np.ndarray, "heads replicas"], Bool[np.ndarray, "heads replicas"]]:
    """Time of death or of the end of the run in ps, and whether it was a death."""
    died = ~traj.survivors
    return np.where(died, traj.failed_step * traj.timestep * 1e-3, traj.duration), died


def survival_curves(traj: Trajectories) -> tuple[SurvivalCurve, ...]:
    """One Kaplan–Meier curve for every head."""
    return tuple(
        _curve(name, *row) for name, *row in zip(traj.names, *lifetimes(traj), strict=True)
    )


def time_to_failure(traj: Trajectories) -> dict[str, float | None]:
    """Time in ps by which half of a head's replicas are dead; None if more than half live."""
    medians = {}
    for name, durations, died in zip(traj.names, *lifetimes(traj), strict=True):
        # With one common time of censoring, the Kaplan–Meier median is the middle order statistic.
        middle = np.sort(np.where(died, durations, np.inf))[(len(durations) - 1) // 2]
        medians[name] = float(middle) if np.isfinite(middle) else None
    return medians


def logrank_p_value(traj: Trajectories, first: int = 0, second: int = 1) -> float | None:
    """p-value of equal survival of two heads; None with one head or without any death."""
    if len(traj.names) < 2:
        return None
    durations, died = lifetimes(traj)
    if not np.any(died[[first, second]]):
        return None
    from lifelines.statistics import logrank_test

    test = logrank_test(
        durations[first],
        durations[second],
        event_observed_A=died[first],
        event_observed_B=died[second],
    )
    return float(test.p_value) if np.isfinite(test.p_value) else None


def _curve(
    name: str, durations: Float[np.ndarray, " replicas"], died: Bool[np.ndarray, " replicas"]
) -> SurvivalCurve:
    from lifelines import KaplanMeierFitter  # slow to import: it brings pandas

    fitter = KaplanMeierFitter().fit(durations, event_observed=died)
    bounds = fitter.confidence_interval_survival_function_.to_numpy()
    return SurvivalCurve(
        name=name,
        times=fitter.survival_function_.index.to_numpy(float),
        fraction=fitter.survival_function_.to_numpy()[:, 0],
        low=bounds[:, 0],
        high=bounds[:, 1],
        deaths=int(died.sum()),
        replicas=len(died),
    )
