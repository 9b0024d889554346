"""One system of units inside: eV, Å, amu, fs and K; everything else is converted on input.

Values are those of ASE, which takes them from CODATA 2014; ASE's own unit of time (Å √(amu/eV))
is not used, so that a time step read in this project is always in femtoseconds.
"""

import re
from typing import Final

from ase import units as _ase

BOLTZMANN: Final = float(_ase.kB)
"""Boltzmann constant in eV/K."""

ACCELERATION: Final = float(_ase.fs**2)
"""1 eV/Å/amu expressed in Å/fs²: acceleration = ACCELERATION · force / mass,
kinetic energy = ½ mass · velocity² / ACCELERATION."""

KCAL_PER_MOL: Final = float(_ase.kcal / _ase.mol)
"""1 kcal/mol in eV."""

KJ_PER_MOL: Final = float(_ase.kJ / _ase.mol)
"""1 kJ/mol in eV."""

HARTREE: Final = float(_ase.Hartree)
"""1 hartree in eV."""

BOHR: Final = float(_ase.Bohr)
"""1 bohr in Å."""

ENERGY_UNITS: Final = {
    "eV": 1.0,
    "kcal/mol": KCAL_PER_MOL,
    "kJ/mol": KJ_PER_MOL,
    "hartree": HARTREE,
    "Ry": HARTREE / 2,
    "meV": 1e-3,
    "cm⁻¹": float(_ase.invcm),
}
"""Unit of energy → its size in eV."""

LENGTH_UNITS: Final = {"Å": 1.0, "bohr": BOHR, "nm": 10.0}
"""Unit of length → its size in Å."""

_ENERGY_SPELLINGS = {
    "ev": "eV", "electronvolt": "eV", "electronvolts": "eV", "mev": "meV",
    "kcal/mol": "kcal/mol", "kcalpermol": "kcal/mol", "kcalmol-1": "kcal/mol", "kcal": "kcal/mol",
    "kcalmol^-1": "kcal/mol", "kcal_mol": "kcal/mol",
    "kj/mol": "kJ/mol", "kjpermol": "kJ/mol", "kjmol-1": "kJ/mol", "kjmol^-1": "kJ/mol",
    "kj": "kJ/mol",
    "ha": "hartree", "hartree": "hartree", "hartrees": "hartree", "eh": "hartree", "au": "hartree",
    "a.u.": "hartree", "a.u": "hartree", "atomic": "hartree", "e_h": "hartree",
    "ry": "Ry", "rydberg": "Ry", "rydbergs": "Ry", "ryd": "Ry",
    "cm-1": "cm⁻¹", "cm^-1": "cm⁻¹", "cm⁻¹": "cm⁻¹", "1/cm": "cm⁻¹", "invcm": "cm⁻¹",
    "wavenumber": "cm⁻¹", "wavenumbers": "cm⁻¹", "cm^{-1}": "cm⁻¹",
}  # fmt: skip
_LENGTH_SPELLINGS = {
    "ang": "Å", "angstrom": "Å", "angstroms": "Å", "å": "Å", "a": "Å", "ångström": "Å", "angs": "Å",
    "bohr": "bohr", "bohrs": "bohr", "au": "bohr", "a.u.": "bohr", "a.u": "bohr", "a0": "bohr",
    "a_0": "bohr", "atomic": "bohr", "nm": "nm", "nanometer": "nm", "nanometers": "nm",
    "nanometre": "nm",
}  # fmt: skip


def _plain(text: str) -> str:
    return "".join(str(text).split()).strip("\"'").replace("\u212b", "Å").lower()


def energy_unit(text: str) -> str | None:
    """The unit that ``text`` spells ("kcal/mol", "Ha", "cm-1" …), None if it is none we know."""
    return _ENERGY_SPELLINGS.get(_plain(text))


def length_unit(text: str) -> str | None:
    """The unit of length that ``text`` spells ("Ang", "bohr" …), None if it is none we know."""
    return _LENGTH_SPELLINGS.get(_plain(text))


def force_unit(text: str) -> str | None:
    """The unit of force that ``text`` spells ("Ha/Bohr", "kcal/mol/Ang" …), None if unknown."""
    plain = _plain(text)
    if plain in ("au", "a.u.", "a.u", "atomic"):
        return "hartree/bohr"
    plain = re.sub(r"[()\[\]]", "", plain).replace("*", "/").replace("·", "/")
    plain = re.sub(r"/?(ang(?:strom)?|å|a0?|bohr|nm)(\^?\{?-1\}?|⁻¹)$", r"/\1", plain)
    energy, _, length = plain.rpartition("/")
    found = energy_unit(energy), length_unit(length)
    return f"{found[0]}/{found[1]}" if found[0] and found[1] else None


def force_size(unit: str) -> float:
    """A unit of force, as :func:`force_unit` writes it, in eV/Å."""
    energy, _, length = unit.rpartition("/")
    return ENERGY_UNITS[energy] / LENGTH_UNITS[length]
