"""When a replica has failed: a broken bond, a clash, or a number that is not finite.

A replica fails at the first step, recorded or not, at which

- a bond is more than TOLERANCE off its reference length, the criterion of X. Fu et al., "Forces are
  not Enough", TMLR (2023). The reference length of a bond is its mean over the data set, whatever
  the initial states, so that failure means the same in every run;
- or two atoms without a bond are nearer than their limit: 0.85 (``MDSettings.clash``) of the
  shortest distance of any two such atoms of the same elements in any frame of the data. A potential
  that lacks a repulsion lets atoms fall into each other while all bonds hold;
- or its energy, forces or positions are not finite.

All pairs of two elements that are not bonded share one limit, those across an angle (1–3) included.
These are the nearest of all, so the limit is lenient for the others, which is meant: limits from
each kind of neighbour (1–3, 1–4, …) would rest on the few contacts that a data set happens to show
and fail sound trajectories. Measured on MD17 and rMD17 ethanol, rMD17 aspirin, GFN2-xTB ethanol at
500 K, and acetylacetone at 300 K against frames from 600 K: limits by elements from any 10 frames
fail at most 0.01 % of the other frames and those from 50 none; limits by elements and kind of
neighbour still fail some from 50 frames. Below FEWEST_FRAMES frames no clash is looked for.

A failed replica is frozen where it failed (or, for a number that is not finite, where it last was
finite), so that no NaN is fed back into the network and other replicas are not affected. Why it
failed is one number, ``cause`` (:mod:`fisherdash.trajectories`).
"""

import dataclasses
from collections.abc import Mapping
from typing import Final

import jax
import jax.numpy as jnp
import numpy as np
from ase.data import atomic_numbers as number_of
from ase.data import chemical_symbols
from jaxtyping import Array, Bool, Float, Int

from fisherdash.dataset import Dataset
from fisherdash.errors import InputError
from fisherdash.md.integrator import Motion, State
from fisherdash.trajectories import CLASH, NOT_FINITE, SURVIVING

TOLERANCE: Final = 0.5
"""Largest |length − reference length| of a bond before it counts as broken, Å."""

FEWEST_FRAMES: Final = 10
"""Of a data set whose shortest distances mean something."""


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


@dataclasses.dataclass(frozen=True, eq=False)
class Contacts:
    """Pairs of atoms without a bond, and how near they may come.

    Attributes:
        limits: of two elements, as "C-H" in the order of their atomic numbers, Å; empty where no
            clash is looked for.
        matrix: of two atoms, Å, shape (atoms, atoms); 0 for pairs that are not watched.
    """

    limits: Mapping[str, float]
    matrix: np.ndarray

    @classmethod
    def of(
        cls, atomic_numbers: Int[np.ndarray, " atoms"], bonds: Bonds, limits: Mapping[str, float]
    ) -> "Contacts":
        """The watched pairs of a molecule; pairs of elements without a limit are left out."""
        numbers = np.asarray(atomic_numbers)
        matrix = np.zeros((len(numbers), len(numbers)))
        for name, limit in limits.items():
            first, second = (number_of[symbol] for symbol in name.split("-"))
            one = (numbers[:, None] == first) & (numbers == second)
            matrix[one | one.T] = limit
        np.fill_diagonal(matrix, 0.0)
        for i, j in bonds.pairs:
            matrix[i, j] = matrix[j, i] = 0.0
        return cls(dict(limits), matrix)


def find_contacts(dataset: Dataset, bonds: Bonds, factor: float) -> Contacts:
    """Limits of a data set: ``factor`` times the shortest distances without a bond in any frame.

    None of its own frames clashes. No limits with a factor of 0 or fewer than FEWEST_FRAMES frames.
    """
    bonded = {tuple(sorted(pair)) for pair in bonds.pairs.tolist()}
    limits: dict[str, float] = {}
    if factor > 0 and len(dataset) >= FEWEST_FRAMES:
        numbers, positions = dataset.atomic_numbers, dataset.positions
        for i in range(dataset.num_atoms):
            others = [j for j in range(i + 1, dataset.num_atoms) if (i, j) not in bonded]
            apart = np.linalg.norm(positions[:, others] - positions[:, i, None], axis=-1)
            for j, shortest in zip(others, apart.min(axis=0), strict=True):
                pair = sorted((int(numbers[i]), int(numbers[j])))
                name = "-".join(chemical_symbols[number] for number in pair)
                limits[name] = min(limits.get(name, np.inf), factor * float(shortest))
    return Contacts.of(dataset.atomic_numbers, bonds, dict(sorted(limits.items())))


def finite(values: Float[Array, "*batch atoms 3"]) -> Bool[Array, "*batch"]:
    """Whether all coordinates or momenta of a molecule are finite."""
    return jnp.all(jnp.isfinite(values), axis=(-2, -1))


def _worst_bond(
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


def _worst_contact(
    positions: Float[Array, "*batch atoms 3"], limits: Float[Array, "atoms atoms"]
) -> tuple[jax.Array, jax.Array]:
    """The pair i < j furthest below its limit, as i · atoms + j, and whether it is below it."""
    atoms = positions.shape[-2]
    square = sum(
        (positions[..., :, None, axis] - positions[..., None, :, axis]) ** 2 for axis in range(3)
    )
    below = jnp.reshape(square - limits**2, (*positions.shape[:-2], atoms * atoms))
    # The first of equal ones, so that i < j.
    return jnp.argmin(below, axis=-1), jnp.min(below, axis=-1) < 0


def mark_failed(
    state: State,
    moved: Motion,
    pairs: Int[Array, "bonds 2"],
    lengths: Float[Array, " bonds"],
    limits: Float[Array, "atoms atoms"],
) -> State:
    """The state after the step that led to ``moved``: failed replicas are frozen."""
    step = state.step + 1
    surviving = state.failed_step == SURVIVING
    sound = finite(moved.positions) & finite(moved.momenta) & jnp.isfinite(moved.potential)
    bond, deviation = _worst_bond(moved.positions, pairs, lengths)
    contact, clashes = _worst_contact(moved.positions, limits)
    holds = deviation <= TOLERANCE
    fails = surviving & ~(sound & holds & ~clashes)
    cause = jnp.where(sound, jnp.where(holds, CLASH - contact, bond), NOT_FINITE)
    moves = surviving & sound

    def freeze(new: jax.Array, old: jax.Array) -> jax.Array:
        """The new values of replicas that go on, the old ones of all others."""
        return jnp.where(jnp.reshape(moves, moves.shape + (1,) * (new.ndim - moves.ndim)), new, old)

    return State(
        *(freeze(new, old) for new, old in zip(moved, state.motion(), strict=True)),
        step=step,
        failed_step=jnp.where(fails, step, state.failed_step),
        cause=jnp.where(fails, cause, state.cause),
    )
