"""NVE molecular dynamics of many heads and many replicas in one compiled loop.

A run is ``simulate(checkpoints, dataset, settings)``, an iterator of chunks. Below it: ``initial``
(geometries and momenta), ``groups`` (which heads are evaluated together), ``verlet`` and
``failure`` (one step, and who dies in it), ``engine`` (the compiled loop), ``loop`` (the host).
"""

from fisherdash.md.engine import Group
from fisherdash.md.integrator import ALIVE, NOT_FINITE, TOLERANCE, Bonds, State, start
from fisherdash.md.loop import Chunk, Setting, run
from fisherdash.md.simulate import resume, simulate
from fisherdash.settings import MDSettings

__all__ = [
    "ALIVE",
    "NOT_FINITE",
    "TOLERANCE",
    "Bonds",
    "Chunk",
    "Group",
    "MDSettings",
    "Setting",
    "State",
    "resume",
    "run",
    "simulate",
    "start",
]
