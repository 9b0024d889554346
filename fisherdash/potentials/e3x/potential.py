"""The E3x network as a potential: features h_i, no fixed part."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Integer

from fisherdash.potentials.e3x import dense
from fisherdash.potentials.e3x.couplings import Body, body_shapes
from fisherdash.potentials.e3x.sparse import Neighbours, anywhere, choose, slots
from fisherdash.potentials.potential import PerAtom, Result
from fisherdash.settings import MAX_ATOMIC_NUMBER, ModelConfig

# Frames that go through the network together on a CPU: enough to keep the matrix products busy,
# few enough that what lies between them stays in the cache (see docs/performance.md).
CPU_BLOCK = 32

# With a list of neighbours it is so many slots of it that keep a CPU busy, at least one frame's.
CPU_SLOTS = 1300


@dataclasses.dataclass(frozen=True)
class E3x:
    """The network of one configuration.

    Attributes:
        config: its hyperparameters.
    """

    config: ModelConfig
    family = "e3x"
    elements = tuple(range(1, MAX_ATOMIC_NUMBER + 1))
    precisions = ("float32", "float64")
    taylor = True

    @property
    def num_features(self) -> int:
        """Number of features F of an atom."""
        return self.config.features

    @property
    def cutoff(self) -> float:
        """Distance in Å."""
        return self.config.cutoff

    def to_json(self) -> dict[str, Any]:
        """The configuration."""
        return self.config.to_json()

    def shapes(self) -> Body:
        """Shapes of the weights."""
        return body_shapes(self.config)

    def init(self, seed: int) -> Body:
        """Fresh weights, float32."""
        from fisherdash.potentials.e3x.network import init  # E3x: as long an import as JAX

        return init(self.config, seed)

    def features(
        self,
        params: Body,
        atomic_numbers: Integer[Array, " atoms"],
        positions: Float[Array, "frames atoms 3"],
        *,
        neighbours: Neighbours | None = None,
        forward_mode: bool = False,
    ) -> PerAtom:
        """h, of all pairs of atoms or of a list; a list needs reverse mode."""
        h = dense.features(
            self.config,
            params,
            atomic_numbers,
            positions,
            forward_mode=forward_mode,
            neighbours=neighbours,
        )
        return PerAtom(jnp.moveaxis(h, 0, -1))

    def with_neighbours(
        self,
        evaluate: Callable[[Float[Array, "frames atoms 3"], Neighbours | None], Result],
        positions: Float[Array, "frames atoms 3"],
    ) -> Result:
        """In large molecules with a list of neighbours, unless it cannot be used; else without."""
        room = slots(self.config.cutoff, positions.shape[1])
        if room is None:
            return evaluate(positions, None)
        neighbours, unusable = choose(self.config.cutoff, room, positions)
        # Differentiated, a `cond` keeps what either of its branches would keep for the way back.
        # All pairs would be much for a branch that is hardly ever taken: it is evaluated again.
        all_pairs = jax.checkpoint(lambda x: evaluate(x, None))
        return jax.lax.cond(
            anywhere(unusable),
            lambda: all_pairs(positions),
            lambda: evaluate(positions, neighbours),
        )

    def frames_per_block(self, atoms: int) -> int:
        """:data:`CPU_BLOCK`, fewer with a list of neighbours."""
        room = slots(self.config.cutoff, atoms)
        return CPU_BLOCK if room is None else max(1, CPU_SLOTS // (atoms * room))
