"""The E3x network as a potential that can be trained.

``network`` is the readable reference, ``potential`` the fast evaluation of the same weights and the
seam to everything else, and ``messages`` has what both share.
"""

from typing import TYPE_CHECKING, Any

from fisherdash.potentials.e3x.messages import Body, body_shapes
from fisherdash.potentials.e3x.potential import E3x
from fisherdash.settings import ModelConfig

if TYPE_CHECKING:
    from fisherdash.potentials.e3x.network import init, reference_descriptors


def __getattr__(name: str) -> Any:
    """Fresh weights and the reference need E3x, whose import takes as long as JAX's: on demand."""
    if name in ("init", "reference_descriptors"):
        from fisherdash.potentials.e3x import network

        return getattr(network, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
