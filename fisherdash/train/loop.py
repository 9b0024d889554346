"""The training loop: epochs on the device, one report each on the host.

Everything random derives from (seed, epoch), so a resumed training takes the same steps as one
that was never stopped. The host hands the device short pieces of an epoch, which keeps a
cancellation prompt without touching the data in between.
"""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fisherdash.checkpoint import Checkpoint
from fisherdash.dataset import Dataset
from fisherdash.errors import InputError
from fisherdash.model import MAX_ATOMIC_NUMBER, ModelConfig, init
from fisherdash.train.account import count_epoch, errors_of, report_of, status_after
from fisherdash.train.progress import Progress
from fisherdash.train.report import EpochReport, Status, checkpoint_of
from fisherdash.train.settings import TrainSettings
from fisherdash.train.step import (
    LEARNING_UNIT,
    Frames,
    Rate,
    State,
    Sums,
    advance,
    initial_state,
    validate,
)

_PIECE_SECONDS = 0.5


def train(
    config: ModelConfig,
    train_set: Dataset,
    valid_set: Dataset,
    settings: TrainSettings,
    *,
    name: str = "model",
    cancel: threading.Event | None = None,
    state_file: Path | None = None,
    resume: bool = False,
) -> Iterator[EpochReport]:
    """Trains a network; yields a report when compiling and after every epoch.

    Args:
        config: hyperparameters of the network.
        train_set: frames to learn from.
        valid_set: frames that choose the weights to keep; the same molecule.
        settings: of the optimiser.
        name: of the checkpoint.
        cancel: set it to stop; the last report then carries the best weights so far.
        state_file: where to keep what is needed to go on later, None for nowhere. It is removed
            when the training has ended by itself and its last report was taken in.
        resume: go on from ``state_file``; only the number of epochs may differ.

    Raises:
        InputError: if the two sets are different molecules, or there is nothing to resume.
    """
    return _Training(config, train_set, valid_set, settings, name, state_file).run(
        cancel or threading.Event(), resume
    )


def to_device(data: Dataset, mean_energy: float) -> Frames:
    """Frames in single precision and the learning unit, energies less ``mean_energy`` (eV)."""
    energies, forces = data.energies - mean_energy, data.forces
    arrays = data.positions, energies / LEARNING_UNIT, forces / LEARNING_UNIT
    return Frames(*(jnp.asarray(array, jnp.float32) for array in arrays))


def first_state(config: ModelConfig, seed: int) -> State:
    """Initial weights of a network and an optimiser that has seen nothing."""
    body, head = init(config, seed)
    params = {
        "body": body,
        "head": head.astype(np.float32),
        "element_bias": np.zeros(MAX_ATOMIC_NUMBER + 1, np.float32),
    }
    return initial_state(jax.tree.map(jnp.asarray, params))


def order_of(seed: int, epoch: int, frames: int) -> np.ndarray:
    """The order of the frames in an epoch."""
    return np.random.default_rng([seed, epoch]).permutation(frames)


class _Training:
    """One training: its data on the device and its progress."""

    def __init__(
        self,
        config: ModelConfig,
        train_set: Dataset,
        valid_set: Dataset,
        settings: TrainSettings,
        name: str,
        state_file: Path | None,
    ) -> None:
        if not np.array_equal(train_set.atomic_numbers, valid_set.atomic_numbers):
            raise InputError(
                f"training and validation frames must be of one molecule, received "
                f"{train_set.formula} and {valid_set.formula}"
            )
        self.config, self.settings, self.name, self.state_file = config, settings, name, state_file
        self.train_set, self.valid_set = train_set, valid_set
        self.mean_energy = float(train_set.energies.mean())
        self.atomic_numbers = jnp.asarray(train_set.atomic_numbers)
        self.train_frames = to_device(train_set, self.mean_energy)
        self.valid_frames = to_device(valid_set, self.mean_energy)
        self.force_rms = float(np.sqrt(np.mean(valid_set.forces**2)))
        self.batch_size = min(settings.batch_size, len(train_set))
        self.steps = len(train_set) // self.batch_size
        self.weight = jnp.float32(settings.forces_weight)
        steps = settings.epochs * self.steps
        self.rate = Rate.of(settings.schedule, settings.learning_rate, steps)
        self.average = jnp.float32(settings.average)
        self.clip = jnp.float64(settings.clip)
        self.radius = jnp.float32(settings.sharpness_radius) if settings.sharpness_radius else None
        self.compile_seconds = 0.0
        self.steps_per_piece = 1

    def run(self, cancel: threading.Event, resume: bool) -> Iterator[EpochReport]:
        progress = self._start(resume)
        yield self._report(progress, "compiling")
        self._compile(progress)
        status: Status = status_after(progress, self.settings) if progress.epoch else "running"
        while status == "running":
            started = time.perf_counter()
            sums = self._epoch(progress, cancel)
            if sums is None:
                status = "cancelled"
                break
            status = self._after_epoch(progress, sums, time.perf_counter() - started)
            self._keep(progress)
            if status == "running":
                yield self._report(progress, status)
        yield self._report(progress, status)
        # Only now: whoever took the last report has kept what it brought.
        if self.state_file is not None and status != "cancelled":
            self.state_file.unlink(missing_ok=True)

    def _fixed(self) -> dict[str, Any]:
        settings = {k: v for k, v in self.settings.to_json().items() if k != "epochs"}
        return {
            **self.config.to_json(),
            **settings,
            "training data": self.train_set.fingerprint,
            "validation data": self.valid_set.fingerprint,
        }

    def _start(self, resume: bool) -> Progress:
        state = first_state(self.config, self.settings.seed)
        fresh = Progress(state, jax.tree.map(jnp.copy, state.params))
        if not resume:
            return fresh
        if self.state_file is None:
            raise InputError("resuming needs the file in which the training was kept")
        return Progress.load(self.state_file, self._fixed(), fresh)

    def _keep(self, progress: Progress) -> None:
        if self.state_file is not None:
            progress.save(self.state_file, self._fixed())

    def _advance(
        self, progress: Progress, sums: Sums, order: jax.Array, first: int, last: int
    ) -> Sums:
        progress.state, sums = advance(
            self.config,
            self.batch_size,
            progress.state,
            sums,
            self.atomic_numbers,
            self.train_frames,
            order,
            jnp.asarray(first),
            jnp.asarray(last),
            self.rate,
            self.weight,
            self.average,
            self.clip,
            self.radius,
        )
        return sums

    def _validate(self, progress: Progress) -> dict[str, float]:
        return errors_of(
            validate(
                self.config,
                progress.state.average,
                self.atomic_numbers,
                self.valid_frames,
                self.weight,
            )
        )

    def _order(self, epoch: int) -> jax.Array:
        return jnp.asarray(order_of(self.settings.seed, epoch, len(self.train_set)))

    def _compile(self, progress: Progress) -> None:
        started = time.perf_counter()
        jax.block_until_ready(self._advance(progress, Sums.zero(), self._order(0), 0, 0))
        self._validate(progress)
        self.compile_seconds = time.perf_counter() - started

    def _epoch(self, progress: Progress, cancel: threading.Event) -> Sums | None:
        order, sums, done = self._order(progress.epoch), Sums.zero(), 0
        while done < self.steps:
            if cancel.is_set():
                return None
            until = min(done + self.steps_per_piece, self.steps)
            started = time.perf_counter()
            sums = jax.block_until_ready(self._advance(progress, sums, order, done, until))
            per_step = (time.perf_counter() - started) / (until - done)
            self.steps_per_piece = max(1, int(_PIECE_SECONDS / per_step))
            done = until
        return sums

    def _after_epoch(self, progress: Progress, sums: Sums, seconds: float) -> Status:
        rate = float(self.rate.at(progress.state.step))
        if count_epoch(progress, sums, self._validate(progress), rate, seconds):
            # The state's buffers are donated to the next step: keep a copy.
            progress.best = jax.tree.map(jnp.copy, progress.state.average)
        return status_after(progress, self.settings)

    def _report(self, progress: Progress, status: Status) -> EpochReport:
        return report_of(
            progress,
            self.settings,
            status,
            compile_seconds=self.compile_seconds,
            force_rms=self.force_rms,
            checkpoint=self._kept(progress),
        )

    def _kept(self, progress: Progress) -> Checkpoint | None:
        if not progress.best_epoch:
            return None
        return checkpoint_of(
            progress, self.config, self.settings, self.name, self.train_set, len(self.valid_set)
        )
