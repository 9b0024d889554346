"""The last stage of a unit: the dynamics of all its heads in one batch."""

import contextlib
from pathlib import Path

from fisherdash import checkpoint, disk, runs, simulate
from fisherdash.analyse.structure import structure
from fisherdash.checkpoint import Checkpoint
from fisherdash.errors import InputError
from fisherdash.runs.living import living_positions
from fisherdash.simulate import MDSettings
from fisherdash.study import store
from fisherdash.study.fitting import device, head_file
from fisherdash.study.plan import Member, digest, run_key
from fisherdash.study.records import curves, trajectory_rows
from fisherdash.study.unit import HEADS, Unit, names_left

SAME_TEMPERATURE = 0.02
"""Share by which dynamics may be off the data's temperature where their structures are compared."""


def simulate_members(unit: Unit, settings: MDSettings) -> None:
    """Runs the heads that have no trajectories yet with these settings."""
    models: dict[str, Checkpoint] = {}
    where: dict[str, tuple[Member, str, str]] = {}
    for number, member in enumerate(unit.alive()):
        heads = store.read(unit.file(member, HEADS)) or {"heads": {}}
        for name in names_left(store.read(unit.run_file(member, settings)), heads):
            key, label = heads["heads"][name]["key"], f"{number}/{name}"
            models[label] = checkpoint.load(unit.file(member, head_file(key)))
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
        # As if nobody had died and nothing been compiled: what such a run costs.
        speed = run.typical_speed
        each = (settings.steps / speed if speed else seconds()) / len(models)
    structures = _structures(unit, run, settings)
    for member in members:
        mine = {label: found[1:] for label, found in where.items() if found[0] is member}
        _keep(unit, member, settings, run, mine, structures, each)
    disk.remove_folder(place)


def _trajectories(
    unit: Unit, place: Path, models: dict[str, Checkpoint], settings: MDSettings
) -> runs.Run:
    """The run in ``place``, finished; one that was interrupted goes on."""
    rest = None
    with contextlib.suppress(InputError):  # what cannot go on is begun again
        if runs.open_run(place).status == "finished":
            return runs.open_run(place)
        unfinished = runs.unfinished(place)
        chunks = simulate.resume(
            unfinished.header, unfinished.checkpoints, unfinished.state, cancel=unit.cancel
        )
        rest = runs.go_on(chunks, unfinished)
    if rest is None:
        if place.exists():
            disk.remove_folder(place)
        place.parent.mkdir(parents=True, exist_ok=True)
        starts = unit.frames.test
        chunks = simulate.simulate(models, starts, settings, cancel=unit.cancel)
        rest = runs.record(chunks, place, runs.describe_run(models, starts, settings), models)
    for _ in rest:
        pass
    return runs.open_run(place)


def _keep(
    unit: Unit,
    member: Member,
    settings: MDSettings,
    run: runs.Run,
    labels: dict[str, tuple[str, str]],
    structures: dict[str, list[float] | None],
    seconds: float,
) -> None:
    """Adds what the heads of one member did to its file; ``seconds`` for each head."""
    path = unit.run_file(member, settings)
    found = store.read(path) or {"settings": settings.to_json(), "heads": {}, "seconds": 0.0}
    trajectories = run.trajectories()
    for label, (name, key) in labels.items():
        row = run.header.names.index(label)
        found["heads"][name] = {
            "key": key,
            "trajectories": trajectory_rows(trajectories, row),
            "curves": curves(trajectories, row, settings),
            "structure": structures.get(label),
        }
    found["seconds"] += seconds * len(labels)
    found["device"] = device()
    store.write(path, found)


def _structures(unit: Unit, run: runs.Run, settings: MDSettings) -> dict[str, list[float] | None]:
    """By label: error of h(r), its floor, number of frames; empty off the data's temperature."""
    whole = unit.frames.whole
    known = whole.temperature
    if known is None or abs(settings.temperature / known - 1) > SAME_TEMPERATURE:
        return {}
    positions = living_positions(run, most=len(run.times), first=0)
    found = structure(whole.positions, positions)
    return {
        label: None if error is None else [error, found.floor, len(positions[label])]
        for label, error in found.errors.items()
    }
