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
    "kcal": "kcal/mol", "kj": "kJ/mol",
    "ha": "hartree", "hartree": "hartree", "hartrees": "hartree", "eh": "hartree", "au": "hartree",
    "atomic": "hartree", "atomicunits": "hartree",
    "ry": "Ry", "rydberg": "Ry", "rydbergs": "Ry", "ryd": "Ry",
    "cm-1": "cm⁻¹", "1/cm": "cm⁻¹", "/cm": "cm⁻¹", "invcm": "cm⁻¹", "wavenumber": "cm⁻¹",
    "wavenumbers": "cm⁻¹",
}  # fmt: skip
_LENGTH_SPELLINGS = {
    "ang": "Å", "angstrom": "Å", "angstroms": "Å", "å": "Å", "a": "Å", "aa": "Å", "angs": "Å",
    "ångström": "Å", "ångstrom": "Å",
    "bohr": "bohr", "bohrs": "bohr", "au": "bohr", "a0": "bohr", "atomic": "bohr",
    "atomicunits": "bohr",
    "nm": "nm", "nanometer": "nm", "nanometers": "nm", "nanometre": "nm",
}  # fmt: skip
_PER_MOLE = re.compile(r"(kcal|kj)[/·*]?mol(?:e|-1)?")
_PER_LENGTH = re.compile(rf"(.+?)[/·*]?({'|'.join(sorted(_LENGTH_SPELLINGS, key=len)[::-1])})(-1)?")


def _plain(text: str) -> str:
    """A unit in small letters, with / for per and -1 for every way to write an inverse."""
    plain = "".join(str(text).split()).strip("\"'").replace("\u212b", "å").lower()
    plain = re.sub(r"[()\[\]{}^_.]", "", plain.replace("⁻¹", "-1").replace("**", ""))
    return re.sub(r"/molecule$", "", plain.replace("per", "/"))


def energy_unit(text: str) -> str | None:
    """The unit that ``text`` spells ("kcal/mol", "Ha", "cm-1" …), None if it is none we know."""
    plain = _plain(text)
    mole = _PER_MOLE.fullmatch(plain)
    return _ENERGY_SPELLINGS.get(mole[1] if mole else plain)


def length_unit(text: str) -> str | None:
    """The unit of length that ``text`` spells ("Ang", "bohr" …), None if it is none we know."""
    return _LENGTH_SPELLINGS.get(_plain(text))


def force_unit(text: str) -> str | None:
    """The unit of force that ``text`` spells ("Ha/Bohr", "kcal/mol/Ang" …), None if unknown."""
    plain = _plain(text)
    if plain in ("au", "atomic", "atomicunits"):
        return "hartree/bohr"
    found = _PER_LENGTH.fullmatch(plain)
    energy = energy_unit(found[1]) if found else None
    return f"{energy}/{_LENGTH_SPELLINGS[found[2]]}" if found and energy else None


def force_size(unit: str) -> float:
    """A unit of force, as :func:`force_unit` writes it, in eV/Å."""
    energy, _, length = unit.rpartition("/")
    return ENERGY_UNITS[energy] / LENGTH_UNITS[length]
