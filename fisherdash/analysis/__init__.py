"""Statistics of a run: functions of :class:`Trajectories`.

Energies: eV in, meV per atom out. Times: fs in, ps out. Failed replicas are always counted: they
have no drift, and every statement about drift is given with the number of survivors.
"""

from fisherdash.analysis.compare import (
    RunStatistics,
    Versus,
    compare,
    logrank_p_value,
    time_to_failure,
)
from fisherdash.analysis.drift import fluctuations, head_drift, slopes, total_energy_change
from fisherdash.trajectories import Trajectories
