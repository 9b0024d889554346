"""What a run says about its heads: pure functions of :class:`Trajectories`.

Energies: eV in, meV per atom out. Times: fs in, ps out. Failed replicas are counted, never dropped
in silence: they have no drift, and every statement about drift stands beside the survivors.
"""

from fisherdash.analysis.compare import RunStatistics, Versus, compare
from fisherdash.analysis.drift import (
    bucketed,
    fluctuations,
    head_drift,
    slopes,
    theil_sen,
    total_energy_change,
)
from fisherdash.analysis.survival import logrank_p_value, time_to_failure
from fisherdash.trajectories import Trajectories

__all__ = [
    "RunStatistics",
    "Trajectories",
    "Versus",
    "bucketed",
    "compare",
    "fluctuations",
    "head_drift",
    "logrank_p_value",
    "slopes",
    "theil_sen",
    "time_to_failure",
    "total_energy_change",
]
