"""Times to failure and the log-rank test (lifelines).

A replica that survives to the end of the run is censored there. E. L. Kaplan and P. Meier, J. Am.
Stat. Assoc. 53, 457 (1958). The log-rank test takes the heads' replicas as independent; they start
from the same states in pairs, which if anything makes the test conservative.
"""

import numpy as np
from jaxtyping import Bool, Float

from fisherdash.trajectories import Trajectories


def times_to_failure(
    traj: Trajectories,
) -> tuple[Float[np.ndarray, "heads replicas"], Bool[np.ndarray, "heads replicas"]]:
    """Time of the failure or of the end of the run in ps, and whether it was a failure."""
    failed = ~traj.survivors
    return np.where(failed, traj.failed_step * traj.timestep * 1e-3, traj.duration), failed


def time_to_failure(traj: Trajectories) -> dict[str, float | None]:
    """Median time to failure of every head, ps; None if more than half of its replicas survive."""
    times, failed = times_to_failure(traj)
    # With one common time of censoring, the Kaplan–Meier median is the middle order statistic.
    middle = np.sort(np.where(failed, times, np.inf), axis=1)[:, (traj.replicas - 1) // 2]
    known = [time if np.isfinite(time) else None for time in middle.tolist()]
    return dict(zip(traj.names, known, strict=True))


def logrank_p_value(traj: Trajectories, first: int = 0, second: int = 1) -> float | None:
    """p-value of equal survival of two heads; None with one head or without any failure."""
    heads = [first, second]
    if len(traj.names) < 2 or traj.survivors[heads].all():
        return None
    from lifelines.statistics import logrank_test

    times, failed = (both[heads] for both in times_to_failure(traj))
    test = logrank_test(*times, event_observed_A=failed[0], event_observed_B=failed[1])
    return float(test.p_value) if np.isfinite(test.p_value) else None
