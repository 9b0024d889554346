"""Messages of :mod:`fisherdash.potentials.e3x.messages`, of the neighbours in a list alone.

For molecules most of whose pairs of atoms are beyond the cutoff. Every atom has the same number of
slots for neighbours, which follows from the cutoff and the number of atoms alone, so that a
configuration and a molecule have one compiled program. Neighbours are found anew at every
evaluation, inside that program: the distances of all pairs are cheap beside the network. Nothing is
differentiated there, for at the cutoff an atom's contribution and all of its derivatives are zero.
Where the slots do not hold all neighbours, :func:`choose` says so, and all pairs are taken instead
(:mod:`fisherdash.potentials.e3x.potential`).

Neighbours are mutual, so slots come in pairs that point to each other, and what would be a slow
scatter, a sum over the atoms that list i, is a gather too (:func:`_to_neighbours`).

The features of an atom's neighbours are gathered, whole rows at a time, and then summed by products
of matrices that are batched over atoms, with the slots as the summed axis and the features last. In
empty slots the radial basis is zero.
"""

import dataclasses
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from fisherdash.potentials.e3x import messages
from fisherdash.potentials.e3x.messages import (
    Weights,
    by_atom,
    by_degree,
    couple,
    coupled_radial,
    dot,
    partners,
)

DENSITY = 0.16
"""Most atoms per Å³ within the cutoff of an atom. Water and liquid ethanol have 0.1, polyethylene
0.12, the crowded middle of neopentane within 3 Å 0.14."""

_FEWEST_ATOMS, _FEWEST_PER_SLOT = 24, 1.5
"""Molecules from which on the list is faster than all pairs, with something to spare, measured on
two cores (docs/performance.md)."""


def slots(cutoff: float, atoms: int) -> int | None:
    """How many neighbours an atom has room for, or None where all pairs are the faster way."""
    most = 4 * math.ceil(DENSITY * 4 / 3 * math.pi * cutoff**3 / 4)
    return most if atoms >= max(_FEWEST_ATOMS, _FEWEST_PER_SLOT * most) else None


class Neighbours(NamedTuple):
    """Who is in the slots of every atom. Atoms and slots are counted through all frames.

    Attributes:
        atom: that is in the slot; in an empty one the atom itself.
        partner: the slot in which that atom has this one; of an empty slot itself.
        empty: whether nobody is in the slot.
    """

    atom: Int[Array, "frames atoms slots"]
    partner: Int[Array, "frames atoms slots"]
    empty: Bool[Array, "frames atoms slots"]


def choose(
    cutoff: float, slots: int, positions: Float[Array, "frames atoms 3"]
) -> tuple[Neighbours, Bool[Array, ""]]:
    """The neighbours within the cutoff (Å), and whether the list cannot be used.

    That is so where an atom has more of them than slots.
    """
    frames, atoms = positions.shape[:2]
    # How many of the atoms 0 … j are neighbours of i.
    count = jnp.cumsum(_near(cutoff, positions), axis=-1, dtype=jnp.int32)
    rows = jnp.arange(frames * atoms, dtype=jnp.int32).reshape(frames, atoms, 1)
    found = _first_with(count, jnp.arange(1, slots + 1, dtype=jnp.int32), rows)
    empty = found == atoms
    atom = jnp.where(empty, rows, rows - rows % atoms + found)
    own = rows * slots + jnp.arange(slots, dtype=jnp.int32)
    position = _take(count, atom * atoms + rows % atoms) - 1
    partner = jnp.where(empty, own, atom * slots + jnp.clip(position, 0, slots - 1))
    # Partners that do not point back: beyond the slots, or rounded to both sides of the cutoff.
    broken = _take(partner, partner) != own
    return Neighbours(atom, partner, empty), jnp.any(count[..., -1] > slots) | jnp.any(broken)


def _near(
    cutoff: float, positions: Float[Array, "frames atoms 3"]
) -> Bool[Array, "frames atoms atoms"]:
    """Whether two atoms are different ones within the cutoff."""
    x, y, z = jnp.moveaxis(jax.lax.stop_gradient(positions), -1, 0)
    squared = sum((c[:, :, None] - c[:, None, :]) ** 2 for c in (x, y, z))
    return (squared < cutoff * cutoff) & ~jnp.eye(positions.shape[1], dtype=bool)


def _first_with(
    count: Int[Array, "frames atoms atoms"],
    wanted: Int[Array, " slots"],
    rows: Int[Array, "frames atoms 1"],
) -> Int[Array, "frames atoms slots"]:
    """The first j at which the count reaches what is wanted, by bisection; or how many there are.

    Sorting every row, or ``top_k`` of the distances, takes twice as long and more.
    """
    atoms = count.shape[-1]
    below = jnp.zeros((*count.shape[:2], len(wanted)), jnp.int32)
    for power in reversed(range(atoms.bit_length())):
        more = below + 2**power
        reached = _take(count, rows * atoms + jnp.minimum(more, atoms) - 1)
        below = jnp.where((more <= atoms) & (reached < wanted), more, below)
    return below


def _take(values: Array, at: Int[Array, "..."]) -> Array:
    """Elements of the flattened array."""
    return values.reshape(-1).at[at].get(mode="promise_in_bounds")


@jax.custom_vjp
def from_neighbours(
    neighbours: Neighbours, values: Float[Array, "atoms ..."]
) -> Float[Array, "pairs ..."]:
    """In every slot the value of the atom that is in it."""
    return values.at[neighbours.atom.reshape(-1)].get(mode="promise_in_bounds")


@jax.custom_vjp
def _to_neighbours(
    neighbours: Neighbours, values: Float[Array, "pairs ..."]
) -> Float[Array, "atoms ..."]:
    """For every atom the sum of what its neighbours have in the slots in which it is.

    What is in empty slots must be zero. This is :func:`from_neighbours` reversed.
    """
    arrived = values.at[neighbours.partner.reshape(-1)].get(mode="promise_in_bounds")
    return jnp.sum(arrived.reshape(-1, neighbours.atom.shape[-1], *values.shape[1:]), axis=1)


from_neighbours.defvjp(
    lambda neighbours, values: (from_neighbours(neighbours, values), neighbours),
    lambda neighbours, back: (None, _to_neighbours(neighbours, back)),
)
_to_neighbours.defvjp(
    lambda neighbours, values: (_to_neighbours(neighbours, values), neighbours),
    lambda neighbours, back: (None, from_neighbours(neighbours, back)),
)


@jax.custom_batching.custom_vmap
def anywhere(condition: Bool[Array, ""]) -> Bool[Array, ""]:
    """The condition itself; under ``vmap`` whether it holds for any member, the same for all.

    A ``cond`` whose condition differs between members would do both branches for all of them.
    """
    return condition


@anywhere.def_vmap
def _anywhere_of_many(size: int, batched: Any, condition: Array) -> tuple[Array, bool]:
    del size, batched
    return anywhere(jnp.any(condition)), False


@dataclasses.dataclass(frozen=True)
class Pairs(messages.Pairs):
    """Pairs in a list; harmonics are (frames, atoms, slots), of the direction to the neighbour."""

    neighbours: Neighbours

    def from_scalars(
        self, weights: Weights, x: Float[Array, "features 1 frames atoms"]
    ) -> Float[Array, "features c frames atoms"]:
        """Σ_sl Y_csl (K_l R_l x_s), s the slots."""
        frames, atoms, slots = self.neighbours.atom.shape
        coupled = coupled_radial(weights, weights.step.table.shape[-1])
        degrees = coupled.shape[1] // len(x)
        gathered = from_neighbours(self.neighbours, by_atom(x)[:, 0])
        terms = dot(self.basis, 0, coupled, 0) * jnp.concatenate([gathered] * degrees, axis=1)
        y = jnp.swapaxes(by_degree(self.harmonics[:degrees]), 2, 3)  # n i a s l
        found = self.multiply(
            y.reshape(frames * atoms, -1, slots * degrees),
            terms.reshape(frames * atoms, slots * degrees, -1),
        )
        return jnp.transpose(found, (2, 1, 0)).reshape(len(x), -1, frames, atoms)

    def to_scalars(
        self, weights: Weights, x: Float[Array, "features b frames atoms"]
    ) -> Float[Array, "features 1 frames atoms"]:
        """Σ_l K_l R_l (Σ_a Y_sla x_a), put into the sender's slots, and summed by the receivers."""
        frames, atoms, slots = self.neighbours.atom.shape
        degrees = len(self.harmonics)
        y = jnp.swapaxes(by_degree(self.harmonics), 3, 4)  # n j s l a
        y = y.reshape(frames * atoms, slots * degrees, -1)
        sent = self.multiply(y, by_atom(partners(weights.step, degrees, x)))
        # Seen from the receiver the direction is the opposite one.
        turned = [(-1) ** degree * w for degree, w in enumerate(weights.radial)]
        terms = dot(self.basis, 0, coupled_radial(weights._replace(radial=turned)), 0)
        terms = jnp.split(terms * sent.reshape(terms.shape), degrees, axis=1)
        found = _to_neighbours(self.neighbours, sum(terms[1:], terms[0]))
        return jnp.transpose(found).reshape(len(x), 1, frames, atoms)

    def gather_and_couple(
        self, weights: Weights, x: Float[Array, "features b frames atoms"]
    ) -> Float[Array, "features c frames atoms"]:
        """S[i,a,b,f] = Σ_s Y_as (R_l x_b)[i,s,f], then m = Σ_ba K S.

        One product for each degree: the filters R Y are written for no feature, R x for each
        degree.
        """
        features, inputs, frames, atoms = x.shape
        slots = self.neighbours.atom.shape[-1]
        gathered = from_neighbours(self.neighbours, by_atom(x).reshape(frames * atoms, -1))
        gathered = jnp.split(gathered, inputs, axis=1)
        sums = []
        for w, ys in zip(weights.radial, self.harmonics, strict=True):
            of_degree = dot(self.basis, 0, w, 0)
            terms = jnp.concatenate([of_degree * part for part in gathered], axis=1)
            y = jnp.stack(ys, axis=2).reshape(frames * atoms, len(ys), slots)
            sums.append(self.multiply(y, terms.reshape(frames * atoms, slots, -1)))
        found = jnp.concatenate(sums, axis=1).reshape(frames * atoms, -1, inputs, features)
        found = jnp.transpose(found, (3, 2, 1, 0)).reshape(features, -1, frames * atoms)
        return couple(weights, found).reshape(features, -1, frames, atoms)
