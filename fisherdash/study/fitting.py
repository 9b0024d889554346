"""The first two stages of a unit: networks trained together, and the re-fits of their heads."""

import dataclasses
import math
import time
from typing import Any

import jax
import numpy as np

from fisherdash import checkpoint, evaluate, fisher, landscape
from fisherdash.checkpoint import Checkpoint
from fisherdash.dataset import Dataset
from fisherdash.errors import InputError
from fisherdash.study import store
from fisherdash.study.plan import Member, head_key
from fisherdash.study.records import finite, thinned
from fisherdash.study.spec import DEFAULT_HEAD
from fisherdash.study.unit import HEADS, NETWORK, TRAINING, Unit, heads_left
from fisherdash.train import EpochReport, Trainee, train_together
from fisherdash.units import KCAL_PER_MOL

_LOSS_ROWS = 60


def train_members(unit: Unit) -> None:
    """Trains those that have no network yet, together."""
    todo = [m for m in unit.members if not unit.file(m, TRAINING).exists()]
    if not todo:
        return
    trainees = [
        Trainee(*unit.frames.of(member.model), member.model.train, member.name) for member in todo
    ]
    reports: tuple[EpochReport, ...] = ()
    with unit.stage("training", todo) as seconds:
        for latest in train_together(todo[0].model.config, trainees, cancel=unit.cancel):
            reports = latest
        unit.stop_if_asked()
    for member, report in zip(todo, reports, strict=True):
        network = report.checkpoint
        if network is None:
            unit.fail(member, "training diverged in its first epoch")
            continue
        unit.file(member, TRAINING).parent.mkdir(parents=True, exist_ok=True)
        checkpoint.save(network, unit.file(member, NETWORK))
        rows = thinned(report.history, _LOSS_ROWS)
        training = {
            "seconds": seconds() / len(todo),
            "device": device(),
            "diverged": report.status == "diverged",
            "parameters": network.num_parameters,
            "errors": report.best_errors,
            "losses": [
                [row["epoch"], finite(row["train_loss"]), finite(row["valid_loss"])] for row in rows
            ],
        }
        store.write(unit.file(member, TRAINING), training)


def refit_members(unit: Unit) -> None:
    """Re-fits and measures every head that is missing."""
    for member in unit.alive():
        path = unit.file(member, HEADS)
        found = store.read(path) or {"heads": {}, "seconds": {}, "device": device()}
        if not heads_left(unit.plan, found):
            continue
        with unit.stage("re-fits", [member]):
            try:
                _refit(unit, member, found)
            except InputError as error:
                unit.stop_if_asked()
                unit.fail(member, str(error))
                continue
            store.write(path, found)


def head_file(key: str) -> str:
    """The file of a head by its key."""
    return NETWORK if key == DEFAULT_HEAD else f"head-{key}.safetensors"


def device() -> str:
    """What the numbers were computed on."""
    return jax.devices()[0].device_kind


def _refit(unit: Unit, member: Member, found: dict[str, Any]) -> None:
    model = checkpoint.load(unit.file(member, NETWORK))
    known = _joined(*unit.frames.of(member.model))
    for name in heads_left(unit.plan, found):
        if name == DEFAULT_HEAD:
            found["heads"][name] = _measured(unit, model) | {"key": name}
            continue
        key, started = head_key(unit.plan.spec.heads[name]), time.perf_counter()
        options = dataclasses.replace(unit.plan.spec.heads[name], seed=member.model.train.seed)
        try:
            refit = fisher.solve(model, known, options, cancel=unit.cancel)
        except InputError as error:
            unit.stop_if_asked()
            found["heads"][name] = {"key": key, "refused": str(error)}
            continue
        kept = math.isinf(refit.ridge)
        head = model if kept else refit.checkpoint
        checkpoint.save(head, unit.file(member, head_file(key)))
        found["heads"][name] = _measured(unit, head) | {
            "key": key,
            "kept_default": kept,
            "ridge": finite(refit.ridge),
            "condition_number": finite(refit.condition_number),
        }
        found["seconds"][name] = time.perf_counter() - started


def _measured(unit: Unit, model: Checkpoint) -> dict[str, Any]:
    """Errors on the test frames, size of the head, and how sharp the loss is around it."""
    errors = evaluate.evaluate(model, unit.frames.test)
    radius, sharpness = unit.plan.spec.sharpness, None
    if radius is not None:
        found = landscape.sharpness(model, unit.frames.test, radius=radius, cancel=unit.cancel)
        sharpness = finite(found.value * KCAL_PER_MOL**2)
    return {
        "head_norm": float(np.linalg.norm(model.head)),
        "force_rmse": finite(errors.force_rmse),
        "force_mae": finite(errors.force_mae),
        "energy_mae": finite(errors.energy_mae),
        "sharpness": sharpness,
    }


def _joined(first: Dataset, second: Dataset) -> Dataset:
    """The frames of both."""
    names = ("positions", "energies", "forces")
    arrays = {name: np.concatenate([getattr(first, name), getattr(second, name)]) for name in names}
    return dataclasses.replace(first, **arrays)
