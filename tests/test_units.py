"""Units: their sizes against independent constants, and the spellings of files."""

import pytest

from fisherdash import units


@pytest.mark.parametrize(
    ("unit", "size"),
    [
        ("hartree", 27.211386),
        ("Ry", 13.605693),
        ("kcal/mol", 0.0433641),
        ("kJ/mol", 0.0103643),
        ("meV", 1e-3),
        ("cm⁻¹", 1.2398420e-4),
        ("eV", 1.0),
    ],
)
def test_sizes_of_energies(unit, size):
    assert units.ENERGY_UNITS[unit] == pytest.approx(size, rel=1e-5)


def test_sizes_of_lengths_and_forces():
    assert units.LENGTH_UNITS["bohr"] == pytest.approx(0.52917721, rel=1e-6)
    assert units.LENGTH_UNITS["nm"] == 10.0
    assert units.force_size("hartree/bohr") == pytest.approx(51.422067, rel=1e-6)
    assert units.force_size("kJ/mol/nm") == pytest.approx(0.00103643, rel=1e-5)


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        ("Ha", "hartree"),
        ("  Hartree ", "hartree"),
        ("kcal mol-1", "kcal/mol"),
        ("kJ/mol", "kJ/mol"),
        ("cm^-1", "cm⁻¹"),
        ("meV", "meV"),
        ("furlong", None),
    ],
)
def test_spellings_of_energies(text, unit):
    assert units.energy_unit(text) == unit


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        ("Ha/Bohr", "hartree/bohr"),
        ("a.u.", "hartree/bohr"),
        ("eV/Ang", "eV/Å"),
        ("kcal/mol/Å", "kcal/mol/Å"),
        ("(kcal/mol)/Angstrom", "kcal/mol/Å"),
        ("eV", None),
    ],
)
def test_spellings_of_forces(text, unit):
    assert units.force_unit(text) == unit


def test_spellings_of_lengths():
    found = [units.length_unit(text) for text in ("Angstrom", "bohr", "a0", "nm", "mile")]
    assert found == ["Å", "bohr", "bohr", "nm", None]
