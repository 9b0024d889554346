"""The messages of :mod:`fisherdash.potentials.e3x.messages`, of the neighbours in a list alone.

The same sums in the same three forms. What an atom hears from its neighbours is first gathered,
whole rows of features at a time, and then summed by products of matrices that are batched over
atoms, with the slots of the list as the summed axis and the features last. In empty slots the
radial basis is zero.

A list of neighbours, for molecules most of whose pairs of atoms are beyond the cutoff.

Every atom has the same number of slots, which follows from the cutoff and the number of atoms
alone, so that a configuration and a molecule have one compiled program. Who is in the slots is
decided anew at every evaluation, inside that program: the distances of all pairs are cheap beside
the network. Nothing is differentiated there, for at the cutoff an atom's contribution and all of
its derivatives are zero. Where the slots do not hold all neighbours, :func:`choose` says so, and
all pairs are taken instead (:mod:`fisherdash.potentials.e3x.potential`).

That j is a neighbour of i means that i is one of j. So the slots come in pairs, each of which knows
the other, and what would be a slow scatter, a sum over those who have i in their lists, is a gather
too (:func:`to_neighbours`).
"""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from fisherdash.potentials.e3x import couplings
from fisherdash.potentials.e3x.messages import (
    Forms,
    batched_for_reverse,
    by_atom,
    by_degree,
    couple,
    dot,
    inward,
    outward,
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
def to_neighbours(
    neighbours: Neighbours, values: Float[Array, "pairs ..."]
) -> Float[Array, "atoms ..."]:
    """For every atom the sum of what its neighbours have in the slots in which it is.

    What is in empty slots must be zero. This is :func:`from_neighbours` reversed.
    """
    arrived = values.at[neighbours.partner.reshape(-1)].get(mode="promise_in_bounds")
    return jnp.sum(arrived.reshape(-1, neighbours.atom.shape[-1], *values.shape[1:]), axis=1)


def _told(neighbours: Neighbours, values: Array) -> tuple[Array, Neighbours]:
    return from_neighbours(neighbours, values), neighbours


def _summed(neighbours: Neighbours, values: Array) -> tuple[Array, Neighbours]:
    return to_neighbours(neighbours, values), neighbours


from_neighbours.defvjp(_told, lambda neighbours, back: (None, to_neighbours(neighbours, back)))
to_neighbours.defvjp(_summed, lambda neighbours, back: (None, from_neighbours(neighbours, back)))


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


class Pairs(NamedTuple):
    """What does not depend on the step.

    Attributes:
        basis: of the distances.
        harmonics: of the direction from an atom to its neighbour, by degree and order.
        neighbours: the list.
    """

    basis: Float[Array, "basis pairs"]
    harmonics: list[list[Float[Array, "frames atoms slots"]]]
    neighbours: Neighbours

    @property
    def forms(self) -> Forms:
        """How messages of the list are summed."""
        return Forms(_from_scalars, _to_scalars, _gather_and_couple)


def _from_scalars(
    kernel: Float[Array, "paths features"],
    step: couplings.Step,
    radial: list[Float[Array, "basis features"]],
    pairs: Pairs,
    x: Float[Array, "features 1 frames atoms"],
) -> Float[Array, "features c frames atoms"]:
    """Σ_sl Y_csl (K_l R_l x_s), s the slots."""
    frames, atoms, slots = pairs.neighbours.atom.shape
    weights, degrees = outward(kernel, step, radial)
    heard = from_neighbours(pairs.neighbours, by_atom(x)[:, 0])
    terms = dot(pairs.basis, 0, weights, 0) * jnp.concatenate([heard] * degrees, axis=1)
    y = jnp.swapaxes(by_degree(pairs.harmonics[:degrees]), 2, 3)  # n i a s l
    told = batched_for_reverse(
        y.reshape(frames * atoms, -1, slots * degrees),
        terms.reshape(frames * atoms, slots * degrees, -1),
    )
    return jnp.transpose(told, (2, 1, 0)).reshape(len(x), -1, frames, atoms)


def _to_scalars(
    kernel: Float[Array, "paths features"],
    step: couplings.Step,
    radial: list[Float[Array, "basis features"]],
    pairs: Pairs,
    x: Float[Array, "features b frames atoms"],
) -> Float[Array, "features 1 frames atoms"]:
    """Σ_l K_l R_l (Σ_a Y_sla x_a), put into the slots of those who tell, and summed by the told."""
    frames, atoms, slots = pairs.neighbours.atom.shape
    degrees = len(pairs.harmonics)
    y = jnp.swapaxes(by_degree(pairs.harmonics), 3, 4)  # n j s l a
    y = y.reshape(frames * atoms, slots * degrees, -1)
    sent = batched_for_reverse(y, by_atom(partners(step, degrees, x)))
    # Seen from those who are told the direction is the opposite one.
    signs = [(-1) ** degree for degree in range(degrees)]
    turned = [sign * w for sign, w in zip(signs, radial, strict=True)]
    terms = dot(pairs.basis, 0, inward(kernel, step, turned), 0)
    terms = jnp.split(terms * sent.reshape(terms.shape), degrees, axis=1)
    told = to_neighbours(pairs.neighbours, sum(terms[1:], terms[0]))
    return jnp.transpose(told).reshape(len(x), 1, frames, atoms)


def _gather_and_couple(
    kernel: Float[Array, "paths features"],
    step: couplings.Step,
    radial: list[Float[Array, "basis features"]],
    pairs: Pairs,
    x: Float[Array, "features b frames atoms"],
) -> Float[Array, "features c frames atoms"]:
    """S[i,a,b,f] = Σ_s Y_as (R_l x_b)[i,s,f], then m = Σ_ba K S.

    One product for each degree: the filters R Y are written for no feature, R x for each degree.
    """
    features, inputs, frames, atoms = x.shape
    slots = pairs.neighbours.atom.shape[-1]
    heard = from_neighbours(pairs.neighbours, by_atom(x).reshape(frames * atoms, -1))
    heard = jnp.split(heard, inputs, axis=1)
    sums = []
    for w, ys in zip(radial, pairs.harmonics, strict=True):
        of_degree = dot(pairs.basis, 0, w, 0)
        terms = jnp.concatenate([of_degree * part for part in heard], axis=1)
        y = jnp.stack(ys, axis=2).reshape(frames * atoms, len(ys), slots)
        sums.append(batched_for_reverse(y, terms.reshape(frames * atoms, slots, -1)))
    gathered = jnp.concatenate(sums, axis=1).reshape(frames * atoms, -1, inputs, features)
    gathered = jnp.transpose(gathered, (3, 2, 1, 0)).reshape(features, -1, frames * atoms)
    return couple(kernel, step, gathered).reshape(features, -1, frames, atoms)
