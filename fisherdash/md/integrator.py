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

The longest sensible timestep for a molecule, from the fastest vibration its atoms allow.

A stretch of two atoms has the period 2π √(μ/k), with the reduced mass μ. The stiffest bonds to
hydrogen have k near 780 N/m (O–H of water), the stiffest of all others near 2300 N/m (N₂; K. P.
Huber and G. Herzberg, Constants of Diatomic Molecules, 1979). Velocity Verlet needs about six
steps in a period to follow it; it fails altogether at π.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from ase.data import atomic_masses
from ase.units import _amu
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


TO_HYDROGEN = 780.0
BETWEEN_OTHERS = 2300.0
"""N/m, of the stiffest bonds."""
STEPS_IN_A_PERIOD = 6.0


def longest_timestep(atomic_numbers: np.ndarray) -> float:
    """Longest sensible timestep in fs for a molecule of these atoms, shape (N,): 1.5 with hydrogen.

    It is a bound by elements alone, whatever the bonds are.
    """
    masses = np.sort(atomic_masses[np.asarray(atomic_numbers, dtype=int)])
    heavy = masses[masses > 2.5]
    found = []
    if len(heavy) < len(masses):
        partner = heavy[0] if len(heavy) else masses[0]
        found.append(_period(masses[0], partner, TO_HYDROGEN))
    if len(heavy):
        found.append(_period(heavy[0], heavy[min(1, len(heavy) - 1)], BETWEEN_OTHERS))
    return min(found) / STEPS_IN_A_PERIOD


def _period(first: float, second: float, stiffness: float) -> float:
    """Period of the stretch between two atoms of these masses (amu), fs."""
    reduced = first * second / (first + second) * _amu
    return float(2e15 * np.pi * np.sqrt(reduced / stiffness))


def timestep_warning(timestep: float, atomic_numbers: np.ndarray) -> str:
    """One sentence if a timestep (fs) is too long for a molecule of these atoms, else ""."""
    longest = longest_timestep(atomic_numbers)
    if timestep <= longest * 1.05:
        return ""
    lightest = "hydrogen" if (np.asarray(atomic_numbers) == 1).any() else "the lightest atoms"
    return (
        f"the timestep of {timestep:g} fs is too long for the vibrations of {lightest}, which need "
        f"at most about {longest:.2g} fs: energies will not be conserved and molecules break "
        "whatever the model; use --timestep-fs 0.5"
    )
