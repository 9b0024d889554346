"""Force fields with known answers, and runs with them; shared by the tests of this folder."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ase.calculators.calculator import Calculator, all_changes

from fisherdash.md import Bonds, Group, MDSettings, Setting, initial, run, start

CARBON = np.array([6, 6, 6, 6])
Energies = tuple[jax.Array, jax.Array]
NO_BONDS = Bonds(np.zeros((0, 2), int), np.zeros(0))
CHAIN_BONDS = Bonds(np.array([[0, 1], [1, 2], [2, 3]]), np.full(3, 1.5))


@dataclasses.dataclass(frozen=True)
class Harmonic:
    """U = ½ k Σ r², every coordinate its own oscillator; ``params`` is k in eV/Å², per head."""

    def __call__(self, params: Any, positions: jax.Array, _: Any = None) -> Energies:
        k = params[:, None]
        return k * 0.5 * jnp.sum(positions**2, (-2, -1)), -k[..., None, None] * positions


@dataclasses.dataclass(frozen=True)
class MorseChain:
    """A chain of Morse bonds (1.5 Å) and 1–3 springs; ``params`` is the depth in eV, per head."""

    def energy(self, depth: jax.Array, x: jax.Array) -> jax.Array:
        near = jnp.linalg.norm(x[1:] - x[:-1], axis=-1)
        far = jnp.linalg.norm(x[2:] - x[:-2], axis=-1)
        stretch = jnp.sum((1.0 - jnp.exp(-2.0 * (near - 1.5))) ** 2)
        return depth * stretch + jnp.sum((far - 2.5) ** 2)

    def __call__(self, params: Any, positions: jax.Array, _: Any = None) -> Energies:
        each = jax.vmap(jax.value_and_grad(self.energy, argnums=1), in_axes=(None, 0))
        energies, gradients = jax.vmap(each)(params, positions)
        return energies, -gradients


@dataclasses.dataclass(frozen=True)
class Free:
    """No forces; the energy is not a number wherever a coordinate passes ``wall`` (Å)."""

    wall: float = np.inf

    def __call__(self, params: Any, positions: jax.Array, _: Any = None) -> Energies:
        energies = jnp.where(jnp.any(positions > self.wall, (-2, -1)), jnp.nan, 0.0)
        return energies, jnp.zeros_like(positions)


class Ase(Calculator):
    """A function of positions (Å) → energy (eV) and forces (eV/Å) as a calculator of ASE."""

    implemented_properties = ("energy", "forces")

    def __init__(self, potential) -> None:
        super().__init__()
        self._potential = potential

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes) -> None:
        super().calculate(atoms, properties, system_changes)
        self.results = dict(
            zip(("energy", "forces"), self._potential(atoms.positions), strict=True)
        )


def chain(replicas: int, seed: int = 0, temperature: float = 500.0):
    """Bent chains of four carbon atoms and thermal momenta, both (replicas, 4, 3)."""
    rng = np.random.default_rng(seed)
    straight = np.array([[0, 0, 0], [1.3, 0.7, 0], [2.6, 0, 0], [3.9, 0.7, 0.0]])
    positions = straight + 0.03 * rng.standard_normal((replicas, 4, 3))
    masses = initial.masses(CARBON)
    return positions, initial.thermal_momenta(positions, masses, temperature, seed, linear=False)


def trajectory(
    positions, momenta, *, force_field=None, params=None, bonds=NO_BONDS, masses=None, **settings
):
    """Chunks of a run of as many heads as ``params`` has entries."""
    force_field = MorseChain() if force_field is None else force_field
    params = np.array([4.0]) if params is None else params
    masses = initial.masses(CARBON) if masses is None else masses
    heads, replicas = len(params), len(positions)
    names = tuple(f"head {index}" for index in range(heads))
    group = Group(names, tuple(range(heads)), force_field, params)
    chosen = MDSettings(replicas=replicas, **settings)
    setting = Setting(masses, bonds, 6)
    return list(run([group], start(positions, momenta, heads), setting, chosen))


def joined(chunks, name: str, axis: int = 2) -> np.ndarray:
    """One recorded array of all chunks, joined along the frames."""
    return np.concatenate([getattr(chunk, name) for chunk in chunks], axis=axis)
