"""Forces along one replica of a run: by a head and by another one, and their error bars."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from fisherdash.dataset import Dataset
from fisherdash.errors import InputError
from fisherdash.statistics import evenly_spaced
from fisherdash.text import duration
from fisherdash.workspace import Run, estimates, runs

if TYPE_CHECKING:
    from fisherdash.potentials.checkpoint import Checkpoint

MOST_FRAMES = 192
"""Frames of a trajectory with error bars: a second's work on two cores."""
MOST_SECONDS = 4 * 3600.0
"""By the careful rule of estimates, many times what it takes: a page's values have one queue for
all users, where nothing may hold the others up for long."""


def error_bars(
    model: "Checkpoint", run: Run, heads: Sequence[int], replica: int
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Error bars of the forces along one replica of a run, from a re-fitted head's covariance.

    Returns the times of at most :data:`MOST_FRAMES` evenly spaced frames, fs; and for each head the
    root-mean-square error bar of the forces at each of them, eV/Å, NaN after a failure.
    InputError where it would take too long.
    """
    from fisherdash.fisher import force_stderr

    frames, numbers = len(run.times), np.array(run.header.atomic_numbers)
    chosen = evenly_spaced(frames, MOST_FRAMES)
    directions = min(model.potential.num_features, 3 * len(numbers))
    _check([model] * len(heads) * directions, len(numbers), len(chosen))
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
    Raises: InputError where the run does not hold its models, or it would take too long.
    """
    from fisherdash.potentials.evaluate import predict

    models = list(runs.kept_models(run.folder, run.header).values())
    held = [models[head] for head in heads] + [models[0] if head else models[-1] for head in heads]
    _check(held, run.header.num_atoms, len(frames))
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


def _check(models: "Sequence[Checkpoint]", atoms: int, frames: int) -> None:
    """InputError where the forces of so many frames by each of the models take too long."""
    networks = [estimates.Network.of(model) for model in models]
    seconds = estimates.evaluate(networks, atoms, frames).work
    if seconds > MOST_SECONDS:
        raise InputError(
            f"forces of {frames} frames of {atoms} atoms would take about {duration(seconds)} by a "
            f"careful rule, and a page computes what takes {duration(MOST_SECONDS)} at most"
        )
