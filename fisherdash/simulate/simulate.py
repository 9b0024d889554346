"""From checkpoints and a data set to a running simulation."""

import functools
import threading
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import jax
import numpy as np

from fisherdash.dataset import Dataset
from fisherdash.errors import InputError
from fisherdash.model import energy_and_forces
from fisherdash.simulate import initial, loop
from fisherdash.simulate.chunk import Chunk
from fisherdash.simulate.failure import TOLERANCE, Bonds
from fisherdash.simulate.groups import group_checkpoints
from fisherdash.simulate.resume import check_resumable
from fisherdash.simulate.settings import MDSettings
from fisherdash.simulate.state import State, start

if TYPE_CHECKING:
    from fisherdash.checkpoint import Checkpoint


def simulate(
    checkpoints: "Mapping[str, Checkpoint]",
    dataset: Dataset,
    settings: MDSettings,
    *,
    cancel: threading.Event | None = None,
    resume_from: State | None = None,
) -> Iterator[Chunk]:
    """NVE molecular dynamics of every checkpoint from the same initial states.

    Args:
        checkpoints: by name; the first is the one that others are compared with.
        dataset: gives the molecule, the starting frames and the reference lengths of the bonds.
        settings: of the run.
        cancel: when set, the run ends within about a second and keeps what it has done.
        resume_from: ``Chunk.state`` of an earlier chunk of the same run; goes on bit for bit as if
            it had never stopped. Frames up to its step are not recorded again.

    Returns:
        An iterator over chunks; the first has the stage "compiling" and comes at once.

    Raises:
        InputError: no checkpoint, elements that a checkpoint does not know, a state of another
            run, or a run that is already at its end.
    """
    if not checkpoints:
        raise InputError("simulate needs at least one checkpoint, received none")
    for checkpoint in checkpoints.values():
        checkpoint.check_elements(dataset.atomic_numbers)
    masses = initial.masses(dataset.atomic_numbers)
    if resume_from is not None:
        check_resumable(resume_from, len(checkpoints), len(masses), settings)
    groups = group_checkpoints(checkpoints, dataset.atomic_numbers, settings.precision)
    bonds = initial.find_bonds(dataset)

    def chunks() -> Iterator[Chunk]:
        notes: tuple[str, ...] = ()
        if resume_from is None:
            first = next(iter(checkpoints.values()))
            positions, notes = _geometries(first, dataset, settings, bonds)
            momenta = initial.thermal_momenta(
                positions, masses, settings.temperature, settings.seed
            )
            state = start(positions, momenta, len(checkpoints))
        else:
            state = resume_from.on_host()
        freedom = initial.degrees_of_freedom(np.asarray(state.positions[0]), masses)
        setting = loop.Setting(masses, bonds, freedom, notes)
        yield from loop.run(groups, state, setting, settings, cancel)

    return chunks()


def _geometries(
    first: "Checkpoint", dataset: Dataset, settings: MDSettings, bonds: Bonds
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Starting positions, shape (replicas, atoms, 3) in Å, and how they came about."""
    if settings.start == "data":
        frames, note = initial.pick_frames(len(dataset), settings.replicas, settings.seed)
        notes = [note]
        if dataset.temperature and abs(dataset.temperature / settings.temperature - 1) > 0.02:
            notes.append(
                f"the frames are from {dataset.temperature:g} K, the momenta are drawn at "
                f"{settings.temperature:g} K"
            )
        return dataset.positions[frames], tuple(notes)
    from fisherdash.simulate.relax import relax  # its optimiser is slow to import

    body = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), first.body)
    numbers = np.asarray(dataset.atomic_numbers)

    def potential(positions: np.ndarray) -> tuple[float, np.ndarray]:
        energies, forces = _evaluate(first.config, body, first.head, numbers, positions[None])
        return float(energies[0]), np.asarray(forces[0])

    lowest = dataset.positions[np.argmin(dataset.energies)]
    positions, left = relax(potential, numbers, lowest)
    off = np.abs(bonds.measure(positions) - bonds.lengths)
    if off.size and off.max() > TOLERANCE:
        i, j = bonds.pairs[np.argmax(off)]
        raise InputError(
            f'start="relaxed" cannot be used: relaxing with {first.name!r} brings the bond between '
            f'atoms {i} and {j} {off.max():.2f} Å off its reference length; use start="data"'
        )
    note = (
        f"all replicas start at the minimum of {first.name!r} (largest force left "
        f"{left:.1g} eV/Å); momenta drawn at {settings.temperature:g} K give about half of their "
        "energy to the potential"
    )
    return np.tile(positions, (settings.replicas, 1, 1)), (note,)


_evaluate = functools.partial(jax.jit, static_argnums=0)(energy_and_forces)
