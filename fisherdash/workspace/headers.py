"""What a run's ``run.json`` says: who simulated what, from where, with which settings, and how.

Everything that is needed to read the arrays beside it, to repeat the run and to judge it, in one
flat JSON object that carries the version of its format.

The files of a run: names, arrays in plain npz, JSON headers, each with its format's version.

What a training's ``training.json`` says: which network learns what, from which frames, and how.

Like a run's header it is one flat JSON object with the version of its format; see
:mod:`fisherdash.workspace.trainings` for the files beside it.
"""

import dataclasses
import datetime
import importlib.metadata
import inspect
import json
import platform
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

import ase.data
import numpy as np

import fisherdash
from fisherdash import storage
from fisherdash.errors import InputError

CHUNK = "chunk-{:06d}.npz"
STATE = "state-{:06d}.npz"
"""The integrator's state once so many chunks are written."""

ONLY_STATE = "state.npz"
"""Of a run written before the states had numbers: after the last chunk, or the one before it."""

MODEL = "model-{:02d}.safetensors"

ARRAYS_FORMAT = 1
"""Of the npz files; those without a number were written before there was one, and are the same."""


def save(path: Path, arrays: dict[str, Any]) -> None:
    """Write arrays as an uncompressed npz with the format's version, whole or not at all.

    InputError, one sentence, when the disk refuses.
    """
    with storage.replacing(path) as part, part.open("wb") as file:
        np.savez(file, allow_pickle=False, format=np.int64(ARRAYS_FORMAT), **arrays)


def load(path: Path, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Only the named arrays of an npz; InputError when it is damaged or of another version."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            written = int(archive["format"]) if "format" in archive else ARRAYS_FORMAT
            if written != ARRAYS_FORMAT:
                raise InputError(another_format(path, written, ARRAYS_FORMAT))
            return {name: archive[name] for name in names}
    except InputError:
        raise
    except (OSError, EOFError, ValueError, TypeError, KeyError, zipfile.BadZipFile) as error:
        raise damaged(path, type(error).__name__) from error


def save_json(path: Path, fields: dict[str, Any]) -> None:
    """Write a JSON object, whole or not at all; InputError when the disk refuses."""
    with storage.replacing(path) as part:
        part.write_text(json.dumps(fields, indent=1, ensure_ascii=False), encoding="utf-8")


def load_json(path: Path, what: str, version: int) -> dict[str, Any]:
    """A JSON object with the version that is read here.

    Args:
      path: of the file.
      what: its folder is meant to be ("run").
      version: that is read.

    Raises InputError, one sentence, when there is none, it is damaged or of another version.
    """
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"{path.parent} is not a {what}: it holds no {path.name}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(
            f"the {what} in {path.parent} cannot be read: {path.name} is damaged"
        ) from error
    if not isinstance(fields, dict) or "format" not in fields:
        raise InputError(f"{path.name} is not a FisherDash {what} header")
    if fields["format"] != version:
        raise InputError(another_format(path, fields["format"], version))
    return fields


def another_format(path: Path, written: object, version: int) -> str:
    """The sentence for a file that a newer program, or nobody, wrote."""
    return (
        f"{path.name} has format {written!r}, this version reads format {version}; "
        "open it with the version of FisherDash that wrote it"
    )


def damaged(path: Path, why: str) -> InputError:
    """The sentence for a file that cannot be read."""
    return InputError(f"the folder {path.parent} is damaged: {path.name} cannot be read ({why})")


RUN_FORMAT = 1
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
        return {"format": RUN_FORMAT, **dataclasses.asdict(self)}

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
    fields = load_json(folder / HEADER, "run", RUN_FORMAT)
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


TRAINING_FORMAT = 1
TRAINING = "training.json"


@dataclasses.dataclass(frozen=True)
class TrainingHeader:
    """Facts about one training; InputError when some are missing.

    Attributes:
        title: what the user reads in lists.
        name: of the model.
        config: hyperparameters of the network, as its ``to_json()`` gives them.
        settings: of the optimiser, as their ``to_json()`` gives them.
        dataset: ``source``, and ``train`` and ``valid``, each with ``frames`` and ``fingerprint``.
        command: the shell command that repeats the training.
        model: file name in the workspace under which the best network is kept at the end, once it
            has one.
        published: fingerprint of what was last kept there.
        versions: of the packages whose change could change a number.
        created: time of creation, UTC, ISO 8601.
        number: counts the trainings of a workspace; 0 outside one.
    """

    title: str
    name: str
    config: dict[str, Any]
    settings: dict[str, Any]
    dataset: dict[str, Any] = dataclasses.field(default_factory=dict)
    command: str = ""
    model: str = ""
    published: str = ""
    versions: dict[str, str] = dataclasses.field(default_factory=versions)
    created: str = dataclasses.field(default_factory=utc_now)
    number: int = dataclasses.field(default=0, compare=False)

    def __post_init__(self) -> None:
        if not isinstance(self.settings, dict) or not isinstance(self.config, dict):
            raise InputError(f"{TRAINING} is damaged: settings and config must be JSON objects")
        if "epochs" not in self.settings:
            raise InputError("the training's settings lack epochs")

    def to_json(self) -> dict[str, Any]:
        """A JSON-able dict with the format's version."""
        return {"format": TRAINING_FORMAT, **dataclasses.asdict(self)}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> "TrainingHeader":
        """Inverse of :meth:`to_json`; InputError for unknown content."""
        return from_fields(cls, fields, TRAINING)


def read_training_header(folder: Path) -> tuple[TrainingHeader, dict[str, Any]]:
    """The header of a training's folder and the raw JSON object; InputError when it is none."""
    fields = load_json(folder / TRAINING, "training", TRAINING_FORMAT)
    return TrainingHeader.from_json(fields), fields
