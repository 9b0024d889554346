"""What a study found: seven small tables in a folder of CSV files, readable by anything.

Every statistic, figure and page about a population is made of them. Units stand in the columns'
names; a missing number is an empty cell. A failed trajectory has a row like the others. What a
computer's speed decides stands in ``timings`` alone, so the other tables are the same wherever the
study was run.
"""

import dataclasses
import io
import math
from pathlib import Path
from typing import Any, Final

import pandas as pd

from fisherdash import storage
from fisherdash.dataset.archives import unpacked
from fisherdash.errors import InputError
from fisherdash.study.plan import (
    FAILED,
    HEADS,
    TRAINING,
    Member,
    Plan,
    StudyFrames,
    member_folder,
    read_stage,
    run_file,
    sound_files,
)
from fisherdash.study.spec import DEFAULT_HEAD

COLUMNS: Final[dict[str, tuple[str, ...]]] = {
    "models": (
        "model",  # short name, unique
        "data",  # name of the data set in the specification
        "recipe",  # how it was trained: a name in the specification
        "frames",  # training frames
        "seed",
        "features",
        "max_degree",
        "iterations",
        "basis",
        "epochs",
        "parameters",
        "atoms",
        "degrees_of_freedom",
        "diverged",  # 1 where the loss stopped being a number; the weights before that were kept
        "train_force_rmse_eV_per_A",
        "valid_force_rmse_eV_per_A",
        "test_force_rmse_eV_per_A",  # default head, frames that no model has seen
        "test_force_mae_eV_per_A",
        "test_energy_mae_eV",
    ),
    "losses": ("model", "epoch", "train_loss_eV2", "valid_loss_eV2"),
    "heads": (
        "model",
        "head",  # "default" is the trained one, the others are re-fits as the specification names
        "ridge",  # over the largest eigenvalue; 0 plain, empty where the default was kept
        "kept_default",  # 1 where the rule decided for the default head
        "condition_number",
        "head_norm_eV",
        "test_force_rmse_eV_per_A",
        "test_force_mae_eV_per_A",
        "sharpness_eV2",  # rise of the loss in a step of fixed length uphill; empty if not asked
    ),
    "trajectories": (
        "model",
        "head",
        "temperature_K",
        "timestep_fs",
        "replica",  # the same number is the same initial state, for every head and every model
        "duration_ps",  # of the run
        "time_to_failure_ps",  # duration_ps for survivors; lifetime_ps in the file
        "failed",  # 1 or 0; died in the file
        "drift_meV_per_atom_per_ps",  # of the total energy; empty for the failed
        "fluctuation_meV_per_atom",  # about the drift; empty for the failed
        "failure",  # bond, clash or not_finite; empty for survivors and in older studies
        "reference_energy_sd",  # of some survivors' last frames by the potential of the data, in
        # its standard deviations from its mean; empty where that potential is not at hand
    ),
    "curves": (
        "model",
        "head",
        "temperature_K",
        "timestep_fs",
        "time_ps",
        "survivors",  # alive in the file; next come quartiles over these, empty without any
        "low_meV_per_atom",  # change of the total energy
        "median_meV_per_atom",
        "high_meV_per_atom",
    ),
    "structure": (
        "model",
        "head",
        "temperature_K",
        "timestep_fs",
        "h_error",  # ∫|h − h_ref| dr of distances, 0 to 2; frames before a failure
        "h_floor",  # the same between two halves of the reference
        "frames",
    ),
    # A stage is "training", "re-fit HEAD" or "dynamics T K Δt fs": the last is for all heads that
    # were run, at the measured speed, without compilation.
    "timings": ("model", "stage", "seconds", "device"),
}
_DIGITS: Final = "%.6g"
MOST_BYTES: Final = 2_000_000_000
"""Of a table's file."""
PACKED: Final = ".xz"
"""Ending of a table that was packed."""


@dataclasses.dataclass(frozen=True, eq=False)
class Tables:
    """The tables of a study, each with the columns of :data:`COLUMNS`."""

    models: pd.DataFrame
    losses: pd.DataFrame
    heads: pd.DataFrame
    trajectories: pd.DataFrame
    curves: pd.DataFrame
    structure: pd.DataFrame
    timings: pd.DataFrame

    def __post_init__(self) -> None:
        for name, columns in COLUMNS.items():
            received = tuple(getattr(self, name).columns)
            if received != columns:
                raise InputError(
                    f"the table {name} of a study has the columns {', '.join(columns)}; "
                    f"received {', '.join(map(str, received))}"
                )


def empty() -> Tables:
    """Tables of a study in which nothing is finished yet."""
    return Tables(**{name: pd.DataFrame(columns=pd.Index(cols)) for name, cols in COLUMNS.items()})


def write_tables(tables: Tables, folder: Path) -> None:
    """Writes NAME.csv for every table; six significant digits, the same bytes for the same data."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in COLUMNS:
        part = folder / f".{name}.csv.part"
        table = getattr(tables, name).rename(columns=_ON_DISK)
        table.to_csv(part, index=False, float_format=_DIGITS, lineterminator="\n")
        part.replace(folder / f"{name}.csv")


def table_file(folder: Path, name: str) -> Path:
    """The file of a table: NAME.csv, or NAME.csv.xz where that is all there is."""
    packed = folder / f"{name}.csv{PACKED}"
    return (
        packed
        if packed.exists() and not (folder / f"{name}.csv").exists()
        else packed.with_suffix("")
    )


def read_tables(folder: Path) -> Tables:
    """Reads what :func:`write_tables` wrote.

    Raises:
        InputError: if a table is missing or is not one of these.
    """
    found = {}
    for name, columns in COLUMNS.items():
        path = table_file(folder, name)
        try:
            text, _ = unpacked(storage.content(path, MOST_BYTES), path.name)
            read = pd.read_csv(io.BytesIO(text), dtype=dict.fromkeys(_TEXT & {*columns}, str))
            read = read.rename(columns={old: name for name, old in _ON_DISK.items()})
            for column in set(read) & set(columns) - _TEXT:
                read[column] = pd.to_numeric(read[column])
        except FileNotFoundError as error:
            raise InputError(f"{folder} holds no study: {name}.csv is missing") from error
        except (OSError, ValueError, TypeError, OverflowError) as error:
            raise InputError(f"{path} is not a table of a study: {error!s:.200}") from error
        for column in _LATER:
            if column in columns and column not in read:
                read[column] = None
        found[name] = read
    return Tables(**found)


_TEXT: Final = {"model", "data", "recipe", "head", "stage", "device", "failure"}
_LATER: Final = ("failure", "reference_energy_sd")
"""Last columns of their tables, which older studies lack."""
_ON_DISK: Final = {"time_to_failure_ps": "lifetime_ps", "failed": "died", "survivors": "alive"}
"""Names of columns in files that differ from those in the program."""

_Rows = dict[str, list[list[Any]]]


def collect(folder: Path, plan: Plan) -> Tables:
    """Tables of everything that is finished so far, in the order of the plan."""
    rows: _Rows = {name: [] for name in COLUMNS}
    for member in plan.members:
        with sound_files(member_folder(folder, member.name)):
            _add(rows, folder, plan, member)
    return Tables(
        **{name: pd.DataFrame(rows[name], columns=pd.Index(COLUMNS[name])) for name in rows}
    )


def _add(rows: _Rows, folder: Path, plan: Plan, member: Member) -> None:
    place = member_folder(folder, member.name)
    training, heads = read_stage(place / TRAINING), read_stage(place / HEADS)
    if training is None:
        if (place / FAILED).exists():
            rows["models"].append(_model(member, plan.frames[member.model.data], None, None))
        return
    rows["losses"] += [[member.name, *row] for row in training["losses"]]
    rows["timings"].append([member.name, "training", training["seconds"], training["device"]])
    if heads is None:
        return
    default = heads["heads"][DEFAULT_HEAD]
    rows["models"].append(_model(member, plan.frames[member.model.data], training, default))
    names = [name for name in (DEFAULT_HEAD, *plan.spec.heads) if name in heads["heads"]]
    fitted = [name for name in names if "refused" not in heads["heads"][name]]
    rows["heads"] += [_head(member.name, name, heads["heads"][name]) for name in fitted]
    rows["timings"] += [
        [member.name, f"re-fit {name}", heads["seconds"][name], heads["device"]]
        for name in fitted
        if name in heads["seconds"]
    ]
    for settings in plan.spec.dynamics:
        run = read_stage(run_file(place, settings))
        if run is None:
            continue
        conditions = [settings.temperature, settings.timestep]
        for name in fitted:
            kept = heads["heads"][name].get("kept_default")
            found = run["heads"].get(DEFAULT_HEAD if kept else name)
            if found is not None:
                _dynamics(rows, [member.name, name, *conditions], found)
        stage = "dynamics {:g} K {:g} fs".format(*conditions)
        rows["timings"].append([member.name, stage, run["seconds"], run["device"]])


def _model(
    member: Member,
    frames: StudyFrames,
    training: dict[str, Any] | None,
    default: dict[str, Any] | None,
) -> list[Any]:
    from fisherdash.md.initial import degrees_of_freedom, is_linear  # imports JAX

    model, atoms = member.model, frames.whole.num_atoms
    config, training = model.config, training or {}
    errors, default = training.get("errors", {}), default or {}
    return [
        member.name,
        model.data,
        model.recipe,
        model.frames,
        model.train.seed,
        config.features,
        config.max_degree,
        config.iterations,
        config.basis,
        model.train.epochs,
        training.get("parameters", math.nan),
        atoms,
        degrees_of_freedom(atoms, is_linear(frames.whole.positions)),
        int(training.get("diverged", True)),
        errors.get("train_force_rmse", math.nan),
        errors.get("valid_force_rmse", math.nan),
        *(default.get(name, math.nan) for name in ("force_rmse", "force_mae", "energy_mae")),
    ]


def _head(member: str, name: str, found: dict[str, Any]) -> list[Any]:
    return [
        member,
        name,
        found.get("ridge"),
        int(found.get("kept_default", False)),
        found.get("condition_number"),
        found["head_norm"],
        found["force_rmse"],
        found["force_mae"],
        found["sharpness"],
    ]


def _dynamics(rows: _Rows, start: list[Any], found: dict[str, Any]) -> None:
    width = len(COLUMNS["trajectories"]) - len(start) - 1
    rows["trajectories"] += [
        [*start, replica, *row, *[None] * (width - len(row))]
        for replica, row in enumerate(found["trajectories"])
    ]
    rows["curves"] += [[*start, *row] for row in found["curves"]]
    if found["structure"] is not None:
        rows["structure"].append([*start, *found["structure"]])
