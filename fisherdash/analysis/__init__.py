"""What a run says about its heads: pure functions of :class:`Trajectories`.

Energies: eV in, meV per atom out. Times: fs in, ps out. Dead replicas are counted, never dropped
in silence: they have no drift, and every statement about drift stands beside the survivors.
"""

from fisherdash.analysis.compare import Comparison, Versus, compare
from fisherdash.analysis.drift import (
    bucketed,
    fluctuations,
    head_drift,
    slopes,
    theil_sen,
    total_energy_change,
)
from fisherdash.analysis.statistics import Interval, PairedDifference, median_interval, paired
from fisherdash.analysis.survival import (
    SurvivalCurve,
    logrank_p_value,
    survival_curves,
    time_to_failure,
)
from fisherdash.trajectories import Trajectories

__all__ = [
    "Comparison",
    "Interval",
    "PairedDifference",
    "SurvivalCurve",
    "Trajectories",
    "Versus",
    "bucketed",
    "compare",
    "fluctuations",
    "head_drift",
    "logrank_p_value",
    "median_interval",
    "paired",
    "slopes",
    "survival_curves",
    "theil_sen",
    "time_to_failure",
    "total_energy_change",
]
