"""First and second derivatives of all descriptors with respect to all positions, forward mode.

A molecule has few coordinates and a network many intermediate numbers, so derivatives are pushed
forward, one direction of space of one atom at a time for all frames together. For the Laplacian
ΔD = Σ_x ∂²D/∂x² a second-order Taylor series is pushed along each direction; only its sum is kept.
"""

import jax
import jax.numpy as jnp
from jax.experimental import jet
from jaxtyping import Array, Float, Integer

from fisherdash.model import Body, ModelConfig, descriptors


def jacobian(
    config: ModelConfig,
    body: Body,
    atomic_numbers: Integer[Array, " atoms"],
    positions: Float[Array, "frames atoms 3"],
) -> tuple[Float[Array, "frames d"], Float[Array, "frames directions d"], Float[Array, "frames d"]]:
    """Descriptors, G = ∂D/∂x in Å⁻¹, and zeros in place of the Laplacian.

    The network is linearised once; 3N products with the linear map follow.
    """
    values, push = jax.linearize(lambda x: descriptors(config, body, atomic_numbers, x), positions)
    columns = jax.lax.map(lambda t: push(jnp.broadcast_to(t, positions.shape)), _axes(positions))
    return values, jnp.moveaxis(columns, 0, 1), jnp.zeros_like(values)


def jacobian_and_laplacian(
    config: ModelConfig,
    body: Body,
    atomic_numbers: Integer[Array, " atoms"],
    positions: Float[Array, "frames atoms 3"],
) -> tuple[Float[Array, "frames d"], Float[Array, "frames directions d"], Float[Array, "frames d"]]:
    """Descriptors, G = ∂D/∂x in Å⁻¹ and ΔD in Å⁻², all exact."""

    def evaluate(x: Array) -> Array:
        return descriptors(config, body, atomic_numbers, x)

    def along(total: Array, axis: Array) -> tuple[Array, Array]:
        direction = jnp.broadcast_to(axis, positions.shape)
        series = ((direction, jnp.zeros_like(direction)),)
        _, (first, second) = jet.jet(evaluate, (positions,), series)
        return total + second, first

    values = evaluate(positions)
    laplacian, columns = jax.lax.scan(along, jnp.zeros_like(values), _axes(positions))
    return values, jnp.moveaxis(columns, 0, 1), laplacian


def jacobian_and_estimate(
    config: ModelConfig,
    body: Body,
    atomic_numbers: Integer[Array, " atoms"],
    positions: Float[Array, "frames atoms 3"],
    probes: int,
    key: Array,
) -> tuple[Float[Array, "frames d"], Float[Array, "frames directions d"], Float[Array, "frames d"]]:
    """The same with ΔD estimated from ``probes`` random directions of each frame.

    E[vᵀHv] = tr H for independent components v = ±1 (M. F. Hutchinson, Commun. Stat. Simul.
    Comput. 18, 1059 (1989)). Unbiased; the cost no longer grows with the number of atoms, the
    Jacobian's products apart, which are cheap.
    """
    values, g, zero = jacobian(config, body, atomic_numbers, positions)
    directions = jax.random.rademacher(key, (probes, *positions.shape), positions.dtype)

    def along(total: Array, direction: Array) -> tuple[Array, None]:
        series = ((direction, jnp.zeros_like(direction)),)
        _, (_, second) = jet.jet(
            lambda x: descriptors(config, body, atomic_numbers, x), (positions,), series
        )
        return total + second, None

    total, _ = jax.lax.scan(along, zero, directions)
    return values, g, total / probes


def _axes(positions: Float[Array, "frames atoms 3"]) -> Float[Array, "directions 1 atoms 3"]:
    atoms = positions.shape[1]
    return jnp.eye(3 * atoms, dtype=positions.dtype).reshape(3 * atoms, 1, atoms, 3)
