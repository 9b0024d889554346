"""What a training tells after every epoch, and the checkpoint that it hands over."""

import dataclasses
import importlib.metadata
import math
from typing import Literal

import jax
import numpy as np

from fisherdash import __version__
from fisherdash.checkpoint import Checkpoint, energy_reference
from fisherdash.dataset import Dataset
from fisherdash.model import ModelConfig
from fisherdash.train.progress import Progress
from fisherdash.train.settings import TrainSettings
from fisherdash.train.step import LEARNING_UNIT

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
        config=config,
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
