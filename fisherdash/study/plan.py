"""From a specification to the work: members with lasting names, in units done together.

A member's name is made from what determines it (frames, network, training), so a study that is
extended finds again what it has. A unit is a few members of one shape of network and training: they
are trained and simulated in one batch. What they will take is estimated one after the other.

A study's folder: one small JSON file for each finished stage of each member.

    study.toml                  the specification
    questions.json              wordings of its primary question, with dates, where it has one
    data/                       its data sets
    members/NAME/training.json  the losses and errors; default.safetensors, the network
    members/NAME/heads.json     the re-fits; head-KEY.safetensors
    members/NAME/run-KEY.json   what the dynamics of the heads gave, by temperature and time step
    members/NAME/failed.json    why a member could not be done
    running/                    dynamics under way, to go on with
    log/HOST-PID.jsonl          who did what when
    tables/                     the result (fisherdash.study.tables)

A file is there when its stage is done, whole or not at all. Nothing else says what is finished, so
nothing can disagree with it.
"""

import contextlib
import dataclasses
import functools
import hashlib
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from fisherdash import dataset, storage
from fisherdash.dataset import Dataset
from fisherdash.errors import InputError
from fisherdash.settings import MDSettings, Options
from fisherdash.study.spec import DEFAULT_HEAD, Model, Spec, digest, read_spec, written
from fisherdash.workspace import estimates
from fisherdash.workspace.estimates import Estimate, Network

SPEC_FILE, DATA = "study.toml", "data"
VERSION = 1
MOST_BYTES = 100_000_000
"""Of one stage's result: a million trajectories."""


def member_folder(folder: Path, member: str) -> Path:
    """The folder of a member."""
    return folder / "members" / member


def write_stage(path: Path, fields: dict[str, Any]) -> None:
    """Writes one stage's result, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with storage.replacing(path) as part:
        part.write_text(
            json.dumps({"version": VERSION, **fields}, allow_nan=False), encoding="utf-8"
        )


def read_stage(path: Path) -> dict[str, Any] | None:
    """A stage's result, None where there is none; InputError if it is damaged or of the future."""
    try:
        fields = json.loads(storage.content(path, MOST_BYTES))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path} is damaged; delete it and the study does it again") from error
    if not isinstance(fields, dict) or fields.get("version") != VERSION:
        raise InputError(f"{path} is not of version {VERSION}, which this program reads")
    return fields


@contextlib.contextmanager
def sound_files(place: Path) -> Iterator[None]:
    """InputError where what a member's files hold is not what the stages write."""
    try:
        yield
    except InputError:
        raise
    except (AttributeError, IndexError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise InputError(
            f"a file in {place} is damaged ({type(error).__name__}: {error!s:.80}); delete that "
            "folder and the study does it again"
        ) from error


def log_event(folder: Path, event: str, **details: Any) -> None:
    """Adds a line to this process's log."""
    place = folder / "log"
    place.mkdir(parents=True, exist_ok=True)
    line = {"time": round(time.time(), 3), "event": event, **details}
    with (place / f"{socket.gethostname()}-{os.getpid()}.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")


@dataclasses.dataclass(frozen=True)
class Member:
    """A model of the population under its lasting name."""

    name: str
    model: Model


@dataclasses.dataclass(frozen=True, eq=False)
class StudyFrames:
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
    frames: Mapping[str, StudyFrames]
    members: tuple[Member, ...]
    units: tuple[tuple[Member, ...], ...]


def data_file(folder: Path, name: str) -> Path:
    """Where a study keeps its own copy of a data set."""
    return folder / DATA / f"{hashlib.sha256(name.encode()).hexdigest()[:12]}.npz"


def read_begun(folder: Path) -> Spec:
    """The specification that a study's folder keeps, on its own copies of the data.

    Raises:
        InputError: when it cannot be read, which says why.
    """
    spec = read_spec(written(folder / SPEC_FILE), folder)
    copies = {
        name: dataclasses.replace(data, file=data_file(folder, name))
        for name, data in spec.data.items()
    }
    return dataclasses.replace(spec, data=copies)


def load_data(spec: Spec) -> dict[str, Dataset]:
    """The data sets of a specification by name; InputError for what cannot be read."""
    return {
        name: read_data(data.file, temperature=data.temperature, units=data.units)
        for name, data in spec.data.items()
    }


def read_data(file: Path, **said: Any) -> Dataset:
    """A data set as it is on disk now: what has not changed since is not read again."""
    if not file.is_file():
        return dataset.load(file, **said)
    now = file.stat()
    return _read_once(file, (now.st_ino, now.st_mtime_ns, now.st_size), **said)


@functools.lru_cache(maxsize=2)
def _read_once(file: Path, mark: tuple[int, ...], **said: Any) -> Dataset:
    """Two: a study's own copy is compared with the file that it was made from."""
    del mark
    return dataset.load(file, **said)


def make_plan(spec: Spec, whole: Mapping[str, Dataset]) -> Plan:
    """The plan of a specification over its data sets.

    Raises:
        InputError: for a data set with too few frames for what the specification asks.
    """
    frames = {}
    for name, data in spec.data.items():
        every, left = whole[name], len(whole[name]) - data.test
        if left < 2:
            raise InputError(
                f"the data set {name!r} has {len(every)} frames, too few to keep {data.test} of "
                "them for tests"
            )
        pool, test = every.subset(slice(0, left)), every.subset(slice(left, None))
        frames[name] = StudyFrames(every, pool, test, data.valid)
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
    shapes: dict[Any, list[Member]] = {}
    for member in members:
        model = member.model
        same = dataclasses.replace(model.train, seed=0)
        shapes.setdefault((model.data, model.frames, model.config, same), []).append(member)
    units = [
        tuple(group[first : first + spec.together])
        for group in shapes.values()
        for first in range(0, len(group), spec.together)
    ]
    place = {member.name: number for number, member in enumerate(members)}
    # In the order of the file, so that what is done half-way is what the file names first.
    units.sort(key=lambda unit: place[unit[0].name])
    return Plan(spec, frames, tuple(members), tuple(units))


@functools.lru_cache(maxsize=2)
def _cached_plan(folder: Path, text: str, copies: tuple[tuple[int, ...], ...]) -> Plan:
    """The plan of a text over copies of the data that were put there then (:func:`_stamps`)."""
    spec = read_spec(text, folder)
    return make_plan(spec, {name: read_data(data_file(folder, name)) for name in spec.data})


def open_plan(folder: Path) -> Plan:
    """The plan of a study's folder; InputError if it holds none."""
    folder = folder.resolve()
    try:
        text = written(folder / SPEC_FILE)
    except InputError as error:
        raise InputError(f"{folder} holds no study: {error}") from error
    return _cached_plan(folder, text, _stamps(folder / DATA))


def _stamps(copies: Path) -> tuple[tuple[int, ...], ...]:
    """Another one once a copy was replaced: a study may be begun anew under the same name."""
    facts = [path.stat() for path in sorted(copies.glob("[!.]*"))]
    return tuple((one.st_ctime_ns, one.st_mtime_ns, one.st_size, one.st_ino) for one in facts)


def head_key(options: Options) -> str:
    """Changes when the re-fit would."""
    return digest(options.to_json())


def run_key(settings: MDSettings) -> str:
    """Changes when the trajectories would."""
    return digest(settings.to_json())


def _name(model: Model, frames: StudyFrames) -> str:
    config, train = model.config, model.train
    shape = f"{config.features}x{config.max_degree}x{config.iterations}"
    data = [frames.whole.fingerprint, len(frames.test), frames.valid, model.frames]
    mark = digest([*data, config.to_json(), train.to_json()])
    return f"{model.frames}f-{train.epochs}e-{shape}-s{train.seed}-{mark[:6]}"


TRAINING, HEADS, FAILED = "training.json", "heads.json", "failed.json"
NETWORK = "default.safetensors"


class Interrupted(Exception):
    """The work was asked to stop; what is on disk stays."""


@dataclasses.dataclass(frozen=True, eq=False)
class Unit:
    """Members of one shape, where they lie, and the request to stop."""

    folder: Path
    plan: Plan
    members: tuple[Member, ...]
    cancel: threading.Event

    @property
    def frames(self) -> StudyFrames:
        """The data set of these members."""
        return self.plan.frames[self.members[0].model.data]

    def file(self, member: Member, name: str) -> Path:
        """A file of a member."""
        return member_folder(self.folder, member.name) / name

    def run_file(self, member: Member, settings: MDSettings) -> Path:
        """Where the dynamics of a member with these settings are kept."""
        return run_file(member_folder(self.folder, member.name), settings)

    def remaining(self) -> list[Member]:
        """Members that have not failed."""
        return [member for member in self.members if not self.file(member, FAILED).exists()]

    def fail(self, member: Member, why: str) -> None:
        """Gives a member up, with the reason."""
        log_event(self.folder, "failed", member=member.name, why=why)
        write_stage(self.file(member, FAILED), {"why": why})

    def stop_if_asked(self) -> None:
        """Raises Interrupted once the work was asked to stop."""
        if self.cancel.is_set():
            raise Interrupted

    @contextlib.contextmanager
    def stage(self, stage: str, members: Sequence[Member]) -> Iterator[Callable[[], float]]:
        """Logs the beginning and the end; gives a clock of the seconds since."""
        self.stop_if_asked()
        names, started = [member.name for member in members], time.perf_counter()
        log_event(self.folder, "started", stage=stage, members=names)
        yield lambda: time.perf_counter() - started
        seconds = round(time.perf_counter() - started, 3)
        log_event(self.folder, "finished", stage=stage, members=names, seconds=seconds)


def is_done(folder: Path, plan: Plan, member: Member) -> bool:
    """Whether nothing is left to do for a member, because it is finished or because it failed."""
    place = member_folder(folder, member.name)
    if (place / FAILED).exists():
        return True
    with sound_files(place):
        heads = read_stage(place / HEADS) if (place / TRAINING).exists() else None
        if heads is None or heads_left(plan, heads):
            return False
        return not any(
            names_left(read_stage(run_file(place, settings)), heads)
            for settings in plan.spec.dynamics
        )


def run_file(place: Path, settings: MDSettings) -> Path:
    """Where the dynamics with these settings lie in a member's folder."""
    return place / f"run-{run_key(settings)}.json"


def heads_left(plan: Plan, found: dict[str, Any]) -> list[str]:
    """Heads of the plan that are not in a member's heads."""
    have = found["heads"]
    left = [
        name
        for name, options in plan.spec.heads.items()
        if name not in have or have[name]["key"] != head_key(options)
    ]
    return left if DEFAULT_HEAD in have else [DEFAULT_HEAD, *left]


def names_left(run: dict[str, Any] | None, heads: dict[str, Any]) -> list[str]:
    """Heads without trajectories; one that kept the default has those of the default."""
    have = run["heads"] if run else {}
    return [
        name
        for name, head in heads["heads"].items()
        if not head.get("kept_default")
        and "refused" not in head
        and (name not in have or have[name]["key"] != head["key"])
    ]


def estimate_of(spec: Spec) -> Estimate:
    """All stages of all members, as if none were done yet and one member came after the other.

    Every frame of a data set is kept once more, in the study's own copy; trajectories are not.

    Raises:
        InputError: for data that cannot be read.
    """
    sets = load_data(spec)
    parts, copies = [], 0.0
    for data in sets.values():
        copies += estimates.frames_on_disk(len(data), data.num_atoms)
    for model in spec.models:
        data, valid = sets[model.data], spec.data[model.data].valid
        atoms, network = data.num_atoms, Network.planned(model.config)
        elements = len(set(data.atomic_numbers.tolist()))
        parts.append(estimates.train(atoms, model.frames, valid, model.config, model.train))
        parts += [
            estimates.refit(network, atoms, model.frames, elements, options)
            for options in spec.heads.values()
        ]
        heads = [network] * (1 + len(spec.heads))
        parts += [estimates.simulate(heads, atoms, settings) for settings in spec.dynamics]
    whole = Estimate("study", 0.0, disk=copies).together("study", *parts)
    kept = copies + 4.0 * sum(
        Network.planned(model.config).parameters * (1 + len(spec.heads)) for model in spec.models
    )
    return Estimate("study", whole.work, whole.memory, kept, whole.steps)
