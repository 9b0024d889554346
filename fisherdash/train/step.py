"""The optimiser's step and the sums over an epoch, compiled once for a shape of network and data.

Everything works on several trainings of one shape ("members"), stacked along a first axis; one
training is one member. Loss of a batch, as in the E3x tutorial: mean of ½(U − U_ref)² plus the
forces' weight times the mean of ½(F − F_ref)² over atoms and directions, minimised by Adam.

The network learns in kcal/mol, whatever the units outside. A step of Adam has the size of the
learning rate, however small the numbers are that the weights have to make: in eV the head would be
23 times smaller and the same rate would shake it 23 times more.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Integer

from fisherdash.potentials.checkpoint import trainable
from fisherdash.potentials.head import SHARED, Head, energy_and_forces
from fisherdash.settings import ModelConfig, TrainSettings
from fisherdash.units import KCAL_PER_MOL

LEARNING_UNIT = KCAL_PER_MOL
"""Unit of energy in which the network learns, in eV."""

Params = dict[str, Any]
"""{"body": …, "head": (features,), "element_bias": (119,)}, float32, in the learning unit."""


class Frames(NamedTuple):
    """Data on the device, single precision, learning unit and Å; energies less their mean."""

    positions: Float[Any, "frames atoms 3"]
    energies: Float[Any, " frames"]
    forces: Float[Any, "frames atoms 3"]


class State(NamedTuple):
    """What the next step needs, and the exponential moving average of the weights, which is kept.

    ``gradient_norm`` is the usual length of a gradient, an exponential moving average over steps.
    """

    params: Params
    average: Params
    optimiser: optax.OptState
    gradient_norm: Float[Any, ""]
    step: Integer[Any, ""]


class Sums(NamedTuple):
    """Sums over the frames seen, for means afterwards: frames, loss and errors."""

    frames: Float[Any, "*members"]
    loss: Float[Any, "*members"]
    force_squared: Float[Any, "*members"]
    force_absolute: Float[Any, "*members"]
    energy_squared: Float[Any, "*members"]

    @classmethod
    def zero(cls, members: int) -> "Sums":
        """Nothing seen yet."""
        return cls(*(jnp.zeros(members, jnp.float64) for _ in cls._fields))


class Rate(NamedTuple):
    """Learning rate over a training of ``steps`` steps; fractions are of these.

    It climbs in a line for the fraction ``climb``, is at its ``peak`` until the fraction ``hold``,
    and falls from there on a cosine to ``floor`` times its peak.
    """

    peak: Float[Any, ""]
    steps: Float[Any, ""]
    climb: Float[Any, ""]
    hold: Float[Any, ""]
    floor: Float[Any, ""]

    @classmethod
    def of(cls, schedule: str, peak: float, steps: int) -> "Rate":
        """The rate of a schedule by name, see :class:`fisherdash.train.TrainSettings`."""
        climb, hold, floor = {
            "anneal": (0.0, 0.6, 0.01),
            "cosine": (0.01, 0.01, 0.001),
            "constant": (0.0, 0.0, 1.0),
        }[schedule]
        return cls(*(np.float64(value) for value in (peak, steps, climb, hold, floor)))

    def at(self, step: Integer[Array, ""]) -> Float[Array, ""]:
        """The rate of one step."""
        rise = jnp.clip((step + 1) / jnp.maximum(self.climb * self.steps, 1.0), 0.0, 1.0)
        done = jnp.clip((step / self.steps - self.hold) / (1 - self.hold), 0.0, 1.0)
        shape = self.floor + (1 - self.floor) * 0.5 * (1 + jnp.cos(jnp.pi * done))
        return self.peak * rise * shape


class Hyperparameters(NamedTuple):
    """Numbers that a training does not change: arguments, so that other values compile nothing.

    ``average`` is the decay of the exponential moving average of the weights, less in the first
    steps so that the initial weights are soon forgotten. ``clip`` is for gradient clipping: the
    longest gradient in usual lengths, 0 for no limit. With a ``radius`` the gradient is taken where
    a step of that length uphill leads (sharpness-aware minimisation, P. Foret et al., ICLR 2021),
    at the price of a second gradient; the summed errors are those of the weights themselves.
    """

    rate: Rate
    forces_weight: Float[Any, "*members"]
    average: Float[Any, "*members"]
    clip: Float[Any, "*members"]
    radius: Float[Any, "*members"] | None

    @classmethod
    def of(cls, settings: TrainSettings, steps: int) -> "Hyperparameters":
        """Those of a training of ``steps`` steps."""
        radius = settings.sharpness_radius
        return cls(
            Rate.of(settings.schedule, settings.learning_rate, steps),
            np.float32(settings.forces_weight),
            np.float32(settings.average),
            np.float64(settings.clip),
            np.float32(radius) if radius else None,
        )


_NORM_SHARE = 0.01
"""Share of the usual length of a gradient that every step replaces."""

_adam = optax.scale_by_adam()


def initial_state(params: Params) -> State:
    """Parameters of one training before its first step, on the host."""
    state = State(params, params, _adam.init(params), jnp.zeros(()), jnp.zeros((), jnp.int64))
    return jax.tree.map(np.asarray, state)


def _errors(
    config: ModelConfig, params: Params, atomic_numbers: Array, batch: Frames, weight: Array
) -> tuple[Array, Sums]:
    body, head = params["body"], Head(params["head"])
    energies, forces = energy_and_forces(
        trainable(config), SHARED, body, head, atomic_numbers, batch.positions
    )
    energies = energies + jnp.sum(params["element_bias"][atomic_numbers])
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
    """Gradient clipping to ``clip`` times the usual length, and the new usual length.

    A clipped gradient enters the average with its clipped length, so that the limit can rise where
    gradients have grown for good, by a factor e in about 100 / (clip − 1) steps.
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


@functools.partial(
    jax.jit, static_argnames=("config", "batch_size"), donate_argnames=("state", "sums")
)
def advance(
    config: ModelConfig,
    batch_size: int,
    state: State,
    sums: Sums,
    atomic_numbers: Integer[Array, " atoms"],
    data: Frames,
    order: Integer[Array, "members frames"],
    first: Integer[Array, ""],
    last: Integer[Array, ""],
    hyper: Hyperparameters,
) -> tuple[State, Sums]:
    """Takes the optimiser's steps ``first`` to ``last`` − 1 of an epoch of every member.

    The number of steps is an argument, so that one compilation serves an epoch in any pieces;
    with ``first == last`` it compiles and does nothing.
    """

    def steps(
        state: State, sums: Sums, data: Frames, order: Array, hyper: Hyperparameters
    ) -> tuple[State, Sums]:
        """The steps of one member."""

        def slope(params: Params, batch: Frames) -> tuple[Params, Sums]:
            """Gradient of the loss of a batch, and the batch's sums."""
            return jax.grad(
                lambda params: _errors(config, params, atomic_numbers, batch, hyper.forces_weight),
                has_aux=True,
            )(params)

        def step(index: Array, carry: tuple[State, Sums]) -> tuple[State, Sums]:
            """One batch."""
            state, sums = carry
            chosen = jax.lax.dynamic_slice_in_dim(order, index * batch_size, batch_size)
            batch = jax.tree.map(lambda array: array[chosen], data)
            gradient, seen = slope(state.params, batch)
            if hyper.radius is not None:
                gradient, _ = slope(_uphill(state.params, gradient, hyper.radius), batch)
            return _updated(state, gradient, hyper), jax.tree.map(jnp.add, sums, seen)

        return jax.lax.fori_loop(first, last, step, (state, sums))

    return _each(steps, state, sums, data, order, hyper)


@functools.partial(jax.jit, static_argnames="config")
def validate(
    config: ModelConfig,
    params: Params,
    atomic_numbers: Integer[Array, " atoms"],
    data: Frames,
    forces_weight: Float[Array, " members"],
) -> Sums:
    """Sums of errors over every member's data, without learning from them."""

    def sums(params: Params, data: Frames, weight: Array) -> Sums:
        """Those of one member."""
        return _errors(config, params, atomic_numbers, data, weight)[1]

    return _each(sums, params, data, forces_weight)


def _updated(state: State, gradient: Params, hyper: Hyperparameters) -> State:
    """The state after a step of Adam along a gradient."""
    gradient, norm = _limited(gradient, state.gradient_norm, hyper.clip)
    updates, optimiser = _adam.update(gradient, state.optimiser)
    scale = -hyper.rate.at(state.step).astype(jnp.float32)
    params = jax.tree.map(lambda p, u: p + scale * u, state.params, updates)
    replaced = jnp.maximum(1 - hyper.average, 1 / (1.0 + state.step)).astype(jnp.float32)
    average = jax.tree.map(lambda a, p: a + replaced * (p - a), state.average, params)
    return State(params, average, optimiser, norm, state.step + 1)


def _each(function: Any, *stacked: Any) -> Any:
    """``function`` of every member: all at once, or, on a CPU, one after the other in one call.

    A CPU is busy with one network: side by side, four small ones took half as long again, because
    a product of many small matrices is slower than many products of one. A mapped axis of length
    one would only cost speed.
    """
    if len(jax.tree.leaves(stacked)[0]) == 1:
        found = function(*jax.tree.map(lambda leaf: jnp.squeeze(leaf, 0), stacked))
        return jax.tree.map(lambda leaf: leaf[None], found)
    if jax.default_backend() == "cpu":
        return jax.lax.map(lambda members: function(*members), stacked)
    return jax.vmap(function)(*stacked)
