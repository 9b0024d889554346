"""Errors of a checkpoint on a data set."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from fisherdash.dataset import Dataset
from fisherdash.devices import blocks
from fisherdash.potentials.checkpoint import Checkpoint
from fisherdash.potentials.head import energy_and_forces

BATCH = 64
_predict = jax.jit(energy_and_forces, static_argnums=(0, 1))


@dataclasses.dataclass(frozen=True)
class Errors:
    """Root-mean-square and mean absolute errors: forces in eV/Å, energies in eV per molecule."""

    force_rmse: float
    force_mae: float
    energy_rmse: float
    energy_mae: float
    frames: int


def predict(
    checkpoint: Checkpoint, dataset: Dataset
) -> tuple[Float[np.ndarray, " frames"], Float[np.ndarray, "frames atoms 3"]]:
    """Energies (eV, the constant included) and forces (eV/Å) of every frame.

    Raises:
        InputError: if the molecule has an element that the model does not know.
    """
    checkpoint.check_elements(dataset.atomic_numbers)
    numbers = jnp.asarray(dataset.atomic_numbers)
    run = functools.partial(
        _predict, checkpoint.potential, checkpoint.form, *checkpoint.on_device(), numbers
    )
    energies, forces = [], []
    for rows, new in blocks(len(dataset), BATCH):
        e, f = run(jnp.asarray(dataset.positions[rows]))
        energies.append(np.asarray(e)[:new])
        forces.append(np.asarray(f)[:new])
    constant = checkpoint.constant(dataset.atomic_numbers)
    return np.concatenate(energies) + constant, np.concatenate(forces)


def evaluate(checkpoint: Checkpoint, dataset: Dataset) -> Errors:
    """Errors over all frames of ``dataset``; raises InputError as :func:`predict` does."""
    energies, forces = predict(checkpoint, dataset)
    energy_error, force_error = energies - dataset.energies, forces - dataset.forces
    return Errors(
        force_rmse=float(np.sqrt(np.mean(force_error**2))),
        force_mae=float(np.mean(np.abs(force_error))),
        energy_rmse=float(np.sqrt(np.mean(energy_error**2))),
        energy_mae=float(np.mean(np.abs(energy_error))),
        frames=len(dataset),
    )
