"""Times to failure and the log-rank test (lifelines).

A replica that survives to the end of the run is censored there. E. L. Kaplan and P. Meier, J. Am.
Stat. Assoc. 53, 457 (1958). The log-rank test takes the heads' replicas as independent; they start
from the same states in pairs, which if anything makes the test conservative.
"""

import numpy as np
from jaxtyping import Bool, Float

from fisherdash.trajectories import Trajectories


def lifetimes(
    traj: Trajectories,
) -> tuple[Float[np.ndarray, "heads replicas"], Bool[np.ndarray, "heads replicas"]]:
    """Time of death or of the end of the run in ps, and whether it was a death."""
    died = ~traj.survivors
    return np.where(died, traj.failed_step * traj.timestep * 1e-3, traj.duration), died


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
