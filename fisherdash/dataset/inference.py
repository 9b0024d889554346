"""Which unit a file's energies are in, found from the numbers where the file does not say.

Evidence, strongest first:

1. The total energy. An all-electron total energy is within a few per cent of the sum of its
   atoms' own (binding is a thousandth of it), so E / Σ E_atom tells 1 hartree from 27.2 eV from
   627.5 kcal/mol from 2625.5 kJ/mol beyond doubt.
2. The size of the forces. A molecule at some hundred kelvin has a root mean square force
   component near 1 eV/Å (23 kcal/mol/Å, 0.04 hartree/Å). It holds for energies from which atomic
   references were subtracted too, but is a plausibility, and is called an assumption.
"""

import numpy as np
from ase.data import covalent_radii

from fisherdash.errors import InputError
from fisherdash.units import BOHR, HARTREE, KCAL_PER_MOL, KJ_PER_MOL

ENERGY_UNITS = {
    "eV": 1.0,
    "kcal/mol": KCAL_PER_MOL,
    "kJ/mol": KJ_PER_MOL,
    "hartree": HARTREE,
}
"""Unit → its size in eV."""

LENGTH_UNITS = {"Å": 1.0, "bohr": BOHR, "nm": 10.0}

# Approximate total energies of H to Kr in hartree, all electrons, rounded: 1 % is enough.
# Hydrogen is given as in a molecule, where it is bound by a fifth of its own energy.
_ATOM_HARTREE = dict(enumerate([
    0.6, 2.9, 7.5, 14.7, 24.7, 37.9, 54.6, 75.1, 99.8, 128.9,
    162.3, 200.1, 242.4, 289.4, 341.3, 398.1, 460.2, 527.5, 599.9, 677.6,
    760.6, 849.3, 943.9, 1044.4, 1150.9, 1263.6, 1382.7, 1508.3, 1640.5, 1779.4,
    1924.9, 2077.0, 2236.0, 2401.5, 2574.2, 2754.1,
], start=1))  # fmt: skip
_TOTAL_TOLERANCE = 0.04
_FORCE_BOUNDS = {"hartree": (0.003, 0.2), "eV": (0.2, 5.0), "kcal/mol": (5.0, 150.0)}

_SPELLINGS = {
    "ev": "eV", "electronvolt": "eV",
    "kcal/mol": "kcal/mol", "kcalpermol": "kcal/mol", "kcalmol-1": "kcal/mol", "kcal": "kcal/mol",
    "kcalmol^-1": "kcal/mol",
    "kj/mol": "kJ/mol", "kjpermol": "kJ/mol", "kjmol-1": "kJ/mol",
    "ha": "hartree", "hartree": "hartree", "eh": "hartree", "au": "hartree", "a.u.": "hartree",
}  # fmt: skip
_LENGTH_SPELLINGS = {
    "ang": "Å", "angstrom": "Å", "angstroms": "Å", "å": "Å", "a": "Å",
    "bohr": "bohr", "au": "bohr", "a.u.": "bohr", "a0": "bohr", "nm": "nm",
}  # fmt: skip


def energy_unit(text: str) -> str | None:
    """The unit that `text` spells ("kcal/mol", "Ha", "eV" …), None if it is none we know."""
    return _SPELLINGS.get("".join(text.lower().split()))


def length_unit(text: str) -> str | None:
    """The unit of length that `text` spells ("Ang", "bohr" …), None if it is none we know."""
    return _LENGTH_SPELLINGS.get("".join(text.lower().split()))


def check_units(units: str | None) -> str | None:
    """The canonical name of a unit given by the user; InputError when it is not one of ours."""
    if units is None:
        return None
    known = energy_unit(str(units))
    if known is None:
        raise InputError(f"Unknown units {units!r}; use one of {', '.join(ENERGY_UNITS)}.")
    return known


def total_energy_evidence(energies: np.ndarray, atomic_numbers: np.ndarray) -> str | None:
    """The unit in which the mean total energy is that of the atoms, None if it fits no unit."""
    if not all(int(z) in _ATOM_HARTREE for z in atomic_numbers) or not energies.size:
        return None
    atoms_eV = -HARTREE * sum(_ATOM_HARTREE[int(z)] for z in atomic_numbers)
    mean = float(np.mean(energies))
    for unit, size in ENERGY_UNITS.items():
        if abs(mean * size / atoms_eV - 1) < _TOTAL_TOLERANCE:
            return unit
    return None


def force_evidence(forces: np.ndarray) -> str | None:
    """The unit (per Å) in which the root mean square force is that of a warm molecule."""
    size = rms(forces)
    for unit, (low, high) in _FORCE_BOUNDS.items():
        if low <= size < high:
            return unit
    return None


def rms(forces: np.ndarray) -> float:
    """Root mean square over all components, in the unit of `forces`."""
    return float(np.sqrt(np.mean(np.square(forces, dtype=np.float64)))) if forces.size else 0.0


def infer_energy_unit(
    energies: np.ndarray, forces: np.ndarray, atomic_numbers: np.ndarray
) -> tuple[str, str]:
    """The unit of energies (M,) and forces (M, N, 3) per Å, and a sentence that says why.

    Raises InputError when neither the total energy nor the forces fit a known unit.
    """
    size = rms(forces)
    total = total_energy_evidence(energies, atomic_numbers)
    by_force = force_evidence(forces)
    if total is not None:
        note = (
            f"Units inferred: {total}, because the mean energy {np.mean(energies):.6g} is the "
            f"atoms' total energy in {total}"
        )
        in_eV = size * ENERGY_UNITS[total]
        low, high = _FORCE_BOUNDS["eV"]
        if low <= in_eV < high:
            return total, f"{note}, and the forces are then {in_eV:.2f} eV/Å rms, as they should."
        return total, (
            f"{note}; but the forces are then {in_eV:.3g} eV/Å rms, unusual for a warm molecule: "
            "check that energies and forces have the same unit."
        )
    if by_force is not None:
        return by_force, (
            f"Units assumed: {by_force}, because the forces are then "
            f"{size * ENERGY_UNITS[by_force]:.2f} eV/Å rms, usual for a warm molecule; the "
            f"energies (mean {np.mean(energies):.6g}) are not total energies and cannot tell."
        )
    raise InputError(
        f"Cannot tell the units: forces of {size:.3g} rms and a mean energy of "
        f"{np.mean(energies):.6g} fit none of {', '.join(ENERGY_UNITS)}; name them with units."
    )


def length_doubt(positions: np.ndarray, atomic_numbers: np.ndarray) -> list[str]:
    """A warning, or none, when one geometry (N, 3) said to be in Å looks like bohr.

    In a molecule an atom's nearest neighbour is about the sum of two covalent radii away; in bohr
    the number is 1.9 times as large. Weakly bound atoms look the same, so this never refuses.
    """
    numbers = np.asarray(atomic_numbers)
    fits = positions.shape == (*numbers.shape, 3) and len(numbers) > 1
    if not fits or numbers.dtype.kind not in "iu" or not ((numbers > 0) & (numbers < 97)).all():
        return []
    radii = covalent_radii[numbers]
    distances = np.linalg.norm(positions[:, None] - positions[None], axis=-1)
    ratio = distances / (radii[:, None] + radii[None])
    np.fill_diagonal(ratio, np.inf)
    nearest = float(np.median(ratio.min(axis=1)))
    if not 1.6 < nearest < 2.3:
        return []
    return [
        f"Nearest atoms are {nearest:.2f} times as far apart as bonds are: if this is no loose "
        "cluster, the positions are in bohr and must be converted to Å."
    ]
