"""The state of a run: all that the next step needs, and enough to go on exactly after a stop."""

from typing import Any, Final, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from fisherdash.simulate.verlet import Motion

ALIVE: Final = -1
"""Value of ``died_step`` and ``broken_bond`` of a living replica."""

NOT_FINITE: Final = -2
"""Value of ``broken_bond`` of a replica that died of a number that is not finite."""


class State(NamedTuple):
    """Everything that a run needs to go on, exactly: a pytree of arrays (of JAX or numpy).

    ``step`` is the number of steps done, a scalar; −1 means that not even the forces at the start
    are known. ``died_step`` and ``broken_bond`` are ALIVE (−1) for the living; ``broken_bond`` is
    otherwise an index into the bonds, or NOT_FINITE (−2).
    """

    positions: Float[Any, "heads replicas atoms 3"]
    momenta: Float[Any, "heads replicas atoms 3"]
    forces: Float[Any, "heads replicas atoms 3"]
    potential: Float[Any, "heads replicas"]
    step: Int[Any, ""]
    died_step: Int[Any, "heads replicas"]
    broken_bond: Int[Any, "heads replicas"]

    def motion(self) -> Motion:
        """The part that the integrator moves."""
        return Motion(self.positions, self.momenta, self.forces, self.potential)

    def on_host(self) -> "State":
        """The same with numpy arrays."""
        return State(*(np.asarray(leaf) for leaf in self))


def start(
    positions: Float[np.ndarray, "replicas atoms 3"],
    momenta: Float[np.ndarray, "replicas atoms 3"],
    heads: int,
) -> State:
    """Before the first force evaluation: every head at the same positions (Å) and momenta."""
    positions, momenta = (
        np.tile(np.asarray(array, np.float64), (heads, 1, 1, 1)) for array in (positions, momenta)
    )
    shape = positions.shape[:2]
    return State(
        positions=positions,
        momenta=momenta,
        forces=np.zeros_like(positions),
        potential=np.zeros(shape),
        step=np.array(-1, np.int64),
        died_step=np.full(shape, ALIVE, np.int64),
        broken_bond=np.full(shape, ALIVE, np.int64),
    )
