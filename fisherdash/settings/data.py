"""Reading a data set, dividing it, and sampling one."""

import dataclasses
import math
from typing import ClassVar, Final, Literal, get_args

from fisherdash.errors import InputError
from fisherdash.settings.fields import Settings, setting
from fisherdash.settings.training import MOST_SEED

Format = Literal[
    "npz", "extxyz", "traj", "db", "hdf5", "deepmd", "vasp-xml", "vasp-out", "espresso-out",
    "aims-output", "gpaw-out", "nwchem-out", "orca-output", "gaussian-out", "psi4-out",
    "qchem-out", "turbomole-gradient", "castep-castep",
]  # fmt: skip
FORMATS: tuple[Format, ...] = get_args(Format)

METHOD: Final = "GFN2-xTB"
"""The potential that samples are made with."""
HEAVIEST: Final = 86
"""The last element that it knows, radon."""

Energy = Literal["eV", "kcal/mol", "kJ/mol", "hartree", "Ry", "meV", "cm⁻¹"]
Length = Literal["Å", "bohr", "nm"]
Force = Literal[
    "eV/Å", "eV/bohr", "eV/nm", "kcal/mol/Å", "kcal/mol/bohr", "kcal/mol/nm", "kJ/mol/Å",
    "kJ/mol/bohr", "kJ/mol/nm", "hartree/Å", "hartree/bohr", "hartree/nm", "Ry/Å", "Ry/bohr",
    "Ry/nm", "meV/Å", "meV/bohr", "meV/nm", "cm⁻¹/Å", "cm⁻¹/bohr", "cm⁻¹/nm",
]  # fmt: skip


def _energy(text: str) -> str | None:
    from fisherdash.units import energy_unit  # slow to import

    return energy_unit(text)


def _force(text: str) -> str | None:
    from fisherdash.units import force_unit

    return force_unit(text)


def _length(text: str) -> str | None:
    from fisherdash.units import length_unit

    return length_unit(text)


def _format(text: str) -> str:
    return {"xyz": "extxyz", "outcar": "vasp-out", "vasprun": "vasp-xml"}.get(text.lower(), text)


# A declaration reads best in few lines.
# fmt: off


@dataclasses.dataclass(frozen=True)
class LoadSettings(Settings):
    """What a file of frames does not say, or says wrongly."""

    units: Energy | None = setting(
        None, label="Unit of energy", unset="inferred", reads=_energy,
        help="Unit of energy in the data file. What is inferred, and why, is said after loading.",
    )
    force_units: Force | None = setting(
        None, label="Unit of force", unset="inferred", reads=_force, later=True,
        help="Unit of the forces where it is not the unit of energy per Å: programs write "
        "hartree/bohr more often than not.",
    )
    length_units: Length | None = setting(
        None, label="Unit of length", unset="Å", reads=_length, later=True,
        help="Unit of the positions.",
    )
    format: Format | None = setting(
        None, label="Format", unset="by its name", reads=_format,
        help="Format of the data file, by ASE's name of it; needed only where neither the ending "
        "of the file's name nor its first lines say it.",
    )
    temperature: float | None = setting(
        None, label="Temperature", unit="K", above=0, high=1e5, unset="unknown", flag=False,
        help="Temperature at which the frames were sampled, usually 300 to 1000 K. Leave it empty "
        "if you do not know it: it is better not to guess.",
    )
    labels: str | None = setting(
        None, label="Other labels", unset="none",
        help="What another set of labels in the data file begins or ends with, such as old "
        "(old_energies, old_forces), REF (REF_energy, REF_forces) or dft (energy_dft).",
    )
    energy_key: str | None = setting(
        None, label="Key of the energies", unset="by its name", later=True,
        help="Name under which the data file keeps the energies, where it is none of the usual.",
    )
    forces_key: str | None = setting(
        None, label="Key of the forces", unset="by its name", later=True,
        help="Name under which the data file keeps the forces; 5-7 for columns without names.",
    )
    gradients: bool = setting(
        False, label="Forces are gradients", later=True,
        help="The forces of the data file are gradients of the energy: their sign is turned.",
    )
    molecule: str | None = setting(
        None, label="Molecule", unset="the only one", later=True,
        help="Name of the molecule to take from a file of several (HDF5 of ANI or SPICE), or of "
        "the file to take from an archive.",
    )


@dataclasses.dataclass(frozen=True)
class ImportSettings(Settings):
    """What a file of another program does not say about its model."""

    energy_unit: Energy | None = setting(
        None, label="Energies in training", flag="--units", unset="asked for", reads=_energy,
        help="Unit of the energies that the model was trained on; such files do not say it.",
    )
    elements: str | None = setting(
        None, label="Elements", unset="all that it has numbers for",
        help="Symbols of the elements that the model was trained on, such as H,C,O; others are "
        "refused later.",
    )


OutsideFamily = Literal["mace", "so3lr", "nequip"]
"""Libraries whose models a Python of the user's evaluates."""


@dataclasses.dataclass(frozen=True)
class OutsideSettings(Settings):
    """How a model is opened that only the library it comes from can evaluate."""

    family: OutsideFamily | None = setting(
        None, label="Family", unset="by the file",
        help="Library of a model that is evaluated in a Python of your own, with --python: mace, "
        "so3lr for so3krates-torch, or nequip.",
    )
    python: str | None = setting(
        None, label="Python of the library", unset="none",
        help="The Python that has this library, such as ~/mace/bin/python; it evaluates the model "
        "from then on.",
    )
    trusted: bool = setting(
        False, label="Trust this file", flag="--trust-this-file",
        help="The library unpickles the file, which runs whatever is written in it, as you. Say so "
        "only of a file from somebody whose programs you would run.",
    )
    mace_head: str | None = setting(
        None, label="Head of MACE", unset="the only one",
        help="Which head of a MACE with several.",
    )
    charge: int = setting(
        0, label="Charge", unit="e", low=-100, high=100,
        help="Charge of the molecule, for SO3LR.",
    )
    unpaired: int = setting(
        0, label="Unpaired electrons", low=0, high=100,
        help="Unpaired electrons of the molecule, for SO3LR.",
    )


@dataclasses.dataclass(frozen=True)
class SplitSettings(Settings):
    """How many frames of a data set are learned from, and how many choose the weights to keep."""

    frames: int | None = setting(
        None, label="Training frames", low=1, high=10**9, unset="the rest",
        help="Number of training frames, drawn at random.",
    )
    valid: int | None = setting(
        None, label="Validation frames", low=1, high=10**9, unset="a tenth",
        help="Number of validation frames, which are never learned from: they decide which weights "
        "are kept. About a tenth.",
    )

    def counts(self, total: int) -> tuple[int, int]:
        """Training and validation frames of a data set with ``total`` frames."""
        valid = max(1, total // 10) if self.valid is None else self.valid
        return (max(1, total - valid) if self.frames is None else self.frames), valid


@dataclasses.dataclass(frozen=True)
class SampleSettings(Settings):
    """A Boltzmann sample of a molecule: Langevin dynamics on the GFN2-xTB potential.

    ``timestep_fs`` of 0.5 is right for molecules with hydrogen. ``friction_fs`` is 1/γ of the
    thermostat; 100 fs is far slower than a bond vibration and fast enough for the equilibration to
    forget the initial state.
    """

    FLOATS: ClassVar[bool] = True

    temperature: float = setting(
        500.0, label="Temperature", unit="K", above=0, high=1e5, step=50, required=True,
        help="Temperature of the Langevin thermostat, usually 300 to 1000 K.",
    )
    frames: int = setting(
        1000, label="Frames", low=1, high=10**9, required=True,
        help="Number of frames; 500 to 2000 suffice for a small molecule.",
    )
    seed: int = setting(
        0, label="Seed", low=0, high=MOST_SEED, help="Seed of the dynamics: another one, other "
        "frames.",
    )
    interval_fs: float = setting(
        50.0, label="Interval", unit="fs", above=0, high=1e9, step=10,
        help="Time from one frame to the next, a multiple of 0.5 fs.",
    )
    equilibration_ps: float = setting(
        5.0, label="Equilibration", unit="ps", low=0, high=1e6, step=1,
        help="Time before the first frame.",
    )
    timestep_fs: float = setting(0.5, above=0, high=2, unit="fs")
    friction_fs: float = setting(100.0, above=0, high=1e9, unit="fs")

    def __post_init__(self) -> None:
        super().__post_init__()
        if abs(self.steps * self.timestep_fs - self.interval_fs) > 1e-6 * self.interval_fs:
            raise InputError(
                f"interval_fs must be a multiple of timestep_fs ({self.timestep_fs:g} fs), "
                f"received {self.interval_fs:g}."
            )

    @property
    def steps(self) -> int:
        """Steps of the integrator from one frame to the next."""
        return round(self.interval_fs / self.timestep_fs)

    @property
    def before(self) -> int:
        """Intervals of equilibration before the first frame."""
        return math.ceil(self.equilibration_ps * 1000 / self.interval_fs - 1e-9)
