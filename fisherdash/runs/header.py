"""What a run's ``run.json`` says: who simulated what, from where, with which settings, and how.

Everything that is needed to read the arrays beside it, to repeat the run and to judge it, in one
flat JSON object that carries the version of its format.
"""

import dataclasses
import datetime
import importlib.metadata
import inspect
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

import ase.data

import fisherdash
from fisherdash.errors import InputError
from fisherdash.runs import files

FORMAT = 1
HEADER = "run.json"

T = TypeVar("T")

Status = Literal["running", "finished", "cancelled", "failed", "interrupted"]
Role = Literal["default", "fisher", "other"]

_LARGEST = {"replicas": 10**6, "steps": 10**12, "timestep": 1e6, "temperature": 1e9}
"""Arrays are made of these numbers, which somebody may have edited."""

_NEEDED_SETTINGS = ("replicas", "steps", "timestep", "temperature", "record_every", "seed")


@dataclasses.dataclass(frozen=True)
class RunHeader:
    """Facts about one run; InputError when they do not fit together.

    Attributes:
        title: what the user reads in lists.
        names: of the heads, in the order of the arrays' first axis.
        roles: "default", "fisher" or "other" for each head; fixes its colour everywhere.
        atomic_numbers: of the molecule's N atoms.
        settings: the simulator's settings (replicas, steps, timestep in fs, temperature in K, …).
        dataset: where the starting frames came from.
        checkpoints: facts about each head (fingerprint, file, …), in the order of ``names``.
        command: the shell command that repeats the run.
        masses: amu, filled in from the elements when left out.
        bonds: watched bonds as [i, j, reference length in Å]; known once the run has begun.
        degrees_of_freedom: of one molecule's internal motion; known once the run has begun.
        device: where it ran, in words; known once the run has begun.
        notes: what was decided about the start, plain sentences.
        versions: of the packages whose change could change a number.
        created: time of creation, UTC, ISO 8601.
        number: counts the runs of a workspace, so that their order does not hang on the clock; 0
            outside one.
    """

    title: str
    names: tuple[str, ...]
    roles: tuple[Role, ...]
    atomic_numbers: tuple[int, ...]
    settings: dict[str, Any]
    dataset: dict[str, Any] = dataclasses.field(default_factory=dict)
    checkpoints: tuple[dict[str, Any], ...] = ()
    command: str = ""
    masses: tuple[float, ...] = ()
    bonds: tuple[tuple[int, int, float], ...] | None = None
    degrees_of_freedom: int | None = None
    device: str = ""
    notes: tuple[str, ...] = ()
    versions: dict[str, str] = dataclasses.field(default_factory=lambda: versions())
    created: str = dataclasses.field(default_factory=lambda: utc_now())
    number: int = dataclasses.field(default=0, compare=False)

    def __post_init__(self) -> None:
        for name in ("names", "roles", "atomic_numbers", "checkpoints", "masses", "notes"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if self.bonds is not None:
            bonds = tuple((int(i), int(j), float(length)) for i, j, length in self.bonds)
            object.__setattr__(self, "bonds", bonds)
        if not self.names or len(self.names) != len(self.roles):
            raise InputError(f"{len(self.names)} heads have {len(self.roles)} roles")
        if len(set(self.names)) != len(self.names):
            raise InputError(f"every head needs its own name, received {', '.join(self.names)}")
        highest = len(ase.data.chemical_symbols) - 1
        if not self.atomic_numbers or not all(0 < z <= highest for z in self.atomic_numbers):
            raise InputError(f"atomic numbers must be 1 to {highest}: {self.atomic_numbers}")
        missing = [name for name in _NEEDED_SETTINGS if name not in self.settings]
        if missing:
            raise InputError(f"the run's settings lack {', '.join(missing)}")
        for name, most in _LARGEST.items():
            number = self.settings[name]
            whole = isinstance(most, int)
            kind = int if whole else (int, float)
            if not isinstance(number, kind) or isinstance(number, bool) or not 0 <= number <= most:
                words = f"a {'whole ' if whole else ''}number from 0 to {most:g}"
                raise InputError(f"the run's {name} must be {words}, received {number!r:.60}")
        if not self.masses:
            masses = tuple(float(ase.data.atomic_masses[z]) for z in self.atomic_numbers)
            object.__setattr__(self, "masses", masses)

    @property
    def num_atoms(self) -> int:
        """Number of atoms N."""
        return len(self.atomic_numbers)

    @property
    def symbols(self) -> tuple[str, ...]:
        """Chemical symbols of the N atoms."""
        return tuple(ase.data.chemical_symbols[z] for z in self.atomic_numbers)

    @property
    def shape(self) -> tuple[int, int]:
        """Heads and replicas."""
        return len(self.names), int(self.settings["replicas"])

    def to_json(self) -> dict[str, Any]:
        """A JSON-able dict with the format's version."""
        return {"format": FORMAT, **dataclasses.asdict(self)}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> "RunHeader":
        """Inverse of :meth:`to_json`; InputError for unknown content."""
        return from_fields(cls, fields, HEADER)


def from_fields(kind: type[T], fields: Mapping[str, Any], file: str) -> T:
    """A header's dataclass from the JSON object of a file; what it does not know is left out."""
    known = inspect.signature(kind).parameters
    try:
        return kind(**{name: value for name, value in fields.items() if name in known})
    except (TypeError, ValueError) as error:
        raise InputError(f"{file} is damaged ({error})") from error


def read_header(folder: Path) -> tuple[RunHeader, dict[str, Any]]:
    """The header of a run's folder and the raw JSON object; InputError when it is no run."""
    fields = files.load_json(folder / HEADER, "run", FORMAT)
    return RunHeader.from_json(fields), fields


def describe_run(
    checkpoints: Mapping[str, Any],
    dataset: Any,
    settings: Any,
    *,
    title: str = "",
    command: str = "",
    roles: Mapping[str, Role] | None = None,
) -> RunHeader:
    """The header of a run that is about to begin.

    Args:
      checkpoints: the heads by name, as they go to the simulator.
      dataset: whose frames the replicas start from.
      settings: the simulator's settings, with ``to_json()``.
      title: defaults to the molecule and the names of the heads.
      command: the shell command that repeats the run.
      roles: of heads that are not told apart by their provenance.
    """
    names = tuple(checkpoints)
    chosen: dict[str, Role] = {
        name: role_of(checkpoint) for name, checkpoint in checkpoints.items()
    }
    chosen.update(roles or {})
    return RunHeader(
        title=title or f"{dataset.formula}: {' and '.join(names)}",
        names=names,
        roles=tuple(chosen[name] for name in names),
        atomic_numbers=tuple(int(z) for z in dataset.atomic_numbers),
        settings=settings.to_json(),
        dataset={"source": dataset.source, "fingerprint": dataset.fingerprint},
        checkpoints=tuple(
            {"name": checkpoint.name, "fingerprint": checkpoint.fingerprint}
            for checkpoint in checkpoints.values()
        ),
        command=command,
    )


def role_of(checkpoint: Any) -> Role:
    """ "fisher" for a checkpoint whose head was re-fitted, "default" for a trained one."""
    return "fisher" if "parent" in checkpoint.provenance else "default"


def versions() -> dict[str, str]:
    """Versions of what computes: this package, Python, and the libraries below."""
    libraries = ("jax", "jaxlib", "flax", "e3x", "numpy", "ase")
    found = {name: importlib.metadata.version(name) for name in libraries}
    return {"fisherdash": fisherdash.__version__, "python": platform.python_version(), **found}


def utc_now() -> str:
    """The time, UTC, ISO 8601, to the second."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
