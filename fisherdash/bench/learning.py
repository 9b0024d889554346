"""A training step against the tutorial's, and what a re-fit costs in epochs of training."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax

from fisherdash import fisher, train
from fisherdash.bench import ethanol
from fisherdash.bench.race import Result, compare_times, race
from fisherdash.train import loop
from fisherdash.train.step import Sums

BATCH, STEPS = 30, 5
FRAMES = 1000


def train_step() -> Result:
    """Adam on batches of 30 with forces: the tutorial calls E3x's modules once a step."""
    epoch = _epoch(BATCH * STEPS)
    data = ethanol.dataset(BATCH * STEPS)
    checkpoint = ethanol.checkpoint()
    optimiser = optax.adam(0.01)

    @jax.jit
    def step(params, state, x, energies, forces):
        def loss(params):
            body, head = params

            def total(x: jax.Array) -> tuple[jax.Array, jax.Array]:
                energies = ethanol.reference_energies(body, head, x)
                return -jnp.sum(energies), energies

            found, predicted = jax.grad(total, has_aux=True)(x)
            return optax.l2_loss(predicted, energies).mean() + optax.l2_loss(found, forces).mean()

        gradient = jax.grad(loss)(params)
        updates, state = optimiser.update(gradient, state, params)
        return optax.apply_updates(params, updates), state

    def peer() -> None:
        with ethanol.plain_jax():
            params = (checkpoint.body, checkpoint.head.astype(np.float32))
            state = optimiser.init(params)
            for first in range(0, len(data), BATCH):
                part = slice(first, first + BATCH)
                frames = (data.positions, data.energies, data.forces)
                batch = (array[part].astype(np.float32) for array in frames)
                params, state = step(params, state, *batch)
            jax.block_until_ready(params)

    return race(epoch, peer, work=STEPS, unit="steps/s", rounds=5)


def solve_forces() -> Result:
    """The sums of a re-fit from forces, in epochs of training on the same 1,000 frames."""
    return _solve(laplacian=False)


def solve_laplacian() -> Result:
    """The same with the Laplacians of all descriptors."""
    return _solve(laplacian=True)


def _solve(*, laplacian: bool) -> Result:
    checkpoint, data = ethanol.checkpoint(), ethanol.dataset(FRAMES)
    return compare_times(
        lambda: fisher.accumulate(checkpoint, data, laplacian=laplacian), _epoch(FRAMES), rounds=3
    )


def _epoch(frames: int):
    """A call that trains for one epoch, without the validation after it."""
    data = ethanol.dataset(frames)
    settings = dataclasses.replace(train.TrainSettings(), batch_size=BATCH)
    training = loop._Training(ethanol.CONFIG, data, data, settings, "benchmark", None)
    progress, order = training._start(resume=False), training._order(0)

    def run() -> None:
        sums = training._advance(progress, Sums.zero(), order, 0, training.steps)
        jax.block_until_ready(sums)

    return run
