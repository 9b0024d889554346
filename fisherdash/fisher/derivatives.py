"""First and second derivatives of all descriptors with respect to all positions, forward mode.

A molecule has few coordinates and a potential many intermediate numbers, so derivatives are pushed
forward, one direction at a time for all frames together. For the Laplacian Δφ = Σ_x ∂²φ/∂x² a
second-order Taylor series is pushed along each direction, or a derivative of a derivative where the
potential asks for that; only its sum is kept. What is pushed through the potential are its
features, or their sums over atoms where the descriptors are linear in them; what a head's products
add follows by the product rule.

Descriptors do not change when a molecule is moved or turned. So of the 3N directions of space only
the 3N − 6 along which it deforms need a derivative; the others are known:

- along a translation all derivatives are zero;
- along a turn x(t) about ω, D(x(t)) is constant, so that v = ω × x has v·∇D = 0 and
  vᵀ(∇∇D)v = −∇D·(ω × (ω × x)).

With rigid directions that are orthonormal (Σ_ω ω ωᵀ = I⁻¹, the inverse of the inertia tensor of
unit masses, x from the centroid) the trace of ∇∇D is the sum of its internal part and these three.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import jet
from jaxtyping import Array, Float, Integer

from fisherdash.potentials.head import Descriptors, HeadForm
from fisherdash.potentials.potential import Parameters, Potential

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
    """Orthonormal directions of deformation, and a = Σ_ω ω × (ω × x) = I⁻¹x − tr(I⁻¹) x in Å⁻¹.

    −∇D·a is what rotations add to the Laplacian of D. Only for frames that are bent.
    """
    frames, atoms, _ = positions.shape
    centred = positions - jnp.mean(positions, axis=1, keepdims=True)
    outer = jnp.einsum("mai,maj->mij", centred, centred)
    inertia = jnp.trace(outer, axis1=1, axis2=2)[:, None, None] * jnp.eye(3) - outer
    inverse = _inverse(inertia)
    trace = jnp.trace(inverse, axis1=1, axis2=2)[:, None, None]
    acceleration = jnp.einsum("mij,maj->mai", inverse, centred) - trace * centred
    shifts = jnp.broadcast_to(jnp.eye(3)[None, :, None, :], (frames, 3, atoms, 3))
    turns = jnp.cross(jnp.eye(3)[None, :, None, :], centred[:, None, :, :])
    rigid = jnp.concatenate([shifts, turns], axis=1).reshape(frames, 6, 3 * atoms)
    internal = jnp.swapaxes(_complement(rigid), 0, 1)
    return internal.reshape(-1, frames, atoms, 3), acceleration


def _inverse(matrices: Float[Array, "n 3 3"]) -> Float[Array, "n 3 3"]:
    """Of 3 × 3 matrices: the cross products of their rows over the determinant."""
    a, b, c = (matrices[:, row] for row in range(3))
    columns = jnp.stack([jnp.cross(b, c), jnp.cross(c, a), jnp.cross(a, b)], axis=2)
    return columns / jnp.sum(a * columns[:, :, 0], axis=1)[:, None, None]


def _complement(vectors: Float[Array, "n k d"]) -> Float[Array, "n rest d"]:
    """Orthonormal vectors orthogonal to k independent ones, by Householder's reflections.

    ``jnp.linalg`` would do, but jaxlib's LAPACK calls for many matrices wait in a thread of XLA's
    pool for work that the same pool has to do: two re-fits at once on two cores wait for ever.
    """
    count, size = vectors.shape[1:]
    reflections = []
    for k in range(count):
        below = vectors[:, k].at[:, :k].set(0.0)
        length = jnp.linalg.norm(below, axis=1)
        normal = below.at[:, k].add(jnp.where(below[:, k] < 0.0, -length, length))
        reflections.append(normal / jnp.linalg.norm(normal, axis=1, keepdims=True))
        vectors = _reflected(vectors, reflections[-1])
    rest = jnp.broadcast_to(jnp.eye(size)[count:], (len(vectors), size - count, size))
    for normal in reversed(reflections):
        rest = _reflected(rest, normal)
    return rest


def _reflected(
    vectors: Float[Array, "n k d"], normal: Float[Array, "n d"]
) -> Float[Array, "n k d"]:
    """At the plane of a unit normal."""
    return vectors - 2.0 * jnp.einsum("nkd,nd->nk", vectors, normal)[..., None] * normal[:, None]


class Fixed(NamedTuple):
    """U₀ of every frame in eV, and ∇U₀ in eV/Å."""

    energy: Float[Array, " frames"]
    gradient: Float[Array, "frames components"]


class Derivatives(NamedTuple):
    """Descriptors and their derivatives for a batch of frames.

    Attributes:
        values: the descriptors φ.
        jacobian: G = ∂φ/∂x, Å⁻¹.
        laplacian: Δφ, Å⁻²; None where it was not asked for.
        fixed: of the part of the energy that no head changes; None where it is zero.
    """

    values: Float[Array, "frames p"]
    jacobian: Float[Array, "frames components p"]
    laplacian: Float[Array, "frames p"] | None
    fixed: Fixed | None

    @classmethod
    def of(
        cls,
        potential: Potential,
        form: HeadForm,
        params: Parameters,
        basis: Float[Array, "features r"] | None,
        atomic_numbers: Integer[Array, " atoms"],
        positions: Float[Array, "frames atoms 3"],
        *,
        laplacian: bool | int = False,
        key: Array | None = None,
        internal: bool = False,
    ) -> "Derivatives":
        """Exact derivatives, apart from Laplacians that are estimated on demand.

        Args:
            potential, params: what gives the features.
            form, basis: of the head, with V where its features are reduced.
            atomic_numbers: of the molecule.
            positions: Å.
            laplacian: True for exact Laplacians; a number for an estimate from so many random
                directions of each frame, E[vᵀHv] = tr H for independent components v = ±1 (M. F.
                Hutchinson, Commun. Stat. Simul. Comput. 18, 1059 (1989)). It is unbiased, and its
                cost does not grow with the number of atoms.
            key: of the random directions.
            internal: leave out translations and rotations; only for molecules that are bent.
        """
        phi = Descriptors(form, basis, atomic_numbers)

        def evaluate(x: Array) -> tuple[Array, Array | None]:
            """Carried numbers and U₀ at positions."""
            per_atom = potential.features(params, atomic_numbers, x, forward_mode=True)
            return phi.carried(per_atom.features), per_atom.fixed

        def second(carried: Array, directions: Array) -> Any:
            """Second derivatives along directions."""
            return _second(phi, evaluate, carried, positions, directions, potential.taylor)

        directions, acceleration, total = _axes(positions), None, None
        if internal:
            directions, acceleration = internal_directions(positions)
        if laplacian is True:
            carried, fixed = evaluate(positions)
            total, (columns, slopes) = second(carried, directions)
        else:
            carried, fixed, columns, slopes = _first(phi, evaluate, positions, directions)
            if laplacian:
                assert key is not None
                probes = jax.random.rademacher(key, (laplacian, *positions.shape), positions.dtype)
                total = second(carried, probes)[0] / laplacian
        g = _along_axes(columns, directions)
        if laplacian is True and total is not None and acceleration is not None:
            turned = acceleration.reshape(positions.shape[0], -1)
            total = total - jnp.einsum("mx,mxp->mp", turned, g).astype(total.dtype)
        apart = None
        if fixed is not None and slopes is not None:
            apart = Fixed(fixed, _along_axes(slopes[..., None], directions)[..., 0])
        return cls(phi.values(carried), g, total, apart)


def _first(
    phi: Descriptors,
    evaluate: Callable[[Array], tuple[Array, Array | None]],
    positions: Float[Array, "frames atoms 3"],
    directions: Float[Array, "directions frames atoms 3"],
) -> tuple[Array, Array | None, Array, Array | None]:
    """The carried numbers and U₀, and v·∇ of φ and of U₀ along each direction v."""
    # Linearised once; a product with the linear map follows for every direction.
    (carried, fixed), push = jax.linearize(evaluate, positions)

    def column(direction: Array) -> tuple[Array, Array | None]:
        """∂φ and ∂U₀ along one direction."""
        tangent, slope = push(direction)
        return phi.push(carried, tangent), slope

    return carried, fixed, *jax.lax.map(column, directions)


def _second(
    phi: Descriptors,
    evaluate: Callable[[Array], tuple[Array, Array | None]],
    carried: Array,
    positions: Float[Array, "frames atoms 3"],
    directions: Float[Array, "directions frames atoms 3"],
    taylor: bool,
) -> tuple[Float[Array, "frames p"], tuple[Array, Array | None]]:
    """Sum over the directions v of vᵀ(∇∇φ)v, and v·∇ of φ and of U₀ along each of them."""

    def pushed(direction: Array) -> tuple[Array, Array, Array | None]:
        """First and second derivative of the carried numbers, and the first one of U₀."""
        if taylor:
            series = ((direction, jnp.zeros_like(direction)),)
            _, ((first, second), slopes) = jet.jet(evaluate, (positions,), series)
            return first, second, None if slopes is None else slopes[0]

        def slope(x: Array) -> tuple[Array, Array | None]:
            """First derivatives along the direction."""
            return jax.jvp(evaluate, (x,), (direction,))[1]

        (first, fixed), (second, _) = jax.jvp(slope, (positions,), (direction,))
        return first, second, fixed

    def along(total: tuple[Array, Array], direction: Array):
        """Adds one direction to the sums; its first derivatives."""
        first, second, fixed = pushed(direction)
        curvature, squares = total
        total = curvature + second, squares + phi.twice_squares(first)
        return total, (phi.push(carried, first), fixed)

    squares = jnp.zeros_like(jax.eval_shape(phi.twice_squares, carried))
    (curvature, squares), columns = jax.lax.scan(
        along, (jnp.zeros_like(carried), squares), directions
    )
    return phi.push(carried, curvature) + squares, columns


def _axes(positions: Float[Array, "frames atoms 3"]) -> Float[Array, "directions frames atoms 3"]:
    atoms = positions.shape[1]
    axes = jnp.eye(3 * atoms, dtype=positions.dtype).reshape(3 * atoms, 1, atoms, 3)
    return jnp.broadcast_to(axes, (3 * atoms, *positions.shape))


def _along_axes(
    columns: Float[Array, "directions frames p"],
    directions: Float[Array, "directions frames atoms 3"],
) -> Float[Array, "frames components p"]:
    """Derivatives along orthonormal directions as derivatives along the axes of space."""
    flat = directions.reshape(*directions.shape[:2], -1)
    return jnp.einsum("kmx,kmp->mxp", flat, columns.astype(directions.dtype))
