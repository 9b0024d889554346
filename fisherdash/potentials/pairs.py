"""What potentials share that evaluate all pairs of a molecule: no neighbours, one geometry.

With r_ij = x_j − x_i the displacement from atom i to atom j and d_ij its length. An atom with
itself has no weight: molecules are small beside the cutoff.
"""

import math
from typing import Any, Final

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Integer

from fisherdash.potentials.potential import Neighbours, Parameters, PerAtom, WithoutNeighbours

EXACT: Any = jax.lax.Precision.HIGHEST
"""On accelerators the default would round float32 products to fewer bits than forces bear."""


class AllPairs(WithoutNeighbours):
    """Members of a :class:`~fisherdash.potentials.potential.Potential` without neighbour lists."""

    precisions: Final = ("float32", "float64")
    # With JAX 0.10 on CPUs, the products with zeros that jet makes of layers give numbers that were
    # never written, at some sizes and silently.
    taylor: Final = False

    def per_atom(
        self, params: Parameters, atomic_numbers: Array, positions: Array
    ) -> Float[Array, "frames atoms features"]:
        """h of every atom."""
        raise NotImplementedError

    def features(
        self,
        params: Parameters,
        atomic_numbers: Integer[Array, " atoms"],
        positions: Float[Array, "frames atoms 3"],
        *,
        neighbours: Neighbours = None,
        forward_mode: bool = False,
    ) -> PerAtom:
        """h; there is no fixed part."""
        del neighbours, forward_mode
        return PerAtom(self.per_atom(params, jnp.asarray(atomic_numbers), positions))


def displacements(
    positions: Float[Array, "frames atoms 3"], cutoff: float, dtype: Any
) -> tuple[Float[Array, "frames atoms atoms 3"], Float[Array, "frames atoms atoms"]]:
    """r_ij and d_ij in Å, formed in the precision of the positions and then rounded.

    An atom is as far from itself as the cutoff, where nothing is singular and weights vanish.
    """
    r = (positions[:, None, :, :] - positions[:, :, None, :]).astype(dtype)
    same = jnp.eye(positions.shape[1], dtype=dtype)
    return r, jnp.sqrt(jnp.sum(r * r, axis=-1) + same * cutoff**2)


def cosine_cutoff(
    d: Float[Array, "frames atoms atoms"], cutoff: float
) -> Float[Array, "frames atoms atoms"]:
    """(1 + cos(πd / r_c)) / 2 below r_c, zero beyond and where i is j.

    It has a continuous slope at the cutoff and a curvature that jumps there.
    """
    near = jnp.where(d < cutoff, 1 - jnp.eye(d.shape[-1], dtype=d.dtype), 0)
    return 0.5 * (1 + jnp.cos(d * (math.pi / cutoff))) * near


def as_shapes(tree: Any) -> Any:
    """Nested shapes as ``jax.ShapeDtypeStruct``."""
    if isinstance(tree, dict):
        return {name: as_shapes(inner) for name, inner in tree.items()}
    return jax.ShapeDtypeStruct(tree, jnp.float32)
