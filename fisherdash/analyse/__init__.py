"""What a run says about its heads: pure functions of :class:`Trajectories`.

Energies: eV in, meV per atom out. Times: fs in, ps out. Dead replicas are counted, never dropped
in silence: they have no drift, and every statement about drift stands beside the survivors.
"""

from fisherdash.analyse.compare import Comparison, compare
from fisherdash.analyse.drift import (
    bucketed,
    fluctuations,
    head_drift,
    slopes,
    theil_sen,
    total_energy_change,
)
from fisherdash.analyse.intervals import Interval, PairedDifference, median_interval, paired
from fisherdash.analyse.survival import (
    SurvivalCurve,
    logrank_p_value,
    survival_curves,
    time_to_failure,
)
from fisherdash.analyse.trajectories import Trajectories, from_chunks
from fisherdash.analyse.versus import Versus

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
    "from_chunks",
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
