"""Velocity Verlet on any batch of molecules, and the state of a run.

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
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from fisherdash.trajectories import SURVIVING
from fisherdash.units import ACCELERATION

Evaluate = Callable[
    [Float[Array, "*batch atoms 3"]], tuple[Float[Array, "*batch"], Float[Array, "*batch atoms 3"]]
]
"""positions (Å) → (energies in eV, forces in eV/Å)."""


class Motion(NamedTuple):
    """What the next step needs, and the energy that came with its forces."""

    positions: Float[Array, "*batch atoms 3"]
    momenta: Float[Array, "*batch atoms 3"]
    forces: Float[Array, "*batch atoms 3"]
    potential: Float[Array, "*batch"]


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


class State(NamedTuple):
    """Everything that a run needs to be resumed exactly: a pytree of arrays (of JAX or numpy).

    ``step`` is the number of steps done, a scalar; −1 means that not even the forces at the start
    are known. ``failed_step`` and ``cause`` are those of
    :class:`~fisherdash.trajectories.Trajectories`, SURVIVING (−1) for survivors.
    """

    positions: Float[Any, "heads replicas atoms 3"]
    momenta: Float[Any, "heads replicas atoms 3"]
    forces: Float[Any, "heads replicas atoms 3"]
    potential: Float[Any, "heads replicas"]
    step: Int[Any, ""]
    failed_step: Int[Any, "heads replicas"]
    cause: Int[Any, "heads replicas"]

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
        cause=np.full(shape, SURVIVING, np.int64),
    )
