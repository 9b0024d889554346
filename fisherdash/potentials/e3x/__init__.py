"""The E3x network and its linear head.

``network`` is the readable reference, ``dense`` the fast evaluation of the same weights, ``body``
what both share, and ``potential`` turns either head on one body into energies and forces.
"""

from typing import TYPE_CHECKING, Any

from fisherdash.potentials.e3x.body import Body, body_shapes
from fisherdash.potentials.e3x.dense import descriptors
from fisherdash.potentials.e3x.potential import energies, energy_and_forces
from fisherdash.settings import MAX_ATOMIC_NUMBER, ModelConfig

if TYPE_CHECKING:
    from fisherdash.potentials.e3x.network import init, reference_descriptors

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


def __getattr__(name: str) -> Any:
    """Fresh weights and the reference need E3x, whose import takes as long as JAX's: on demand."""
    if name in ("init", "reference_descriptors"):
        from fisherdash.potentials.e3x import network

        return getattr(network, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
