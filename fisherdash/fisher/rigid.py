"""Directions along which a molecule deforms: what translations and rotations leave to compute.

Descriptors do not change when a molecule is moved or turned. So of the 3N directions of space only
3N − 6 need a derivative; the others are known:

- along a translation all derivatives are zero;
- along a turn x(t) about ω, D(x(t)) is constant, so that v = ω × x has v·∇D = 0 and
  vᵀ(∇∇D)v = −∇D·(ω × (ω × x)).

With rigid directions that are orthonormal (ω along the axes of the inertia tensor of unit masses,
|ω|² the inverse of its moment, x from the centroid) the trace of ∇∇D is the sum of its internal
part and these three.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

FLATTEST = 0.05
"""Least root-mean-square distance from the nearest axis, Å, for three rotations to be told apart
without loss of digits; straighter molecules are given all 3N directions."""


def is_bent(positions: Float[np.ndarray, "frames atoms 3"]) -> bool:
    """Whether every frame has three rotations."""
    centred = positions - positions.mean(axis=1, keepdims=True)
    spread = np.linalg.eigvalsh(np.einsum("mai,maj->mij", centred, centred) / positions.shape[1])
    # The distance from the principal axis comes from the two smaller moments.
    return positions.shape[1] > 2 and bool(np.all(spread[:, 0] + spread[:, 1] > FLATTEST**2))


def internal_directions(
    positions: Float[Array, "frames atoms 3"],
) -> tuple[Float[Array, "directions frames atoms 3"], Float[Array, "frames atoms 3"]]:
    """Orthonormal directions of deformation, and a = Σ_ω ω × (ω × x) in Å⁻¹.

    −∇D·a is what rotations add to the Laplacian of D. Only for frames that are bent.
    """
    frames, atoms, _ = positions.shape
    centred = positions - jnp.mean(positions, axis=1, keepdims=True)
    outer = jnp.einsum("mai,maj->mij", centred, centred)
    inertia = jnp.trace(outer, axis1=1, axis2=2)[:, None, None] * jnp.eye(3) - outer
    moments, axes = jnp.linalg.eigh(inertia)
    omega = jnp.swapaxes(axes / jnp.sqrt(moments)[:, None, :], 1, 2)  # one ω a row
    turns = jnp.cross(omega[:, :, None, :], centred[:, None, :, :])
    acceleration = jnp.sum(jnp.cross(omega[:, :, None, :], turns), axis=1)
    shifts = jnp.broadcast_to(
        jnp.tile(jnp.eye(3), (1, atoms)).reshape(3, atoms, 3) / jnp.sqrt(atoms),
        (frames, 3, atoms, 3),
    )
    rigid = jnp.concatenate([shifts, turns], axis=1).reshape(frames, 6, 3 * atoms)
    whole, _ = jnp.linalg.qr(jnp.swapaxes(rigid, 1, 2), mode="complete")
    internal = jnp.moveaxis(whole[:, :, 6:], 2, 0)
    return internal.reshape(-1, frames, atoms, 3), acceleration
