"""Energies and forces of a network with a linear head: U = θ·D(x), F = −∂U/∂x.

The constant of the energy (element biases and the energy reference) is not here: it has no
gradient, and adding some thousand eV in single precision would only cost digits.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Integer

from fisherdash.model import dense
from fisherdash.model.body import Body
from fisherdash.model.config import ModelConfig

# Frames that go through the network together on a CPU: enough to keep the matrix products busy,
# few enough that what lies between them stays in the cache (see docs/performance.md).
CPU_BLOCK = 32


def energies(
    config: ModelConfig,
    body: Body,
    head: Float[Array, " features"] | Float[Array, "frames features"],
    atomic_numbers: Integer[Array, " atoms"],
    positions: Float[Array, "frames atoms 3"],
) -> Float[Array, " frames"]:
    """θ·D of every frame in eV, summed in the precision of ``head``."""
    d = dense.descriptors(config, body, atomic_numbers, positions)
    return jnp.sum(d.astype(head.dtype) * head, axis=-1)


def energy_and_forces(
    config: ModelConfig,
    body: Body,
    head: Float[Array, " features"] | Float[Array, "frames features"],
    atomic_numbers: Integer[Array, " atoms"],
    positions: Float[Array, "frames atoms 3"],
) -> tuple[Float[Array, " frames"], Float[Array, "frames atoms 3"]]:
    """Energies (eV, without the constant) and forces (eV/Å) of a batch of frames.

    Args:
        config: the network's hyperparameters.
        body: its weights; their precision is the network's.
        head: θ in eV, one for all frames or one for each.
        atomic_numbers: of the atoms, the same in every frame.
        positions: in Å. Their precision is that of the forces, so that a double-precision
            integrator can drive a single-precision network.

    Large batches go through the network in blocks on a CPU. Pure; meant to be jitted by the caller
    with ``config`` static.
    """

    def block(heads: Array, x: Array) -> tuple[Array, Array]:
        def total(x: Array) -> tuple[Array, Array]:
            per_frame = energies(config, body, heads, atomic_numbers, x)
            return jnp.sum(per_frame), per_frame

        gradient, per_frame = jax.grad(total, has_aux=True)(x)
        return per_frame, -gradient

    frames = positions.shape[0]
    if jax.default_backend() != "cpu" or frames <= CPU_BLOCK:
        return block(head, positions)

    def in_blocks(values: Array) -> Array:
        shape = values.shape[1:]
        fill = jnp.broadcast_to(values[-1:], (-frames % CPU_BLOCK, *shape))
        return jnp.concatenate([values, fill]).reshape(-1, CPU_BLOCK, *shape)

    heads = jnp.broadcast_to(head, (frames, head.shape[-1]))
    result = jax.lax.map(lambda inputs: block(*inputs), (in_blocks(heads), in_blocks(positions)))
    e, f = result
    return e.reshape(-1)[:frames], f.reshape(-1, *positions.shape[1:])[:frames]
