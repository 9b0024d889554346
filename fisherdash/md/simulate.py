"""A simulation from checkpoints and a data set, or the rest of one from its saved state."""

import threading
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from fisherdash.dataset import Dataset
from fisherdash.errors import InputError
from fisherdash.md import initial, loop
from fisherdash.md.engine import group_checkpoints
from fisherdash.md.failure import FEWEST_FRAMES, TOLERANCE, Bonds, Contacts, find_contacts
from fisherdash.md.integrator import State, start
from fisherdash.md.loop import Chunk
from fisherdash.potentials.calculator import FisherDashCalculator
from fisherdash.settings import MDSettings

if TYPE_CHECKING:
    from fisherdash.potentials.checkpoint import Checkpoint


def resume(
    header: Any,
    checkpoints: "Mapping[str, Checkpoint]",
    state: Mapping[str, np.ndarray],
    *,
    cancel: threading.Event | None = None,
) -> Iterator[Chunk]:
    """The rest of a run, bit for bit as if it had never stopped (on the same kind of device).

    Args:
        header: of the run: its atomic numbers, bonds as [i, j, reference length in Å], limits of
            clashes, degrees of freedom and settings.
        checkpoints: by name, in the order of the run.
        state: after the last step done, by the names of the fields of
            :class:`fisherdash.md.State`.
        cancel: when set, the run ends within about a second and keeps what it has done.

    Raises:
        InputError: a state of another shape, or a run that is already at its end.
    """
    numbers = np.array(header.atomic_numbers)
    for checkpoint in checkpoints.values():
        checkpoint.check_elements(numbers)
    settings, now = MDSettings.from_json(header.settings), State(**state).on_host()
    _check_resumable(now, len(checkpoints), len(numbers), settings)
    bonds = Bonds(
        np.array([bond[:2] for bond in header.bonds]), np.array([bond[2] for bond in header.bonds])
    )
    # Runs begun before clashes were detected have no limits, and are resumed without.
    contacts = Contacts.of(numbers, bonds, header.clash_limits or {})
    groups = group_checkpoints(checkpoints, numbers, settings.precision)
    setting = loop.Setting(
        initial.masses(numbers), bonds, header.degrees_of_freedom, contacts=contacts
    )
    return loop.run(groups, now, setting, settings, cancel)


def _check_resumable(state: State, heads: int, atoms: int, settings: MDSettings) -> None:
    """InputError unless the state belongs to such a run and something is left to do."""
    shape, expected = np.shape(state.positions), (heads, settings.replicas, atoms, 3)
    if shape != expected:
        raise InputError(
            f"resume_from must hold positions of shape {expected} for these checkpoints, replicas "
            f"and atoms, received {shape}"
        )
    if int(state.step) >= settings.steps:
        raise InputError(
            f"nothing is left to do: the run is at step {int(state.step)} of {settings.steps}"
        )


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
        resume_from: ``Chunk.state`` of an earlier chunk of the same run, which continues bit for
            bit as if it had never stopped. Frames up to its step are not recorded again.

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
        _check_resumable(resume_from, len(checkpoints), len(masses), settings)
    groups = group_checkpoints(checkpoints, dataset.atomic_numbers, settings.precision)
    bonds = initial.find_bonds(dataset)
    contacts = find_contacts(dataset, bonds, settings.clash)
    linear = initial.is_linear(dataset.positions)

    def chunks() -> Iterator[Chunk]:
        """Makes the initial states when the first chunk is asked for."""
        notes: tuple[str, ...] = ()
        if resume_from is None:
            first = next(iter(checkpoints.values()))
            positions, notes = _geometries(first, dataset, settings, bonds)
            momenta = initial.thermal_momenta(
                positions, masses, settings.temperature, settings.seed, linear
            )
            state = start(positions, momenta, len(checkpoints))
        else:
            state = resume_from.on_host()
        freedom = initial.degrees_of_freedom(len(masses), linear)
        if settings.clash and len(dataset) < FEWEST_FRAMES:
            notes += (
                f"no clash is looked for: the shortest distances of {len(dataset)} frames mean "
                f"little, {FEWEST_FRAMES} are needed",
            )
        setting = loop.Setting(masses, bonds, freedom, notes, contacts)
        yield from loop.run(groups, state, setting, settings, cancel)

    return chunks()


def _geometries(
    first: "Checkpoint", dataset: Dataset, settings: MDSettings, bonds: Bonds
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Starting positions, shape (replicas, atoms, 3) in Å, and notes on how they were made."""
    if settings.start == "data":
        frames, note = initial.pick_frames(len(dataset), settings.replicas, settings.seed)
        notes = [note]
        if dataset.temperature and abs(dataset.temperature / settings.temperature - 1) > 0.02:
            notes.append(
                f"the frames are from {dataset.temperature:g} K, the momenta are drawn at "
                f"{settings.temperature:g} K"
            )
        return dataset.positions[frames], tuple(notes)
    calculator = FisherDashCalculator(first, first.potential.precisions[-1])
    lowest = dataset.positions[np.argmin(dataset.energies)]
    positions, left = initial.relax(calculator, dataset.atomic_numbers, lowest)
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
