"""The E3x network and its linear head.

``network`` is the readable reference, ``dense`` the fast evaluation of the same weights, and
``potential`` turns either head on one body into energies and forces.
"""

from fisherdash.model.config import MAX_ATOMIC_NUMBER, ModelConfig
from fisherdash.model.dense import descriptors
from fisherdash.model.network import Body, body_shapes, init, reference_descriptors
from fisherdash.model.potential import energies, energy_and_forces

__all__ = [
    "MAX_ATOMIC_NUMBER",
    "Body",
    "ModelConfig",
    "body_shapes",
    "descriptors",
    "energies",
    "energy_and_forces",
    "init",
    "reference_descriptors",
]
