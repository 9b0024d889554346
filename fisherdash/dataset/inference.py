"""Which units a file is in: as the user or the file says, otherwise found from the numbers.

Evidence, strongest first:

1. The total energy. An all-electron total energy is within a few per cent of the sum of its
   atoms' own (binding is a thousandth of it), so E / Σ E_atom tells 1 hartree from 27.2 eV from
   627.5 kcal/mol from 2625.5 kJ/mol beyond doubt.
2. The stiffness of bonds to hydrogen, known within a fifth, and the work of the forces between
   frames that are alike, which is minus the change of the energy: they tell hartree/bohr from
   hartree/Å, which the size of the forces cannot.
3. The size of the forces. A molecule at some hundred kelvin has a root mean square force
   component near 1 eV/Å (23 kcal/mol/Å, 0.02 hartree/bohr). It holds for energies from which atomic
   references were subtracted too, but is a plausibility, and is called an assumption.

Where two readings stay plausible the user is asked.
"""

from dataclasses import dataclass, field

import numpy as np
from ase.data import covalent_radii

from fisherdash.dataset.consistency import stiffness, work
from fisherdash.dataset.core import reference_bonds
from fisherdash.errors import InputError
from fisherdash.units import ENERGY_UNITS, HARTREE, LENGTH_UNITS, force_size
from fisherdash.units import energy_unit as energy_unit
from fisherdash.units import force_unit as force_unit
from fisherdash.units import length_unit as length_unit

# Approximate total energies of H to Kr in hartree, all electrons, rounded: 1 % is enough.
# Hydrogen is given as in a molecule, where it is bound by a fifth of its own energy.
_ATOM_HARTREE = dict(enumerate([
    0.6, 2.9, 7.5, 14.7, 24.7, 37.9, 54.6, 75.1, 99.8, 128.9,
    162.3, 200.1, 242.4, 289.4, 341.3, 398.1, 460.2, 527.5, 599.9, 677.6,
    760.6, 849.3, 943.9, 1044.4, 1150.9, 1263.6, 1382.7, 1508.3, 1640.5, 1779.4,
    1924.9, 2077.0, 2236.0, 2401.5, 2574.2, 2754.1,
], start=1))  # fmt: skip
_TOTAL_TOLERANCE = 0.04
_WARM = (0.2, 5.0)
"""eV/Å, of the root mean square force of a molecule at some hundred kelvin."""
_COLD = 0.07
"""eV/Å; below it the unit of forces is asked for where nothing gives it."""
_SIZES = {"eV": (0.2, 5.0), "kcal/mol": (5.0, 150.0), "hartree": (0.003, 0.2)}
"""Usual root mean square forces in a unit per Å, where there is no other evidence."""
_FEW = 10
"""Frames up to which large forces of a geometry far from rest are noted, not warned of."""
_AT_REST = 5.0
"""eV/Å²: where bonds vary by no more than forces over this, small forces are those of a geometry
at rest; a bond has at least 15."""
_RARE = ("Ry", "meV", "cm⁻¹")
_BY_BOHR = ("hartree", "Ry", "cm⁻¹")
"""Units of energy beside which forces per bohr are as common as forces per Å."""
_COMMON = ("eV/Å", "kcal/mol/Å", "hartree/bohr", "kJ/mol/nm", "kJ/mol/Å", "hartree/Å")


@dataclass(frozen=True)
class Wanted:
    """Units that the user gave."""

    units: str | None = None
    force_units: str | None = None
    length_units: str | None = None


@dataclass(frozen=True)
class Declared:
    """Units that a file says, and how it says them.

    ``certain``: they are those of the format, to which a reader has converted.
    ``usual``: unit of energy of such files, where nothing else is known.
    """

    energy: str | None = None
    forces: str | None = None
    length: str | None = None
    why: str = ""
    certain: bool = False
    usual: str | None = None


@dataclass
class Found:
    """Units of a file, with notes and warnings about them."""

    energy: str
    forces: str
    length: str
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, str]:
        """Unit by quantity."""
        return {"energy": self.energy, "forces": self.forces, "length": self.length}


def check_unit(value: str | None, read, known, what: str, option: str) -> str | None:
    """The canonical name of a unit given by the user; InputError when it is none of ours."""
    if value is None:
        return None
    found = read(str(value))
    if found is None:
        raise InputError(f"Unknown {what} {value!r}; {option} takes {', '.join(known)}.")
    return found


def check_units(units: str | None) -> str | None:
    """The canonical name of a unit of energy; InputError when it is none of ours."""
    return check_unit(units, energy_unit, ENERGY_UNITS, "unit of energy", "--units")


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


def _seen(arrays: dict[str, np.ndarray]) -> str | None:
    """The same, a rare unit only where the forces are those of a warm molecule in it too."""
    unit = total_energy_evidence(arrays["energies"], arrays["atomic_numbers"])
    if unit in _RARE:
        sizes = [rms(arrays["forces"]) * force_size(f"{unit}/{per}") for per in ("Å", "bohr")]
        if not any(_WARM[0] <= size < _WARM[1] for size in sizes):
            return None
    return unit


def rms(forces: np.ndarray) -> float:
    """Root mean square over all components, in the unit of `forces`."""
    return float(np.sqrt(np.mean(np.square(forces, dtype=np.float64)))) if forces.size else 0.0


def resolve(arrays: dict[str, np.ndarray], name: str, said: Wanted, declared: Declared) -> Found:
    """Units of energies (M,), forces (M, N, 3) and of positions (M, N, 3), which are in Å already.

    Raises InputError, naming the option, where two readings are plausible or none is.
    """
    if declared.certain:
        for given, own in (
            (said.units, declared.energy),
            (said.force_units, declared.forces),
            (said.length_units, declared.length),
        ):
            if given is not None and given != own:
                raise InputError(
                    f"{name} is read in {own} ({declared.why}); received the unit {given}."
                )
    length = _length(arrays, name, said, declared)
    energy, why, warnings = _energy(arrays, name, said, declared)
    forces, told = _forces(arrays, name, said, declared, (energy, length))
    quiet, doubts = _size(arrays, forces, declared)
    notes = [f"{why}{told}", *quiet]
    if length != "Å":
        by = "as given" if said.length_units else declared.why
        notes.append(f"Lengths converted from {length} to Å, {by}.")
    return Found(energy, forces, length, notes, [*warnings, *doubts])


def _length(arrays: dict, name: str, said: Wanted, declared: Declared) -> str:
    """Unit of length; InputError where it is not given and the numbers are not in Å."""
    known = said.length_units or declared.length
    if known or declared.certain:
        return known or "Å"
    nearest = nearest_over_bond(arrays["positions"][0], arrays["atomic_numbers"])
    if nearest is not None and 1.6 < nearest < 2.3:
        raise InputError(
            f"{name} has nearest atoms {nearest:.2f} times as far apart as bonds are, as positions "
            "in bohr do: add --length-units bohr (forces are then taken per bohr too unless "
            "--force-units says otherwise), or --length-units angstrom if it is a loose cluster."
        )
    return "Å"


def nearest_over_bond(positions: np.ndarray, numbers: np.ndarray) -> float | None:
    """Median distance of an atom's nearest neighbour over the sum of two covalent radii."""
    if not ((numbers > 0) & (numbers < 97)).all() or len(numbers) < 2:
        return None
    radii = covalent_radii[numbers]
    with np.errstate(all="ignore"):
        distances = np.linalg.norm(positions[:, None] - positions[None], axis=-1)
        ratio = distances / (radii[:, None] + radii[None])
    np.fill_diagonal(ratio, np.inf)
    return float(np.median(ratio.min(axis=1)))


def _energy(
    arrays: dict, name: str, said: Wanted, declared: Declared
) -> tuple[str, str, list[str]]:
    energies, numbers = arrays["energies"], arrays["atomic_numbers"]
    seen, mean = _seen(arrays), f"{np.mean(energies):.6g}"
    if said.units:
        doubt = [f"The mean energy {mean} looks like {seen}, not {said.units}, which was given."]
        return (
            said.units,
            f"Units: {said.units}, as given",
            doubt if _differ(seen, said.units) else [],
        )
    if declared.energy:
        doubt = [f"The mean energy {mean} looks like {seen}, not {declared.energy}, which the "
                 "file says; --units takes another one."]  # fmt: skip
        doubtful = _differ(seen, declared.energy) and not declared.certain
        return (
            declared.energy,
            f"Units: {declared.energy}, {declared.why}",
            doubt if doubtful else [],
        )
    if seen:
        why = f"because the mean energy {mean} is near that of the free atoms in {seen}"
        return seen, f"Units inferred: {seen}, {why}", []
    per_atom = total_energy_evidence(energies * len(numbers), numbers)
    if per_atom and per_atom not in _RARE:
        doubt = (
            f"The energies look like energies per atom: the mean {mean} times {len(numbers)} atoms "
            f"is their total energy in {per_atom}; multiply them by the number of atoms."
        )
        return per_atom, f"Units assumed: {per_atom}, for energies per atom", [doubt]
    if said.force_units or declared.forces:
        unit = (said.force_units or declared.forces or "").rpartition("/")[0]
        return unit, f"Units assumed: {unit}, as in the unit of the forces", []
    if declared.usual:
        return declared.usual, f"Units: {declared.usual}, as usual for this kind of file", []
    size = rms(arrays["forces"])
    fits = [unit for unit, (low, high) in _SIZES.items() if low <= size < high]
    if not fits:
        raise InputError(
            f"Cannot tell the units of {name}: forces of {size:.3g} rms and a mean energy of "
            f"{mean} are those of a warm molecule in none of {', '.join(_SIZES)}; say --units "
            "and --force-units."
        )
    return (
        fits[0],
        (
            f"Units assumed: {fits[0]}, from the size of the forces; the energies (mean {mean}) "
            "are no total energies and cannot tell"
        ),
        [],
    )


def _differ(seen: str | None, unit: str) -> bool:
    return seen is not None and seen != unit


def _forces(
    arrays: dict, name: str, said: Wanted, declared: Declared, units: tuple[str, str]
) -> tuple[str, str]:
    """Unit of the forces, and the end of the sentence about units."""
    energy, length = units
    given = said.force_units or declared.forces
    if given:
        by = ", as given" if said.force_units else "" if declared.certain else ", as the file says"
        return given, f"; forces in {given}{by}."
    if length != "Å":
        unit = f"{energy}/{length}"
        return unit, f"; forces in {unit}, per {length} as the positions are."
    if said.units and energy not in _BY_BOHR and energy != "kJ/mol":
        unit = f"{energy}/Å"
        return unit, f"; forces in {unit}."
    return _inferred_forces(arrays, name, energy)


def _inferred_forces(arrays: dict, name: str, energy: str) -> tuple[str, str]:
    """The same for forces without a given unit, beside positions in Å."""
    size = rms(arrays["forces"])
    readings = [f"{energy}/Å"]
    if energy in _BY_BOHR or energy == "kJ/mol":
        readings.append(f"{energy}/{'nm' if energy == 'kJ/mol' else 'bohr'}")
    fits = [unit for unit in readings if _COLD <= size * force_size(unit) < _WARM[1]]
    rare = [f"{energy}/{per}" for per in LENGTH_UNITS if f"{energy}/{per}" not in readings]
    likely, told = _likely(arrays, energy, readings)
    unlikely, both = ([], []) if likely else _likely(arrays, energy, rare)
    why = ""
    if len(likely) == 1:
        why = "" if fits == likely else f"because {' and '.join(told)} in that unit; "
        fits = likely
    elif len(unlikely) == 1 and len(both) == 2:  # one piece of evidence is too little for these
        fits, why = unlikely, f"because {' and '.join(both)} in that unit; "
    elif told and (unlikely or not fits or _likely(arrays, energy, list(_COMMON))[0]):
        likely = unlikely or _likely(arrays, energy, list(_COMMON))[0]
        fits = []
    elif not fits and len(readings) == 1 and _at_rest(arrays, size * ENERGY_UNITS[energy]):
        fits = readings
    if len(fits) == 1:
        return fits[0], f"; forces in {fits[0]}, {why}{size * force_size(fits[0]):.3g} eV/Å rms."
    if fits:
        sizes = " or ".join(f"{size * force_size(unit):.2f}" for unit in fits)
        raise InputError(
            f"{name} has energies in {energy}, and its forces may be in {' or in '.join(fits)}: "
            f"they would be {sizes} eV/Å rms, both plausible; say which with --force-units "
            f"{fits[-1]} or --force-units {fits[0]}."
        )
    if not told:
        likely = [one for one in _COMMON if _WARM[0] <= size * force_size(one) < _WARM[1]]
    hint = f"; in {' or '.join(likely)} they would be those of a warm molecule" if likely else ""
    if told and not likely:
        hint = "; no common unit makes them that, as after a conversion done twice"
    first = size * force_size(readings[0])
    what = "which no warm molecule has"
    if _COLD <= first < _WARM[1]:
        what = "with which its bonds would not be as stiff as those of molecules"
    raise InputError(
        f"{name} has forces of {first:.3g} eV/Å rms if they are in {readings[0]}, {what}{hint}: "
        "say the units with --units and --force-units."
    )


def _likely(arrays: dict, energy: str, units: list[str]) -> tuple[list[str], list[str]]:
    """Units of force that bonds to hydrogen and the work of the forces allow, and why.

    Both are empty where the two contradict one another.
    """
    positions, forces = arrays["positions"], arrays["forces"]
    with np.errstate(all="ignore"):
        springs = stiffness(positions, forces, arrays["atomic_numbers"])
        slope = work(positions, arrays["energies"] * ENERGY_UNITS[energy], forces)
    found = [
        ([one for one in units if low < abs(measured) * force_size(one) < 1 / low], what)
        for measured, low, what in (
            (slope and 1 / slope, 0.75, "the energies change from frame to frame by their work"),
            (springs, 0.7, "bonds to hydrogen are as stiff as usual"),
        )
        if measured
    ]
    fits = [one for one in found if one[0]]
    if not fits:
        return [], [what for _, what in found]
    common = [unit for unit in fits[0][0] if all(unit in some for some, _ in fits)]
    return common, [what for _, what in fits] if common else []


def _at_rest(arrays: dict, size: float) -> bool:
    """Whether forces of that rms (eV/Å) are small because the bonds hardly vary."""
    positions = arrays["positions"]
    pairs, _ = reference_bonds(arrays["atomic_numbers"], positions[0])
    if not 0 < size < _WARM[0] / 2 or not len(pairs):
        return False
    with np.errstate(all="ignore"):
        lengths = np.linalg.norm(positions[:, pairs[:, 0]] - positions[:, pairs[:, 1]], axis=-1)
        return bool(size > _AT_REST * rms(lengths - lengths.mean(axis=0)))


def _size(arrays: dict, unit: str, declared: Declared) -> tuple[list[str], list[str]]:
    """Notes and warnings about the size of the forces in that unit."""
    size = rms(arrays["forces"]) * force_size(unit)
    said = f"The forces are {size:.3g} eV/Å rms{'' if unit == 'eV/Å' else f' in {unit}'}"
    if _WARM[0] / 2 <= size < _WARM[1]:
        return [], []
    if size >= _WARM[1]:
        if declared.certain and len(arrays["forces"]) < _FEW:
            return [f"{said}: the geometry is far from any that dynamics meets."], []
        return [], [
            f"{said}: a warm molecule has about 1, so the unit is wrong or the geometries are far "
            "from any that dynamics meets."
        ]
    if _at_rest(arrays, size):
        return [f"{said}: those of geometries at rest, not of a warm molecule."], []
    return [], [
        f"{said}: a warm molecule has about 1, and these bonds vary as those of one, so the unit "
        "is wrong."
    ]
