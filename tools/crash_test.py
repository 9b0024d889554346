"""Kill every kind of the dashboard's work at random moments, and look for anything that was lost.

    python tools/crash_test.py --kills 60 [--kinds train,study] [--seed 0] [--folder FOLDER]

A child process (crash_work.py) does what the dashboard does behind its buttons: it makes a sample,
trains, re-fits, simulates two heads, simulates a model that another program's process evaluates, or
does a study, as a job in a workspace; when it starts it goes on with what it finds unfinished. This
process kills it with SIGKILL and starts it again, as often for one kind as for another. The moments
follow the work (:class:`Aim`): one of four is drawn from the whole length of the job, start and
compilation included, one from the time in which that kind of work writes, as measured, and two fall
into the writing of a file, as soon as half of it is seen. After every kill what was computed is
compared with what was there before; at the end of every round everything must be that of a child
that nobody killed, to the bit, and no process of another program may be left.
Exit status 1 when anything was lost or differs.
"""

import argparse
import contextlib
import dataclasses
import json
import os
import random
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import psutil

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from fisherdash import storage  # noqa: E402 - found through the line above

KINDS = ("sample", "train", "refit", "simulate", "outside", "study")
PATIENCE = 20.0
"""Seconds after which a process of another program whose user was killed has to be gone."""

PLACES = ("datasets", "checkpoints", "trainings", "runs", "studies")

Growing = Mapping[str, Sequence[Any] | np.ndarray]
"""What is on disk, by name: rows that may become more and never others."""


@dataclasses.dataclass
class Tally:
    """What has been seen so far."""

    kills: dict[str, int] = dataclasses.field(default_factory=lambda: dict.fromkeys(KINDS, 0))
    unwritten: int = 0  # before the child had written anything
    halves: int = 0  # while a file was being written
    grown: int = 0  # with new results on disk
    rounds: int = 0
    losses: list[str] = dataclasses.field(default_factory=list)

    @property
    def killed(self) -> int:
        """Number of kills."""
        return sum(self.kills.values())


def prepare(folder: Path) -> None:
    """A workspace with data and models, one of them evaluated by a process of another program."""
    from fisherdash import dataset
    from fisherdash.potentials import checkpoint
    from fisherdash.potentials.worker import client, importing
    from fisherdash.settings import ImportSettings, OutsideSettings
    from tests import networks

    (folder / "datasets").mkdir(parents=True)
    (folder / "checkpoints").mkdir()
    dataset.save(networks.water(), folder / "datasets" / "water.npz")
    checkpoint.save(networks.checkpoint(0), folder / "checkpoints" / "a.safetensors")
    checkpoint.save(networks.checkpoint(0, 1e-5), folder / "checkpoints" / "b.safetensors")
    worker = ROOT / "tests" / "potentials" / "worker" / "toy_worker.py"
    python, model = folder.with_name("python"), folder.with_name("toy.model")
    python.write_text(f'#!/bin/sh\nexec {shlex.join([sys.executable, str(worker)])} "$1"\n')
    python.chmod(0o755)
    model.write_text("{}")
    asked = OutsideSettings(family="mace", python=str(python), trusted=True)
    with _workspace(folder):
        found = importing.load(model, ImportSettings(), asked, name="outside")
        checkpoint.save(found.checkpoint, folder / "checkpoints" / "outside.safetensors")
    client.close_all()


@contextlib.contextmanager
def _workspace(folder: Path) -> Iterator[None]:
    before = os.environ.get("FISHERDASH_WORKSPACE")
    os.environ["FISHERDASH_WORKSPACE"] = str(folder)
    try:
        yield
    finally:
        os.environ.pop("FISHERDASH_WORKSPACE")
        if before is not None:
            os.environ["FISHERDASH_WORKSPACE"] = before


def start(kind: str, folder: Path, cache: Path) -> subprocess.Popen[str]:
    """A child that works in that workspace."""
    environment = {
        **os.environ,
        "FISHERDASH_WORKSPACE": str(folder),
        "JAX_COMPILATION_CACHE_DIR": str(cache),
    }
    line = [sys.executable, str(ROOT / "tools" / "crash_work.py"), kind]
    return subprocess.Popen(line, env=environment, stdout=subprocess.PIPE, text=True)


@dataclasses.dataclass(frozen=True)
class Pace:
    """How long a job of a kind takes, in seconds from when it is at work.

    Attributes:
        whole: until its end.
        silent: until it writes for the first time.
        files: so many were seen half written.
    """

    whole: float
    silent: float
    files: int


def undisturbed(kind: str, folder: Path, cache: Path) -> Pace:
    """Let a child work to its end."""
    with start(kind, folder, cache) as child:
        assert child.stdout is not None
        child.stdout.readline()
        began, before = time.monotonic(), written(folder)
        _until(child, lambda: written(folder) != before)
        silent, seen = time.monotonic() - began, set[str]()
        _until(child, lambda: bool(seen.update(halves(folder))))
    if child.returncode:
        raise SystemExit(f"the child failed in {kind} without being killed")
    return Pace(time.monotonic() - began, silent, max(1, len(seen)))


Aim = Literal["anywhere", "writing", "half a file"]
"""Where a kill is to fall."""
AIMS: tuple[Aim, ...] = ("anywhere", "writing", "half a file", "half a file")
FILES = 20
"""A kill in half a file lets up to so many become whole first, and no more than the work writes."""
BLINK = 0.003
"""Seconds that it waits at most once it sees half a file."""


def wait(aim: Aim, child: subprocess.Popen[str], folder: Path, pace: Pace, chance: float) -> None:
    """Return at the moment of a kill, ``chance`` (0 to 1) of its aim, or when the child ends."""
    if aim == "anywhere":
        _pause(child, chance * pace.whole)
        return
    before = written(folder)
    _until(child, lambda: written(folder) != before)
    if aim == "writing":
        _pause(child, chance * (pace.whole - pace.silent))
        return
    seen, left = halves(folder), 1 + int(chance * min(FILES, pace.files))
    while child.poll() is None:
        now = halves(folder)
        left -= len(now - seen)
        if left <= 0 and now - seen:
            _pause(child, chance * BLINK)
            return
        seen = now
        time.sleep(0.001)


def _until(child: subprocess.Popen[str], happened: Callable[[], bool]) -> None:
    while child.poll() is None and not happened():
        time.sleep(0.003)


def _pause(child: subprocess.Popen[str], seconds: float) -> None:
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(max(0.0, seconds))


def written(folder: Path) -> frozenset[tuple[str, int]]:
    """Files of the work with their times, halves of them included."""
    return frozenset(
        (path.path, facts.st_mtime_ns)
        for path in _files(folder)
        if (facts := _facts(path)) is not None and facts.st_size
    )


def halves(folder: Path) -> frozenset[str]:
    """Files, or files of a folder, that have no name of their own yet."""
    return frozenset(path.path for path in _files(folder) if f"/{storage.PART}" in path.path)


def _facts(path: os.DirEntry[str]) -> os.stat_result | None:
    with contextlib.suppress(OSError):  # a new one has come, or has got its name
        return path.stat(follow_symlinks=False)
    return None


def _files(folder: Path) -> Iterator[os.DirEntry[str]]:
    """What the work writes; reservations of names are none of it."""
    places = [str(folder / place) for place in PLACES]
    while places:
        with contextlib.suppress(OSError):
            for found in os.scandir(places.pop()):
                if found.is_dir(follow_symlinks=False):
                    places.append(found.path)
                elif not found.name.startswith(f"{storage.PART}claim-"):
                    yield found


def on_disk(folder: Path) -> Growing:
    """Everything that the work in a workspace has computed until now."""
    found: dict[str, Any] = {}
    for part in (_sample, _training, _models, _runs, _studies):
        found |= part(folder)
    return found


def _sample(folder: Path) -> Growing:
    """The sample with the most frames; those that were begun before it are its beginning."""
    from fisherdash import dataset

    names = ("positions", "energies", "forces")
    files = sorted(folder.glob("datasets/H2O*.npz"))
    found = [{name: getattr(one, name) for name in names} for one in map(dataset.load, files)]
    found.sort(key=lambda one: len(one["energies"]))
    others = [True for one in found[:-1] if lost(one, found[-1])]
    return {**(found[-1] if found else {}), **({"other samples": others} if others else {})}


def _training(folder: Path) -> Growing:
    for training in folder.glob("trainings/[!.]*"):
        if (training / "state.npz").exists():
            with np.load(training / "state.npz") as state:
                return {"epochs": json.loads(str(state["header"]))["history"]}
        elif (training / "history.csv").exists():
            return {"epochs": _rows((training / "history.csv").read_text())}
    return {}


def _rows(text: str) -> list[dict[str, float]]:
    head, *lines = text.splitlines()
    names = head.split(",")
    values = ((float(word) for word in line.split(",")) for line in lines)
    return [dict(zip(names, row, strict=True)) for row in values]


def _models(folder: Path) -> Growing:
    """What determines the energies and forces of each model that was made."""
    from fisherdash.potentials import checkpoint

    made = folder.glob("checkpoints/[!.]*")  # by whatever name: a killed job may have had the first
    heads = folder.glob("studies/*/members/*/[!.]*.safetensors")
    found = {f"model {checkpoint.load(path).fingerprint}": ["kept"] for path in made}
    return found | {
        str(path.relative_to(folder)): [checkpoint.load(path).fingerprint] for path in heads
    }


def _runs(folder: Path) -> Growing:
    """Frames of the run, the frames first."""
    from fisherdash.workspace import open_run

    found: dict[str, Any] = {}
    for run in folder.glob("runs/[!.]*"):
        opened = open_run(run)
        traj = opened.trajectories()
        found["times"] = traj.times
        for name in ("potential", "kinetic"):
            found[name] = np.moveaxis(getattr(traj, name), 2, 0)
        for name in ("positions", "velocities"):
            blocks = [opened.block(number, name) for number in range(len(opened.now.ends))]
            found[name] = [frame for one in blocks for frame in np.moveaxis(one, 2, 0)]
        if opened.status == "finished":
            found["failed step"] = [traj.failed_step]
    return found


def _studies(folder: Path) -> Growing:
    """The stages that are done, without how long they took."""
    files = sorted(folder.glob("studies/*/members/*/[!.]*.json"))
    found = {
        str(path.relative_to(folder)): [_untimed(json.loads(path.read_text()))] for path in files
    }
    tables = [path.name for path in sorted(folder.glob("studies/*/tables/*.csv"))]
    return found | {name: ["written"] for name in tables}


def _untimed(fields: Any) -> Any:
    if isinstance(fields, dict):
        return {name: _untimed(one) for name, one in fields.items() if name != "seconds"}
    return fields


def lost(before: Growing, now: Growing) -> list[str]:
    """What was on disk before and is not now, or is another."""
    found = []
    for name, rows in before.items():
        have = now.get(name, ())
        if len(have) < len(rows):
            found.append(f"{name}: {len(rows)} before, {len(have)} now")
        elif not all(_same(one, other) for one, other in zip(rows, have, strict=False)):
            found.append(f"{name}: others than before")
    return found


def differs(one: Growing, other: Growing) -> list[str]:
    """In what two ends differ."""
    return sorted({*lost(one, other), *lost(other, one)})


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        return np.array_equal(one, other, equal_nan=one.dtype.kind == "f")
    return bool(one == other)


def rows_of(found: Growing) -> int:
    """How much is on disk: epochs, frames, files."""
    return sum(map(len, found.values()))


def one_round(
    kind: str,
    folder: Path,
    cache: Path,
    pace: Pace,
    most: int,
    dice: random.Random,
    seen: Tally,
) -> None:
    """One kind of work to its end, killed until ``most`` kills of it are reached."""
    before = on_disk(folder)
    while True:
        others: list[psutil.Process] = []
        files, parts = written(folder), halves(folder)
        with start(kind, folder, cache) as child:
            killed = False
            assert child.stdout is not None
            if child.stdout.readline() and seen.kills[kind] < most:
                wait(dice.choice(AIMS), child, folder, pace, dice.random())
                if child.poll() is None:
                    with contextlib.suppress(psutil.NoSuchProcess):
                        others = psutil.Process(child.pid).children(recursive=True)
                    child.kill()
                    killed = True
        if not killed and child.returncode:
            seen.losses.append(f"{kind}: the child could not go on")
            return
        if left := psutil.wait_procs(others, timeout=PATIENCE)[1]:
            seen.losses.append(f"{kind}: {len(left)} processes outlived their user")
        now = on_disk(folder)
        seen.losses += lost(before, now)
        if not killed:
            return
        seen.kills[kind] += 1
        half = bool(halves(folder) - parts)
        seen.halves += half
        seen.unwritten += written(folder) == files
        seen.grown += rows_of(now) > rows_of(before)
        print(
            f"{seen.killed:3d} killed in {kind:8s} {rows_of(now):6d} rows on disk, "
            f"{'within a file' if half else 'between files'}, {len(seen.losses)} losses",
            flush=True,
        )
        before = now


def crash_test(kills: int, seed: int, folder: Path, kinds: Sequence[str] = KINDS) -> Tally:
    """So many kills, evenly over the kinds, in as many rounds as that takes."""
    dice, seen, cache = random.Random(seed), Tally(), folder / "jax"
    prepare(folder / "start")
    for number, kind in enumerate(kinds, start=1):
        warm = shutil.copytree(folder / "start", folder / f"warm-{kind}")
        undisturbed(kind, warm, cache)  # compiles
        whole = shutil.copytree(folder / "start", folder / f"whole-{kind}")
        pace = undisturbed(kind, whole, cache)
        expected = on_disk(whole)
        print(
            f"{kind} takes {pace.whole:.1f} s, writes after {pace.silent:.1f} s, "
            f"{rows_of(expected)} rows",
            flush=True,
        )
        if different := differs(expected, on_disk(warm)):
            seen.losses.append(f"{kind} is not the same twice: {', '.join(different)}")
        most = kills * number // len(kinds) - kills * (number - 1) // len(kinds)
        while seen.kills[kind] < most and not seen.losses:
            seen.rounds += 1
            place = shutil.copytree(folder / "start", folder / f"round-{seen.rounds}")
            one_round(kind, place, cache, pace, most, dice, seen)
            if different := differs(expected, on_disk(place)):
                seen.losses.append(f"{kind} ended otherwise: {', '.join(different)}")
                continue
            shutil.rmtree(place)
    return seen


def main(arguments: Sequence[str] | None = None) -> int:
    """Kill, look, tell."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=60, help="moments at which to kill")
    parser.add_argument("--kinds", default=",".join(KINDS), help="of work, with commas between")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--folder", type=Path, help="to work in; kept, for looking at afterwards")
    options = parser.parse_args(arguments)
    kinds = options.kinds.split(",")
    if unknown := set(kinds) - set(KINDS):
        parser.error(f"--kinds: {', '.join(unknown)}; there are {', '.join(KINDS)}")
    folder = options.folder or Path(tempfile.mkdtemp(prefix="fisherdash-crash-"))
    seen = crash_test(options.kills, options.seed, folder, kinds)
    if options.folder is None:
        shutil.rmtree(folder, ignore_errors=True)
    each = ", ".join(f"{seen.kills[kind]} in {kind}" for kind in kinds)
    print(
        f"{seen.killed} kills ({each}; {seen.halves} within the writing of a file, {seen.grown} "
        f"with new results on disk, {seen.unwritten} before anything was written) in {seen.rounds} "
        f"rounds, {len(seen.losses)} losses"
    )
    for loss in seen.losses:
        print("lost:", loss)
    return 1 if seen.losses else 0


if __name__ == "__main__":
    sys.exit(main())
