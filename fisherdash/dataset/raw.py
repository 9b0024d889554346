"""What a reader finds in a file, in the file's own units, and the Dataset that is made of it.

Every published data set has names of its own for positions, energies, forces and atoms, so each
role is looked up on its own, and the user may name keys, or what they begin or end with.
"""

import functools
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fisherdash.dataset.core import Dataset, check_arrays, elements
from fisherdash.dataset.inference import Declared, Wanted, examine, refuse_zero, resolve
from fisherdash.errors import InputError
from fisherdash.units import ENERGY_UNITS, LENGTH_UNITS, force_size

POSITIONS = ("positions", "R", "coords", "coordinates", "coord", "conformations", "geometries",
             "geometry", "nuclear_coordinates", "pos", "xyz", "atXYZ", "r")  # fmt: skip
ENERGIES = ("energies", "E", "energy", "total_energy", "etot", "dft_total_energy",
            "wb97x_dz.energy", "potential_energy", "epot", "PotEng", "ePBE0+MBD", "U",
            "free_energy")  # fmt: skip
FORCES = ("forces", "F", "force", "wb97x_dz.forces", "totFOR")
GRADIENTS = ("gradients", "gradient", "grad", "grads", "G", "dft_total_gradient", "de")
"""Names that say that the sign is that of a gradient."""
ATOMS = ("atomic_numbers", "z", "Z", "nuclear_charges", "numbers", "species", "atomic_number",
         "elements", "symbols", "atom_types", "atNUM")  # fmt: skip
ENERGY_UNIT_KEYS = ("e_unit", "energy_unit", "energy_units", "units", "unit", "energies_unit")
FORCE_UNIT_KEYS = ("f_unit", "force_unit", "forces_unit", "force_units", "forces_units")
LENGTH_UNIT_KEYS = ("r_unit", "length_unit", "length_units", "positions_unit", "coords_unit",
                    "coordinates_unit", "position_unit", "pos_unit", "distance_unit")  # fmt: skip
MOST_SHOWN = 20


@dataclass(frozen=True)
class ReadOptions(Wanted):
    """What the user said about a file; None where it is to be inferred."""

    temperature: float | None = None
    labels: str | None = None
    energy_key: str | None = None
    forces_key: str | None = None
    gradients: bool = False
    molecule: str | None = None


def lookup(store: Iterable[str], names: Iterable[str], labels: str | None = None) -> str | None:
    """The first of the names that is stored, spelled alike if possible, else in any case.

    ``labels`` is what the key begins or ends with besides.
    """
    return _lookup(tuple(store), tuple(names), labels)


@functools.lru_cache(256)  # a text asks for the same of each of its frames
def _lookup(keys: tuple[str, ...], names: tuple[str, ...], labels: str | None) -> str | None:
    for name in names:
        wanted = [name]
        if labels:
            bare = labels.strip("_")
            wanted = [f"{bare}_{name}", f"{name}_{bare}", f"{bare}{name}", f"{bare}-{name}"]
        for one in wanted:
            if one in keys:
                return one
    lower = {plain(key): key for key in reversed(keys)}
    for name in names:
        bare = labels.strip("_") if labels else ""
        for one in (f"{bare}_{name}", f"{name}_{bare}", f"{bare}{name}") if labels else (name,):
            if len(name) > 1 and plain(one) in lower:
                return lower[plain(one)]
    return None


def plain(key: str) -> str:
    """A key without case, hyphens and underscores."""
    return key.lower().replace("-", "").replace("_", "")


def forces_key(
    store: Iterable[str], name: str, labels: str | None, given: str | None
) -> tuple[str | None, bool]:
    """The key of the forces, and whether it names gradients."""
    keys = list(store)
    if given is not None:
        return named(keys, given, "--forces-key", name), "grad" in given.lower()
    found = lookup(keys, FORCES, labels)
    if found is not None:
        return found, False
    found = lookup(keys, GRADIENTS, labels)
    return found, found is not None


def _energies_key(
    store: Iterable[str], name: str, labels: str | None, given: str | None
) -> str | None:
    """The key of the energies."""
    keys = list(store)
    if given is not None:
        return named(keys, given, "--energy-key", name)
    return lookup(keys, ENERGIES, labels)


def roles(store: Iterable[str], name: str, options: ReadOptions) -> tuple[dict[str, Any], bool]:
    """The key of each role, None where there is none, and whether forces are called gradients."""
    keys = list(store)
    forces, gradients = forces_key(keys, name, options.labels, options.forces_key)
    found = {
        "positions": lookup(keys, POSITIONS),
        "energies": _energies_key(keys, name, options.labels, options.energy_key),
        "forces": forces,
        "atomic_numbers": lookup(keys, ATOMS),
    }
    return found, gradients


def named(store: list[str], key: str, option: str, name: str) -> str:
    """A key that the user gave; InputError when the file lacks it."""
    if key in store:
        return key
    raise InputError(f"{name} has no key {key[:60]!r} ({option}); it has {listed(store)}.")


def listed(keys: Iterable[str]) -> str:
    """Keys for a message, each shortened, the first MOST_SHOWN of them."""
    every = list(keys)
    words = [f"{key[:40]}…" if len(key) > 40 else key for key in every[:MOST_SHOWN]]
    words = ["".join(c if c.isprintable() else "?" for c in word) for word in words]
    return ", ".join([*words, "…"] if len(every) > MOST_SHOWN else words) or "nothing at all"


def hint(energies: list[str], forces: list[str]) -> str:
    """What to say instead, from keys that might be meant."""
    parts: list[str] = []
    seen: list[str] = []
    for stems, found, option in (
        (("energ", "epot", "etot"), energies, "--energy-key"),
        (("forc", "frc", "grad"), forces, "--forces-key"),
    ):
        like = [
            key for key in found
            if any(stem in key.lower() for stem in stems) and "unit" not in key.lower()
        ]  # fmt: skip
        if like:
            seen += like
            parts.append(f"{option} {like[0][:40]}")
    return f"it has {listed(dict.fromkeys(seen))}: say {' '.join(parts)}" if parts else ""


def numbers_of(array: np.ndarray, name: str) -> np.ndarray:
    """Atomic numbers from numbers or chemical symbols of any shape; InputError for others."""
    array = np.asarray(array)
    if array.dtype.kind not in "US":
        return array
    words = [
        w.decode("latin-1") if isinstance(w, bytes) else str(w) for w in array.reshape(-1).tolist()
    ]
    return elements(words, f"{name} names").reshape(array.shape)


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
    factor = LENGTH_UNITS.get(options.length_units or raw.declared.length or "Å", 1.0)
    positions = raw.positions if factor == 1.0 else np.asarray(raw.positions) * factor
    sound = check_arrays(positions, raw.energies, raw.forces, raw.numbers)
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
