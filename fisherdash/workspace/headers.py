"""The files of a run and of a training: a JSON header, and arrays in plain npz.

``run.json`` and ``training.json`` are flat JSON objects with the version of their format and all
that is needed to read the files beside them and to repeat the work.
"""

import dataclasses
import datetime
import importlib.metadata
import json
import math
import platform
import uuid
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Final, Literal, Self, get_args

import ase.data
import numpy as np

import fisherdash
from fisherdash import storage
from fisherdash.errors import InputError
from fisherdash.workspace import locks

CHUNK = "chunk-{:06d}.npz"
STATE = "state-{:06d}.npz"
"""The integrator's state once so many chunks are written."""

REFERENCE = "reference.npz"
"""Reference energies of survivors' last frames."""

ONLY_STATE = "state.npz"
"""Of a run written before the states had numbers: after the last chunk, or the one before it."""

MODEL = "model-{:02d}.safetensors"

FORMAT = 1
"""Of headers and npz files; an npz without a number was written before there was one, and is the
same."""

RunStatus = Literal["running", "finished", "cancelled", "failed", "interrupted"]
Role = Literal["default", "fisher", "other"]

_LARGEST = {
    "replicas": 10**6, "steps": 10**12, "record_every": 10**12, "timestep": 1e6, "temperature": 1e9,
}  # fmt: skip
"""Arrays are made of these numbers, which somebody may have edited."""

_NEEDED_SETTINGS = ("replicas", "steps", "timestep", "temperature", "record_every", "seed")

_LARGEST_FILE = 50_000_000
"""Bytes of a header; that of a thousand atoms has some hundred thousand."""

_ON_DISK = {"failed_step": "died_step", "cause": "broken_bond"}
"""Names of arrays in files that differ from those in the program."""


def save(path: Path, arrays: dict[str, Any]) -> None:
    """Write arrays as an uncompressed npz with the format's version, whole or not at all.

    InputError, one sentence, when the disk refuses.
    """
    with storage.replacing(path) as part, part.open("wb") as file:
        named = {_ON_DISK.get(name, name): array for name, array in arrays.items()}
        np.savez(file, allow_pickle=False, format=np.int64(FORMAT), **named)


def load(path: Path, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Only the named arrays of an npz; InputError when it is damaged or of another version."""
    if what := storage.no_file(path):
        raise damaged(path, what)
    try:
        with np.load(path, allow_pickle=False) as archive:
            _check_unpacked(path, archive.zip)
            _check_format(path, int(archive["format"]) if "format" in archive else FORMAT)
            return {name: archive[_ON_DISK.get(name, name)] for name in names}
    except InputError:
        raise
    except storage.UNREADABLE as error:
        raise damaged(path, type(error).__name__) from error


def _check_unpacked(path: Path, archive: zipfile.ZipFile | None) -> None:
    """InputError for arrays that take more room than the file: :func:`save` packs nothing."""
    if archive is None or any(
        one.compress_type != zipfile.ZIP_STORED or one.file_size > path.stat().st_size
        for one in archive.infolist()
    ):
        raise damaged(path, "it is packed")


def damaged(path: Path, why: str) -> InputError:
    """The sentence for a file that cannot be read."""
    return InputError(f"the folder {path.parent} is damaged: {path.name} cannot be read ({why})")


def save_json(path: Path, fields: Mapping[str, Any]) -> None:
    """Write a JSON object, whole or not at all; InputError when the disk refuses."""
    text = json.dumps(fields, indent=1, ensure_ascii=False)
    with storage.replacing(path) as part:
        part.write_bytes(text.encode("utf-8", "replace"))  # names of files need not be text


def _check_format(path: Path, written: object) -> None:
    if written != FORMAT:
        raise InputError(
            f"{path.name} has format {written!r}, this version reads format {FORMAT}; "
            "open it with the version of FisherDash that wrote it"
        )


def utc_now() -> str:
    """The time, UTC, ISO 8601, to the second."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def versions() -> dict[str, str]:
    """Versions of this package, Python, and the libraries that compute."""
    libraries = ("jax", "jaxlib", "flax", "e3x", "numpy", "ase")
    found = {name: importlib.metadata.version(name) for name in libraries}
    return {"fisherdash": fisherdash.__version__, "python": platform.python_version(), **found}


_TYPES: Final[dict[str, type]] = {
    "settings": dict, "dataset": dict, "versions": dict, "config": dict, "checkpoints": dict,
    "number": int, "atomic_numbers": int, "masses": float,
}  # fmt: skip
"""Of the fields of a header, or of each item; all others are texts."""
_OWN_CHECKS = ("bonds", "clash_limits", "degrees_of_freedom")
"""Fields of a run with a check of their own."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Header:
    """What the headers of a run and of a training have in common.

    Attributes:
        settings: of the work, as their ``to_json()`` gives them.
        dataset: where the frames came from.
        command: the shell command that repeats the work.
        versions: of the packages whose change could change a number.
        created: time of creation, UTC, ISO 8601.
        number: counts the runs (or trainings) of a workspace, so that their order does not hang on
            the clock; 0 outside one.
        identity: written at birth, the same for ever; "" in files from before there was one.
    """

    FILE: ClassVar[str]
    WHAT: ClassVar[str]
    """What its folder is called in messages."""
    LENGTH: ClassVar[str]
    """Name of the setting with the number of steps or epochs."""

    title: str
    settings: dict[str, Any]
    dataset: dict[str, Any] = dataclasses.field(default_factory=dict)
    command: str = ""
    versions: dict[str, str] = dataclasses.field(default_factory=versions)
    created: str = dataclasses.field(default_factory=lambda: utc_now())
    number: int = dataclasses.field(default=0, compare=False)
    identity: str = dataclasses.field(default="", compare=False)

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Self:
        """From the JSON object of the file; unknown fields are left out.

        InputError for content that does not fit.
        """
        known = {f.name: fields[f.name] for f in dataclasses.fields(cls) if f.name in fields}
        try:
            return cls(**known)
        except InputError:
            raise
        except (TypeError, ValueError, OverflowError) as error:
            raise InputError(f"{cls.FILE} is damaged ({error!s:.200})") from error

    def check_types(self) -> None:
        """InputError for a field of another type than is written: every page shows some."""
        for field in dataclasses.fields(self):
            if field.name in _OWN_CHECKS:
                continue
            value, wanted = getattr(self, field.name), _TYPES.get(field.name, str)
            parts = value if isinstance(value, tuple) else (value,)
            if not all(type(one) is wanted for one in parts):
                raise InputError(
                    f"{self.FILE} is damaged: {field.name} must be of the type "
                    f"{wanted.__name__}, received {value!r:.60}"
                )
        if not all(isinstance(one, str) for one in self.versions.values()):
            raise InputError(f"{self.FILE} is damaged: versions must be texts")

    @property
    def born(self) -> str:
        """What no other run (or training) shares, whatever folder it takes the place of."""
        told = (self.created, self.title, self.command, self.settings, self.dataset)
        return self.identity or repr(told)

    @classmethod
    def read(cls, folder: Path) -> tuple[Self, dict[str, Any]]:
        """The header in a folder and the raw JSON object, with status and writer.

        Raises InputError, one sentence, when there is none, it is damaged or of another version.
        """
        path = folder / cls.FILE
        try:
            fields = json.loads(storage.content(path, _LARGEST_FILE).decode())
            json.dumps(fields, ensure_ascii=False).encode()  # "\\ud800" is no text to show
        except (FileNotFoundError, NotADirectoryError):
            raise InputError(f"{folder} is not a {cls.WHAT}: it holds no {cls.FILE}") from None
        except (OSError, ValueError, RecursionError) as error:
            raise InputError(
                f"the {cls.WHAT} in {folder} cannot be read: {cls.FILE} is damaged"
            ) from error
        if not isinstance(fields, dict) or "format" not in fields:
            raise InputError(f"{cls.FILE} is not a FisherDash {cls.WHAT} header")
        _check_format(path, fields["format"])
        return cls.from_json(fields), fields

    def write(self, folder: Path, status: str) -> None:
        """Write the header with a status; InputError when the disk refuses."""
        state = {"status": status, "writer": locks.this_writer()}
        save_json(folder / self.FILE, {"format": FORMAT, **dataclasses.asdict(self), **state})

    def check_idle(self, folder: Path, fields: Mapping[str, Any]) -> None:
        """InputError while a process writes the folder."""
        if status_now(folder, fields) == "running":
            raise InputError(f"the {self.WHAT} in {folder} is still being written; cancel it first")


def status_now(folder: Path, fields: Mapping[str, Any]) -> Any:
    """The status in a header, or "interrupted" when it is "running" and its writer is gone."""
    status = fields.get("status", "interrupted")
    gone = status == "running" and not locks.is_locked(folder, fields.get("writer"))
    return "interrupted" if gone else status


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunHeader(Header):
    """Facts about one run; InputError when they do not fit together.

    Attributes:
        names: of the heads, in the order of the arrays' first axis.
        roles: "default", "fisher" or "other" for each head; fixes its colour everywhere.
        atomic_numbers: of the molecule's N atoms.
        checkpoints: facts about each head (fingerprint, file, …), in the order of ``names``.
        masses: amu, filled in from the elements when left out.
        bonds: watched bonds as [i, j, reference length in Å]; known once the run has begun.
        clash_limits: of two elements without a bond between the atoms ("C-H"), Å; known once the
            run has begun, None in one from before clashes were looked for.
        degrees_of_freedom: of one molecule's internal motion; known once the run has begun.
        device: where it ran, in words; known once the run has begun.
        notes: what was decided about the initial states, plain sentences.
    """

    FILE, WHAT, LENGTH = "run.json", "run", "steps"

    names: tuple[str, ...]
    roles: tuple[Role, ...]
    atomic_numbers: tuple[int, ...]
    checkpoints: tuple[dict[str, Any], ...] = ()
    masses: tuple[float, ...] = ()
    bonds: tuple[tuple[int, int, float], ...] | None = None
    clash_limits: dict[str, float] | None = None
    degrees_of_freedom: int | None = None
    device: str = ""
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("names", "roles", "atomic_numbers", "checkpoints", "masses", "notes"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if self.bonds is not None:
            bonds = tuple((int(i), int(j), float(length)) for i, j, length in self.bonds)
            object.__setattr__(self, "bonds", bonds)
        if self.clash_limits is not None:
            limits = {str(name): float(limit) for name, limit in dict(self.clash_limits).items()}
            elements = {symbol for name in limits for symbol in name.split("-", 1)}
            if not elements <= set(ase.data.atomic_numbers):
                raise InputError(f"the run's clash_limits name no elements: {sorted(elements)}")
            object.__setattr__(self, "clash_limits", limits)
        self.check_types()
        if not self.names or len(self.names) != len(self.roles):
            raise InputError(f"{len(self.names)} heads have {len(self.roles)} roles")
        if unknown := set(self.roles) - set(get_args(Role)):
            raise InputError(f"the run's roles are unknown: {', '.join(sorted(unknown))}")
        if len(set(self.names)) != len(self.names):
            raise InputError(f"every head needs its own name, received {', '.join(self.names)}")
        self._check_molecule()
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
            if number == 0 and name != "steps":
                raise InputError(f"the run's {name} must be above 0")

    def _check_molecule(self) -> None:
        """Fills the masses in; InputError for what is said of atoms that are not there."""
        highest, atoms = len(ase.data.chemical_symbols) - 1, len(self.atomic_numbers)
        if not atoms or not all(0 < z <= highest for z in self.atomic_numbers):
            raise InputError(f"atomic numbers must be 1 to {highest}: {self.atomic_numbers}")
        if not self.masses:
            masses = tuple(float(ase.data.atomic_masses[z]) for z in self.atomic_numbers)
            object.__setattr__(self, "masses", masses)
        if len(self.masses) != atoms or not all(0 < mass < math.inf for mass in self.masses):
            raise InputError(f"the run's masses must be {atoms} positive numbers")
        for i, j, length in self.bonds or ():
            if not (0 <= i < atoms and 0 <= j < atoms and 0 < length < math.inf):
                raise InputError(f"the run's bonds name no two of its {atoms} atoms: {i}, {j}")
        freedom = self.degrees_of_freedom
        if freedom is not None and not (type(freedom) is int and 0 < freedom <= 3 * atoms):
            raise InputError(
                f"the run's degrees of freedom must be from 1 to {3 * atoms}, received {freedom!r}"
            )

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
      roles: of heads whose provenance does not show them.
    """
    names = tuple(checkpoints)
    return RunHeader(
        title=title or f"{dataset.formula}: {' and '.join(names)}",
        names=names,
        roles=tuple((roles or {}).get(name) or role_of(checkpoints[name]) for name in names),
        atomic_numbers=tuple(int(z) for z in dataset.atomic_numbers),
        settings=settings.to_json(),
        dataset={"source": dataset.source, "fingerprint": dataset.fingerprint},
        checkpoints=tuple(
            {"name": checkpoint.name, "fingerprint": checkpoint.fingerprint}
            for checkpoint in checkpoints.values()
        ),
        command=command,
        identity=new_identity(),
    )


def new_identity() -> str:
    """Of a run or a training that is about to begin."""
    return uuid.uuid4().hex


def role_of(checkpoint: Any) -> Role:
    """ "fisher" for a checkpoint whose head was re-fitted, "default" for a trained one."""
    return "fisher" if "parent" in checkpoint.provenance else "default"


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingHeader(Header):
    """Facts about one training; InputError when some are missing.

    Attributes:
        config: hyperparameters of the network, as its ``to_json()`` gives them.
        dataset: ``source``, and ``train`` and ``valid``, each with ``frames`` and ``fingerprint``.
        model: file name in the workspace under which the best network is kept at the end, once it
            has one.
        published: fingerprint of what was last kept there.
    """

    FILE, WHAT, LENGTH = "training.json", "training", "epochs"

    name: str
    config: dict[str, Any]
    model: str = ""
    published: str = ""

    def __post_init__(self) -> None:
        self.check_types()
        if "epochs" not in self.settings:
            raise InputError("the training's settings lack epochs")
