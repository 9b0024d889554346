"""A Boltzmann sample: relax, thermalise, equilibrate, then keep a frame every interval.

Centre of mass and rotation: the thermostat acts on all 3N degrees of freedom alike and nothing is
fixed. The molecule is free, its energy does not depend on where it is or how it is turned, so
under the full dynamics the internal coordinates follow exp(−U/kT) exactly, with the volume
element of Cartesian space, and the kinetic temperature is 2K/(3N k) without any correction. It
drifts as a Brownian particle; each recorded frame is moved to its centre of mass.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.optimize import BFGS

from fisherdash.dataset import Dataset, check_temperature
from fisherdash.errors import InputError
from fisherdash.reference.dynamics import METHOD, calculator, fragments, langevin, refusing
from fisherdash.reference.molecules import check_atoms

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


@dataclass(frozen=True)
class _Plan:
    temperature: float
    frames: int
    seed: int
    steps: int  # of the integrator between two recorded frames
    pieces: int  # of `steps` steps before the first recorded frame
    timestep_fs: float
    friction_fs: float


def sample(
    atoms: Atoms,
    *,
    temperature: float,
    frames: int,
    seed: int = 0,
    interval_fs: float = 50.0,
    timestep_fs: float = 0.5,
    friction_fs: float = 100.0,
    equilibration_ps: float = 5.0,
) -> Iterator[SampleProgress]:
    """Sample the Boltzmann distribution of a free molecule; the last report holds the Dataset.

    The geometry is relaxed, given Maxwell–Boltzmann velocities and equilibrated; then one frame
    is kept every interval. The same arguments on the same machine give the same sample. The
    iterator may be dropped at any report.

    Args:
        atoms: the molecule, of which a copy is used; charges and spin follow its initial charges
            and magnetic moments.
        temperature: K.
        frames: number of frames to record.
        interval_fs: time between recorded frames, fs; a multiple of timestep_fs.
        timestep_fs: fs; 0.5 is right for molecules with hydrogen.
        friction_fs: 1/γ of the thermostat, fs. 100 fs is far slower than a bond vibration and
            fast enough that the equilibration forgets its start.
        equilibration_ps: time before the first recorded frame, ps.

    Raises InputError for settings out of range, a molecule that GFN2-xTB cannot do, and, while
    running, for one that falls apart.
    """
    check_atoms(atoms)
    plan = _plan(temperature, frames, seed, interval_fs, timestep_fs, friction_fs, equilibration_ps)
    return _run(atoms.copy(), plan)


def _plan(temperature: Any, frames: int, seed: int, interval: float, timestep: float,
          friction: float, equilibration: float) -> _Plan:  # fmt: skip
    heat = check_temperature(temperature)
    if heat is None:
        raise InputError("A sample needs a temperature in K, received none.")
    if frames < 1:
        raise InputError(f"frames must be at least 1, received {frames}.")
    if seed < 0:
        raise InputError(f"seed must not be negative, received {seed}.")
    if not 0 < timestep <= 2:
        raise InputError(f"timestep_fs must lie above 0 and up to 2 fs, received {timestep:g}.")
    steps = round(interval / timestep) if np.isfinite(interval) else 0
    if steps < 1 or abs(steps * timestep - interval) > 1e-6 * interval:
        raise InputError(
            f"interval_fs must be a multiple of timestep_fs ({timestep:g} fs), received "
            f"{interval:g}."
        )
    if not (np.isfinite(friction) and friction > 0):
        raise InputError(f"friction_fs must be a positive time, received {friction:g}.")
    if not (np.isfinite(equilibration) and equilibration >= 0):
        raise InputError(f"equilibration_ps must not be negative, received {equilibration:g}.")
    pieces = int(np.ceil(equilibration * 1000 / interval - 1e-9))
    return _Plan(heat, frames, seed, steps, pieces, timestep, friction)


def _run(atoms: Atoms, plan: _Plan) -> Iterator[SampleProgress]:
    total = plan.pieces + plan.frames
    yield SampleProgress(0, total, "relaxing", 0.0)
    atoms.calc = calculator(atoms)
    with refusing(f"relaxing {atoms.get_chemical_formula()}"):
        BFGS(atoms, logfile=None).run(fmax=0.02, steps=200)  # type: ignore[arg-type]
        dynamics = langevin(atoms, plan.temperature, plan.timestep_fs, plan.friction_fs, plan.seed)
    pieces_whole = fragments(atoms, BONDED)
    positions, forces, energies, heat = [], [], [], []

    def so_far() -> Dataset:
        return _dataset(atoms, plan, positions, energies, forces)

    for done in range(1, total + 1):
        stage = "equilibrating" if done <= plan.pieces else "sampling"
        with refusing(f"{stage} at {plan.temperature:g} K"):
            dynamics.run(plan.steps)
            energy, force = atoms.get_potential_energy(), atoms.get_forces()
        if fragments(atoms, APART) > pieces_whole:
            raise InputError(
                f"The molecule came apart after {done * plan.steps * plan.timestep_fs / 1000:g} ps "
                f"at {plan.temperature:g} K; sample it at a lower temperature."
            )
        if done == plan.pieces + 1:
            heat = []
        heat.append(atoms.get_kinetic_energy() / (1.5 * len(atoms) * units.kB))
        if stage == "sampling":
            positions.append(atoms.positions - atoms.get_center_of_mass())
            forces.append(force)
            energies.append(energy)
        count, kelvin = len(positions), float(np.mean(heat))
        taken = so_far if count else None
        yield SampleProgress(done, total, stage, kelvin, frames=count, so_far=taken)
    yield SampleProgress(
        total, total, "finished", float(np.mean(heat)), so_far(), plan.frames, so_far
    )


def _dataset(atoms: Atoms, plan: _Plan, positions: list, energies: list, forces: list) -> Dataset:
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
            f"{plan.friction_fs:g} fs, {plan.pieces * interval / 1000:g} ps equilibration, a "
            f"frame every {interval:g} fs, seed {plan.seed}"
        ),
    )
