"""Networks of SchNetPack 2 as potentials, evaluated in JAX from the files that it saves.

``networks`` are the potentials, and ``reading`` takes a file apart and writes another head into it.
Neither torch nor SchNetPack is needed.
"""

from fisherdash.potentials.schnetpack.networks import PaiNN, SchNet
