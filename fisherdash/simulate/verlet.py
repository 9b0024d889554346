"""Velocity Verlet as pure functions, on any batch of molecules.

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
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

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
