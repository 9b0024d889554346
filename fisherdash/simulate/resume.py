"""Going on with a run from its saved state, without the data set that it started from."""

import threading
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from fisherdash.errors import InputError
from fisherdash.simulate import initial, loop
from fisherdash.simulate.chunk import Chunk
from fisherdash.simulate.failure import Bonds
from fisherdash.simulate.groups import group_checkpoints
from fisherdash.simulate.settings import MDSettings
from fisherdash.simulate.state import State

if TYPE_CHECKING:
    from fisherdash.checkpoint import Checkpoint


def resume(
    header: Any,
    checkpoints: "Mapping[str, Checkpoint]",
    state: Mapping[str, np.ndarray],
    *,
    cancel: threading.Event | None = None,
) -> Iterator[Chunk]:
    """The rest of a run, bit for bit as if it had never stopped (on the same kind of device).

    Args:
        header: of the run: its atomic numbers, bonds as [i, j, reference length in Å], degrees of
            freedom and settings.
        checkpoints: by name, in the order of the run.
        state: after the last step done, by the names of the fields of
            :class:`fisherdash.simulate.State`.
        cancel: when set, the run ends within about a second and keeps what it has done.

    Raises:
        InputError: a state of another shape, or a run that is already at its end.
    """
    numbers = np.array(header.atomic_numbers)
    for checkpoint in checkpoints.values():
        checkpoint.check_elements(numbers)
    settings, now = MDSettings.from_json(header.settings), State(**state).on_host()
    check_resumable(now, len(checkpoints), len(numbers), settings)
    bonds = Bonds(
        np.array([bond[:2] for bond in header.bonds]), np.array([bond[2] for bond in header.bonds])
    )
    groups = group_checkpoints(checkpoints, numbers, settings.precision)
    setting = loop.Setting(initial.masses(numbers), bonds, header.degrees_of_freedom)
    return loop.run(groups, now, setting, settings, cancel)


def check_resumable(state: State, heads: int, atoms: int, settings: MDSettings) -> None:
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
