"""What a reader finds in a file, in the file's own units, and the Dataset that is made of it."""

from dataclasses import dataclass, field

import numpy as np

from fisherdash.dataset.checks import check_arrays
from fisherdash.dataset.consistency import examine, refuse_zero
from fisherdash.dataset.core import Dataset
from fisherdash.dataset.inference import Declared, Wanted, resolve
from fisherdash.errors import InputError
from fisherdash.units import ENERGY_UNITS, LENGTH_UNITS, force_size


@dataclass(frozen=True)
class ReadOptions(Wanted):
    """What the user said about a file; None where it is to be inferred."""

    temperature: float | None = None
    labels: str | None = None
    energy_key: str | None = None
    forces_key: str | None = None
    gradients: bool = False
    molecule: str | None = None


@dataclass
class Raw:
    """Frames as a file has them.

    Attributes:
        positions, energies, forces: (M, N, 3), (M,), (M, N, 3) in the file's units.
        numbers: (N,) atomic numbers.
        source: where they came from.
        declared: units that the file or its format says.
        gradients: the file names them gradients, so that the sign is turned.
        unnamed: columns that are taken as forces though nothing names them, such as "5-7".
        temperature: K, None if unknown.
        left_out, notes, warnings: what to tell.
    """

    positions: np.ndarray
    energies: np.ndarray
    forces: np.ndarray
    numbers: np.ndarray
    source: str
    declared: Declared = field(default_factory=Declared)
    gradients: bool = False
    unnamed: str = ""
    temperature: float | None = None
    left_out: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def assemble(raw: Raw, name: str, options: ReadOptions) -> Dataset:
    """The Dataset in eV and Å; InputError where units or signs have to be asked for."""
    guess = options.length_units or raw.declared.length or "Å"
    sound = check_arrays(
        np.asarray(raw.positions) * LENGTH_UNITS.get(guess, 1.0), raw.energies, raw.forces,
        raw.numbers,
    )  # fmt: skip
    refuse_zero(sound["forces"], name)
    sign = -1.0 if raw.gradients or options.gradients else 1.0
    sound["forces"] *= sign
    try:
        found = resolve(sound, name, options, raw.declared)
    except InputError as refusal:
        if not raw.unnamed or options.forces_key:
            raise
        raise InputError(
            f"{refusal} (Columns {raw.unnamed}, which have no names, were taken as forces; "
            "--forces-key takes others.)"
        ) from None
    sound["energies"] *= ENERGY_UNITS[found.energy]
    sound["forces"] *= force_size(found.forces)
    notes = [*found.notes]
    if raw.gradients:
        notes.append("The file names gradients of the energy; the forces are minus those.")
    elif options.gradients:
        notes.append("The sign of the forces was turned, as asked: they were called gradients.")
    checked = examine(sound)
    if raw.unnamed and not (options.gradients or options.forces_key):
        if checked.sign == -1:
            raise InputError(
                f"{name} has columns without names beside its positions, and the energies rise "
                "where they would push if they were forces: they are gradients; say --gradients, "
                "and their unit with --force-units."
            )
        if checked.sign is None:
            raise InputError(
                f"{name} has columns without names beside its positions, which may be forces or "
                f"gradients of the energy: say --forces-key {raw.unnamed} for forces, or "
                "--gradients, and --force-units."
            )
        notes.append(
            f"Columns {raw.unnamed.replace('-', ' to ')} are taken as forces: energies fall, or "
            "bonds pull, as forces say."
        )
    return Dataset(
        **sound,
        temperature=options.temperature if options.temperature is not None else raw.temperature,
        source=raw.source,
        notes=(*notes, *raw.notes),
        warnings=(*raw.warnings, *found.warnings, *checked.warnings),
        left_out=tuple(raw.left_out),
        units=found.to_json(),
    )
