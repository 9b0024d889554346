"""NVE molecular dynamics of many heads and many replicas in one compiled loop.

A run is ``simulate(checkpoints, dataset, settings)``, an iterator of chunks. Below it: ``initial``
(initial geometries and momenta), ``integrator`` (one step), ``failure`` (its criterion), ``engine``
(groups of heads and the compiled loop).
"""

from fisherdash.md.engine import Group
from fisherdash.md.failure import TOLERANCE, Bonds, Contacts, find_contacts
from fisherdash.md.integrator import State, start
from fisherdash.md.simulate import Chunk, Setting, resume, run, simulate
from fisherdash.settings import MDSettings
from fisherdash.trajectories import CLASH, NOT_FINITE, SURVIVING
