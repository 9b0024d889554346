"""The training loop: epochs on the device, one report each on the host.

Everything random derives from (seed, epoch), so a resumed training takes the same steps as one
that was never stopped. The host hands the device short pieces of an epoch, which keeps a
cancellation prompt without touching the data in between.

Going on with a training from what its folder says, without the page or command that began it.

Several trainings of one shape at once: populations, and what chance alone does to a training.

The weights of all members are stacked along a first axis and every step is taken for all of them in
one compiled call, so a device that one small network leaves idle is filled. Each member has its own
data, seed and schedule and takes the steps that :func:`fisherdash.train.train` would take with them
(up to the rounding of sums that a batched product may order differently).
"""

import dataclasses
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fisherdash.dataset import Dataset
from fisherdash.errors import InputError
from fisherdash.potentials.checkpoint import Checkpoint
from fisherdash.potentials.families import trainable
from fisherdash.potentials.form import SHARED
from fisherdash.settings import MAX_ATOMIC_NUMBER, ModelConfig, TrainSettings
from fisherdash.train.progress import (
    EpochReport,
    Progress,
    Status,
    checkpoint_of,
    count_epoch,
    errors_of,
    report_of,
    status_after,
)
from fisherdash.train.step import (
    LEARNING_UNIT,
    Frames,
    Rate,
    State,
    Sums,
    advance,
    advance_together,
    initial_state,
    validate,
    validate_together,
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
    """Initial weights of a network and an optimiser that has seen nothing.

    The head is zero, so that an untrained network predicts the mean energy.
    """
    potential = trainable(config)
    params = {
        "body": potential.init(seed),
        "head": np.zeros(SHARED.size(potential.num_features), np.float32),
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


def resume(
    header: Any,
    train_set: Dataset,
    valid_set: Dataset,
    state_file: Path,
    *,
    cancel: threading.Event | None = None,
) -> Iterator[EpochReport]:
    """The rest of a training, bit for bit as if it had never stopped (on the same kind of device).

    Args:
        header: of the training: ``config`` and ``settings`` as JSON, and its ``name``.
        train_set: frames to learn from.
        valid_set: frames that choose the weights to keep.
        state_file: where the training keeps its state; begun anew if there is none yet.
        cancel: set it to stop; the last report then carries the best weights so far.

    Raises:
        InputError: settings that this program does not know, or a state of another training.
    """
    return train(
        ModelConfig.from_json(header.config),
        train_set,
        valid_set,
        TrainSettings.from_json(header.settings),
        name=header.name,
        cancel=cancel,
        state_file=state_file,
        resume=state_file.exists(),
    )


_REPORT_SECONDS = 0.5


@dataclasses.dataclass(frozen=True, eq=False)
class Trainee:
    """One member of a joint training; arguments as those of :func:`fisherdash.train.train`."""

    train_set: Dataset
    valid_set: Dataset
    settings: TrainSettings
    name: str

    @property
    def shape(self) -> tuple[Any, ...]:
        """What members of one joint training have in common."""
        settings = self.settings
        return (
            tuple(self.train_set.atomic_numbers),
            len(self.train_set),
            len(self.valid_set),
            min(settings.batch_size, len(self.train_set)),
            settings.epochs,
            settings.sharpness_radius > 0,
        )


def train_together(
    config: ModelConfig,
    trainees: Sequence[Trainee],
    *,
    cancel: threading.Event | None = None,
) -> Iterator[tuple[EpochReport, ...]]:
    """Trains networks of one configuration side by side.

    Args:
        config: of every network.
        trainees: equal in molecule, numbers of frames, batch size and epochs.
        cancel: set it to stop.

    Yields:
        One report for each member, at most twice a second and at the end; only the last reports
        carry checkpoints. A member that diverged or stopped early keeps its last report.

    Raises:
        InputError: if the members differ in shape.
    """
    if len({trainee.shape for trainee in trainees}) != 1:
        raise InputError(
            "networks are trained together when molecule, numbers of frames, batch size and epochs "
            f"agree; received {sorted({str(trainee.shape[1:]) for trainee in trainees})}"
        )
    return _Cohort(config, trainees).run(cancel or threading.Event())


class _Cohort:
    """Stacked data and weights of the members, and the progress of each."""

    def __init__(self, config: ModelConfig, trainees: Sequence[Trainee]) -> None:
        self.config, self.trainees = config, trainees
        first = trainees[0]
        self.atomic_numbers = jnp.asarray(first.train_set.atomic_numbers)
        means = [float(trainee.train_set.energies.mean()) for trainee in trainees]
        self.train_frames, self.valid_frames = (
            _stack(
                [to_device(getattr(t, name), mean) for t, mean in zip(trainees, means, strict=True)]
            )
            for name in ("train_set", "valid_set")
        )
        self.batch_size = min(first.settings.batch_size, len(first.train_set))
        self.steps = len(first.train_set) // self.batch_size
        total = first.settings.epochs * self.steps
        chosen = [trainee.settings for trainee in trainees]
        self.rate = _stack([Rate.of(s.schedule, s.learning_rate, total) for s in chosen])
        self.weight = jnp.array([s.forces_weight for s in chosen], jnp.float32)
        self.average = jnp.array([s.average for s in chosen], jnp.float32)
        self.clip = jnp.array([s.clip for s in chosen], jnp.float64)
        self.radius = None
        if first.settings.sharpness_radius:
            self.radius = jnp.array([s.sharpness_radius for s in chosen], jnp.float32)
        self.state: State = _stack([first_state(config, s.seed) for s in chosen])
        self.best = jax.tree.map(jnp.copy, self.state.params)
        # Weights and optimiser are stacked above; each progress keeps the numbers.
        self.progress = [Progress(None, None) for _ in trainees]  # pyright: ignore[reportArgumentType]
        self.status: list[Status] = ["running"] * len(trainees)
        self.compile_seconds = 0.0

    def run(self, cancel: threading.Event) -> Iterator[tuple[EpochReport, ...]]:
        self.status = ["compiling"] * len(self.trainees)
        yield self._reports()
        started = time.perf_counter()
        jax.block_until_ready(self._epoch(0, 0))
        self.compile_seconds = time.perf_counter() - started
        self.status = ["running"] * len(self.trainees)
        told = time.perf_counter()
        for epoch in range(self.trainees[0].settings.epochs):
            if cancel.is_set() or "running" not in self.status:
                break
            started = time.perf_counter()
            self._count(*self._epoch(epoch, self.steps), started)
            if time.perf_counter() - told > _REPORT_SECONDS:
                told = time.perf_counter()
                yield self._reports()
        self.status = ["cancelled" if s == "running" else s for s in self.status]
        yield self._reports(checkpoints=True)

    def _epoch(self, epoch: int, steps: int) -> tuple[Sums, Sums]:
        frames = len(self.trainees[0].train_set)
        orders = [order_of(t.settings.seed, epoch, frames) for t in self.trainees]
        zeros = _stack([Sums.zero()] * len(self.trainees))
        self.state, sums = advance_together(
            self.config,
            self.batch_size,
            self.state,
            zeros,
            self.atomic_numbers,
            self.train_frames,
            jnp.asarray(np.stack(orders)),
            jnp.asarray(0),
            jnp.asarray(steps),
            self.rate,
            self.weight,
            self.average,
            self.clip,
            self.radius,
        )
        valid = validate_together(
            self.config, self.state.average, self.atomic_numbers, self.valid_frames, self.weight
        )
        return sums, valid

    def _count(self, sums: Sums, valid: Sums, started: float) -> None:
        sums, valid = jax.device_get((sums, valid))
        rates = np.asarray(jax.vmap(Rate.at)(self.rate, self.state.step))
        share = (time.perf_counter() - started) / len(self.trainees)
        improved = np.zeros(len(self.trainees), bool)
        for index, (progress, trainee) in enumerate(zip(self.progress, self.trainees, strict=True)):
            if self.status[index] != "running":
                continue
            seen, unseen = (Sums(*(leaf[index] for leaf in part)) for part in (sums, valid))
            improved[index] = count_epoch(
                progress, seen, errors_of(unseen), float(rates[index]), share
            )
            self.status[index] = status_after(progress, trainee.settings)
        if improved.any():
            self.best = _keep(self.best, self.state.average, jnp.asarray(improved))

    def _reports(self, checkpoints: bool = False) -> tuple[EpochReport, ...]:
        best = jax.device_get(self.best) if checkpoints else None
        found = []
        for index, (progress, trainee) in enumerate(zip(self.progress, self.trainees, strict=True)):
            checkpoint = None
            if checkpoints and progress.best_epoch:
                progress.best = jax.tree.map(lambda leaf, i=index: leaf[i], best)
                checkpoint = checkpoint_of(
                    progress,
                    self.config,
                    trainee.settings,
                    trainee.name,
                    trainee.train_set,
                    len(trainee.valid_set),
                )
            found.append(
                report_of(
                    progress,
                    trainee.settings,
                    self.status[index],
                    self.compile_seconds,
                    checkpoint,
                )
            )
        return tuple(found)


@jax.jit
def _keep(best: Any, average: Any, improved: jax.Array) -> Any:
    """The new weights of the members that improved."""

    def choose(old: jax.Array, new: jax.Array) -> jax.Array:
        return jnp.where(jnp.reshape(improved, (-1,) + (1,) * (old.ndim - 1)), new, old)

    return jax.tree.map(choose, best, average)


def _stack(trees: Sequence[Any]) -> Any:
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)
