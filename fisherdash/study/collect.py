"""From the files of a study's members to its tables."""

import math
from pathlib import Path
from typing import Any

import pandas as pd

from fisherdash.study import store
from fisherdash.study.plan import Frames, Member, Plan
from fisherdash.study.spec import DEFAULT_HEAD
from fisherdash.study.tables import COLUMNS, Tables
from fisherdash.study.unit import FAILED, HEADS, TRAINING, run_file

_Rows = dict[str, list[list[Any]]]


def collect(folder: Path, plan: Plan) -> Tables:
    """Tables of everything that is finished so far, in the order of the plan."""
    rows: _Rows = {name: [] for name in COLUMNS}
    for member in plan.members:
        _add(rows, folder, plan, member)
    return Tables(
        **{name: pd.DataFrame(rows[name], columns=pd.Index(COLUMNS[name])) for name in rows}
    )


def _add(rows: _Rows, folder: Path, plan: Plan, member: Member) -> None:
    place = store.home(folder, member.name)
    training, heads = store.read(place / TRAINING), store.read(place / HEADS)
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
        run = store.read(run_file(place, settings))
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
    member: Member, frames: Frames, training: dict[str, Any] | None, default: dict[str, Any] | None
) -> list[Any]:
    model, atoms = member.model, frames.whole.num_atoms
    config, errors = model.config, training["errors"] if training else {}
    nothing = math.nan
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
        training["parameters"] if training else nothing,
        atoms,
        3 * atoms - (6 if atoms > 2 else 5),
        int(training is None or training["diverged"]),
        errors.get("train_force_rmse", nothing),
        errors.get("valid_force_rmse", nothing),
        default["force_rmse"] if default else nothing,
        default["force_mae"] if default else nothing,
        default["energy_mae"] if default else nothing,
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
    rows["trajectories"] += [
        [*start, replica, *row] for replica, row in enumerate(found["trajectories"])
    ]
    rows["curves"] += [[*start, *row] for row in found["curves"]]
    if found["structure"] is not None:
        rows["structure"].append([*start, *found["structure"]])
