"""Training of one network or of several of one shape side by side.

The weights of all members are stacked along a first axis and every step is taken for all of them in
one compiled call, so a device that one small network leaves idle is filled. Each member has its own
data, seed and schedule and takes the steps that it would take alone (up to the rounding of sums
that a batched product may order differently).

Everything random derives from (seed, epoch), so a resumed training takes the same steps as one that
was never stopped. Each compiled call takes the steps of about half a second, which may be a part of
an epoch, so that a cancellation is prompt.
"""

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
from fisherdash.potentials.checkpoint import trainable
from fisherdash.potentials.head import SHARED
from fisherdash.settings import MAX_ATOMIC_NUMBER, ModelConfig, TrainSettings
from fisherdash.train.progress import EpochReport, Progress, Trainee
from fisherdash.train.step import (
    LEARNING_UNIT,
    Frames,
    Hyperparameters,
    State,
    Sums,
    advance,
    initial_state,
    validate,
)

_CALL_SECONDS = 0.5
"""How long one compiled call should take."""


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
            when the training has ended by itself and the caller asks for more than its last report.
        resume: go on from ``state_file``; only the number of epochs may differ.

    Raises:
        InputError: if the two sets are different molecules, or there is nothing to resume.
    """
    trainee = Trainee(train_set, valid_set, settings, name, state_file)
    options = {"cancel": cancel, "resume": resume, "report_seconds": 0.0}
    reports = train_together(config, [trainee], **options)
    return (report for (report,) in reports)


def train_together(
    config: ModelConfig,
    trainees: Sequence[Trainee],
    *,
    cancel: threading.Event | None = None,
    resume: bool = False,
    report_seconds: float = 0.5,
) -> Iterator[tuple[EpochReport, ...]]:
    """Trains networks of one configuration side by side.

    Args:
        config: of every network.
        trainees: equal in molecule, numbers of frames, batch size and epochs.
        cancel: set it to stop.
        resume: go on from the members' state files; they are removed once no member is cancelled.
        report_seconds: shortest time between two reports.

    Yields:
        One report for each member when compiling, after an epoch, and at the end. A member that
        diverged or stopped early keeps its last report.

    Raises:
        InputError: if the members differ in shape, or as :func:`train`.
    """
    for trainee in trainees:
        if not np.array_equal(trainee.train_set.atomic_numbers, trainee.valid_set.atomic_numbers):
            raise InputError(
                f"training and validation frames must be of one molecule, received "
                f"{trainee.train_set.formula} and {trainee.valid_set.formula}"
            )
    if len({trainee.shape for trainee in trainees}) != 1:
        raise InputError(
            "networks are trained together when molecule, numbers of frames, batch size and epochs "
            f"agree; received {sorted({str(trainee.shape[1:]) for trainee in trainees})}"
        )
    training = Training(config, trainees)
    return training.run(cancel or threading.Event(), resume, report_seconds)


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


def learning_frames(data: Dataset, mean_energy: float) -> Frames:
    """Frames in single precision and the learning unit, energies less ``mean_energy`` (eV)."""
    energies, forces = data.energies - mean_energy, data.forces
    arrays = data.positions, energies / LEARNING_UNIT, forces / LEARNING_UNIT
    return Frames(*(np.asarray(array, np.float32) for array in arrays))


def first_state(config: ModelConfig, seed: int) -> State:
    """Initial weights of a network and an optimiser that has seen nothing, on the host.

    The head is zero, so that an untrained network predicts the mean energy.
    """
    potential = trainable(config)
    return initial_state(
        {
            "body": potential.init(seed),
            "head": np.zeros(SHARED.size(potential.num_features), np.float32),
            "element_bias": np.zeros(MAX_ATOMIC_NUMBER + 1, np.float32),
        }
    )


def stack(trees: Sequence[Any]) -> Any:
    """Trees of the members as one on the device, with their first axis."""
    return jax.tree.map(lambda *leaves: jnp.asarray(np.stack(leaves)), *trees)


class Training:
    """Data, weights and optimisers of the members on the device, and the progress of each."""

    def __init__(self, config: ModelConfig, trainees: Sequence[Trainee]) -> None:
        self.config, first = config, trainees[0]
        self.batch_size = min(first.settings.batch_size, len(first.train_set))
        self.steps = len(first.train_set) // self.batch_size
        steps = first.settings.epochs * self.steps
        self.atomic_numbers = jnp.asarray(first.train_set.atomic_numbers)
        means = [float(trainee.train_set.energies.mean()) for trainee in trainees]
        both = list(zip(trainees, means, strict=True))
        self.train_frames = stack([learning_frames(t.train_set, mean) for t, mean in both])
        self.valid_frames = stack([learning_frames(t.valid_set, mean) for t, mean in both])
        self.hyper = stack([Hyperparameters.of(t.settings, steps) for t in trainees])
        states = [first_state(config, trainee.settings.seed) for trainee in trainees]
        self.members = [
            Progress(config, trainee, state.params)
            for trainee, state in zip(trainees, states, strict=True)
        ]
        self.state: State = stack(states)
        self.compile_seconds = 0.0
        self._steps_per_call = 1

    def run(
        self, cancel: threading.Event, resume: bool, report_seconds: float
    ) -> Iterator[tuple[EpochReport, ...]]:
        """Trains until every member has ended; see :func:`train_together`."""
        if resume:
            fresh = [_member(self.state, index) for index in range(len(self.members))]
            both = zip(self.members, fresh, strict=True)
            self.state = stack([member.load(state) for member, state in both])
        yield self._reports()
        self._compile()
        for member in self.members:
            member.judge()
        reported = time.perf_counter()
        while self._running():
            if not self._epoch(cancel):
                for member in self._running():
                    member.status = "cancelled"
            elif self._running() and time.perf_counter() - reported >= report_seconds:
                reported = time.perf_counter()
                yield self._reports()
        yield self._reports()
        # Not before the caller has asked for more, having saved what the last reports carry.
        if not any(member.status == "cancelled" for member in self.members):
            for member in self.members:
                if member.trainee.state_file is not None:
                    member.trainee.state_file.unlink(missing_ok=True)

    def advance(self, sums: Sums, order: jax.Array, first: int, last: int) -> Sums:
        """Takes some steps of an epoch; ``order`` of the frames, (members, frames)."""
        self.state, sums = advance(
            self.config,
            self.batch_size,
            self.state,
            sums,
            self.atomic_numbers,
            self.train_frames,
            order,
            jnp.asarray(first),
            jnp.asarray(last),
            self.hyper,
        )
        return sums

    def order(self) -> jax.Array:
        """The order of the frames in the members' next epochs, (members, frames)."""
        seeds = [(member.trainee.settings.seed, member.epoch) for member in self.members]
        frames = len(self.members[0].trainee.train_set)
        orders = [np.random.default_rng(seed).permutation(frames) for seed in seeds]
        return jnp.asarray(np.stack(orders))

    def _validate(self) -> Sums:
        return validate(
            self.config,
            self.state.average,
            self.atomic_numbers,
            self.valid_frames,
            self.hyper.forces_weight,
        )

    def _compile(self) -> None:
        started = time.perf_counter()
        self.advance(Sums.zero(len(self.members)), self.order(), 0, 0)
        jax.block_until_ready(self._validate())
        self.compile_seconds = time.perf_counter() - started

    def _epoch(self, cancel: threading.Event) -> bool:
        """One epoch of every unfinished member; False if it was cancelled before its end."""
        started, done = time.perf_counter(), 0
        order, sums = self.order(), Sums.zero(len(self.members))
        while done < self.steps:
            if cancel.is_set():
                return False
            until = min(done + self._steps_per_call, self.steps)
            began = time.perf_counter()
            sums = jax.block_until_ready(self.advance(sums, order, done, until))
            per_step = (time.perf_counter() - began) / (until - done)
            self._steps_per_call = max(1, int(_CALL_SECONDS / per_step))
            done = until
        self._count(sums, (time.perf_counter() - started) / len(self.members))
        return True

    def _count(self, seen: Sums, seconds: float) -> None:
        """Enters an epoch into the progress of the unfinished members, and saves it."""
        seen, unseen, rates = jax.device_get(
            (seen, self._validate(), self.hyper.rate.at(self.state.step))
        )
        for index, member in enumerate(self.members):
            if member.status != "running":
                continue
            train, valid, rate = _member((seen, unseen, rates), index)
            if member.count(train, valid, float(rate), seconds):
                member.best = _member(self.state.average, index)
            if member.trainee.state_file is not None:
                member.save(_member(self.state, index))

    def _running(self) -> list[Progress]:
        return [member for member in self.members if member.status == "running"]

    def _reports(self) -> tuple[EpochReport, ...]:
        return tuple(member.report(self.compile_seconds) for member in self.members)


def _member(tree: Any, index: int) -> Any:
    """A member's part of a stacked tree on the host; a copy, for the device's array is donated."""
    return jax.tree.map(lambda leaf: np.array(np.asarray(leaf)[index]), tree)
