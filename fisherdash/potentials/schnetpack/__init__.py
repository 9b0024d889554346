"""Networks of SchNetPack 2 as potentials, evaluated in JAX from the files that it saves.

``painn`` and ``schnet`` are the networks, ``layers`` what they are made of, and ``reading`` takes a
file apart. Neither torch nor SchNetPack is needed.
"""

from fisherdash.potentials.schnetpack.painn import PaiNN
from fisherdash.potentials.schnetpack.schnet import SchNet
