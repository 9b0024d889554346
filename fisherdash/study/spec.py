"""What a study is: a TOML file that names data, models, re-fits and dynamics.

    title = "Ethanol, small networks"

    [[data]]
    name = "ethanol"
    file = "ethanol_500K.npz"      # beside the specification
    valid = 50                     # frames that choose the weights to keep
    test = 200                     # frames no model sees: test errors and initial states

    [[models]]                     # every combination of the lists is a model
    frames = [100, 400]
    seed = [0, 1, 2]
    epochs = 100
    features = 16
    recipe = ["plain", "sharpness-aware"]

    [recipe.sharpness-aware]       # what it changes of the training; "plain" changes nothing
    sharpness_radius = 0.05
    epochs_factor = 0.5            # each of its epochs costs two

    [heads.plain]                  # re-fits of the last layer, beside the trained "default"
    ridge = 0
    [heads.stable]
    ridge = "stable"

    [dynamics]
    temperature = [500, 1000]
    timestep = 1.0
    replicas = 24
    picoseconds = 10

    [primary]                      # the one question, written down before there is an answer:
    head = "plain"                 # do more trajectories survive with this head
    against = "default"            # than with this one,
    temperature = 500              # under this condition?
    smallest = 10                  # percentage points: a smaller change would not matter
    models = 200                   # as planned; the power of the test follows from these three
    spread = 22                    # standard deviation between models in a pilot, points

Everything else has the default of the command ``train``, ``solve`` or ``simulate``, but for the
head: in a study that is the published report's, one vector for all atoms with the identity as the
metric of its ridge, unless ``head`` says otherwise; the metric of a quadratic head is the noise.

The primary question is about one comparison, one condition and one endpoint: the share of a model's
trajectories that survive to the end. A study's folder keeps every wording of it with its date and
with the number of runs that were finished by then, so that a question that came after the answer is
told from one that came before.
"""

import dataclasses
import datetime
import hashlib
import itertools
import json
import math
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from fisherdash import storage
from fisherdash.errors import InputError
from fisherdash.settings import (
    MDSettings,
    ModelConfig,
    Options,
    Settings,
    StabilitySettings,
    TrainSettings,
    like,
    setting,
)
from fisherdash.settings import fields as toml
from fisherdash.text import cell

QUESTIONS: Final = "questions.json"
DEFAULT_HEAD: Final = "default"
MOST_MODELS: Final = 5000
MOST_BYTES: Final = 1_000_000
MOST_DOTS: Final = 20
MOST_CONDITIONS: Final = 100
MOST_HEADS: Final = 100
PLAIN: Final = "plain"


# A declaration reads best in few lines.
# fmt: off


@dataclasses.dataclass(frozen=True)
class Data(Settings):
    """One data set of a study; the frames for training are what ``valid`` and ``test`` leave."""

    name: str
    file: Path
    valid: int = setting(
        50, label="Validation frames", low=1, high=10**9,
        help="Frames that choose the weights to keep.",
    )
    test: int = setting(
        200, label="Test frames", low=1, high=10**9,
        help="Frames that no model sees, the last ones: test errors and initial states.",
    )
    temperature: float | None = like(Options, "temperature")
    units: str | None = setting(
        None, label="Unit of energy", unset="inferred",
        help="Unit of the energies in the file; forces are in this unit per Å.",
    )


@dataclasses.dataclass(frozen=True)
class Model(Settings):
    """One model of the population: where it learns, on how much, what network, and how.

    ``frames`` counts the training frames; ``train`` carries the seed of weights, split and order.
    """

    data: str
    recipe: str
    config: ModelConfig
    train: TrainSettings
    frames: int = setting(
        label="Training frames", low=1, high=10**9, help="Number of training frames."
    )


@dataclasses.dataclass(frozen=True)
class Recipe(Settings):
    """What a recipe says beside the settings of a training."""

    epochs_factor: float = setting(
        1.0, label="Epochs, as a multiple", above=0, high=1000,
        help="Changes the number of epochs, so that recipes of other costs can be compared.",
    )


@dataclasses.dataclass(frozen=True)
class Dynamics(MDSettings):
    """One condition of a study's dynamics; its steps follow from its length and its frames."""

    timestep: float = like(MDSettings, "timestep", 1.0)
    replicas: int = like(MDSettings, "replicas", 24)
    picoseconds: float = like(StabilitySettings, "picoseconds", 10.0, high=1e9)
    frames: int = setting(
        100, label="Frames", low=1, high=10**9, help="Frames of every run that are kept."
    )

    def run(self) -> MDSettings:
        """The settings of the runs."""
        steps = max(1, round(1000 * self.picoseconds / self.timestep))
        same = {field.name: getattr(self, field.name) for field in dataclasses.fields(MDSettings)}
        follow = {"steps": steps, "record_every": max(1, steps // self.frames)}
        return MDSettings(**{**same, **follow})


@dataclasses.dataclass(frozen=True)
class Primary(Settings):
    """Do more trajectories survive to the end with ``head`` than ``against`` it?"""

    head: str
    against: str = DEFAULT_HEAD
    temperature: float | None = like(MDSettings, "temperature", None, unset="the only one")
    timestep: float | None = like(MDSettings, "timestep", None, unset="the only one")
    smallest: float | None = setting(
        None, label="Smallest effect of interest", unit="percentage points", above=0, high=100,
        unset="not said", help="A smaller change of the share of survivors would not matter.",
    )
    models: int | None = setting(
        None, label="Models planned", low=2, high=10**6, unset="not said",
        help="As planned; with the two others it gives the power of the test.",
    )
    spread: float | None = setting(
        None, label="Spread in a pilot", unit="percentage points", above=0, high=200,
        unset="not said", help="Standard deviation between the effects of models in a pilot.",
    )

    @property
    def sides(self) -> tuple[str, str]:
        """What is compared with, and what is asked about."""
        return self.against, self.head


@dataclasses.dataclass(frozen=True, kw_only=True)
class Spec(Settings):
    """A whole study.

    Attributes:
        data: the data sets by name.
        models: the population, in the order of the file.
        heads: re-fits by name; "default" is the trained head and is always there.
        dynamics: settings of the runs; their replicas with one number start alike.
        primary: the question that the study is to answer, if it has one.
        text: the file itself.
    """

    title: str = setting("Study", label="Title", help="What it is called where it is shown.")
    sharpness: float | None = setting(
        None, label="Sharpness", above=0, high=1e9, unset="not measured",
        help="Radius of the measure of sharpness.",
    )
    together: int = setting(
        8, label="Together", low=1, high=10**9,
        help="Most models that are trained and simulated in one batch.",
    )
    data: Mapping[str, Data]
    models: tuple[Model, ...]
    heads: Mapping[str, Options]
    dynamics: tuple[MDSettings, ...]
    primary: Primary | None
    text: str


# fmt: on


def parsed(text: str) -> dict[str, Any]:
    """The tables of a specification as they stand there; InputError for what is no TOML."""
    if len(text) > MOST_BYTES:
        raise InputError(
            f"the specification of a study has at most {MOST_BYTES} characters, "
            f"received {len(text)}"
        )
    # tomllib keeps every beginning of a dotted name: 50 kB of dots would take gigabytes.
    if any(part.count(".") > MOST_DOTS for part in re.split(r"[,=\n]", text)):
        raise InputError(f"a name in the specification has more than {MOST_DOTS} dots")
    try:
        found = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # also a number of thousands of digits
        raise InputError(f"the specification is not TOML: {error}") from error
    _check_numbers(found)
    return found


def _check_numbers(found: Any) -> None:
    """InputError for a whole number beyond TOML's 64 bits: written to the base of 16 or 8, Python
    reads one of any length, and cannot print it."""
    left = [found]
    while left:
        one = left.pop()
        if isinstance(one, int) and one.bit_length() > 64:
            raise InputError("the specification holds a number of more than 64 bits")
        left += one.values() if isinstance(one, dict) else one if isinstance(one, list) else ()


def written(path: Path) -> str:
    """The text of a specification's file; InputError where it cannot be read."""
    try:
        return storage.content(path, 4 * MOST_BYTES).decode()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text"
        raise InputError(f"the specification {path} cannot be read: {why}") from error


def read_spec(text: str, folder: Path, *, inside: Path | None = None) -> Spec:
    """Reads a specification.

    Args:
        text: of the TOML file.
        folder: where relative names of data files start.
        inside: refuse data files outside of this folder.

    Raises:
        InputError: what is wrong, what was received, what would be right.
    """
    found = parsed(text)
    toml.only(found, "the specification", _TOP)
    data = _data(toml.tables(found, "data"), folder, inside)
    recipes = {PLAIN: {}} | toml.named_tables(found, "recipe")
    heads = read_heads(found)
    dynamics = _dynamics(found.get("dynamics", {}))
    return Spec(
        data=data,
        models=_models(toml.tables(found, "models"), recipes, data),
        heads=heads,
        dynamics=dynamics,
        primary=read_primary(found.get("primary"), list(heads), dynamics),
        text=text,
        **toml.part(Spec, found),
    )


_TOP = (*toml.names(Spec), "data", "models", "recipe", "heads", "stability", "dynamics", "primary")
_AXES = ("data", "recipe", *toml.names(Model), *toml.names(ModelConfig), *toml.names(TrainSettings))
_RECIPE = (*toml.names(TrainSettings, "seed"), *toml.names(Recipe))


def _models(
    tables: Sequence[Any], recipes: Mapping[str, Any], data: Mapping[str, Data]
) -> tuple[Model, ...]:
    for name, recipe in recipes.items():
        toml.only(recipe, f"the recipe {name!r}", _RECIPE)
    models: dict[Model, None] = {}
    for table in tables:
        toml.only(table, "[[models]]", _AXES)
        axes = {"data": list(data), "recipe": PLAIN, **table}
        if "frames" not in axes:
            raise InputError('[[models]] needs "frames", the number of training frames or a list')
        lists = {name: toml.listed(value) for name, value in axes.items()}
        size = 1
        for name, values in lists.items():
            size *= len(values)
            if not values or size + len(models) > MOST_MODELS:
                raise InputError(
                    f"[[models]] makes from 1 to {MOST_MODELS} models in all; {name} = "
                    f"{str(values)[:60]} leads outside"
                )
        for chosen in itertools.product(*lists.values()):
            models[_model(dict(zip(lists, chosen, strict=True)), recipes, data)] = None
    return tuple(models)


def _model(chosen: dict[str, Any], recipes: Mapping[str, Any], data: Mapping[str, Data]) -> Model:
    name, recipe = chosen["data"], chosen["recipe"]
    for value, known, what in ((name, data, "data set"), (recipe, recipes, "recipe")):
        if not isinstance(value, str) or value not in known:
            raise InputError(f"there is no {what} {value!r}; there are {', '.join(known)}")
    config = toml.build(ModelConfig, toml.part(ModelConfig, chosen), "[[models]]")
    where = f"[[models]] with the recipe {recipe!r}"
    wanted = chosen | recipes[recipe]
    settings = toml.build(TrainSettings, toml.part(TrainSettings, wanted), where)
    factor = toml.build(Recipe, toml.part(Recipe, wanted), where).epochs_factor
    settings = dataclasses.replace(settings, epochs=max(1, round(settings.epochs * factor)))
    fields = {"data": name, "recipe": recipe, "config": config, "train": settings}
    return toml.build(Model, {**fields, **toml.part(Model, chosen)}, "[[models]]")


def _data(tables: Sequence[Any], folder: Path, inside: Path | None) -> dict[str, Data]:
    found: dict[str, Data] = {}
    for table in tables:
        toml.only(table, "[[data]]", ("name", "file", *toml.names(Data)))
        file = _text(table, "file", None)
        try:
            path = (folder / file).resolve()
        except (OSError, ValueError) as error:
            raise InputError(f"[[data]] file = {file!r} is not the name of a file") from error
        if inside is not None and not path.is_relative_to(inside.resolve()):
            raise InputError(f"[[data]] file = {file!r} is outside of the folder of the data")
        name = _text(table, "name", Path(file).stem)
        if len(name) > 255 or not name.isprintable() or cell(name) != name:
            raise InputError(
                f"[[data]] name = {name!r:.60} is no name to show, or would be a formula in a "
                "table; give another one"
            )
        if name in found:
            raise InputError(f"two data sets are called {name!r}; give one another name")
        fields = {"name": name, "file": path, **toml.part(Data, table)}
        found[name] = toml.build(Data, fields, "[[data]]")
    return found


def _text(table: Mapping[str, Any], name: str, default: str | None) -> str:
    value = table.get(name, default)
    if not isinstance(value, str):
        raise InputError(f"[[data]] {name} must be text in quotes, received {value!r:.60}")
    return value


def read_heads(specification: Mapping[str, Any]) -> dict[str, Options]:
    """The re-fits of a specification with their settings, by name; InputError if one is wrong."""
    stability = specification.get("stability", {})
    toml.only(stability, "[stability]", toml.names(StabilitySettings))
    check = toml.build(StabilitySettings, stability, "[stability]")
    found: dict[str, Options] = {}
    tables = toml.named_tables(specification, "heads")
    if len(tables) > MOST_HEADS:
        raise InputError(f"a study has at most {MOST_HEADS} re-fits, received {len(tables)}")
    for name, table in tables.items():
        if name == DEFAULT_HEAD:
            raise InputError(f'[heads.{name}] cannot be: "{name}" is the trained head itself')
        toml.only(table, f"[heads.{name}]", toml.names(Options, "seed"))
        # The Laplacians of the test take longer than everything else, and have their own page.
        wanted = {"test_boltzmann": False, "head": "shared", **table, "stability": check}
        if wanted["head"] != "quadratic":
            wanted.setdefault("metric", "identity")
        found[name] = toml.build(Options, wanted, f"[heads.{name}]")
    return found


def _dynamics(table: Any) -> tuple[MDSettings, ...]:
    toml.only(table, "[dynamics]", toml.names(Dynamics, "steps", "record_every", "start"))
    axes = {"temperature": Dynamics.temperature, "timestep": Dynamics.timestep}
    lists = [toml.listed(table.get(name, usual)) for name, usual in axes.items()]
    if math.prod(map(len, lists)) > MOST_CONDITIONS:
        raise InputError(
            f"[dynamics] takes up to {MOST_CONDITIONS} different temperatures and time steps, "
            f"received {' × '.join(str(len(one)) for one in lists)}"
        )
    conditions = [
        toml.build(Dynamics, {**table, **dict(zip(axes, chosen, strict=True))}, "[dynamics]")
        for chosen in itertools.product(*lists)
    ]
    if len(set(conditions)) < len(conditions):
        raise InputError("[dynamics] has the same temperature and time step twice")
    return tuple(condition.run() for condition in conditions)


def digest(fields: Any) -> str:
    """A short mark of JSON-able fields."""
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()[:16]


def question_of(table: Any) -> Primary | None:
    """The question of a table ``[primary]``, None where it is left out; InputError if wrong."""
    if table is None:
        return None
    toml.only(table, "[primary]", ("head", "against", *toml.names(Primary)))
    for name in ("head", "against"):
        if not isinstance(table.get(name, DEFAULT_HEAD), str):
            raise InputError(
                f"[primary] {name} must be text in quotes, received {table[name]!r:.60}"
            )
    if "head" not in table:
        raise InputError('[primary] needs "head", the re-fit that it asks about')
    return toml.build(Primary, table, "[primary]")


def read_primary(
    table: Any, heads: Sequence[str], dynamics: Sequence[MDSettings]
) -> Primary | None:
    """The question of a table ``[primary]``, None where it is left out.

    Raises:
        InputError: for heads that the study does not have, or a condition that is not one of its.
    """
    found = question_of(table)
    if found is None:
        return None
    for name in (found.head, found.against):
        if name not in (DEFAULT_HEAD, *heads):
            raise InputError(
                f"[primary] names the head {name!r}; there are {', '.join((DEFAULT_HEAD, *heads))}"
            )
    if found.head == found.against:
        raise InputError(f"[primary] compares two heads; both are {found.head!r}")
    there = [(one.temperature, one.timestep) for one in dynamics]
    fitting = matching(found, there)
    if len(fitting) != 1:
        words = ", ".join(f"{temperature:g} K at {step:g} fs" for temperature, step in there)
        raise InputError(
            f"[primary] asks about one condition, and {len(fitting)} of those in [dynamics] fit; "
            f"name one of {words}"
        )
    return found


def matching(
    question: Primary, conditions: Sequence[tuple[float, float]]
) -> list[tuple[float, float]]:
    """The conditions (K, fs) that a question can be about."""
    wanted = (question.temperature, question.timestep)
    return [
        one
        for one in conditions
        if all(asked in (None, value) for asked, value in zip(wanted, one, strict=True))
    ]


_MOST_OF_WORDINGS = 10_000_000
"""Bytes of all wordings."""


@dataclasses.dataclass(frozen=True)
class Registered:
    """A wording of the question, and when it was given.

    Attributes:
        date: UTC, ISO 8601.
        digest: of the wording.
        runs: finished by then; 0 where the question came before any result.
        question: the table ``[primary]``; None where there was none.
    """

    date: str
    digest: str
    runs: int
    question: Mapping[str, Any] | None

    def __post_init__(self) -> None:
        if not (
            isinstance(self.date, str)
            and isinstance(self.digest, str)
            and type(self.runs) is int
            and isinstance(self.question, dict | None)
        ):
            raise InputError("a wording has a date, a digest, a number of runs and a question")


def register(folder: Path, question: Primary | None) -> None:
    """Note in a study's folder what is asked from now on, where that is new."""
    fields = None if question is None else question.to_json()
    mark = digest(fields)
    known = registered(folder)
    if (known[-1].digest if known else None) == mark or (not known and question is None):
        return
    runs = sum(1 for _ in (folder / "members").glob("*/run-*.json"))
    date = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    every = [*known, Registered(date, mark, runs, fields)]
    with storage.replacing(folder / QUESTIONS) as part:
        text = json.dumps([dataclasses.asdict(one) for one in every], indent=1)
        part.write_text(text + "\n", encoding="utf-8")


def registered(folder: Path) -> tuple[Registered, ...]:
    """Every wording, the oldest first; empty for a study without a question.

    Raises:
        InputError: if the file is damaged.
    """
    path = folder / QUESTIONS
    try:
        known = json.loads(storage.content(path, _MOST_OF_WORDINGS))
        return tuple(Registered(**one) for one in known)
    except FileNotFoundError:
        return ()
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise InputError(
            f"{path} is damaged; it must be a list of questions with date, digest, runs and "
            "question"
        ) from error
