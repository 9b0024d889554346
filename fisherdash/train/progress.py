"""State of a training: numbers and best weights, its reports, and its file on disk.

The file is an npz of plain arrays with a JSON header, written atomically. It holds everything that
the next epoch depends on, so a training that was stopped and resumed takes the same steps.
"""

import dataclasses
import functools
import importlib.metadata
import json
import math
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np

from fisherdash import __version__, storage
from fisherdash.dataset import Dataset
from fisherdash.errors import InputError
from fisherdash.potentials.checkpoint import Checkpoint, energy_reference, trainable
from fisherdash.potentials.evaluate import no_energies, spread_of
from fisherdash.settings import ModelConfig, TrainSettings
from fisherdash.train.step import LEARNING_UNIT, Params, State, Sums

Status = Literal["compiling", "running", "diverged", "stopped early", "cancelled", "finished"]

FORMAT_VERSION = 3

NOTHING_LEARNED = 0.9
"""A force error above this share of the forces themselves counts as having learned nothing."""


@dataclasses.dataclass(frozen=True)
class EpochReport:
    """Where a training is after an epoch.

    Errors are in eV and eV/Å; those of the training frames are means over the epoch while the
    weights were moving. ``checkpoint`` holds the weights with the lowest validation loss so far,
    None before the first epoch is through. ``seconds`` is the mean per epoch. ``force_rms`` is the
    root mean square of a force component of the validation frames, ``energy_std`` the standard
    deviation of the energies of all frames.
    """

    epoch: int
    epochs: int
    status: Status
    train_loss: float = math.nan
    valid_loss: float = math.nan
    train_force_rmse: float = math.nan
    valid_force_rmse: float = math.nan
    valid_force_mae: float = math.nan
    valid_energy_rmse: float = math.nan
    learning_rate: float = math.nan
    seconds: float = math.nan
    seconds_left: float | None = None
    compile_seconds: float = 0.0
    best_epoch: int = 0
    best_errors: dict[str, float] = dataclasses.field(default_factory=dict)
    history: tuple[dict[str, float], ...] = ()
    checkpoint: Checkpoint | None = None
    force_rms: float = math.nan
    energy_std: float = math.nan

    @property
    def nothing_learned(self) -> str:
        """A warning if the best weights are hardly better than zero forces, or than the mean of
        the energies; else ""."""
        error = self.best_errors.get("valid_energy_rmse", math.nan)
        energies = no_energies(error, self.energy_std)
        best = self.best_errors.get("valid_force_rmse", math.nan)
        if not best > NOTHING_LEARNED * self.force_rms:
            return energies
        return (
            f"It has hardly learned any forces: the error of {best:.3g} eV/Å is that of a model "
            f"without any ({self.force_rms:.3g} eV/Å). More epochs, smaller batches or a larger "
            f"weight of the forces help. {energies}"
        ).strip()


@dataclasses.dataclass(frozen=True, eq=False)
class Trainee:
    """One member of a joint training; arguments as those of :func:`fisherdash.train.train`."""

    train_set: Dataset
    valid_set: Dataset
    settings: TrainSettings
    name: str = "model"
    state_file: Path | None = None

    @functools.cached_property
    def force_rms(self) -> float:
        """Root mean square of a force component of the validation frames, eV/Å."""
        return float(np.sqrt(np.mean(self.valid_set.forces**2)))

    @functools.cached_property
    def energy_std(self) -> float:
        """Standard deviation of the energies of all frames, eV; NaN for too few."""
        return spread_of(np.concatenate([self.train_set.energies, self.valid_set.energies]))

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


@dataclasses.dataclass(eq=False)
class Progress:
    """One training between two epochs; the caller holds its weights and its optimiser.

    Attributes:
        config: of the network.
        trainee: what to train.
        best: parameters with the lowest validation loss so far, on the host.
        status: "running", or how it ended.
        epoch: epochs done.
        best_epoch: when the best was.
        best_loss: the validation loss then.
        best_errors: errors of the best parameters, by name.
        seconds: time spent in epochs, compilation not counted.
        history: a row of numbers per epoch, JSON-able.
    """

    config: ModelConfig
    trainee: Trainee
    best: Params
    status: Status = "compiling"
    epoch: int = 0
    best_epoch: int = 0
    best_loss: float = math.inf
    best_errors: dict[str, float] = dataclasses.field(default_factory=dict)
    seconds: float = 0.0
    history: list[dict[str, float]] = dataclasses.field(default_factory=list)

    def count(self, seen: Sums, unseen: Sums, rate: float, seconds: float) -> bool:
        """Enters an epoch; whether its weights are the best so far.

        Args:
            seen: sums over the training frames while the weights were moving.
            unseen: sums over the validation frames.
            rate: the learning rate at the end.
            seconds: that the epoch took.
        """
        train, valid = _errors("train", seen), _errors("valid", unseen)
        learned = {name: train[name] for name in ("train_loss", "train_force_rmse")}
        self.epoch += 1
        self.seconds += seconds
        self.history.append({"epoch": self.epoch, **learned, "learning_rate": rate, **valid})
        better = math.isfinite(train["train_loss"]) and valid["valid_loss"] < self.best_loss
        if better:
            self.best_loss, self.best_epoch = valid["valid_loss"], self.epoch
            self.best_errors = {**valid, "train_force_rmse": learned["train_force_rmse"]}
        self.judge()
        return better

    def judge(self) -> None:
        """Sets the status after the last epoch."""
        settings, last = self.trainee.settings, self.history[-1] if self.history else {}
        patience = math.inf if settings.patience is None else settings.patience
        if not all(math.isfinite(last.get(name, 0.0)) for name in ("train_loss", "valid_loss")):
            self.status = "diverged"
        elif self.epoch >= settings.epochs:
            self.status = "finished"
        elif self.epoch - self.best_epoch >= patience:
            self.status = "stopped early"
        else:
            self.status = "running"

    def report(self, compile_seconds: float) -> EpochReport:
        """The report of the present epoch."""
        trainee, epoch, epochs = self.trainee, self.epoch, self.trainee.settings.epochs
        last = {k: v for k, v in self.history[-1].items() if k != "epoch"} if epoch else {}
        per_epoch = self.seconds / epoch if epoch else math.nan
        return EpochReport(
            epoch=epoch,
            epochs=epochs,
            status=self.status,
            seconds=per_epoch,
            seconds_left=per_epoch * (epochs - epoch) if epoch else None,
            compile_seconds=compile_seconds,
            best_epoch=self.best_epoch,
            best_errors=dict(self.best_errors),
            history=tuple(self.history),
            checkpoint=self.checkpoint() if self.best_epoch else None,
            force_rms=trainee.force_rms,
            energy_std=trainee.energy_std,
            **last,
        )

    def checkpoint(self) -> Checkpoint:
        """The best weights so far, with where they come from."""
        train_set, valid_set = self.trainee.train_set, self.trainee.valid_set
        bias = energy_reference(float(train_set.energies.mean()), train_set.atomic_numbers)
        return Checkpoint(
            potential=trainable(self.config),
            body=self.best["body"],
            head=self.best["head"].astype(np.float64) * LEARNING_UNIT,
            element_bias=bias + self.best["element_bias"].astype(np.float64) * LEARNING_UNIT,
            elements=tuple(sorted({int(z) for z in train_set.atomic_numbers})),
            name=self.trainee.name,
            provenance={
                "made_by": "train",
                "data": train_set.source,
                "data_fingerprint": train_set.fingerprint,
                "molecule": train_set.formula,
                "temperature_K": train_set.temperature,
                "frames": len(train_set),
                "valid_frames": len(valid_set),
                "settings": self.trainee.settings.to_json(),
                "epochs": self.epoch,
                "best_epoch": self.best_epoch,
                "errors": dict(self.best_errors),
                "seconds": self.seconds,
                "device": jax.devices()[0].device_kind,
                "versions": dict(_versions()),
            },
        )

    def save(self, state: State) -> None:
        """Writes everything to the trainee's state file, whole or not at all.

        Raises:
            InputError: if the disk refuses; the state of the epoch before stays.
        """
        assert self.trainee.state_file is not None
        header = {"version": FORMAT_VERSION, "fixed": self._fixed()}
        header |= {name: getattr(self, name) for name in _NUMBERS}
        leaves = jax.tree.leaves((state, self.best))
        arrays: dict[str, Any] = {f"leaf_{i}": leaf for i, leaf in enumerate(leaves)}
        with storage.replacing(self.trainee.state_file) as part, part.open("wb") as file:
            np.savez(file, allow_pickle=False, header=np.array(json.dumps(header)), **arrays)

    def load(self, fresh: State) -> State:
        """Reads what :meth:`save` wrote, and returns the state to resume from.

        Args:
            fresh: the state before the first epoch, for the structure and the shapes.

        Raises:
            InputError: if the file is missing, damaged, or from another training.
        """
        path = self.trainee.state_file
        if path is None:
            raise InputError("resuming needs the file in which the training was kept")
        leaves, structure = jax.tree.flatten((fresh, self.best))
        try:
            if what := storage.no_file(path):
                raise ValueError(what)
            with np.load(path, allow_pickle=False) as file:
                header = json.loads(str(file["header"]))
                if (version := header["version"]) != FORMAT_VERSION:
                    raise InputError(
                        f"{path} is version {version!r} of an interrupted training; this program "
                        f"resumes version {FORMAT_VERSION}: train anew, or resume with the program "
                        "that wrote it"
                    )
                agreed, numbers = dict(header["fixed"]), {name: header[name] for name in _NUMBERS}
                loaded = [file[f"leaf_{index}"] for index in range(len(leaves))]
        except InputError:
            raise
        except FileNotFoundError as error:
            raise InputError(f"there is no interrupted training to resume: {path}") from error
        except storage.UNREADABLE as error:
            raise InputError(
                f"{path} does not hold an interrupted training: it is damaged or something else"
            ) from error
        for key, value in self._fixed().items():
            if agreed.get(key) != value:
                raise InputError(
                    f"cannot resume with another {key}: the interrupted training had "
                    f"{agreed.get(key)!r}, received {value!r}"
                )
        if any(
            a.shape != b.shape or a.dtype != b.dtype for a, b in zip(loaded, leaves, strict=True)
        ):
            raise InputError(f"the arrays in {path} do not fit the network")
        state, self.best = jax.tree.unflatten(structure, loaded)
        for name, value in numbers.items():
            setattr(self, name, value)
        return state

    def _fixed(self) -> dict[str, Any]:
        """What a resumed training must agree with; only the number of epochs may differ."""
        settings = self.trainee.settings.to_json()
        del settings["epochs"]
        return {
            **self.config.to_json(),
            **settings,
            "training data": self.trainee.train_set.fingerprint,
            "validation data": self.trainee.valid_set.fingerprint,
        }


_NUMBERS = ("epoch", "best_epoch", "best_loss", "best_errors", "seconds", "history")


def _errors(which: str, sums: Sums) -> dict[str, float]:
    """Mean errors of a kind of frames in eV, eV/Å and, for the loss, eV²."""
    frames = float(sums.frames)
    return {
        f"{which}_loss": float(sums.loss) / frames * LEARNING_UNIT**2,
        f"{which}_force_rmse": math.sqrt(float(sums.force_squared) / frames) * LEARNING_UNIT,
        f"{which}_force_mae": float(sums.force_absolute) / frames * LEARNING_UNIT,
        f"{which}_energy_rmse": math.sqrt(float(sums.energy_squared) / frames) * LEARNING_UNIT,
    }


@functools.cache
def _versions() -> dict[str, str]:
    packages = ("jax", "flax", "e3x", "optax")
    found = {package: importlib.metadata.version(package) for package in packages}
    return {"fisherdash": __version__, **found}
