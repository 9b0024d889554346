"""One unit of a study, stage by stage: train together, re-fit, simulate all heads in one batch.

What is finished is on disk and never done again; what was interrupted goes on from the last file
(dynamics from their last chunk). A process needs nothing but the study's folder. Of a run, a row
for each trajectory and quartiles over time are kept.
"""

import contextlib
import dataclasses
import math
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from fisherdash import analysis, fisher, landscape, md, storage, workspace
from fisherdash.analysis import Trajectories
from fisherdash.analysis.compare import times_to_failure
from fisherdash.analysis.structure import structure
from fisherdash.errors import InputError
from fisherdash.monitor import Monitor
from fisherdash.potentials import checkpoint, evaluate
from fisherdash.potentials.checkpoint import Checkpoint
from fisherdash.recordings import judge_survivors, survivor_positions
from fisherdash.settings import LandscapeSettings, MDSettings
from fisherdash.statistics import evenly_spaced
from fisherdash.study.plan import (
    HEADS,
    NETWORK,
    TRAINING,
    Member,
    Unit,
    digest,
    head_key,
    heads_left,
    is_done,
    names_left,
    open_plan,
    read_stage,
    run_key,
    write_stage,
)
from fisherdash.study.spec import DEFAULT_HEAD
from fisherdash.train import EpochReport, Trainee, train_together
from fisherdash.trajectories import FAILURES
from fisherdash.units import KCAL_PER_MOL

POINTS = 21
"""Times at which a curve is kept."""


def finite(number: float) -> float | None:
    """A number for JSON, which knows no NaN and no infinity."""
    return float(number) if math.isfinite(number) else None


def thinned(rows: Sequence[Any], most: int) -> list[Any]:
    """At most ``most`` rows, evenly spaced, the first and the last among them."""
    return [rows[index] for index in evenly_spaced(len(rows), most)]


def _trajectory_rows(traj: Trajectories, head: int) -> list[list[float | str | None]]:
    """For each replica: duration and time to failure (ps), failed, drift (meV/atom/ps),
    fluctuation, kind of failure, reference energy at the end (SD of the data).

    The kind is one of FAILURES, None for survivors; energies are known for some survivors only.
    """
    one = traj.of([head])
    slopes = analysis.slopes(one)
    energies = one.reference_energy
    energies = np.full_like(slopes, np.nan) if energies is None else energies
    widths = analysis.fluctuations(one, slopes)
    columns = (*times_to_failure(one), slopes, widths, one.kinds, energies)
    return [
        [traj.duration, time, int(failed), finite(slope), finite(width),
         FAILURES[kind] if failed else None, finite(energy)]
        for time, failed, slope, width, kind, energy in zip(*(c[0] for c in columns), strict=True)
    ]  # fmt: skip


def curves(traj: Trajectories, head: int, settings: MDSettings) -> list[list[float | None]]:
    """At :data:`POINTS` times: ps, number of survivors, and quartiles of their ΔE, meV/atom.

    The times are those of the settings, also of a run that ended early without survivors.
    """
    one = traj.of([head])
    change, survivors = analysis.total_energy_change(one)[0], one.surviving_counts()[0]
    last = -(-settings.steps // settings.record_every)
    found: list[list[float | None]] = []
    for frame in thinned(range(last + 1), POINTS):
        time = min(frame * settings.record_every, settings.steps) * settings.timestep
        seen = int(np.searchsorted(traj.times, time + 0.5 * settings.timestep)) - 1
        values = change[:, seen][np.isfinite(change[:, seen])]
        quartiles = np.quantile(values, [0.25, 0.5, 0.75]) if len(values) else [math.nan] * 3
        found.append([time * 1e-3, int(survivors[seen]), *(finite(value) for value in quartiles)])
    return found


_LOSS_ROWS = 60


def _train_members(unit: Unit) -> None:
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
        training = {
            "seconds": seconds() / len(todo),
            "device": device(),
            "diverged": report.status == "diverged",
            "parameters": network.num_parameters,
            "errors": report.best_errors,
            "losses": [
                [row["epoch"], finite(row["train_loss"]), finite(row["valid_loss"])]
                for row in thinned(report.history, _LOSS_ROWS)
            ],
        }
        write_stage(unit.file(member, TRAINING), training)


def _refit_members(unit: Unit) -> None:
    """Re-fits and measures every head that is missing."""
    for member in unit.remaining():
        path = unit.file(member, HEADS)
        found = read_stage(path) or {"heads": {}, "seconds": {}, "device": device()}
        if not heads_left(unit.plan, found):
            continue
        with unit.stage("re-fits", [member]):
            try:
                _refit(unit, member, found)
            except InputError as error:
                unit.stop_if_asked()
                unit.fail(member, str(error))
                continue
            write_stage(path, found)


def _head_file(key: str) -> str:
    """The file of a head by its key."""
    return NETWORK if key == DEFAULT_HEAD else f"head-{key}.safetensors"


def device() -> str:
    """What the numbers were computed on."""
    return jax.devices()[0].device_kind


def _refit(unit: Unit, member: Member, found: dict[str, Any]) -> None:
    model = checkpoint.load(unit.file(member, NETWORK))
    first, second = unit.frames.of(member.model)
    names = ("positions", "energies", "forces")
    arrays = {name: np.concatenate([getattr(first, name), getattr(second, name)]) for name in names}
    known = dataclasses.replace(first, **arrays)
    for name in heads_left(unit.plan, found):
        if name == DEFAULT_HEAD:
            found["heads"][name] = _measured(unit, model) | {"key": name}
            continue
        key, started = head_key(unit.plan.spec.heads[name]), time.perf_counter()
        options = dataclasses.replace(unit.plan.spec.heads[name], seed=member.model.train.seed)
        try:
            refit = fisher.solve(model, known, options, monitor=Monitor(unit.cancel))
        except InputError as error:
            unit.stop_if_asked()
            found["heads"][name] = {"key": key, "refused": str(error)}
            continue
        kept = math.isinf(refit.ridge)
        head = model if kept else refit.checkpoint
        checkpoint.save(head, unit.file(member, _head_file(key)))
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
        settings = LandscapeSettings(radius=radius)
        found = landscape.sharpness(model, unit.frames.test, settings, monitor=Monitor(unit.cancel))
        sharpness = finite(found.value * KCAL_PER_MOL**2)
    return {
        "head_norm": float(np.linalg.norm(model.head)),
        "force_rmse": finite(errors.force_rmse),
        "force_mae": finite(errors.force_mae),
        "energy_mae": finite(errors.energy_mae),
        "sharpness": sharpness,
    }


SAME_TEMPERATURE = 0.02
"""Share by which dynamics may be off the data's temperature where their structures are compared."""


def _simulate_members(unit: Unit, settings: MDSettings) -> None:
    """Runs the heads that have no trajectories yet with these settings."""
    models: dict[str, Checkpoint] = {}
    where: dict[str, tuple[Member, str, str]] = {}
    for number, member in enumerate(unit.remaining()):
        heads = read_stage(unit.file(member, HEADS)) or {"heads": {}}
        for name in names_left(read_stage(unit.run_file(member, settings)), heads):
            key, label = heads["heads"][name]["key"], f"{number}/{name}"
            models[label] = checkpoint.load(unit.file(member, _head_file(key)))
            where[label] = member, name, key
    if not models:
        return
    members = list({member.name: member for member, _, _ in where.values()}.values())
    mark = digest([run_key(settings), *((m.name, key) for m, _, key in where.values())])
    place = unit.folder / "running" / mark
    stage = f"dynamics {settings.temperature:g} K {settings.timestep:g} fs"
    with unit.stage(stage, members) as seconds:
        run = _trajectories(unit, place, models, settings)
        unit.stop_if_asked()
        # What a run costs without compilation.
        speed = run.typical_speed
        each = (settings.steps / speed if speed else seconds()) / len(models)
    with contextlib.suppress(InputError):  # most data do not say what labelled them
        judge_survivors(run, unit.frames.whole)
    structures = _structures(unit, run, settings)
    trajectories = run.trajectories()
    for member in members:
        path = unit.run_file(member, settings)
        found = read_stage(path) or {"settings": settings.to_json(), "heads": {}, "seconds": 0.0}
        for label, (owner, name, key) in where.items():
            if owner is not member:
                continue
            row = run.header.names.index(label)
            found["heads"][name] = {
                "key": key,
                "trajectories": _trajectory_rows(trajectories, row),
                "curves": curves(trajectories, row, settings),
                "structure": structures.get(label),
            }
            found["seconds"] += each
        write_stage(path, found | {"device": device()})
    storage.remove_folder(place)


def _trajectories(
    unit: Unit, place: Path, models: dict[str, Checkpoint], settings: MDSettings
) -> workspace.Run:
    """The finished run in ``place``; an interrupted one is resumed."""
    try:
        if workspace.open_run(place).status == "finished":
            return workspace.open_run(place)
        unfinished = workspace.unfinished(place)
        chunks = md.resume(
            unfinished.header, unfinished.checkpoints, unfinished.state, cancel=unit.cancel
        )
        rest = workspace.go_on(chunks, unfinished)
    except InputError:  # a run that cannot be resumed is begun again
        if place.exists():
            storage.remove_folder(place)
        place.parent.mkdir(parents=True, exist_ok=True)
        frames = unit.frames.test
        chunks = md.simulate(models, frames, settings, cancel=unit.cancel)
        header = workspace.describe_run(models, frames, settings)
        rest = workspace.record(chunks, place, header, models)
    for _ in rest:
        pass
    return workspace.open_run(place)


def _structures(
    unit: Unit, run: workspace.Run, settings: MDSettings
) -> dict[str, list[float] | None]:
    """By label: error of h(r), its floor, number of frames; empty off the data's temperature."""
    whole = unit.frames.whole
    known = whole.temperature
    if known is None or abs(settings.temperature / known - 1) > SAME_TEMPERATURE:
        return {}
    positions = survivor_positions(run, most=len(run.times), first=0)
    found = structure(whole.positions, positions)
    return {
        label: None if error is None else [error, found.floor, len(positions[label])]
        for label, error in found.errors.items()
    }


def do_unit(folder: Path, names: Sequence[str], cancel: threading.Event | None = None) -> None:
    """Does what is left of the members with these names, all of one shape.

    Raises:
        Interrupted: when ``cancel`` was set.
    """
    folder = Path(folder).resolve()
    plan, wanted = open_plan(folder), set(names)
    members = tuple(m for m in plan.members if m.name in wanted and not is_done(folder, plan, m))
    if not members:
        return
    unit = Unit(folder, plan, members, cancel or threading.Event())
    _train_members(unit)
    _refit_members(unit)
    for settings in plan.spec.dynamics:
        _simulate_members(unit, settings)
