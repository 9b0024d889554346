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

from fisherdash.potentials.families import trainable
from fisherdash.potentials.form import SHARED
from fisherdash.potentials.head import Head, energy_and_forces
from fisherdash.settings import ModelConfig
from fisherdash.units import KCAL_PER_MOL

LEARNING_UNIT = KCAL_PER_MOL
"""Unit of energy in which the network learns, in eV."""

Params = dict[str, Any]
"""{"body": …, "head": (features,), "element_bias": (119,)}, float32, in the learning unit."""


class Frames(NamedTuple):
    """Data on the device, single precision, learning unit and Å; energies less their mean."""

    positions: Float[Array, "frames atoms 3"]
    energies: Float[Array, " frames"]
    forces: Float[Array, "frames atoms 3"]


class State(NamedTuple):
    """What the next step needs, and the moving average of the weights, which is what is kept.

    ``gradient_norm`` is the usual length of a gradient, a moving average over the steps.
    """

    params: Params
    average: Params
    optimiser: optax.OptState
    gradient_norm: Float[Array, ""]
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
    """Learning rate over a training of ``steps`` steps; fractions are of these.

    It climbs in a line for the fraction ``climb``, is at its ``peak`` until the fraction ``hold``,
    and falls from there on a cosine to ``floor`` times its peak.
    """

    peak: Float[Array, ""]
    steps: Float[Array, ""]
    climb: Float[Array, ""]
    hold: Float[Array, ""]
    floor: Float[Array, ""]

    @classmethod
    def of(cls, schedule: str, peak: float, steps: int) -> "Rate":
        """The rate of a schedule by name, see :class:`fisherdash.train.TrainSettings`."""
        climb, hold, floor = {
            "anneal": (0.0, 0.6, 0.01),
            "cosine": (0.01, 0.01, 0.001),
            "constant": (0.0, 0.0, 1.0),
        }[schedule]
        return cls(*(jnp.float64(value) for value in (peak, steps, climb, hold, floor)))

    def at(self, step: Integer[Array, ""]) -> Float[Array, ""]:
        """The rate of one step."""
        rise = jnp.clip((step + 1) / jnp.maximum(self.climb * self.steps, 1.0), 0.0, 1.0)
        done = jnp.clip((step / self.steps - self.hold) / (1 - self.hold), 0.0, 1.0)
        shape = self.floor + (1 - self.floor) * 0.5 * (1 + jnp.cos(jnp.pi * done))
        return self.peak * rise * shape


_NORM_SHARE = 0.01
"""Share of the usual length of a gradient that every step replaces."""

_adam = optax.scale_by_adam()


def initial_state(params: Params) -> State:
    """Parameters before the first step."""
    average = jax.tree.map(jnp.copy, params)
    return State(params, average, _adam.init(params), jnp.zeros(()), jnp.zeros((), jnp.int64))


def _predict(
    config: ModelConfig, params: Params, atomic_numbers: Array, positions: Array
) -> tuple[Array, Array]:
    body, head = params["body"], Head(params["head"])
    energies, forces = energy_and_forces(
        trainable(config), SHARED, body, head, atomic_numbers, positions
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


def _limited(gradient: Params, usual: Array, clip: Array) -> tuple[Params, Array]:
    """The gradient, no longer than ``clip`` times the usual length, and the new usual length.

    What a limited gradient adds to the average is its limited length, so that the limit can rise
    where gradients have grown for good, by a factor e in about 100 / (clip − 1) steps.
    """
    length = optax.tree.norm(gradient).astype(jnp.float64)
    known = jnp.where(usual > 0, usual, length)
    limit = jnp.where(clip > 0, clip * known, jnp.inf)
    scale = jnp.where(length > limit, limit / length, 1.0)
    norm = known + _NORM_SHARE * (scale * length - known)
    return jax.tree.map(lambda leaf: leaf * scale.astype(leaf.dtype), gradient), norm


def _uphill(params: Params, gradient: Params, radius: Array) -> Params:
    """The weights a step of length ``radius`` up the gradient away."""
    scale = radius / jnp.maximum(optax.tree.norm(gradient), 1e-12)
    return jax.tree.map(lambda p, g: p + (scale * g).astype(p.dtype), params, gradient)


def _advance(
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
    keep: Float[Array, ""],
    clip: Float[Array, ""],
    radius: Float[Array, ""] | None,
) -> tuple[State, Sums]:
    """Takes the optimiser's steps ``first`` to ``last`` − 1 of an epoch in one call.

    The number of steps is an argument, so that one compilation serves an epoch in any pieces;
    with ``first == last`` it compiles and does nothing. ``keep`` is the share of the moving average
    that a step leaves, less in the first steps so that the initial weights are soon forgotten.
    ``clip`` limits a gradient to so many times its usual length, 0 for no limit. With a ``radius``
    the gradient is taken where a step of that length uphill leads (sharpness-aware minimisation,
    P. Foret et al., ICLR 2021), at the price of a second gradient; the errors that are summed are
    those of the weights themselves.
    """

    def body(index: Array, carry: tuple[State, Sums]) -> tuple[State, Sums]:
        state, sums = carry
        chosen = jax.lax.dynamic_slice_in_dim(order, index * batch_size, batch_size)
        batch = jax.tree.map(lambda array: array[chosen], data)

        def slope(params: Params) -> tuple[Params, Sums]:
            return jax.grad(
                lambda params: _errors(config, params, atomic_numbers, batch, weight), has_aux=True
            )(params)

        gradient, seen = slope(state.params)
        if radius is not None:
            gradient, _ = slope(_uphill(state.params, gradient, radius))
        gradient, norm = _limited(gradient, state.gradient_norm, clip)
        updates, optimiser = _adam.update(gradient, state.optimiser)
        scale = -rate.at(state.step).astype(jnp.float32)
        params = jax.tree.map(lambda p, u: p + scale * u, state.params, updates)
        replaced = jnp.maximum(1 - keep, 1 / (1.0 + state.step)).astype(jnp.float32)
        average = jax.tree.map(lambda a, p: a + replaced * (p - a), state.average, params)
        moved = State(params, average, optimiser, norm, state.step + 1)
        return moved, jax.tree.map(jnp.add, sums, seen)

    return jax.lax.fori_loop(first, last, body, (state, sums))


def _validate(
    config: ModelConfig,
    params: Params,
    atomic_numbers: Integer[Array, " atoms"],
    data: Frames,
    weight: Float[Array, ""],
) -> Sums:
    """Sums of errors over a data set, without learning from it."""
    return _errors(config, params, atomic_numbers, data, weight)[1]


_STATIC = ("config", "batch_size")
advance = jax.jit(_advance, static_argnames=_STATIC, donate_argnums=(2, 3))
validate = jax.jit(_validate, static_argnames="config")


@functools.partial(jax.jit, static_argnames=_STATIC, donate_argnums=(2, 3))
def advance_together(
    config: ModelConfig,
    batch_size: int,
    state: State,
    sums: Sums,
    atomic_numbers: Integer[Array, " atoms"],
    data: Frames,
    order: Integer[Array, "members frames"],
    first: Integer[Array, ""],
    last: Integer[Array, ""],
    *rest: Any,
) -> tuple[State, Sums]:
    """:func:`advance` of several trainings of one shape at once, stacked along a first axis."""

    def one(state: State, sums: Sums, data: Frames, order: Array, *rest: Any) -> Any:
        return _advance(
            config, batch_size, state, sums, atomic_numbers, data, order, first, last, *rest
        )

    return _each(one, state, sums, data, order, *rest)


@functools.partial(jax.jit, static_argnames="config")
def validate_together(
    config: ModelConfig,
    params: Params,
    atomic_numbers: Integer[Array, " atoms"],
    data: Frames,
    weight: Float[Array, " members"],
) -> Sums:
    """:func:`validate` of several trainings at once."""

    def one(params: Params, data: Frames, weight: Array) -> Sums:
        return _validate(config, params, atomic_numbers, data, weight)

    return _each(one, params, data, weight)


def _each(function: Any, *stacked: Any) -> Any:
    """``function`` of every member: all at once, or, on a CPU, one after the other in one call.

    A CPU is busy with one network: side by side, four small ones took half as long again, because
    a product of many small matrices is slower than many products of one.
    """
    if jax.default_backend() == "cpu":
        return jax.lax.map(lambda members: function(*members), stacked)
    return jax.vmap(function)(*stacked)
