"""The npz layouts in use, told apart by their keys, and their conversion to a Dataset.

| layout | positions | energies | forces | atomic numbers | units |
|---|---|---|---|---|---|
| this project | positions | energies | forces | atomic_numbers (+ version) | eV, Å |
| MD17, sGDML | R | E | F | z | e_unit, r_unit, otherwise inferred |
| rMD17 | coords | energies | forces | nuclear_charges | inferred (kcal/mol) |
| plain | positions | energy | forces | atomic_numbers (N,) or (M, N) | inferred |

Every published data set makes its own mixture, so each role is looked up on its own.
"""

from dataclasses import dataclass

import numpy as np
from ase.data import chemical_symbols
from ase.formula import Formula

from fisherdash.dataset.checks import check_arrays
from fisherdash.dataset.core import Dataset, check_temperature
from fisherdash.dataset.inference import (
    ENERGY_UNITS,
    LENGTH_UNITS,
    energy_unit,
    infer_energy_unit,
    length_doubt,
    length_unit,
    total_energy_evidence,
)
from fisherdash.dataset.npz import VERSION, Arrays
from fisherdash.errors import InputError

_ROLES = {
    "positions": ("positions", "R", "coords"),
    "energies": ("energies", "E", "energy"),
    "forces": ("forces", "F"),
    "atomic_numbers": ("atomic_numbers", "z", "nuclear_charges", "numbers"),
}
_ENERGY_UNIT_KEYS = ("e_unit", "energy_unit", "energy_units", "units")
_LENGTH_UNIT_KEYS = ("r_unit", "length_unit", "positions_unit", "coords_unit")


@dataclass(frozen=True)
class Wish:
    """What the user said about a file; None where it is to be inferred."""

    units: str | None = None
    temperature: float | None = None
    labels: str | None = None


def from_arrays(arrays: Arrays, name: str, wish: Wish) -> Dataset:
    """The Dataset in an open npz of any known layout.

    Raises InputError for missing keys, frames of different molecules, and whatever Dataset refuses.
    """
    if {"version", "energies", "positions"} <= set(arrays):
        return _from_project(arrays, name, wish)
    keys = _find_keys(arrays, name, wish.labels)
    positions, energies, forces = (
        _real(arrays[keys[role]], keys[role], name) for role in ("positions", "energies", "forces")
    )
    notes: list[str] = []
    length = _length(arrays, name, notes)
    numbers = one_molecule(arrays[keys["atomic_numbers"]], name)
    # Checked before the units are inferred, so that inference meets only sound numbers.
    sound = check_arrays(positions * length, energies, forces / length, numbers)
    unit, why = _energy(arrays, name, wish, keys, sound)
    notes.append(why)
    if length == 1.0:
        notes += length_doubt(sound["positions"][0], sound["atomic_numbers"])
    notes += _about_old_labels(arrays, wish)
    return Dataset(
        positions=sound["positions"],
        energies=sound["energies"] * ENERGY_UNITS[unit],
        forces=sound["forces"] * ENERGY_UNITS[unit],
        atomic_numbers=sound["atomic_numbers"],
        temperature=wish.temperature,
        source=f"{name} ({', '.join(keys.values())})",
        notes=tuple(notes),
    )


def one_molecule(numbers: np.ndarray, name: str) -> np.ndarray:
    """(N,) from atomic numbers (N,) or (M, N); InputError when the frames differ."""
    if numbers.ndim != 2 or numbers.shape[0] == 0:
        return numbers
    different = (numbers != numbers[0]).any(axis=1)
    if different.any():
        index = int(np.argmax(different))
        raise InputError(describe_difference(name, numbers[0], index, numbers[index]))
    return numbers[0]


def describe_difference(name: str, first: np.ndarray, index: int, other: np.ndarray) -> str:
    """The sentence for a file whose frame `index` is not the molecule of frame 0."""
    a, b = _formula(first), _formula(other)
    if a == b:
        return (
            f"{name} lists the atoms of frame {index} in another order than those of frame 0; "
            "all frames need the same order."
        )
    return (
        f"{name} holds frames of different molecules: frame 0 is {a}, frame {index} is {b}; "
        "a data set is one molecule."
    )


def _formula(numbers: np.ndarray) -> str:
    known = [chemical_symbols[int(z)] for z in numbers if 0 <= z < len(chemical_symbols)]
    return Formula.from_list(known).format("hill")


def _find_keys(arrays: Arrays, name: str, labels: str | None) -> dict[str, str]:
    keys = {}
    for role, names in _ROLES.items():
        if labels and role in ("energies", "forces"):
            names = tuple(f"{labels}_{key}" for key in names)
        found = next((key for key in names if key in arrays), None)
        if found is None:
            raise InputError(
                f"{name} has no {role.replace('_', ' ')}: none of the keys {', '.join(names)} is "
                f"there; received {arrays.listed}."
            )
        keys[role] = found
    return keys


def _real(array: np.ndarray, key: str, name: str) -> np.ndarray:
    if array.dtype.kind not in "iuf":
        raise InputError(
            f"{name} must hold real numbers under {key!r}, received type {array.dtype}."
        )
    return array.astype(np.float64)


def _length(arrays: Arrays, name: str, notes: list[str]) -> float:
    """Å in one unit of length of the file."""
    for key in _LENGTH_UNIT_KEYS:
        text = arrays.text(key)
        if text is None:
            continue
        unit = length_unit(text)
        if unit is None:
            raise InputError(
                f"{name} gives {key} = {text!r}, an unknown unit of length; known are "
                f"{', '.join(LENGTH_UNITS)}."
            )
        if unit != "Å":
            notes.append(f"Lengths converted from {unit} to Å, because the file says {key}={text}.")
        return LENGTH_UNITS[unit]
    return 1.0


def _energy(
    arrays: Arrays, name: str, wish: Wish, keys: dict[str, str], sound: dict[str, np.ndarray]
) -> tuple[str, str]:
    """The energy unit of the file and the sentence that says why."""
    energies, forces, numbers = sound["energies"], sound["forces"], sound["atomic_numbers"]
    if wish.units is not None:
        return wish.units, given_units_note(wish.units, energies, numbers)
    for key in _ENERGY_UNIT_KEYS:
        text = arrays.text(key)
        if text is None:
            continue
        unit = energy_unit(text)
        if unit is None:
            raise InputError(
                f"{name} gives {key} = {text!r}, an unknown unit of energy; name one of "
                f"{', '.join(ENERGY_UNITS)} with units."
            )
        return unit, f"Units: {unit}, because the file says {key}={text}."
    try:
        return infer_energy_unit(energies, forces, numbers)
    except InputError:
        if keys["atomic_numbers"] in ("z", "nuclear_charges"):
            return "kcal/mol", (
                "Units assumed: kcal/mol, the custom of MD17 files; neither the energies nor the "
                "forces tell."
            )
        raise


def given_units_note(units: str, energies: np.ndarray, numbers: np.ndarray) -> str:
    """A sentence for units named by the user, with a warning where the energies disagree."""
    note = f"Units: {units}, as given."
    seen = total_energy_evidence(energies, numbers)
    if seen in (None, units):
        return note
    return f"{note} The mean energy {np.mean(energies):.6g} looks like {seen} instead."


def _about_old_labels(arrays: Arrays, wish: Wish) -> list[str]:
    if "old_forces" not in arrays or wish.labels:
        return []
    return [
        "The geometries of this file were sampled with the potential of old_energies and "
        'old_forces (labels="old" loads those); they are not a Boltzmann sample of the labels '
        "loaded here."
    ]


def _from_project(arrays: Arrays, name: str, wish: Wish) -> Dataset:
    for key in ("forces", "atomic_numbers"):
        if key not in arrays:
            raise InputError(f"{name} has no {key.replace('_', ' ')}; received {arrays.listed}.")
    if wish.units not in (None, "eV"):
        raise InputError(f"{name} is a FisherDash file, always in eV; received units {wish.units}.")
    if wish.labels:
        raise InputError(
            f"{name} is a FisherDash file with one set of labels; received labels {wish.labels!r}."
        )
    version = arrays["version"]
    if version.size != 1 or version.dtype.kind not in "iu" or int(version.item()) != VERSION:
        received = str(version.reshape(-1)[:1].tolist())[:40]
        raise InputError(
            f"{name} is of FisherDash data version {received}; this program reads version "
            f"{VERSION}."
        )
    temperature = wish.temperature
    if temperature is None and "temperature" in arrays:
        stored = arrays["temperature"]
        if stored.size != 1 or stored.dtype.kind not in "iuf":
            raise InputError(f"{name} must hold one number under 'temperature'.")
        temperature = None if np.isnan(stored.item()) else check_temperature(stored.item())
    notes = arrays["notes"] if "notes" in arrays else np.array([], dtype=np.str_)
    return Dataset(
        positions=arrays["positions"],
        energies=arrays["energies"],
        forces=arrays["forces"],
        atomic_numbers=one_molecule(arrays["atomic_numbers"], name),
        temperature=temperature,
        source=arrays.text("source") or name,
        notes=tuple(str(n)[:1000] for n in notes.reshape(-1)[:50])
        if notes.dtype.kind == "U"
        else (),
    )
