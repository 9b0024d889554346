"""When a trajectory counts as dead, and how it is laid to rest.

A replica is dead from the first step at which a bond is more than TOLERANCE off its reference
length, or at which its energy, forces or positions are not finite. The bond criterion is that of
X. Fu et al., "Forces are not Enough", TMLR (2023). The reference length of a bond is its mean over
the data set, whatever the start of the run, so that death means the same in every run on one set.

Every step is judged, not only the recorded ones. A dead replica is held in place: where it broke
(or, for a number that is not finite, where it last was finite), so that no NaN is fed back into
the network and the other replicas of the batch never notice.
"""

import dataclasses
from typing import Final

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from fisherdash.errors import InputError
from fisherdash.simulate.state import ALIVE, NOT_FINITE, State
from fisherdash.simulate.verlet import Motion

TOLERANCE: Final = 0.5
"""Largest |length − reference length| of a living bond, Å."""


@dataclasses.dataclass(frozen=True)
class Bonds:
    """Bonds that are watched.

    Attributes:
        pairs: indices of the two atoms of every bond, shape (bonds, 2); may be empty.
        lengths: reference lengths, Å, shape (bonds,).
    """

    pairs: np.ndarray
    lengths: np.ndarray

    def __post_init__(self) -> None:
        pairs = np.asarray(self.pairs, np.int64).reshape(-1, 2)
        lengths = np.asarray(self.lengths, np.float64).reshape(-1)
        if len(pairs) != len(lengths):
            raise InputError(
                f"every bond has one length, received {len(pairs)} pairs, {len(lengths)} lengths"
            )
        object.__setattr__(self, "pairs", pairs)
        object.__setattr__(self, "lengths", lengths)

    def measure(self, positions: Float[np.ndarray, "*batch atoms 3"]) -> np.ndarray:
        """Lengths in these positions, Å, shape (*batch, bonds)."""
        first, second = self.pairs.T
        return np.linalg.norm(positions[..., first, :] - positions[..., second, :], axis=-1)


def usable(positions: Float[Array, "*batch atoms 3"]) -> jax.Array:
    """Whether all coordinates of a molecule are finite, shape (*batch,)."""
    return jnp.all(jnp.isfinite(positions), axis=(-2, -1))


def worst_bond(
    positions: Float[Array, "*batch atoms 3"],
    pairs: Int[Array, "bonds 2"],
    lengths: Float[Array, " bonds"],
) -> tuple[jax.Array, jax.Array]:
    """Index of the bond that is furthest off its reference length, and by how much (Å)."""
    if pairs.shape[0] == 0:
        shape = positions.shape[:-2]
        return jnp.zeros(shape, jnp.int64), jnp.zeros(shape)
    ends = positions[..., pairs[:, 0], :] - positions[..., pairs[:, 1], :]
    deviation = jnp.abs(jnp.sqrt(jnp.sum(ends**2, axis=-1)) - lengths)
    return jnp.argmax(deviation, axis=-1), jnp.max(deviation, axis=-1)


def bury(
    state: State, moved: Motion, pairs: Int[Array, "bonds 2"], lengths: Float[Array, " bonds"]
) -> State:
    """The state after the step that led to ``moved``: the dead are held, the newly dead noted."""
    step = state.step + 1
    alive = state.died_step == ALIVE
    finite = usable(moved.positions) & usable(moved.momenta) & jnp.isfinite(moved.potential)
    bond, deviation = worst_bond(moved.positions, pairs, lengths)
    dies = alive & ~(finite & (deviation <= TOLERANCE))
    goes = alive & finite

    def hold(new: jax.Array, old: jax.Array) -> jax.Array:
        return jnp.where(jnp.reshape(goes, goes.shape + (1,) * (new.ndim - goes.ndim)), new, old)

    return State(
        *(hold(new, old) for new, old in zip(moved, state.motion(), strict=True)),
        step=step,
        died_step=jnp.where(dies, step, state.died_step),
        broken_bond=jnp.where(dies, jnp.where(finite, bond, NOT_FINITE), state.broken_bond),
    )
