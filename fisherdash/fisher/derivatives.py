"""First and second derivatives of all descriptors with respect to all positions, forward mode.

A molecule has few coordinates and a network many intermediate numbers, so derivatives are pushed
forward, one direction at a time for all frames together. For the Laplacian ΔD = Σ_x ∂²D/∂x² a
second-order Taylor series is pushed along each direction; only its sum is kept. Directions are the
3N − 6 deformations of the molecule (:mod:`fisherdash.fisher.derivatives`), or all 3N axes.

Directions along which a molecule deforms: what translations and rotations leave to compute.

Descriptors do not change when a molecule is moved or turned. So of the 3N directions of space only
3N − 6 need a derivative; the others are known:

- along a translation all derivatives are zero;
- along a turn x(t) about ω, D(x(t)) is constant, so that v = ω × x has v·∇D = 0 and
  vᵀ(∇∇D)v = −∇D·(ω × (ω × x)).

With rigid directions that are orthonormal (ω along the axes of the inertia tensor of unit masses,
|ω|² the inverse of its moment, x from the centroid) the trace of ∇∇D is the sum of its internal
part and these three.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import jet
from jaxtyping import Array, Float, Integer

from fisherdash.potentials.e3x import Body, descriptors
from fisherdash.settings import ModelConfig

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


Derivatives = tuple[
    Float[Array, "frames d"], Float[Array, "frames components d"], Float[Array, "frames d"]
]
"""Descriptors, G = ∂D/∂x in Å⁻¹, and ΔD in Å⁻²."""


def jacobian(
    config: ModelConfig,
    body: Body,
    atomic_numbers: Integer[Array, " atoms"],
    positions: Float[Array, "frames atoms 3"],
    *,
    internal: bool = False,
) -> Derivatives:
    """Descriptors and G, with zeros in place of the Laplacian.

    The network is linearised once; a product with the linear map follows for every direction.

    Args:
        config, body, atomic_numbers: the network and the molecule.
        positions: Å.
        internal: leave out translations and rotations; only for molecules that are bent.
    """
    evaluate = _network(config, body, atomic_numbers)
    values, push = jax.linearize(evaluate, positions)
    directions = internal_directions(positions)[0] if internal else _axes(positions)
    columns = jax.lax.map(push, directions)
    return values, _along_axes(columns, directions), jnp.zeros_like(values)


def jacobian_and_laplacian(
    config: ModelConfig,
    body: Body,
    atomic_numbers: Integer[Array, " atoms"],
    positions: Float[Array, "frames atoms 3"],
    *,
    internal: bool = False,
) -> Derivatives:
    """Descriptors, G and ΔD, all exact; arguments as for :func:`jacobian`."""
    evaluate = _network(config, body, atomic_numbers)
    values = evaluate(positions)
    directions, acceleration = _axes(positions), None
    if internal:
        directions, acceleration = internal_directions(positions)
    laplacian, columns = _second_derivatives(evaluate, positions, directions)
    g = _along_axes(columns, directions)
    if acceleration is not None:
        turned = acceleration.reshape(positions.shape[0], -1)
        laplacian = laplacian - jnp.einsum("mx,mxd->md", turned, g).astype(laplacian.dtype)
    return values, g, laplacian


def jacobian_and_estimate(
    config: ModelConfig,
    body: Body,
    atomic_numbers: Integer[Array, " atoms"],
    positions: Float[Array, "frames atoms 3"],
    probes: int,
    key: Array,
    *,
    internal: bool = False,
) -> Derivatives:
    """The same with ΔD estimated from ``probes`` random directions of each frame.

    E[vᵀHv] = tr H for independent components v = ±1 (M. F. Hutchinson, Commun. Stat. Simul.
    Comput. 18, 1059 (1989)). Unbiased; the cost no longer grows with the number of atoms, the
    Jacobian's products apart, which are cheap.
    """
    values, g, _ = jacobian(config, body, atomic_numbers, positions, internal=internal)
    directions = jax.random.rademacher(key, (probes, *positions.shape), positions.dtype)
    evaluate = _network(config, body, atomic_numbers)
    total, _ = _second_derivatives(evaluate, positions, directions)
    return values, g, total / probes


def _network(
    config: ModelConfig, body: Body, atomic_numbers: Integer[Array, " atoms"]
) -> Callable[[Array], Array]:
    return functools.partial(descriptors, config, body, atomic_numbers, forward_mode=True)


def _second_derivatives(
    evaluate: Callable[[Array], Array],
    positions: Float[Array, "frames atoms 3"],
    directions: Float[Array, "directions frames atoms 3"],
) -> tuple[Float[Array, "frames d"], Float[Array, "directions frames d"]]:
    """Sum over the directions v of vᵀ(∇∇D)v, and v·∇D along each of them."""

    def along(total: Array, direction: Array) -> tuple[Array, Array]:
        series = ((direction, jnp.zeros_like(direction)),)
        _, (first, second) = jet.jet(evaluate, (positions,), series)
        return total + second, first

    zero = jnp.zeros_like(jax.eval_shape(evaluate, positions))
    return jax.lax.scan(along, zero, directions)


def _axes(positions: Float[Array, "frames atoms 3"]) -> Float[Array, "directions frames atoms 3"]:
    atoms = positions.shape[1]
    axes = jnp.eye(3 * atoms, dtype=positions.dtype).reshape(3 * atoms, 1, atoms, 3)
    return jnp.broadcast_to(axes, (3 * atoms, *positions.shape))


def _along_axes(
    columns: Float[Array, "directions frames d"],
    directions: Float[Array, "directions frames atoms 3"],
) -> Float[Array, "frames components d"]:
    """Derivatives along orthonormal directions as derivatives along the axes of space."""
    flat = directions.reshape(*directions.shape[:2], -1)
    return jnp.einsum("kmx,kmd->mxd", flat, columns.astype(directions.dtype))
