"""Velocity Verlet on any batch of molecules, the state of a run, and the failure criterion.

    p(t+Δt/2) = p(t) + ½ Δt F(t)
    r(t+Δt)   = r(t) + Δt p(t+Δt/2) / m
    p(t+Δt)   = p(t+Δt/2) + ½ Δt F(t+Δt)

Time-reversible and symplectic; the energy error is bounded and of second order in Δt.
W. C. Swope, H. C. Andersen, P. H. Berens, K. R. Wilson, J. Chem. Phys. 76, 637 (1982).

====== =================== =========================================
symbol variable            unit
====== =================== =========================================
r      motion.positions    Å
p      motion.momenta      amu Å/fs
F      motion.forces       eV/Å; becomes amu Å/fs² by ACCELERATION
U      motion.potential    eV
m      masses              amu, shape (atoms,)
Δt     timestep            fs
====== =================== =========================================

A replica fails at the first step at which a bond is more than TOLERANCE off its reference
length, or at which its energy, forces or positions are not finite. The bond criterion is that of
X. Fu et al., "Forces are not Enough", TMLR (2023). The reference length of a bond is its mean over
the data set, whatever the start of the run, so that failure means the same in every run on one set.

Every step is judged, not only the recorded ones. A failed replica is frozen where it broke (or,
for a number that is not finite, where it last was finite), so that no NaN is fed back into the
network and the other replicas of the batch are not affected.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from fisherdash.errors import InputError
from fisherdash.units import ACCELERATION

Evaluate = Callable[
    [Float[Array, "*batch atoms 3"]],
    tuple[Float[Array, "*batch"], Float[Array, "*batch atoms 3"]],
]
"""positions (Å) → (energies in eV, forces in eV/Å)."""


class Motion(NamedTuple):
    """What the next step needs, and the energy that came with its forces."""

    positions: Float[Array, "*batch atoms 3"]
    momenta: Float[Array, "*batch atoms 3"]
    forces: Float[Array, "*batch atoms 3"]
    potential: Float[Array, "*batch"]


def init(positions: jax.Array, momenta: jax.Array, evaluate: Evaluate) -> Motion:
    """The motion at its start: one evaluation of the forces."""
    potential, forces = evaluate(positions)
    return Motion(positions, momenta, forces, potential)


def step(
    motion: Motion, evaluate: Evaluate, masses: Float[Array, " atoms"], timestep: jax.Array | float
) -> Motion:
    """One step; exactly one evaluation of the forces.

    A step of zero length leaves positions and momenta bit for bit as they were, provided that the
    forces are finite, and only evaluates the forces.
    """
    half_kick = 0.5 * timestep * ACCELERATION
    momenta = motion.momenta + half_kick * motion.forces
    positions = motion.positions + timestep * momenta / masses[:, None]
    potential, forces = evaluate(positions)
    return Motion(positions, momenta + half_kick * forces, forces, potential)


def kinetic_energy(
    momenta: Float[Array, "*batch atoms 3"], masses: Float[Array, " atoms"]
) -> Float[Array, "*batch"]:
    """Σ p²/2m in eV."""
    return jnp.sum(momenta**2 / masses[:, None], axis=(-2, -1)) / (2.0 * ACCELERATION)


SURVIVING: Final = -1
"""Value of ``failed_step`` and ``broken_bond`` of a replica that has not failed."""

NOT_FINITE: Final = -2
"""Value of ``broken_bond`` of a replica that failed by a number that is not finite."""


class State(NamedTuple):
    """Everything that a run needs to go on, exactly: a pytree of arrays (of JAX or numpy).

    ``step`` is the number of steps done, a scalar; −1 means that not even the forces at the start
    are known. ``failed_step`` and ``broken_bond`` are SURVIVING (−1) for survivors; otherwise
    ``broken_bond`` is an index into the bonds, or NOT_FINITE (−2).
    """

    positions: Float[Any, "heads replicas atoms 3"]
    momenta: Float[Any, "heads replicas atoms 3"]
    forces: Float[Any, "heads replicas atoms 3"]
    potential: Float[Any, "heads replicas"]
    step: Int[Any, ""]
    failed_step: Int[Any, "heads replicas"]
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
        failed_step=np.full(shape, SURVIVING, np.int64),
        broken_bond=np.full(shape, SURVIVING, np.int64),
    )


TOLERANCE: Final = 0.5
"""Largest |length − reference length| of a bond before it counts as broken, Å."""


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


def mark_failed(
    state: State, moved: Motion, pairs: Int[Array, "bonds 2"], lengths: Float[Array, " bonds"]
) -> State:
    """The state after the step that led to ``moved``: failed replicas are frozen."""
    step = state.step + 1
    surviving = state.failed_step == SURVIVING
    finite = usable(moved.positions) & usable(moved.momenta) & jnp.isfinite(moved.potential)
    bond, deviation = worst_bond(moved.positions, pairs, lengths)
    fails = surviving & ~(finite & (deviation <= TOLERANCE))
    moves = surviving & finite

    def freeze(new: jax.Array, old: jax.Array) -> jax.Array:
        return jnp.where(jnp.reshape(moves, moves.shape + (1,) * (new.ndim - moves.ndim)), new, old)

    return State(
        *(freeze(new, old) for new, old in zip(moved, state.motion(), strict=True)),
        step=step,
        failed_step=jnp.where(fails, step, state.failed_step),
        broken_bond=jnp.where(fails, jnp.where(finite, bond, NOT_FINITE), state.broken_bond),
    )
