"""The optimiser's step and the sums over an epoch, compiled once for a shape of network and data.

Loss of a batch, as in the E3x tutorial: mean of ½(U − U_ref)² plus the forces' weight times the
mean of ½(F − F_ref)² over atoms and directions, minimised by Adam.

The network learns in kcal/mol, whatever the units outside. A step of Adam has the size of the
learning rate, however small the numbers are that the weights have to make: in eV the head would be
23 times smaller and the same rate would shake it 23 times more.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Integer

from fisherdash.model import ModelConfig, energy_and_forces
from fisherdash.units import KCAL_PER_MOL

LEARNING_UNIT = KCAL_PER_MOL
"""Unit of energy in which the network learns, in eV."""

ANNEAL_FROM = 0.6

Params = dict[str, Any]
"""{"body": …, "head": (features,), "element_bias": (119,)}, float32, in the learning unit."""


class Frames(NamedTuple):
    """Data on the device, single precision, learning unit and Å; energies less their mean."""

    positions: Float[Array, "frames atoms 3"]
    energies: Float[Array, " frames"]
    forces: Float[Array, "frames atoms 3"]


class State(NamedTuple):
    """What the next step needs."""

    params: Params
    optimiser: optax.OptState
    step: Integer[Array, ""]


class Sums(NamedTuple):
    """Sums over the frames seen, for means afterwards: frames, loss and errors."""

    frames: Float[Array, ""]
    loss: Float[Array, ""]
    force_squared: Float[Array, ""]
    force_absolute: Float[Array, ""]
    energy_squared: Float[Array, ""]

    @classmethod
    def zero(cls) -> "Sums":
        """Nothing seen yet."""
        return cls(*(jnp.zeros((), jnp.float64) for _ in cls._fields))


class Rate(NamedTuple):
    """Learning rate: its highest value, the steps until the end, 1 to anneal or 0 for constant."""

    peak: Float[Array, ""]
    steps: Float[Array, ""]
    anneal: Float[Array, ""]

    def at(self, step: Integer[Array, ""]) -> Float[Array, ""]:
        """The rate of one step: flat, then from ANNEAL_FROM of the way a cosine to a hundredth."""
        done = jnp.clip((step / self.steps - ANNEAL_FROM) / (1 - ANNEAL_FROM), 0.0, 1.0)
        shape = 0.01 + 0.99 * 0.5 * (1 + jnp.cos(jnp.pi * done))
        return self.peak * jnp.where(self.anneal > 0, shape, 1.0)


_adam = optax.scale_by_adam()


def initial_state(params: Params) -> State:
    """Parameters before the first step."""
    return State(params, _adam.init(params), jnp.zeros((), jnp.int64))


def _predict(
    config: ModelConfig, params: Params, atomic_numbers: Array, positions: Array
) -> tuple[Array, Array]:
    energies, forces = energy_and_forces(
        config, params["body"], params["head"], atomic_numbers, positions
    )
    return energies + jnp.sum(params["element_bias"][atomic_numbers]), forces


def _errors(
    config: ModelConfig, params: Params, atomic_numbers: Array, batch: Frames, weight: Array
) -> tuple[Array, Sums]:
    energies, forces = _predict(config, params, atomic_numbers, batch.positions)
    energy_error = energies - batch.energies
    force_error = forces - batch.forces
    loss = optax.l2_loss(energy_error).mean() + weight * optax.l2_loss(force_error).mean()
    count = batch.energies.shape[0]
    sums = Sums(
        jnp.float64(count),
        loss.astype(jnp.float64) * count,
        jnp.sum(jnp.mean(force_error**2, axis=(1, 2)), dtype=jnp.float64),
        jnp.sum(jnp.mean(jnp.abs(force_error), axis=(1, 2)), dtype=jnp.float64),
        jnp.sum(energy_error**2, dtype=jnp.float64),
    )
    return loss, sums


@functools.partial(jax.jit, static_argnames=("config", "batch_size"), donate_argnums=(2, 3))
def advance(
    config: ModelConfig,
    batch_size: int,
    state: State,
    sums: Sums,
    atomic_numbers: Integer[Array, " atoms"],
    data: Frames,
    order: Integer[Array, " frames"],
    first: Integer[Array, ""],
    last: Integer[Array, ""],
    rate: Rate,
    weight: Float[Array, ""],
) -> tuple[State, Sums]:
    """Takes the optimiser's steps ``first`` to ``last`` − 1 of an epoch in one call.

    The number of steps is an argument, so that one compilation serves an epoch in any pieces;
    with ``first == last`` it compiles and does nothing.
    """

    def body(index: Array, carry: tuple[State, Sums]) -> tuple[State, Sums]:
        state, sums = carry
        chosen = jax.lax.dynamic_slice_in_dim(order, index * batch_size, batch_size)
        batch = jax.tree.map(lambda array: array[chosen], data)
        gradient, seen = jax.grad(
            lambda params: _errors(config, params, atomic_numbers, batch, weight), has_aux=True
        )(state.params)
        updates, optimiser = _adam.update(gradient, state.optimiser)
        scale = -rate.at(state.step).astype(jnp.float32)
        params = jax.tree.map(lambda p, u: p + scale * u, state.params, updates)
        return State(params, optimiser, state.step + 1), jax.tree.map(jnp.add, sums, seen)

    return jax.lax.fori_loop(first, last, body, (state, sums))


@functools.partial(jax.jit, static_argnames="config")
def validate(
    config: ModelConfig,
    params: Params,
    atomic_numbers: Integer[Array, " atoms"],
    data: Frames,
    weight: Float[Array, ""],
) -> Sums:
    """Sums of errors over a data set, without learning from it."""
    return _errors(config, params, atomic_numbers, data, weight)[1]
