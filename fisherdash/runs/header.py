"""What a run's ``run.json`` says: who simulated what, from where, with which settings, and how.

Everything that is needed to read the arrays beside it, to repeat the run and to judge it, in one
flat JSON object that carries the version of its format.
"""

import dataclasses
import datetime
import importlib.metadata
import json
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import ase.data

import fisherdash
from fisherdash.errors import InputError

FORMAT = 1

Status = Literal["running", "finished", "cancelled", "failed", "interrupted"]
Role = Literal["default", "fisher", "other"]

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
    created: str = dataclasses.field(
        default_factory=lambda: datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    )

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
    def from_json(cls, fields: Any) -> "RunHeader":
        """Inverse of :meth:`to_json`; InputError for another version or unknown content."""
        if not isinstance(fields, dict) or "format" not in fields:
            raise InputError("run.json is not a FisherDash run header")
        if fields["format"] != FORMAT:
            raise InputError(
                f"run.json has format {fields['format']!r}, this version reads format {FORMAT}"
            )
        known = {field.name for field in dataclasses.fields(cls)}
        try:
            return cls(**{name: value for name, value in fields.items() if name in known})
        except (TypeError, ValueError) as error:
            raise InputError(f"run.json is damaged ({error})") from error


def read_header(folder: Path) -> tuple[RunHeader, dict[str, Any]]:
    """The header of a run's folder and the raw JSON object; InputError when it is no run."""
    path = folder / "run.json"
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{folder} is not a run: it holds no run.json") from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(f"the run in {folder} cannot be read: run.json is damaged") from error
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
