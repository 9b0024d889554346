"""Forces along one replica of a run: by a head and by another one, and their error bars."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from fisherdash.dataset import Dataset
from fisherdash.statistics import evenly_spaced
from fisherdash.workspace import Run, runs

if TYPE_CHECKING:
    from fisherdash.potentials.checkpoint import Checkpoint

MOST_FRAMES = 192
"""Frames of a trajectory with error bars: a second's work on two cores."""


def error_bars(
    model: "Checkpoint", run: Run, heads: Sequence[int], replica: int
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Error bars of the forces along one replica of a run, from a re-fitted head's covariance.

    Returns the times of at most :data:`MOST_FRAMES` evenly spaced frames, fs; and for each head the
    root-mean-square error bar of the forces at each of them, eV/Å, NaN after a failure.
    """
    from fisherdash.fisher import force_stderr

    frames, numbers = len(run.times), np.array(run.header.atomic_numbers)
    chosen = evenly_spaced(frames, MOST_FRAMES)
    surviving = run.trajectories().surviving[:, replica][:, chosen]
    found = []
    for head in heads:
        bars, before = np.full(len(chosen), np.nan), surviving[head]
        if before.any():
            stderr = force_stderr(model, numbers, run.frames(head, replica, chosen[before]))
            bars[before] = np.sqrt(np.mean(stderr**2, axis=(1, 2)))
        found.append(bars)
    return run.times[chosen], found


def by_two_heads(
    run: Run, heads: Sequence[int], replica: int, frames: np.ndarray
) -> list[tuple[np.ndarray, np.ndarray | None]]:
    """Forces along one replica of some heads, by the head itself and by another one of the run.

    The others are held against the first head, which is held against the second; None where a run
    has one head.

    Args: frames: (F,) of the record.
    Returns: for each of ``heads`` both forces, (F, N, 3) eV/Å, NaN after the failure.
    Raises: InputError where the run does not hold its models.
    """
    from fisherdash.potentials.evaluate import predict

    models = list(runs.kept_models(run.folder, run.header).values())
    surviving, found = run.trajectories().surviving[:, replica][:, frames], []
    for head in heads:
        positions = run.frames(head, replica, frames)
        # The first frame after a failure is shown too, if it is one.
        shown = np.isfinite(positions).all(axis=(1, 2))
        shown &= surviving[head] | (np.arange(len(frames)) == surviving[head].sum())
        both = []
        other = 0 if head else 1
        for model in [models[head], *models[other : other + 1]]:
            forces = np.full(positions.shape, np.nan)
            if shown.any():
                empty = np.zeros_like(positions[shown])
                numbers = np.array(run.header.atomic_numbers)
                data = Dataset(positions[shown], empty[:, 0, 0], empty, numbers)
                forces[shown] = predict(model, data)[1]
            both.append(forces)
        found.append((both[0], both[1] if len(both) > 1 else None))
    return found
