"""Energies and forces of a network with a linear head: U = θ·D(x), F = −∂U/∂x.

The constant of the energy (element biases and the energy reference) is not here: it has no
gradient, and adding some thousand eV in single precision would only cost digits.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Integer

from fisherdash.potentials.e3x import dense
from fisherdash.potentials.e3x.body import Body
from fisherdash.potentials.e3x.sparse import Neighbours, anywhere, choose, slots
from fisherdash.settings import ModelConfig

# Frames that go through the network together on a CPU: enough to keep the matrix products busy,
# few enough that what lies between them stays in the cache (see docs/performance.md).
CPU_BLOCK = 32

# With a list of neighbours it is so many slots of it that keep a CPU busy, at least one frame's.
CPU_SLOTS = 1300

Evaluation = tuple[Float[Array, " frames"], Float[Array, "frames atoms 3"]]
"""Energies (eV, without the constant) and forces (eV/Å)."""


def energies(
    config: ModelConfig,
    body: Body,
    head: Float[Array, " features"] | Float[Array, "frames features"],
    atomic_numbers: Integer[Array, " atoms"],
    positions: Float[Array, "frames atoms 3"],
    neighbours: Neighbours | None = None,
) -> Float[Array, " frames"]:
    """θ·D of every frame in eV, summed in the precision of ``head``; of all pairs or of a list."""
    d = dense.descriptors(config, body, atomic_numbers, positions, neighbours=neighbours)
    return jnp.sum(d.astype(head.dtype) * head, axis=-1)


def energy_and_forces(
    config: ModelConfig,
    body: Body,
    head: Float[Array, " features"] | Float[Array, "frames features"],
    atomic_numbers: Integer[Array, " atoms"],
    positions: Float[Array, "frames atoms 3"],
) -> Evaluation:
    """Energies (eV, without the constant) and forces (eV/Å) of a batch of frames.

    Args:
        config: the network's hyperparameters.
        body: its weights; their precision is the network's.
        head: θ in eV, one for all frames or one for each.
        atomic_numbers: of the atoms, the same in every frame.
        positions: in Å. Their precision is that of the forces, so that a double-precision
            integrator can drive a single-precision network.

    Large batches go through the network in blocks on a CPU. In large molecules neighbours are
    listed, and a block in which an atom has more of them than the list holds takes all pairs. Pure;
    meant to be jitted by the caller with ``config`` static.
    """
    frames, atoms = positions.shape[:2]
    room = slots(config.cutoff, atoms)

    def of(heads: Array, x: Array, neighbours: Neighbours | None = None) -> Evaluation:
        return together(config, body, heads, atomic_numbers, x, neighbours)

    block, most = of, CPU_BLOCK
    if room is not None:
        block = functools.partial(_with_list, of, config.cutoff, room)
        most = max(1, CPU_SLOTS // (atoms * room))
    if jax.default_backend() != "cpu" or frames <= most:
        return block(head, positions)

    def in_blocks(values: Array) -> Array:
        shape = values.shape[1:]
        fill = jnp.broadcast_to(values[-1:], (-frames % most, *shape))
        return jnp.concatenate([values, fill]).reshape(-1, most, *shape)

    heads = jnp.broadcast_to(head, (frames, head.shape[-1]))
    result = jax.lax.map(lambda inputs: block(*inputs), (in_blocks(heads), in_blocks(positions)))
    e, f = result
    return e.reshape(-1)[:frames], f.reshape(-1, *positions.shape[1:])[:frames]


def together(
    config: ModelConfig,
    body: Body,
    heads: Array,
    atomic_numbers: Array,
    x: Array,
    neighbours: Neighbours | None = None,
) -> Evaluation:
    """Energies and forces of frames in one go: of all pairs of atoms, or of a list."""

    def total(x: Array) -> tuple[Array, Array]:
        per_frame = energies(config, body, heads, atomic_numbers, x, neighbours)
        return jnp.sum(per_frame), per_frame

    gradient, per_frame = jax.grad(total, has_aux=True)(x)
    return per_frame, -gradient


def _with_list(
    block: Callable[..., Evaluation], cutoff: float, room: int, heads: Array, x: Array
) -> Evaluation:
    """A block with a list of so many neighbours, or of all pairs where the list cannot be used."""
    neighbours, unusable = choose(cutoff, room, x)
    # Differentiated, a `cond` keeps what either of its branches would keep for the way back. All
    # pairs would be much for a branch that is hardly ever taken: it is evaluated again instead.
    all_pairs = jax.checkpoint(block)
    return jax.lax.cond(
        anywhere(unusable), lambda: all_pairs(heads, x), lambda: block(heads, x, neighbours)
    )
