"""NVE molecular dynamics of many heads and many replicas in one compiled loop.

A run is ``simulate(checkpoints, dataset, settings)``, an iterator of chunks. Below it: ``initial``
(geometries and momenta), ``groups`` (which heads are evaluated together), ``verlet`` and
``failure`` (one step, and who dies in it), ``engine`` (the compiled loop), ``loop`` (the host).
"""

from fisherdash.simulate.chunk import Chunk
from fisherdash.simulate.failure import TOLERANCE, Bonds
from fisherdash.simulate.groups import Group
from fisherdash.simulate.loop import Setting, run
from fisherdash.simulate.resume import resume
from fisherdash.simulate.settings import MDSettings
from fisherdash.simulate.simulate import simulate
from fisherdash.simulate.state import ALIVE, NOT_FINITE, State, start

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
