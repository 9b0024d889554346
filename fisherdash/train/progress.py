"""What a training has reached: kept between epochs and, so that it can go on later, on disk.

The file is an npz of plain arrays with a JSON header, written atomically. It holds everything that
the next epoch depends on, so a training that was stopped and resumed takes the same steps.

What a training tells after every epoch, and the checkpoint that it hands over.

What an epoch adds to a training's progress: errors, the best so far, whether to go on.
"""

import dataclasses
import importlib.metadata
import json
import math
import zipfile
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np

from fisherdash import __version__, storage
from fisherdash.dataset import Dataset
from fisherdash.errors import InputError
from fisherdash.potentials.checkpoint import Checkpoint, energy_reference
from fisherdash.potentials.families import trainable
from fisherdash.settings import ModelConfig, TrainSettings
from fisherdash.train.step import LEARNING_UNIT, Params, State, Sums

FORMAT_VERSION = 3


@dataclasses.dataclass
class Progress:
    """Mutable state of a training between two epochs.

    Attributes:
        state: parameters, their average, optimiser and step counter, on the device.
        epoch: epochs done.
        best: parameters with the lowest validation loss so far.
        best_epoch: when that was.
        best_loss: the validation loss then.
        best_errors: errors of the best parameters, by name.
        seconds: time spent in epochs, compilation not counted.
        history: a row of numbers per epoch, JSON-able.
    """

    state: State
    best: Params
    epoch: int = 0
    best_epoch: int = 0
    best_loss: float = math.inf
    best_errors: dict[str, float] = dataclasses.field(default_factory=dict)
    seconds: float = 0.0
    history: list[dict[str, float]] = dataclasses.field(default_factory=list)

    def save(self, path: Path, fixed: dict[str, Any]) -> None:
        """Writes everything to ``path``, whole or not at all.

        Args:
            path: the file.
            fixed: what a resumed training must agree with.

        Raises:
            InputError: if the disk refuses; the state of the epoch before stays.
        """
        header = {
            "version": FORMAT_VERSION,
            "fixed": fixed,
            "epoch": self.epoch,
            "best_epoch": self.best_epoch,
            "best_loss": self.best_loss,
            "best_errors": self.best_errors,
            "seconds": self.seconds,
            "history": self.history,
        }
        leaves = jax.tree.leaves((self.state, self.best))
        arrays: dict[str, Any] = {f"leaf_{i}": np.asarray(leaf) for i, leaf in enumerate(leaves)}
        with storage.replacing(path) as part, part.open("wb") as file:
            np.savez(file, allow_pickle=False, header=np.array(json.dumps(header)), **arrays)

    @classmethod
    def load(cls, path: Path, fixed: dict[str, Any], fresh: "Progress") -> "Progress":
        """Reads what :meth:`save` wrote.

        Args:
            path: the file.
            fixed: settings that must be those of the file.
            fresh: a progress of the same network, for the structure and the shapes.

        Raises:
            InputError: if the file is missing, damaged, or from another training.
        """
        leaves, structure = jax.tree.flatten((fresh.state, fresh.best))
        names = ("epoch", "best_epoch", "best_loss", "best_errors", "seconds", "history")
        try:
            with np.load(path, allow_pickle=False) as file:
                header = json.loads(str(file["header"]))
                _check_version(path, header["version"])
                agreed, numbers = dict(header["fixed"]), {name: header[name] for name in names}
                loaded = [file[f"leaf_{index}"] for index in range(len(leaves))]
        except InputError:
            raise
        except FileNotFoundError as error:
            raise InputError(f"there is no interrupted training to go on with: {path}") from error
        except (OSError, EOFError, KeyError, TypeError, ValueError, zipfile.BadZipFile) as error:
            raise InputError(f"{path} does not hold an interrupted training: {error}") from error
        for key, value in fixed.items():
            if agreed.get(key) != value:
                raise InputError(
                    f"cannot resume with another {key}: the interrupted training had "
                    f"{agreed.get(key)!r}, received {value!r}"
                )
        if any(
            a.shape != b.shape or a.dtype != b.dtype for a, b in zip(loaded, leaves, strict=True)
        ):
            raise InputError(f"the arrays in {path} do not fit the network")
        state, best = jax.tree.unflatten(structure, [jax.numpy.asarray(a) for a in loaded])
        return cls(state, best, **numbers)


def _check_version(path: Path, version: object) -> None:
    if version != FORMAT_VERSION:
        raise InputError(
            f"{path} is version {version!r} of an interrupted training; this program goes on with "
            f"version {FORMAT_VERSION}, so train anew or go on with the program that wrote it"
        )


Status = Literal["compiling", "running", "diverged", "stopped early", "cancelled", "finished"]


NOTHING_LEARNED = 0.9
"""Share of the forces themselves from which on an error of the forces is called that."""


@dataclasses.dataclass(frozen=True)
class EpochReport:
    """Where a training is after an epoch.

    Errors are in eV and eV/Å; those of the training frames are means over the epoch while the
    weights were moving. ``checkpoint`` holds the weights with the lowest validation loss so far,
    None before the first epoch is through. ``seconds`` is the mean per epoch. ``force_rms`` is the
    root mean square of a force component of the validation frames.
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

    @property
    def nothing_learned(self) -> str:
        """One sentence where the best weights are hardly better than no forces at all, else ""."""
        best = self.best_errors.get("valid_force_rmse", math.nan)
        if not best > NOTHING_LEARNED * self.force_rms:
            return ""
        return (
            f"It has hardly learned any forces: the error of {best:.3g} eV/Å is that of a model "
            f"without any ({self.force_rms:.3g} eV/Å). More epochs, smaller batches or a larger "
            "weight of the forces help."
        )


def checkpoint_of(
    progress: Progress,
    config: ModelConfig,
    settings: TrainSettings,
    name: str,
    train_set: Dataset,
    valid_frames: int,
) -> Checkpoint:
    """The best weights so far, with where they come from."""
    best = jax.tree.map(np.asarray, progress.best)
    bias = energy_reference(float(train_set.energies.mean()), train_set.atomic_numbers)
    packages = ("jax", "flax", "e3x", "optax")
    return Checkpoint(
        potential=trainable(config),
        body=best["body"],
        head=best["head"].astype(np.float64) * LEARNING_UNIT,
        element_bias=bias + best["element_bias"].astype(np.float64) * LEARNING_UNIT,
        elements=tuple(sorted({int(z) for z in train_set.atomic_numbers})),
        name=name,
        provenance={
            "made_by": "train",
            "data": train_set.source,
            "data_fingerprint": train_set.fingerprint,
            "molecule": train_set.formula,
            "temperature_K": train_set.temperature,
            "frames": len(train_set),
            "valid_frames": valid_frames,
            "settings": settings.to_json(),
            "epochs": progress.epoch,
            "best_epoch": progress.best_epoch,
            "errors": dict(progress.best_errors),
            "seconds": progress.seconds,
            "device": jax.devices()[0].device_kind,
            "versions": {
                "fisherdash": __version__,
                **{package: importlib.metadata.version(package) for package in packages},
            },
        },
    )


def errors_of(sums: Sums) -> dict[str, float]:
    """Errors on the validation frames in eV, eV/Å and, for the loss, eV²."""
    count = float(sums.frames)
    return {
        "valid_loss": float(sums.loss) / count * LEARNING_UNIT**2,
        "valid_force_rmse": math.sqrt(float(sums.force_squared) / count) * LEARNING_UNIT,
        "valid_force_mae": float(sums.force_absolute) / count * LEARNING_UNIT,
        "valid_energy_rmse": math.sqrt(float(sums.energy_squared) / count) * LEARNING_UNIT,
    }


def count_epoch(
    progress: Progress, sums: Sums, errors: dict[str, float], rate: float, seconds: float
) -> bool:
    """Enters an epoch into the progress; whether its weights are the best so far."""
    frames = float(sums.frames)
    train_force_rmse = math.sqrt(float(sums.force_squared) / frames) * LEARNING_UNIT
    progress.epoch += 1
    progress.seconds += seconds
    progress.history.append(
        {
            "epoch": progress.epoch,
            "train_loss": float(sums.loss) / frames * LEARNING_UNIT**2,
            "train_force_rmse": train_force_rmse,
            "learning_rate": rate,
            **errors,
        }
    )
    if _diverged(progress) or not errors["valid_loss"] < progress.best_loss:
        return False
    progress.best_loss, progress.best_epoch = errors["valid_loss"], progress.epoch
    progress.best_errors = {**errors, "train_force_rmse": train_force_rmse}
    return True


def status_after(progress: Progress, settings: TrainSettings) -> Status:
    """Whether a training goes on after the epoch that was counted last."""
    if _diverged(progress):
        return "diverged"
    if progress.epoch >= settings.epochs:
        return "finished"
    patience = settings.patience
    if patience is not None and progress.epoch - progress.best_epoch >= patience:
        return "stopped early"
    return "running"


def report_of(
    progress: Progress,
    settings: TrainSettings,
    status: Status,
    compile_seconds: float,
    checkpoint: Checkpoint | None,
    force_rms: float = math.nan,
) -> EpochReport:
    """The report on what has been counted so far."""
    epochs, epoch = settings.epochs, progress.epoch
    last = dict(progress.history[-1]) if progress.history else {}
    last.pop("epoch", None)
    per_epoch = progress.seconds / epoch if epoch else math.nan
    return EpochReport(
        epoch=epoch,
        epochs=epochs,
        status=status,
        seconds=per_epoch,
        seconds_left=per_epoch * (epochs - epoch) if epoch else None,
        compile_seconds=compile_seconds,
        best_epoch=progress.best_epoch,
        best_errors=dict(progress.best_errors),
        history=tuple(progress.history),
        checkpoint=checkpoint,
        force_rms=force_rms,
        **last,
    )


def _diverged(progress: Progress) -> bool:
    last = progress.history[-1]
    return not (math.isfinite(last["train_loss"]) and math.isfinite(last["valid_loss"]))
