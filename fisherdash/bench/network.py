"""Forces against E3x's own modules, a training step against the tutorial's, re-fits, and starts.

Forces: same weights, same frames, both compiled, both in single precision and in reverse mode.
Calls follow one another, as in dynamics: the first call after the other's turn finds caches and
memory as the other left them and takes up to twice as long.
"""

import dataclasses
import functools
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from fisherdash import fisher, train
from fisherdash.bench import Result, compare_times, inputs, race, seconds
from fisherdash.dataset import save
from fisherdash.potentials import checkpoint
from fisherdash.potentials.head import SHARED, Head, energy_and_forces, together
from fisherdash.train import loop
from fisherdash.train.step import Sums

LARGE_CALLS = 30
_RELATIVE = 1e-4
"""Largest difference of the forces, single precision against single precision."""


def batch64() -> Result:
    """64 molecules a call, call after call."""
    return _against_e3x(64, calls=8)


def single() -> Result:
    """One molecule, as a calculator is asked."""
    return _against_e3x(1, calls=200)


def large() -> Result:
    """A cluster of 22 molecules, 198 atoms: a list of neighbours against all pairs of atoms."""
    x, numbers = inputs.cluster(1, 22), np.tile(inputs.NUMBERS, 22)
    of_all_pairs = functools.partial(together, neighbours=None)
    ours, all_pairs = (_ours(f, x, numbers, LARGE_CALLS) for f in (energy_and_forces, of_all_pairs))
    return _race(ours, all_pairs, work=LARGE_CALLS)


def _against_e3x(frames: int, calls: int) -> Result:
    x = inputs.positions(frames)
    body, head, on_device = _on_device(x)

    def peer() -> np.ndarray:
        """So many calls of E3x's modules; returns the forces."""
        with inputs.plain_jax():
            for _ in range(calls):
                _, forces = inputs.reference_forces(body, head, on_device)
                jax.block_until_ready(forces)
        return np.asarray(forces)

    ours = _ours(energy_and_forces, x, inputs.NUMBERS, calls)
    return _race(ours, peer, work=frames * calls)


def _ours(
    function: Callable[..., Any], x: np.ndarray, numbers: np.ndarray, calls: int
) -> Callable[[], np.ndarray]:
    """So many calls, one after the other; returns the forces."""
    body, head, on_device = _on_device(x)
    compiled, elements = jax.jit(function, static_argnums=(0, 1)), jnp.asarray(numbers)
    potential = inputs.checkpoint().potential

    def call() -> np.ndarray:
        """So many calls of ours; returns the forces."""
        for _ in range(calls):
            _, forces = compiled(potential, SHARED, body, Head(head), elements, on_device)
            jax.block_until_ready(forces)
        return np.asarray(forces)

    return call


def _on_device(x: np.ndarray) -> tuple[Any, jax.Array, jax.Array]:
    checkpoint = inputs.checkpoint()
    single = checkpoint.head.astype(np.float32), x.astype(np.float32)
    return jax.device_put((checkpoint.body, *single))


def _race(ours: Callable[[], np.ndarray], peer: Callable[[], np.ndarray], work: int) -> Result:
    reference = peer()
    gap = float(np.abs(ours() - reference).max())
    if not (reference.dtype == np.float32 and gap < _RELATIVE * np.abs(reference).max()):
        raise RuntimeError(f"the two disagree by {gap} eV/Å: nothing to compare")
    return race(ours, peer, work=work, unit="frames/s")


BATCH, STEPS = 30, 5
FRAMES = 1000


def train_step() -> Result:
    """Adam on batches of 30 with forces: the tutorial calls E3x's modules once a step."""
    epoch = _epoch(BATCH * STEPS)
    data = inputs.dataset(BATCH * STEPS)
    checkpoint = inputs.checkpoint()
    optimiser = optax.adam(0.01)

    @jax.jit
    def step(params, state, x, energies, forces):
        """The tutorial's step of Adam."""

        def loss(params):
            """Of a batch: energies and forces."""
            body, head = params

            def total(x: jax.Array) -> tuple[jax.Array, jax.Array]:
                """Minus the sum of the energies, whose slope are the forces."""
                energies = inputs.reference_energies(body, head, x)
                return -jnp.sum(energies), energies

            found, predicted = jax.grad(total, has_aux=True)(x)
            return optax.l2_loss(predicted, energies).mean() + optax.l2_loss(found, forces).mean()

        gradient = jax.grad(loss)(params)
        updates, state = optimiser.update(gradient, state, params)
        return optax.apply_updates(params, updates), state

    def peer() -> None:
        """An epoch of the tutorial's steps."""
        with inputs.plain_jax():
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


def solve_quadratic() -> Result:
    """A whole re-fit of a quadratic head with the noise metric, its checks and errors too."""
    options = fisher.Options(head="quadratic", metric="noise", test_boltzmann=False)
    data = dataclasses.replace(inputs.dataset(FRAMES), temperature=300.0)
    return compare_times(
        lambda: fisher.solve(inputs.checkpoint(), data, options), _epoch(FRAMES), rounds=3
    )


def _solve(*, laplacian: bool) -> Result:
    checkpoint, data = inputs.checkpoint(), inputs.dataset(FRAMES)
    return compare_times(
        lambda: fisher.accumulate(checkpoint, data, laplacian=laplacian), _epoch(FRAMES), rounds=3
    )


def _epoch(frames: int):
    """A call that trains for one epoch, without the validation after it."""
    data = inputs.dataset(frames)
    settings = dataclasses.replace(train.TrainSettings(), batch_size=BATCH)
    training = loop.Training(inputs.CONFIG, [train.Trainee(data, data, settings)])
    order = training.order()

    def run() -> None:
        """An epoch of ours, waited for."""
        jax.block_until_ready(training.advance(Sums.zero(1), order, 0, training.steps))

    return run


def warm_start() -> Result:
    """Seconds that ``fisherdash simulate --steps 1`` takes without and with compiled programs.

    ``ours`` is the second start, ``peer`` the first; both include Python's own start, imports,
    reading model and data, and writing the run.
    """
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        checkpoint.save(inputs.checkpoint(), place / "model.safetensors")
        save(inputs.dataset(40), place / "data.npz")
        environment = {**os.environ, "JAX_COMPILATION_CACHE_DIR": str(place / "cache")}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)  # a second start finds bytecode, too

        def run(name: str) -> None:
            """One start of the program, its run in the folder of this name."""
            words = "simulate model.safetensors --data data.npz --steps 1 --replicas 32 --json"
            subprocess.run(
                [sys.executable, "-m", "fisherdash", *words.split(), "--out", name],
                cwd=place,
                env=environment,
                stdout=subprocess.DEVNULL,
                check=True,
            )

        first = seconds(lambda: run("first"))
        second = min(seconds(lambda name=name: run(name)) for name in ("second", "third"))
    return Result(ours=second, peer=first, ratio=first / second, unit="s")
