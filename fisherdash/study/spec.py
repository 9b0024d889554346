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

Everything else has the default of the command that does the same (``train``, ``solve``,
``simulate``).

Settings out of a TOML file, each refused in one sentence that says what would be right.
"""

import dataclasses
import itertools
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from fisherdash.errors import InputError
from fisherdash.fisher import Options, StabilitySettings
from fisherdash.md import MDSettings
from fisherdash.potentials.e3x import ModelConfig
from fisherdash.train import TrainSettings


def build(kind: type, fields: Mapping[str, Any], where: str) -> Any:
    """An object of settings; what it refuses, with the place in the file in front."""
    try:
        return kind(**fields)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error
    except TypeError as error:
        raise InputError(
            f"{where}: a setting has the wrong type ({dict(fields)!r:.200})"
        ) from error


def only(table: Any, where: str, known: Sequence[str]) -> None:
    """Refuses what is no table, and settings that are not known there."""
    if not isinstance(table, dict):
        raise InputError(f"{where} must be a table of settings, received {table!r:.60}")
    for name in table:
        if name not in known:
            raise InputError(f"{where} knows {', '.join(known)}; received {name!r}")


def tables(found: Mapping[str, Any], name: str) -> list[Any]:
    """The tables of [[name]]; at least one."""
    tables = found.get(name, [])
    if not isinstance(tables, list):
        raise InputError(f"write [[{name}]] with two brackets: there may be several")
    if not tables:
        raise InputError(f"a study needs at least one [[{name}]] table")
    return tables


def named_tables(found: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The tables of [name.NAME] by name; there may be none."""
    tables = found.get(name, {})
    if not isinstance(tables, dict) or not all(isinstance(one, dict) for one in tables.values()):
        raise InputError(f"write [{name}.NAME] with a name of your own for every {name} table")
    for key in tables:
        if not key.strip() or len(key) > 60 or not key.isprintable():
            raise InputError(f"[{name}.NAME] needs a name of 1 to 60 characters, received {key!r}")
    return dict(tables)


def listed(value: Any) -> list[Any]:
    """A list of different values, also of a single one."""
    return list(dict.fromkeys(value)) if isinstance(value, list) and _plain(value) else [value]


def _plain(values: list[Any]) -> bool:
    if not all(isinstance(value, (int, float, str, bool)) for value in values):
        raise InputError(f"a list of settings holds numbers or words, received {values!r:.60}")
    return True


def value(table: Mapping[str, Any], name: str, kind: type, default: Any = None) -> Any:
    """A setting of one type."""
    value = table.get(name, default)
    if not isinstance(value, kind):
        raise InputError(f"{name} must be {_KINDS[kind]}, received {value!r:.60}")
    return value


_KINDS = {str: "text in quotes", int: "a whole number"}


def counted(table: Mapping[str, Any], name: str, default: int | None = None) -> int:
    """A whole number from 1."""
    value = table.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise InputError(f"{name} must be a whole number from 1, received {value!r:.60}")
    return value


def number(value: Any, above: float) -> bool:
    """Whether it is a number above a bound (and below 1e9)."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and above < value < 1e9


MOST_MODELS: Final = 5000
MOST_BYTES: Final = 1_000_000
DEFAULT_HEAD: Final = "default"
PLAIN: Final = "plain"


@dataclasses.dataclass(frozen=True)
class Data:
    """One data set of a study; the frames for training are what ``valid`` and ``test`` leave."""

    name: str
    file: Path
    valid: int = 50
    test: int = 200
    temperature: float | None = None
    units: str | None = None


@dataclasses.dataclass(frozen=True)
class Model:
    """One model of the population: where it learns, on how much, what network, and how.

    ``frames`` counts the training frames; ``train`` carries the seed of weights, split and order.
    """

    data: str
    recipe: str
    frames: int
    config: ModelConfig
    train: TrainSettings


@dataclasses.dataclass(frozen=True)
class Spec:
    """A whole study.

    Attributes:
        title: what it is called where it is shown.
        data: the data sets by name.
        models: the population, in the order of the file.
        heads: re-fits by name; "default" is the trained head and is always there.
        dynamics: settings of the runs; their replicas with one number start alike.
        sharpness: radius of the measure of sharpness, None where it is not measured.
        together: most models that are trained and simulated in one batch.
        text: the file itself.
    """

    title: str
    data: Mapping[str, Data]
    models: tuple[Model, ...]
    heads: Mapping[str, Options]
    dynamics: tuple[MDSettings, ...]
    sharpness: float | None
    together: int
    text: str


def read_spec(text: str, folder: Path, *, inside: Path | None = None) -> Spec:
    """Reads a specification.

    Args:
        text: of the TOML file.
        folder: where relative names of data files start.
        inside: refuse data files outside of this folder.

    Raises:
        InputError: what is wrong, what was received, what would be right.
    """
    if len(text) > MOST_BYTES:
        raise InputError(
            f"the specification of a study has at most {MOST_BYTES} characters, "
            f"received {len(text)}"
        )
    try:
        found = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise InputError(f"the specification is not TOML: {error}") from error
    only(found, "the specification", _TOP)
    data = _data(tables(found, "data"), folder, inside)
    recipes = {PLAIN: {}} | named_tables(found, "recipe")
    heads = _heads(named_tables(found, "heads"), found.get("stability", {}))
    return Spec(
        title=value(found, "title", str, "Study"),
        data=data,
        models=_models(tables(found, "models"), recipes, data),
        heads=heads,
        dynamics=_dynamics(found.get("dynamics", {})),
        sharpness=_sharpness(found),
        together=counted(found, "together", 8),
        text=text,
    )


_TOP = ("title", "data", "models", "recipe", "heads", "stability", "dynamics", "sharpness",
        "together")  # fmt: skip
_NETWORK = tuple(f.name for f in dataclasses.fields(ModelConfig) if f.name != "head_elements")
_TRAINING = tuple(f.name for f in dataclasses.fields(TrainSettings))
_AXES = ("data", "recipe", "frames", *_NETWORK, *_TRAINING)
_RECIPE = (*(name for name in _TRAINING if name != "seed"), "epochs_factor")
_HEAD = tuple(f.name for f in dataclasses.fields(Options) if f.name not in ("stability", "seed"))
_STABILITY = tuple(f.name for f in dataclasses.fields(StabilitySettings))
_DYNAMICS = ("temperature", "timestep", "replicas", "picoseconds", "seed", "precision", "frames")


def _models(
    tables: Sequence[Any], recipes: Mapping[str, Any], data: Mapping[str, Data]
) -> tuple[Model, ...]:
    for name, recipe in recipes.items():
        only(recipe, f"the recipe {name!r}", _RECIPE)
    models: dict[Model, None] = {}
    for table in tables:
        only(table, "[[models]]", _AXES)
        axes = {"data": list(data), "recipe": PLAIN, **table}
        if "frames" not in axes:
            raise InputError('[[models]] needs "frames", the number of training frames or a list')
        lists = {name: listed(value) for name, value in axes.items()}
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
    name, recipe = chosen.pop("data"), chosen.pop("recipe")
    for value, known, what in ((name, data, "data set"), (recipe, recipes, "recipe")):
        if not isinstance(value, str) or value not in known:
            raise InputError(f"there is no {what} {value!r}; there are {', '.join(known)}")
    frames = counted(chosen, "frames")
    config = build(ModelConfig, {k: chosen[k] for k in _NETWORK if k in chosen}, "[[models]]")
    training = {k: chosen[k] for k in _TRAINING if k in chosen} | dict(recipes[recipe])
    factor = training.pop("epochs_factor", 1)
    settings = build(TrainSettings, training, f"[[models]] with the recipe {recipe!r}")
    if not isinstance(factor, (int, float)) or not 0 < factor <= 1000:
        raise InputError(f"epochs_factor must be above 0 and at most 1000, received {factor!r}")
    epochs = max(1, round(settings.epochs * factor))
    return Model(name, recipe, frames, config, dataclasses.replace(settings, epochs=epochs))


def _data(tables: Sequence[Any], folder: Path, inside: Path | None) -> dict[str, Data]:
    found: dict[str, Data] = {}
    for table in tables:
        only(table, "[[data]]", tuple(field.name for field in dataclasses.fields(Data)))
        file = value(table, "file", str)
        try:
            path = (folder / file).resolve()
        except (OSError, ValueError) as error:
            raise InputError(f"[[data]] file = {file!r} is not the name of a file") from error
        if inside is not None and not path.is_relative_to(inside.resolve()):
            raise InputError(f"[[data]] file = {file!r} is outside of the folder of the data")
        name = value(table, "name", str, Path(file).stem)
        if name in found:
            raise InputError(f"two data sets are called {name!r}; give one another name")
        temperature = table.get("temperature")
        if temperature is not None and not number(temperature, above=0):
            raise InputError(f"[[data]] temperature must be above 0 K, received {temperature!r}")
        units = table.get("units")
        if units is not None and not isinstance(units, str):
            raise InputError(f"[[data]] units must be a name in quotes, received {units!r}")
        valid, test = counted(table, "valid", 50), counted(table, "test", 200)
        found[name] = Data(name, path, valid, test, temperature, units)
    if not found:
        raise InputError("a study needs at least one [[data]] table with a file")
    return found


def _heads(tables: Mapping[str, Any], stability: Any) -> dict[str, Options]:
    only(stability, "[stability]", _STABILITY)
    check = build(StabilitySettings, stability, "[stability]")
    found: dict[str, Options] = {}
    for name, table in tables.items():
        if name == DEFAULT_HEAD:
            raise InputError(f'[heads.{name}] cannot be: "{name}" is the trained head itself')
        only(table, f"[heads.{name}]", _HEAD)
        # The Laplacians of the test take longer than everything else, and have their own page.
        wanted = {"test_boltzmann": False, **table, "stability": check}
        found[name] = build(Options, wanted, f"[heads.{name}]")
    return found


def _dynamics(table: Any) -> tuple[MDSettings, ...]:
    only(table, "[dynamics]", _DYNAMICS)
    duration = table.get("picoseconds", 10.0)
    if not number(duration, above=0):
        raise InputError(f"[dynamics] picoseconds must be above 0, received {duration!r}")
    frames = counted(table, "frames", 100)
    found = []
    for temperature in listed(table.get("temperature", 500.0)):
        for timestep in listed(table.get("timestep", 1.0)):
            if not number(timestep, above=0):
                raise InputError(f"[dynamics] timestep must be above 0 fs, received {timestep!r}")
            steps = max(1, round(1000 * duration / timestep))
            wanted = {
                "replicas": table.get("replicas", 24),
                "seed": table.get("seed", 0),
                "precision": table.get("precision", "float32"),
                "temperature": temperature,
                "timestep": timestep,
                "steps": steps,
                "record_every": max(1, steps // frames),
            }
            found.append(build(MDSettings, wanted, "[dynamics]"))
    if len(found) > 100 or len({(f.temperature, f.timestep) for f in found}) < len(found):
        raise InputError("[dynamics] takes up to 100 different temperatures and time steps")
    return tuple(found)


def _sharpness(found: Mapping[str, Any]) -> float | None:
    radius = found.get("sharpness")
    if radius is not None and not number(radius, above=0):
        raise InputError(f"sharpness must be a radius above 0, received {radius!r}")
    return radius
