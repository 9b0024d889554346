"""Boltzmann samples of a molecule from a real potential (GFN2-xTB), and labels for other frames.

Relax, draw momenta, equilibrate, then keep a frame every interval. The file on disk holds every
frame within some seconds while the sample is made. GFN2-xTB: Bannwarth, Ehlert and Grimme, J.
Chem. Theory Comput. 15, 1652 (2019), from tblite.

Centre of mass and rotation: the thermostat acts on all 3N degrees of freedom alike and nothing is
fixed. The molecule is free, its energy does not depend on where it is or how it is turned, so
under the full dynamics the internal coordinates follow exp(−U/kT) exactly, with the volume
element of Cartesian space, and the kinetic temperature is 2K/(3N k) without any correction. It
drifts as a Brownian particle; each recorded frame is moved to its centre of mass.

Langevin dynamics,

    dx = v dt,   m dv = F dt − γ m v dt + √(2 γ m kT) dW

are split as BAOAB (Leimkuhler and Matthews, J. Chem. Phys. 138, 174102 (2013)): half a kick B,
half a drift A, the exact Ornstein–Uhlenbeck step O, A, B. Its configurations carry no error of the
time step for harmonic modes, where other schemes have a temperature too high by about (ωΔt)²/4 in
the stiffest. Its velocities at the end of a step are too small by as much, so the kinetic
temperature reads about one per cent low at 0.5 fs; the positions, which are sampled, do not.

GFN2-xTB, or a calculator of the user's, also labels frames, and judges where trajectories ended: a
head may keep all bonds and yet hold a molecule in a shape whose energy no sample would reach.
"""

import difflib
import importlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from ase import Atoms, units
from ase.build import molecule as build_molecule
from ase.build.molecule import extra
from ase.calculators.calculator import CalculationFailed, SCFError
from ase.calculators.calculator import InputError as CalculatorInputError
from ase.collections import g2
from ase.md.langevinbaoab import LangevinBAOAB
from ase.optimize import BFGS
from jaxtyping import Float
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from fisherdash import dataset, storage
from fisherdash.dataset import Dataset, clean_name, load_bytes, reference_bonds
from fisherdash.dataset.core import check_elements
from fisherdash.dataset.structures import read_frames
from fisherdash.errors import InputError
from fisherdash.settings import SampleSettings
from fisherdash.settings.data import HEAVIEST, METHOD
from fisherdash.statistics import evenly_spaced

STRUCTURE_SUFFIXES = {
    ".xyz": "extxyz",
    ".extxyz": "extxyz",
    ".sdf": "sdf",
    ".mol": "mol",
    ".pdb": "proteindatabank",
}


LARGEST_STRUCTURE = 100_000_000
"""Bytes of a file of one structure."""


def molecule_names() -> list[str]:
    """The names that `molecule` knows: ASE's g2 set and its few additions, at least two atoms."""
    return [name for name in [*g2.names, *extra] if len(build_molecule(name)) > 1]


def molecule(name_or_path: str | Path) -> Atoms:
    """A molecule from an ASE g2 name (CH3CH2OH) or the first frame of a structure file.

    Files: .xyz, .extxyz, .sdf, .mol, .pdb, or .npz as data sets are. Cell and periodicity are
    dropped. Raises InputError for an unknown name, an unreadable file, fewer than two atoms,
    elements beyond radon.
    """
    name = str(name_or_path)
    if name in g2.names or name in extra:
        return _free(build_molecule(name))
    try:
        content = storage.content(Path(name), LARGEST_STRUCTURE)
    except InputError:
        raise
    except (FileNotFoundError, ValueError):
        near = difflib.get_close_matches(name, molecule_names(), n=3, cutoff=0.5)
        raise InputError(
            f"{name[:80]!r} is neither a structure file nor a name of ASE's g2 set"
            f"{'; near it are ' + ', '.join(near) if near else ' such as CH3CH2OH or H2O'}."
        ) from None
    except OSError as error:
        raise InputError(f"Cannot read {name[:80]}: {error.strerror}.") from None
    return molecule_bytes(name, content)


def molecule_bytes(name: str, data: bytes) -> Atoms:
    """`molecule` for an upload: the name gives the kind of file and is never used as a path."""
    name = clean_name(name)
    suffix = Path(name).suffix.lower()
    if suffix == ".npz":
        frames = load_bytes(name, data)
        return _free(Atoms(numbers=frames.atomic_numbers, positions=frames.positions[0]))
    if suffix not in STRUCTURE_SUFFIXES:
        raise InputError(
            f"{name} has the unknown suffix {suffix!r}; structure files are "
            f"{', '.join(STRUCTURE_SUFFIXES)} or .npz."
        )
    if not data:
        raise InputError(f"{name} is empty.")
    atoms = read_frames(data, name, STRUCTURE_SUFFIXES[suffix])[0]
    if len(atoms) == 0:
        raise InputError(f"{name} holds no atoms that can be read as {suffix}.")
    return _free(atoms)


def _free(atoms: Atoms) -> Atoms:
    """The atoms without calculator, constraints, cell and periodicity, checked."""
    atoms.calc = None
    atoms.set_constraint()
    atoms.set_cell(None)
    atoms.pbc = False
    _check_atoms(atoms)
    return atoms


def _check_atoms(atoms: Atoms) -> None:
    """InputError for fewer than two atoms, elements GFN2-xTB lacks, non-finite positions."""
    numbers = check_elements(atoms.numbers)
    if numbers.max() > HEAVIEST:
        raise InputError(
            f"GFN2-xTB knows the elements up to {HEAVIEST} (Rn), received {numbers.max()}."
        )
    if not np.isfinite(atoms.positions).all():
        raise InputError("The structure holds NaN or infinite positions.")


_ELECTRONIC_ERRORS = (CalculationFailed, CalculatorInputError, SCFError, RuntimeError)


def langevin(
    atoms: Atoms, temperature: float, timestep_fs: float, friction_fs: float, seed: int
) -> LangevinBAOAB:
    """BAOAB dynamics of atoms that have a calculator, started from Maxwell–Boltzmann momenta."""
    random = np.random.default_rng(seed)
    spread = np.sqrt(atoms.get_masses() * units.kB * temperature)[:, None]
    atoms.set_momenta(spread * random.normal(size=(len(atoms), 3)))
    # Without an external stress `hydrostatic` only spares a matrix exponential in every step.
    return LangevinBAOAB(
        atoms,
        timestep_fs * units.fs,
        temperature_K=temperature,
        T_tau=friction_fs * units.fs,
        hydrostatic=True,
        rng=random,
    )


def calculator(atoms: Atoms) -> Any:
    """A silent GFN2-xTB calculator with the charge and spin of the atoms.

    Raises RuntimeError when tblite is not installed in working order.
    """
    # One thread is fastest for a few atoms, and keeps the sums in one order. Only libraries
    # loaded from here on see the variable; a user's own setting is kept.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    try:
        from tblite.ase import TBLite
    except (ImportError, OSError) as error:
        raise RuntimeError(f"{METHOD} is not available, tblite cannot be loaded: {error}") from None
    electrons = int(atoms.numbers.sum() - round(atoms.get_initial_charges().sum()))
    unpaired = abs(round(atoms.get_initial_magnetic_moments().sum()))
    if (electrons - unpaired) % 2:  # the moments were not given: the lowest spin that fits
        unpaired = electrons % 2
    return TBLite(method=METHOD, verbosity=0, multiplicity=unpaired + 1)


@contextmanager
def refusing(doing: str) -> Iterator[None]:
    """Turns a failure of the electronic structure into one sentence for the user."""
    try:
        yield
    except _ELECTRONIC_ERRORS as error:
        reason = (str(error).strip().splitlines() or ["no reason given"])[0].rstrip(".")
        raise InputError(f"{METHOD} failed while {doing}: {reason}.") from None


def fragments(atoms: Atoms, tolerance: float) -> int:
    """Number of pieces that hang together when bonds reach `tolerance` × the covalent radii."""
    pairs, _ = reference_bonds(atoms.numbers, atoms.positions, tolerance)
    size = len(atoms)
    graph = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(size, size))
    return int(connected_components(graph, directed=False, return_labels=False))


BONDED = 1.3
"""Bonds of the relaxed geometry reach this far, in sums of covalent radii."""

APART = 2.0
"""Pieces of the molecule further apart than this are no longer one."""


@dataclass(frozen=True)
class SampleProgress:
    """How far a sample is.

    Attributes:
        done, total: pieces of interval_fs, equilibration included, so done/total is the progress.
        stage: "relaxing", "equilibrating", "sampling" or "finished".
        temperature_K: mean kinetic temperature of this stage so far, K; the last one: of the
            whole sample.
        dataset: the sample, in the last report only.
        frames: frames recorded so far.
        so_far: gives the frames recorded so far as a Dataset; None while there are none.
    """

    done: int
    total: int
    stage: str
    temperature_K: float
    dataset: Dataset | None = None
    frames: int = 0
    so_far: Callable[[], Dataset] | None = None


def sample(atoms: Atoms, settings: SampleSettings) -> Iterator[SampleProgress]:
    """Sample the Boltzmann distribution of a free molecule; the last report holds the Dataset.

    The geometry is relaxed, given Maxwell–Boltzmann velocities and equilibrated; then one frame
    is kept every interval. The same settings on the same machine give the same sample. The
    iterator may be dropped at any report.

    Args:
        atoms: the molecule, of which a copy is used; charges and spin follow its initial charges
            and magnetic moments.
        settings: temperature, frames, and the dynamics between them.

    Raises InputError for a molecule that GFN2-xTB cannot do, and, while running, for one that
    falls apart.
    """
    _check_atoms(atoms)
    return _run(atoms.copy(), settings)


AT_ONCE = 200
"""Steps of the dynamics from one report to the next, at most."""


def _run(atoms: Atoms, plan: SampleSettings) -> Iterator[SampleProgress]:
    total = plan.before + plan.frames
    yield SampleProgress(0, total, "relaxing", 0.0)
    atoms.calc = calculator(atoms)
    with refusing(f"relaxing {atoms.get_chemical_formula()}"):
        BFGS(atoms, logfile=None).run(fmax=0.02, steps=200)  # type: ignore[arg-type]
        dynamics = langevin(atoms, plan.temperature, plan.timestep_fs, plan.friction_fs, plan.seed)
    pieces_whole = fragments(atoms, BONDED)
    positions, forces, energies, temperatures = [], [], [], []

    def so_far() -> Dataset:
        """The frames until now as a data set."""
        # Rounded to single precision (1e-7 Å, 1e-6 eV/Å), so that the file is small and reading it
        # back gives these very numbers.
        single = [np.array(a, dtype=np.float32).astype(np.float64) for a in (positions, forces)]
        interval = plan.steps * plan.timestep_fs
        return Dataset(
            positions=single[0],
            energies=np.array(energies),
            forces=single[1],
            atomic_numbers=atoms.numbers,
            temperature=plan.temperature,
            source=(
                f"{METHOD}, BAOAB Langevin {plan.timestep_fs:g} fs, 1/friction "
                f"{plan.friction_fs:g} fs, {plan.before * interval / 1000:g} ps equilibration, a "
                f"frame every {interval:g} fs, seed {plan.seed}"
            ),
        )

    mean, taken = 0.0, None
    for done in range(1, total + 1):
        stage = "equilibrating" if done <= plan.before else "sampling"
        for left in range(plan.steps, 0, -AT_ONCE):
            with refusing(f"{stage} at {plan.temperature:g} K"):
                dynamics.run(min(left, AT_ONCE))
            if left > AT_ONCE:  # a long interval can be stopped within it
                count = len(positions)
                yield SampleProgress(done - 1, total, stage, mean, frames=count, so_far=taken)
        with refusing(f"{stage} at {plan.temperature:g} K"):
            energy, force = atoms.get_potential_energy(), atoms.get_forces()
        if fragments(atoms, APART) > pieces_whole:
            raise InputError(
                f"The molecule came apart after {done * plan.steps * plan.timestep_fs / 1000:g} ps "
                f"at {plan.temperature:g} K; sample it at a lower temperature."
            )
        if done == plan.before + 1:
            temperatures = []
        temperatures.append(atoms.get_kinetic_energy() / (1.5 * len(atoms) * units.kB))
        if stage == "sampling":
            positions.append(atoms.positions - atoms.get_center_of_mass())
            forces.append(force)
            energies.append(energy)
        count, mean = len(positions), float(np.mean(temperatures))
        taken = so_far if count else None
        yield SampleProgress(done, total, stage, mean, frames=count, so_far=taken)
    mean = float(np.mean(temperatures))
    yield SampleProgress(total, total, "finished", mean, so_far(), plan.frames, so_far)


EVERY = 5.0
"""Seconds from one writing of the file to the next."""


def kept(
    reports: Iterator[SampleProgress], out: Path, cancel: threading.Event | None = None
) -> Iterator[SampleProgress]:
    """The same reports, while ``out`` gets every frame within some seconds.

    The file is whole at any moment, with the frames recorded until then. When ``cancel`` is set the
    sampling ends with what it has; before the first frame nothing is written.
    """
    written = time.monotonic()
    for report in reports:
        stopped = cancel is not None and cancel.is_set()
        due = time.monotonic() - written > EVERY
        if report.so_far is not None and (due or stopped or report.dataset is not None):
            dataset.save(report.so_far(), out)
            written = time.monotonic()
        yield report
        if stopped:
            return


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
    if calculator or data.source.startswith(METHOD):
        return labeller(calculator or METHOD)
    raise InputError(
        "these data do not say which potential labelled them, so nothing here can label more: give "
        "an ASE calculator (--calculator module:object), or label frames elsewhere ('fisherdash "
        "label --export', then --labels-file)"
    )


def labeller(name: str) -> Labeller:
    """GFN2-xTB, or the calculator ``module:object``; InputError if it cannot be had."""
    if name == METHOD:
        return Labeller(METHOD, _with(calculator))
    return Labeller(f"the calculator {name!r}", _with(_imported(name)))


DIFFERENCE: Final = 0.1
"""Largest difference between a potential's energies and those of the data, but for a constant, in
standard deviations of the data, that still counts as the same level of theory."""


FEWEST_FRAMES: Final = 10
"""Whose energies have a mean and a spread that mean something."""


def energy_deviations(
    labeller: Labeller, data: Dataset, positions: Float[np.ndarray, "frames atoms 3"]
) -> Float[np.ndarray, " frames"]:
    """Reference energies of frames, in standard deviations of the data from the data's mean.

    The constant between the potential and the data is taken from eight frames of the data. NaN for
    frames that the potential cannot do.

    Raises:
        InputError: when those eight differ by more than a constant (another level of theory), and
            for too few data to have a spread.
    """
    if len(data) < FEWEST_FRAMES:
        raise InputError(
            f"the spread of energies needs at least {FEWEST_FRAMES} frames, received {len(data)}"
        )
    rows = evenly_spaced(len(data), 8)
    known, _ = labeller.label(data.atomic_numbers, data.positions[rows])
    apart, width = known - data.energies[rows], max(float(np.std(data.energies)), 1e-6)
    if not np.ptp(apart) <= DIFFERENCE * width:  # also where one is NaN
        raise InputError(
            f"{labeller.name} does not give the energies of these data: on eight frames the "
            f"difference varies by {np.ptp(apart):.3g} eV, where it should be one constant"
        )
    energies, _ = labeller.label(data.atomic_numbers, positions)
    return (energies - np.mean(apart) - np.mean(data.energies)) / width


def _with(make: Callable[[Atoms], Any]) -> Label:
    kept: list[Atoms] = []  # with their calculator, which begins from its last frame

    def label(atomic_numbers: np.ndarray, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Energies and forces, NaN for frames that cannot be done."""
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
            # Any calculator fails in its own way on a wild frame, and some would end the program.
            except (Exception, SystemExit):  # noqa: BLE001
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
    except (Exception, SystemExit) as error:  # whatever the user's own module raises
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
