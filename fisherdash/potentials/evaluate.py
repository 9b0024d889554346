"""Errors of a checkpoint on a data set."""

import dataclasses
import functools
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from fisherdash.dataset import Dataset, split_order
from fisherdash.devices import blocks
from fisherdash.potentials import head
from fisherdash.potentials.checkpoint import Checkpoint
from fisherdash.statistics import FEWEST

BATCH = 64
NO_ENERGIES = 0.95
"""An energy error above this share of the energies' spread is that of a model without any."""


@dataclasses.dataclass(frozen=True)
class Errors:
    """Root-mean-square and mean absolute errors: forces in eV/Å, energies in eV per molecule."""

    force_rmse: float
    force_mae: float
    energy_rmse: float
    energy_mae: float
    frames: int


def spread_of(energies: Float[np.ndarray, " frames"]) -> float:
    """Standard deviation of energies, eV; NaN where there are too few to have one."""
    return float(np.std(energies)) if len(energies) >= FEWEST else float("nan")


def no_energies(error: float, spread: float) -> str:
    """One sentence if an error of energies (eV) is no less than their spread, else ""."""
    if not spread > 0 or not error > NO_ENERGIES * spread:
        return ""
    return (
        f"No energies were learned: the error of {error:.3g} eV is no less than the spread of the "
        f"energies ({spread:.3g} eV), as of a model that says their mean whatever the geometry. "
        "Energies and forces may not belong together, or be in other units or of other signs."
    )


def predict(
    checkpoint: Checkpoint, dataset: Dataset
) -> tuple[Float[np.ndarray, " frames"], Float[np.ndarray, "frames atoms 3"]]:
    """Energies (eV, the constant included) and forces (eV/Å) of every frame.

    Raises:
        InputError: if the molecule has an element that the model does not know.
    """
    checkpoint.check_elements(dataset.atomic_numbers)
    arrays = *checkpoint.on_device(), jnp.asarray(dataset.atomic_numbers)
    run = functools.partial(head.evaluate, checkpoint.potential, checkpoint.form, *arrays)
    energies, forces = [], []
    for rows, new in blocks(len(dataset), BATCH):
        e, f = run(jnp.asarray(dataset.positions[rows]))
        energies.append(np.asarray(e)[:new])
        forces.append(np.asarray(f)[:new])
    constant = checkpoint.constant(dataset.atomic_numbers)
    return np.concatenate(energies) + constant, np.concatenate(forces)


@dataclasses.dataclass(frozen=True, eq=False)
class Predicted:
    """What a model gives for the frames of a data set.

    Attributes:
        data: the frames, M of N atoms.
        energies: eV, the constant included, (M,).
        forces: eV/Å, (M, N, 3).
        seen: frames that the model was trained on, or its head re-fitted to, as far as it tells,
            (M,).
    """

    data: Dataset
    energies: Float[np.ndarray, " frames"]
    forces: Float[np.ndarray, "frames atoms 3"]
    seen: Bool[np.ndarray, " frames"]

    def errors(self, rows: np.ndarray | slice = slice(None)) -> Errors:
        """Over all frames, or those of ``rows``."""
        energy_error = (self.energies - self.data.energies)[rows]
        force_error = (self.forces - self.data.forces)[rows]
        return Errors(
            force_rmse=float(np.sqrt(np.mean(force_error**2))),
            force_mae=float(np.mean(np.abs(force_error))),
            energy_rmse=float(np.sqrt(np.mean(energy_error**2))),
            energy_mae=float(np.mean(np.abs(energy_error))),
            frames=len(energy_error),
        )

    @property
    def not_finite(self) -> int:
        """Frames with an energy or a force that is not finite."""
        forces = np.isfinite(self.forces).all(axis=(1, 2))
        return int(np.sum(~(np.isfinite(self.energies) & forces)))

    @property
    def offset(self) -> float | None:
        """How far its energies lie from the data's on average, eV, where that is more than ten
        times the spread of the data's: another zero of energy, or another level of theory."""
        difference = float(np.mean(self.energies - self.data.energies))
        spread = float(np.std(self.data.energies))
        far = np.isfinite(difference) and len(self.data) > 1 and abs(difference) > 10.0 * spread
        return difference if far else None

    @property
    def caution(self) -> str | None:
        """That errors are on frames the model has seen, and what they are on the others."""
        count, all_of_them = int(self.seen.sum()), len(self.seen)
        if not count:
            return None
        said = f"{count:,} of these {all_of_them:,} frames were used to train or re-fit this model"
        if count == all_of_them:
            return f"{said}: its errors on frames that it has not seen are larger"
        rest = self.errors(~self.seen)
        return (
            f"{said}; on the other {rest.frames:,} its force RMSE is {rest.force_rmse:.4g} eV/Å "
            f"and its energy RMSE {rest.energy_rmse:.4g} eV"
        )


def seen_frames(checkpoint: Checkpoint, data: Dataset) -> Bool[np.ndarray, " frames"]:
    """Which frames of ``data`` the model was trained on or re-fitted to, as its provenance tells.

    A training names the hash of its frames and the seed of its split: where the same split of
    ``data`` has that hash, its training and validation frames are known. False for all else.
    """
    told, seen = checkpoint.provenance, np.zeros(len(data), bool)
    known = told.get("data_fingerprint")
    if known == data.fingerprint:
        return ~seen
    numbers: list[Any] = [told.get("frames"), told.get("valid_frames")]
    numbers.append((told.get("settings") or {}).get("seed"))
    if not all(isinstance(one, int) for one in numbers):
        return seen
    train, valid, seed = numbers
    if train < 1 or valid < 0 or train + valid > len(data):
        return seen
    order = split_order(len(data), seed)
    if data.subset(order[:train]).fingerprint == known:
        seen[order[: train + valid]] = True
    return seen


def evaluate(checkpoint: Checkpoint, dataset: Dataset) -> Errors:
    """Errors over all frames of ``dataset``; raises InputError as :func:`predict` does."""
    return predicted(checkpoint, dataset).errors()


def predicted(checkpoint: Checkpoint, dataset: Dataset) -> Predicted:
    """Energies and forces beside those of the data; raises InputError as :func:`predict` does."""
    energies, forces = predict(checkpoint, dataset)
    return Predicted(dataset, energies, forces, seen_frames(checkpoint, dataset))
