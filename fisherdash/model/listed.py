"""The messages of :mod:`fisherdash.model.messages`, of the neighbours in a list alone.

The same sums in the same three forms. What an atom hears from its neighbours is first gathered,
whole rows of features at a time, and then summed by products of matrices that are batched over
atoms, with the slots of the list as the summed axis and the features last. In empty slots the
radial basis is zero.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from fisherdash.model import couplings
from fisherdash.model.messages import (
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
from fisherdash.model.neighbours import Neighbours, from_neighbours, to_neighbours


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
