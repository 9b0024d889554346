"""Several trainings of one shape at once: populations, and what chance alone does to a training.

The weights of all members are stacked along a first axis and every step is taken for all of them in
one compiled call, so a device that one small network leaves idle is filled. Each member has its own
data, seed and schedule and takes the steps that :func:`fisherdash.train.train` would take with them
(up to the rounding of sums that a batched product may order differently).
"""

import dataclasses
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fisherdash.dataset import Dataset
from fisherdash.errors import InputError
from fisherdash.model import ModelConfig
from fisherdash.train.account import count_epoch, errors_of, report_of, status_after
from fisherdash.train.loop import first_state, order_of, to_device
from fisherdash.train.progress import Progress
from fisherdash.train.report import EpochReport, Status, checkpoint_of
from fisherdash.train.settings import TrainSettings
from fisherdash.train.step import Rate, State, Sums, advance_together, validate_together

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
