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

Whether positions, energies and forces belong together follows from the same quantities. For an
isolated molecule Σ F = 0 and Σ r × F = 0, for its energy does not change when it is moved or
turned. Along a short way the energy changes by minus the work, ΔE ≈ −½ (F₁ + F₂)·Δx, exactly so
where the energy is quadratic; the frames are laid on one another first (W. Kabsch, Acta Cryst. A32,
922 (1976)), for turning costs no energy. A bond to hydrogen is a spring whose stiffness is known
from spectra within a fifth, and the force on hydrogen along it is minus that of the spring: this
needs no energies and no frames that are alike.
"""

from dataclasses import dataclass, field

import numpy as np
from ase.data import covalent_radii

from fisherdash.dataset.core import TOLERANCE, reference_bonds
from fisherdash.errors import InputError
from fisherdash.units import ENERGY_UNITS, HARTREE, LENGTH_UNITS, energy_unit, force_size

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


_LARGEST = 0.02
"""Of net force and torque, in parts of what they are a sum of; sound files have below 0.002."""
_NOISE = 0.05
"""eV/Å that forces on an atom may be wrong by, as on the grids of density functionals."""
_MOST_FRAMES = 400
_ALL_PAIRS = 24
"""Up to so many frames every pair is looked at."""
_FEWEST = 6
_CLEAR = 0.8
_CLEAR_OF_FEW = 0.95
"""Correlation of energy and work, or of stretch and force, from which a slope is believed; of few
frames, all of whose pairs are taken however far apart."""
_STIFF = {5: 22.0, 6: 30.0, 7: 40.0, 8: 46.0, 9: 55.0, 14: 17.0, 15: 20.0, 16: 25.0, 17: 30.0,
          34: 21.0, 35: 24.0}  # fmt: skip
"""eV/Å² (16 N/m) of a bond between hydrogen and an element at the amplitudes of a warm molecule, a
tenth below those of G. Herzberg, Molecular Spectra and Molecular Structure II (1945)."""
_USUAL = (0.58, 1.7)
"""Of stiffness in the right units; two units of force differ by 1.89 or more."""
_APART = 1.5
"""Hydrogen whose second heavy neighbour is nearer than this times its first is shared, and soft."""
_SPRINGS = 8
"""Fewest stretches, beyond the mean of each bond, of which a stiffness is made."""


@dataclass(frozen=True)
class Examined:
    """What the checks found.

    Attributes:
        warnings: one sentence each.
        sign: 1 of forces, −1 of gradients, None if neither is clear.
    """

    warnings: tuple[str, ...] = ()
    sign: int | None = None


def refuse_zero(forces: np.ndarray, name: str) -> None:
    """InputError when all forces (M, N, 3) are exactly zero."""
    if not forces.any():
        raise InputError(
            f"{name} has forces of exactly zero in every frame: they were not computed or not "
            "read; forces are needed."
        )


def examine(arrays: dict[str, np.ndarray]) -> Examined:
    """All checks of positions (M, N, 3) Å, energies (M,) eV and forces (M, N, 3) eV/Å."""
    positions, forces, energies = (arrays[key] for key in ("positions", "forces", "energies"))
    with np.errstate(all="ignore"):
        warnings = [*_zeros(forces), *_rigid(positions, forces)]
        slope = work(positions, energies, forces)
        springs = stiffness(positions, forces, arrays["atomic_numbers"])
    evidence = slope if springs is None else springs
    sign = None if evidence is None else 1 if evidence > 0 else -1
    if sign == -1:
        how = "Energies rise where the forces say that they fall" if slope is not None else (
            "Bonds to hydrogen are pushed further where they are long")  # fmt: skip
        warnings.append(
            f"{how}: these are gradients, not forces, and a temperature computed from them is "
            "negative; load them with --gradients, which turns the sign."
        )
    # 1/N for energies per atom, 1.9 or 0.53 for hartree/bohr read as hartree/Å or the reverse.
    elif slope is not None and not 0.65 < slope < 1.4:
        warnings.append(
            f"Energies change {slope:.2g} times as much as the work of the forces between frames "
            "that are alike: energies and forces are not in the units that were taken, or are not "
            "of the same calculation."
        )
    if springs is not None and not _USUAL[0] < abs(springs) < _USUAL[1]:
        warnings.append(
            f"By these forces bonds to hydrogen are {abs(springs):.2g} times as stiff as they are "
            "in molecules: forces or lengths are not in the units that were taken."
        )
    return Examined(tuple(warnings), sign)


def stiffness(positions: np.ndarray, forces: np.ndarray, numbers: np.ndarray) -> float | None:
    """Of bonds to hydrogen, over what is usual: near 1 in the right units, −1 for gradients.

    Args: positions (M, N, 3) Å, forces (M, N, 3), numbers (N,). None where no bond tells it.
    """
    heavy = np.flatnonzero(numbers > 1)
    stretch, pull, free = [], [], 0
    pairs, _ = reference_bonds(numbers, positions[0], TOLERANCE)
    for hydrogen in np.flatnonzero(numbers == 1):
        bonded = pairs[(pairs == hydrogen).any(axis=1)].sum(axis=1) - hydrogen
        if len(bonded) != 1 or int(numbers[bonded[0]]) not in _STIFF:
            continue
        reach = np.linalg.norm(positions[:, heavy] - positions[:, [hydrogen]], axis=-1)
        along = positions[:, hydrogen] - positions[:, bonded[0]]
        length = np.linalg.norm(along, axis=-1)
        if len(heavy) > 1 and not (np.partition(reach, 1)[:, 1] > _APART * length).all():
            continue
        force = (forces[:, hydrogen] * along).sum(axis=-1) / length
        stretch.append(length - length.mean())
        pull.append((force - force.mean()) / _STIFF[int(numbers[bonded[0]])])
        free += len(length) - 1
    if free < _SPRINGS:
        return None
    x, y = np.concatenate(stretch), np.concatenate(pull)
    both = float((x @ x) * (y @ y)) ** 0.5
    if not (np.isfinite(both) and both > 0) or abs(x @ y) < _CLEAR * both:
        return None
    return -float(x @ y / (x @ x))


def _zeros(forces: np.ndarray) -> list[str]:
    zero = np.asarray(~forces.any(axis=(1, 2)))
    if not zero.any():
        return []
    return [
        f"{int(zero.sum())} of {zero.size} frames have forces of exactly zero (the first is frame "
        f"{int(np.argmax(zero))}): they were probably not computed."
    ]


def _rigid(positions: np.ndarray, forces: np.ndarray) -> list[str]:
    """Warnings of a net force or torque."""
    size = np.linalg.norm(forces, axis=-1) + _NOISE
    net = np.linalg.norm(forces.sum(axis=1), axis=-1) / size.sum(axis=1)
    arms = positions - positions.mean(axis=1, keepdims=True)
    scale = (np.linalg.norm(arms, axis=-1) * size).sum(axis=1)
    torque = np.linalg.norm(np.cross(arms, forces).sum(axis=1), axis=-1) / scale
    found = []
    net, torque = _middle(net), _middle(torque)
    if net > _LARGEST:
        found.append(
            f"The forces on a molecule do not add up to zero: the net force is {net:.2g} of their "
            "size in the median; an isolated molecule has none, so the forces lack atoms, are "
            "noisy, or come from a field or a neighbour."
        )
    if torque > _LARGEST:
        found.append(
            f"The forces turn the molecule: the net torque is {torque:.2g} of its scale in the "
            "median, and an isolated molecule has none; positions and forces are of different "
            "frames, of different frames of reference, or of different atoms."
        )
    return found


def _middle(values: np.ndarray) -> float:
    """Median of what is finite, 0 without any."""
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if finite.size else 0.0


def work(positions: np.ndarray, energies: np.ndarray, forces: np.ndarray) -> float | None:
    """Slope of the energy change on minus the work between alike frames; None if none is clear."""
    pairs = _pairs(positions)
    if len(pairs) < _FEWEST:
        return None
    first, second = positions[pairs[:, 0]], positions[pairs[:, 1]]
    try:
        moved, turned = _laid_on(first, second, forces[pairs[:, 1]])
    except np.linalg.LinAlgError:  # of absurd numbers
        return None
    way = moved - (first - first.mean(axis=1, keepdims=True))
    done = -0.5 * np.einsum("pij,pij->p", forces[pairs[:, 0]] + turned, way)
    change = energies[pairs[:, 1]] - energies[pairs[:, 0]]
    lengths = np.sqrt(np.square(way).sum(axis=(1, 2)))
    near = lengths <= np.median(lengths) if len(pairs) >= 4 * _FEWEST else lengths > -1
    done, change = done[near], change[near]
    both = float((done @ done) * (change @ change)) ** 0.5
    least = _CLEAR if len(positions) > _ALL_PAIRS else _CLEAR_OF_FEW
    if not (np.isfinite(both) and both > 0) or abs(done @ change) < least * both:
        return None
    return float(done @ change / (done @ done))


def _pairs(positions: np.ndarray) -> np.ndarray:
    """(P, 2) frames that are alike: neighbours in the file and nearest in all distances."""
    count = len(positions)
    if count <= _ALL_PAIRS:
        return np.array([(i, j) for i in range(count) for j in range(i)], dtype=int).reshape(-1, 2)
    starts = np.unique(np.linspace(0, count - 2, min(_MOST_FRAMES, count - 1)).astype(int))
    following = np.stack([starts, starts + 1], axis=1)
    from scipy.spatial import KDTree

    atoms = positions.shape[1]
    i, j = np.triu_indices(atoms, 1)
    if len(i) > 500:
        chosen = np.random.default_rng(0).choice(len(i), 500, replace=False)
        i, j = i[chosen], j[chosen]
    some = np.unique(np.linspace(0, count - 1, min(2000, count)).astype(int))
    distances = np.linalg.norm(positions[some][:, i] - positions[some][:, j], axis=-1)
    near, index = map(np.asarray, KDTree(distances).query(distances[:_MOST_FRAMES], k=2))
    alike = np.stack([some[: len(index)], some[index[:, 1]]], axis=1)[near[:, 1] > 1e-6]
    return np.concatenate([following, alike])


def _laid_on(
    first: np.ndarray, second: np.ndarray, forces: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The second geometries (P, N, 3) turned onto the first, both centred, and their forces."""
    a = first - first.mean(axis=1, keepdims=True)
    b = second - second.mean(axis=1, keepdims=True)
    u, _, vt = np.linalg.svd(np.einsum("pni,pnj->pij", b, a))
    flip = np.sign(np.linalg.det(u @ vt))
    u[:, :, -1] *= flip[:, None]
    turn = u @ vt
    return b @ turn, forces @ turn
