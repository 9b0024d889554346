"""Kaplan–Meier curves of whole populations; the band draws models, not trajectories."""

import numpy as np
import pandas as pd

from fisherdash.analyse.survival import SurvivalCurve
from fisherdash.study.statistics import bootstrap
from fisherdash.study.statistics.pairing import Condition, lives

MOST_POINTS = 240
"""Points of a curve; between them nobody could see a step."""


def survival(
    trajectories: pd.DataFrame, head: str, condition: Condition, seed: int = 0
) -> SurvivalCurve:
    """The share of a head's trajectories that live, over all models (lifelines).

    The 95 % band is that of drawing models: Greenwood's formula would take replicas of one model
    for independent and be too narrow.

    Args: trajectories: table of a study with at least one row of this head and condition.
    """
    from lifelines import KaplanMeierFitter  # slow to import

    found = lives(condition.of(trajectories, head))
    known = np.isfinite(found.died)
    fitter = KaplanMeierFitter().fit(found.lifetime[known], event_observed=found.died[known])
    times = fitter.survival_function_.index.to_numpy(float)
    fraction = fitter.survival_function_.to_numpy()[:, 0]
    if len(times) > MOST_POINTS:
        kept = np.unique(np.linspace(0, len(times) - 1, MOST_POINTS).round().astype(int))
        times, fraction = times[kept], fraction[kept]
    gone = np.where(found.died == 1, found.lifetime, np.inf)
    alive = (gone[:, :, None] > times) & known[:, :, None]
    low, high = bootstrap.shares_over_time(alive.sum(axis=1) / known.sum(axis=1)[:, None], seed)
    return SurvivalCurve(
        name=head,
        times=times,
        fraction=fraction,
        low=low,
        high=high,
        deaths=int(found.died[known].sum()),
        replicas=int(known.sum()),
    )
