"""Who labels frames: GFN2-xTB for data that were made with it, or a calculator of the user's."""

import importlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from ase import Atoms

from fisherdash.dataset import Dataset
from fisherdash.errors import InputError
from fisherdash.reference.sampling import METHOD, calculator

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
    if calculator:
        return Labeller(f"the calculator {calculator!r}", _with(_imported(calculator)))
    if data.source.startswith(METHOD):
        return Labeller(METHOD, _with(_gfn2_xtb))
    raise InputError(
        "these data do not say which potential labelled them, so nothing here can label more: give "
        "an ASE calculator (--calculator module:object), or label frames elsewhere ('fisherdash "
        "label --export', then --labels-file)"
    )


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
