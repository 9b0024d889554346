"""Who labels frames: GFN2-xTB for data that were made with it, or a calculator of the user's.

It also judges where trajectories ended: a head may keep all bonds and yet hold a molecule in a
shape whose energy no sample would reach.
"""

import importlib
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import numpy as np
from ase import Atoms
from jaxtyping import Float

from fisherdash.dataset import Dataset
from fisherdash.errors import InputError
from fisherdash.reference.sampling import calculator
from fisherdash.settings.data import METHOD
from fisherdash.statistics import evenly_spaced

Label = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


class Labeller(NamedTuple):
    """A potential that labels frames.

    Attributes:
        name: in messages.
        label: from atomic numbers (N,) and positions (M, N, 3) in Å to energies (M,) in eV and
            forces (M, N, 3) in eV/Å, NaN for frames that it cannot do.
    """

    name: str
    label: Label


def labeller_of(data: Dataset, calculator: str | None = None) -> Labeller:
    """The calculator ``module:object``, or the potential that the data were made with.

    Raises:
        InputError: for data of an unknown potential without a calculator, or a calculator that
            cannot be had.
    """
    if calculator or data.source.startswith(METHOD):
        return labeller(calculator or METHOD)
    raise InputError(
        "these data do not say which potential labelled them, so nothing here can label more: give "
        "an ASE calculator (--calculator module:object), or label frames elsewhere ('fisherdash "
        "label --export', then --labels-file)"
    )


def labeller(name: str) -> Labeller:
    """GFN2-xTB, or the calculator ``module:object``; InputError if it cannot be had."""
    if name == METHOD:
        return Labeller(METHOD, _with(_gfn2_xtb))
    return Labeller(f"the calculator {name!r}", _with(_imported(name)))


DIFFERENCE: Final = 0.1
"""Largest difference between a potential's energies and those of the data, but for a constant, in
standard deviations of the data, that still counts as the same level of theory."""


FEWEST_FRAMES: Final = 10
"""Whose energies have a mean and a spread that mean something."""


def energy_deviations(
    labeller: Labeller, data: Dataset, positions: Float[np.ndarray, "frames atoms 3"]
) -> Float[np.ndarray, " frames"]:
    """Reference energies of frames, in standard deviations of the data from the data's mean.

    The constant between the potential and the data is taken from eight frames of the data. NaN for
    frames that the potential cannot do.

    Raises:
        InputError: when those eight differ by more than a constant (another level of theory), and
            for too few data to have a spread.
    """
    if len(data) < FEWEST_FRAMES:
        raise InputError(
            f"the spread of energies needs at least {FEWEST_FRAMES} frames, received {len(data)}"
        )
    rows = evenly_spaced(len(data), 8)
    known, _ = labeller.label(data.atomic_numbers, data.positions[rows])
    apart, width = known - data.energies[rows], max(float(np.std(data.energies)), 1e-6)
    if not np.ptp(apart) <= DIFFERENCE * width:  # also where one is NaN
        raise InputError(
            f"{labeller.name} does not give the energies of these data: on eight frames the "
            f"difference varies by {np.ptp(apart):.3g} eV, where it should be one constant"
        )
    energies, _ = labeller.label(data.atomic_numbers, positions)
    return (energies - np.mean(apart) - np.mean(data.energies)) / width


def _gfn2_xtb(atoms: Atoms) -> Any:
    return calculator(atoms)


def _with(make: Callable[[Atoms], Any]) -> Label:
    kept: list[Atoms] = []  # with their calculator, which begins from its last frame

    def label(atomic_numbers: np.ndarray, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        energies = np.full(len(positions), np.nan)
        forces = np.full(positions.shape, np.nan)
        if not (kept and np.array_equal(kept[0].numbers, atomic_numbers)):
            kept[:] = [Atoms(atomic_numbers, positions[0])]
            kept[0].calc = make(kept[0])
        atoms = kept[0]
        for index, frame in enumerate(positions):
            atoms.positions = frame
            try:
                energies[index], forces[index] = atoms.get_potential_energy(), atoms.get_forces()
            except Exception:  # noqa: BLE001  any calculator fails in its own way on a wild frame
                atoms.calc = make(atoms)
        return energies, forces

    return label


def _imported(name: str) -> Callable[[Atoms], Any]:
    """What makes the calculator ``module:object``: an object, or a callable that returns one."""
    module, _, attribute = name.partition(":")
    if not module or not attribute:
        raise InputError(f"a calculator is given as module:object, received {name!r}")
    try:
        found = getattr(importlib.import_module(module), attribute)
        made = found if hasattr(found, "get_property") and not isinstance(found, type) else found()
    except Exception as error:  # whatever the user's own module raises
        reason = str(error).strip().splitlines()
        raise InputError(
            f"the calculator {name!r} cannot be had: {type(error).__name__}"
            f"{': ' + reason[0] if reason else ''}"
        ) from error
    if not hasattr(made, "get_property"):
        raise InputError(
            f"{name!r} is no ASE calculator but {type(made).__name__}; it must be a calculator or "
            "a callable without arguments that returns one"
        )
    return lambda atoms: made
