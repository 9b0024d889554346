"""From a specification to the work: members with names that last, in units done together.

A member's name is made from what determines it (the frames, the network, the training), so a study
that is extended finds again what it has. A unit is a few members whose networks and trainings have
one shape: they are trained and simulated in one batch.
"""

import dataclasses
import functools
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fisherdash import dataset
from fisherdash.dataset import Dataset
from fisherdash.errors import InputError
from fisherdash.fisher import Options
from fisherdash.simulate import MDSettings
from fisherdash.study.spec import Data, Model, Spec, read_spec

SPEC_FILE = "study.toml"


@dataclasses.dataclass(frozen=True)
class Member:
    """A model of the population under its lasting name."""

    name: str
    model: Model


@dataclasses.dataclass(frozen=True, eq=False)
class Frames:
    """A data set as a study uses it.

    Attributes:
        whole: all frames.
        pool: those that training and validation draw from.
        test: the last frames, which no model sees: test errors and initial states.
    """

    whole: Dataset
    pool: Dataset
    test: Dataset
    valid: int

    def of(self, model: Model) -> tuple[Dataset, Dataset]:
        """Training and validation frames of a model, drawn with its seed."""
        return dataset.split(self.pool, model.frames, self.valid, model.train.seed)


@dataclasses.dataclass(frozen=True, eq=False)
class Plan:
    """Everything that is to be done, the same for every process that looks at the folder."""

    spec: Spec
    frames: Mapping[str, Frames]
    members: tuple[Member, ...]
    units: tuple[tuple[Member, ...], ...]


def data_file(folder: Path, name: str) -> Path:
    """Where a study keeps its own copy of a data set."""
    return folder / "data" / f"{hashlib.sha256(name.encode()).hexdigest()[:12]}.npz"


def read_begun(folder: Path) -> Spec:
    """The specification that a study's folder keeps, on its own copies of the data.

    Raises:
        InputError: when it cannot be read, which says why.
    """
    spec = read_spec((folder / SPEC_FILE).read_text(encoding="utf-8"), folder)
    copies = {
        name: dataclasses.replace(data, file=data_file(folder, name))
        for name, data in spec.data.items()
    }
    return dataclasses.replace(spec, data=copies)


def make_plan(spec: Spec, whole: Mapping[str, Dataset]) -> Plan:
    """The plan of a specification over its data sets.

    Raises:
        InputError: for a data set with too few frames for what the specification asks.
    """
    frames = {name: _divided(data, whole[name]) for name, data in spec.data.items()}
    members = []
    for model in spec.models:
        part = frames[model.data]
        if model.frames + part.valid > len(part.pool):
            raise InputError(
                f"a model with {model.frames} training frames was asked for, but the data set "
                f"{model.data!r} has {len(part.whole)} frames, of which {len(part.test)} are for "
                f"tests and {part.valid} for validation: at most {len(part.pool) - part.valid} "
                "are left"
            )
        members.append(Member(_name(model, part), model))
    return Plan(spec, frames, tuple(members), _units(members, spec.together))


@functools.lru_cache(maxsize=2)
def _cached_plan(folder: Path, text: str) -> Plan:
    spec = read_spec(text, folder)
    return make_plan(spec, {name: dataset.load(data_file(folder, name)) for name in spec.data})


def open_plan(folder: Path) -> Plan:
    """The plan of a study's folder; InputError if it holds none."""
    folder = folder.resolve()
    try:
        text = (folder / SPEC_FILE).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{folder} holds no study: {SPEC_FILE} cannot be read") from error
    return _cached_plan(folder, text)


def head_key(options: Options) -> str:
    """Changes when the re-fit would."""
    return digest(dataclasses.asdict(options))


def run_key(settings: MDSettings) -> str:
    """Changes when the trajectories would."""
    return digest(settings.to_json())


def _divided(data: Data, whole: Dataset) -> Frames:
    left = len(whole) - data.test
    if left < 2:
        raise InputError(
            f"the data set {data.name!r} has {len(whole)} frames, too few to keep {data.test} of "
            "them for tests"
        )
    return Frames(whole, whole.subset(slice(0, left)), whole.subset(slice(left, None)), data.valid)


def _name(model: Model, frames: Frames) -> str:
    config, train = model.config, model.train
    shape = f"{config.features}x{config.max_degree}x{config.iterations}"
    mark = digest(
        [
            frames.whole.fingerprint,
            len(frames.test),
            frames.valid,
            model.frames,
            config.to_json(),
            train.to_json(),
        ]
    )
    return f"{model.frames}f-{train.epochs}e-{shape}-s{train.seed}-{mark[:6]}"


def _units(members: list[Member], together: int) -> tuple[tuple[Member, ...], ...]:
    shapes: dict[Any, list[Member]] = {}
    for member in members:
        model = member.model
        same = dataclasses.replace(model.train, seed=0)
        shapes.setdefault((model.data, model.frames, model.config, same), []).append(member)
    return tuple(
        tuple(group[first : first + together])
        for group in shapes.values()
        for first in range(0, len(group), together)
    )


def digest(fields: Any) -> str:
    """A short mark of JSON-able fields."""
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()[:16]
