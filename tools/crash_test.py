"""Kill the dashboard's work at random moments, restart it, and look for anything that was lost.

    python tools/crash_test.py --kills 50 [--seed 0] [--folder FOLDER]

A child process (crash_work.py) does what the dashboard does behind its buttons: it trains a small
network, then simulates two heads, each as a job with its folder in a workspace; when it starts it
goes on with what it finds unfinished. This process kills it with SIGKILL and starts it again: every
other time at a moment drawn at random from the whole length of the job, start and compilation
included, and else within a second of something new on disk, where files are written. After every
kill the epochs and frames on disk are compared with those before; at the end of every round the
network, the learning curve and all frames must be those of a child that nobody killed, to the bit.
Exit status 1 when anything was lost or differs.
"""

import argparse
import contextlib
import dataclasses
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

KINDS = ("train", "simulate")


@dataclasses.dataclass
class Tally:
    """What has been seen so far."""

    kills: dict[str, int] = dataclasses.field(default_factory=lambda: dict.fromkeys(KINDS, 0))
    compiling: int = 0
    rounds: int = 0
    losses: list[str] = dataclasses.field(default_factory=list)

    @property
    def killed(self) -> int:
        """Number of kills."""
        return sum(self.kills.values())


def prepare(folder: Path) -> None:
    """A workspace with data and two models."""
    from fisherdash import dataset
    from fisherdash.potentials import checkpoint
    from tests import networks

    (folder / "datasets").mkdir(parents=True)
    (folder / "checkpoints").mkdir()
    dataset.save(networks.water(), folder / "datasets" / "water.npz")
    checkpoint.save(networks.checkpoint(0), folder / "checkpoints" / "a.safetensors")
    checkpoint.save(networks.checkpoint(0, 1e-5), folder / "checkpoints" / "b.safetensors")


def start(folder: Path, cache: Path) -> subprocess.Popen[str]:
    """A child that works in that workspace."""
    environment = {
        **os.environ,
        "FISHERDASH_WORKSPACE": str(folder),
        "JAX_COMPILATION_CACHE_DIR": str(cache),
    }
    line = [sys.executable, str(ROOT / "tools" / "crash_work.py")]
    return subprocess.Popen(line, env=environment, stdout=subprocess.PIPE, text=True)


def undisturbed(folder: Path, cache: Path) -> dict[str, float]:
    """Let a child work to its end; seconds of each job."""
    began: dict[str, float] = {}
    with start(folder, cache) as child:
        assert child.stdout is not None
        for word in child.stdout:
            began[word.strip()] = time.monotonic()
    if child.returncode:
        raise SystemExit("the child failed without being killed")
    ends = [*list(began.values())[1:], time.monotonic()]
    return {kind: end - first for (kind, first), end in zip(began.items(), ends, strict=True)}


def on_disk(folder: Path) -> dict[str, Any]:
    """Everything that the workspace's training and run say now, as arrays by name."""
    from fisherdash.potentials import checkpoint
    from fisherdash.workspace import open_run

    found: dict[str, Any] = {"epochs": [], "times": np.zeros(0)}
    for training in sorted((folder / "trainings").glob("[!.]*")):
        if (training / "state.npz").exists():
            with np.load(training / "state.npz") as state:
                found["epochs"] = json.loads(str(state["header"]))["history"]
        elif (training / "history.csv").exists():
            found["epochs"] = _rows((training / "history.csv").read_text())
    network = folder / "checkpoints" / "net.safetensors"
    if network.exists():
        found["network"] = checkpoint.load(network).fingerprint
    for run in sorted((folder / "runs").glob("[!.]*")):
        opened = open_run(run)
        traj = opened.trajectories()
        found |= {name: getattr(traj, name) for name in ("times", "potential", "kinetic")}
        chunks = range(len(opened.now.ends))
        for name in ("positions", "velocities"):
            blocks = [opened.block(number, name) for number in chunks]
            found[name] = np.concatenate(blocks, axis=2) if blocks else np.zeros((2, 4, 0, 3, 3))
        found["failed_step"] = traj.failed_step
    return found


def _rows(text: str) -> list[dict[str, float]]:
    head, *lines = text.splitlines()
    names = head.split(",")
    values = ((float(word) for word in line.split(",")) for line in lines)
    return [dict(zip(names, row, strict=True)) for row in values]


def lost(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """What was on disk before and is not now, or is another."""
    found = []
    epochs, frames = len(before["epochs"]), len(before["times"])
    if now["epochs"][:epochs] != before["epochs"]:
        found.append(f"epochs: {epochs} before, {len(now['epochs'])} now, or others")
    if before.get("network") and before["network"] != now.get("network"):
        found.append("the network of a training that had ended")
    if not np.array_equal(now["times"][:frames], before["times"]):
        return [*found, f"frames: {frames} before, {len(now['times'])} now"]
    for name in ("potential", "kinetic", "positions", "velocities"):
        if frames and not np.array_equal(now[name][:, :, :frames], before[name], equal_nan=True):
            found.append(f"{name} of the first {frames} frames")
    return found


def differs(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """In what two ends differ."""
    names = one.keys() | other.keys()
    return [name for name in sorted(names) if not _same(one.get(name), other.get(name))]


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        return np.array_equal(one, other, equal_nan=one.dtype.kind == "f")
    return one == other


def one_round(
    folder: Path,
    cache: Path,
    seconds: dict[str, float],
    most: int,
    dice: random.Random,
    seen: Tally,
) -> None:
    """Work to the end in a workspace, killed until ``most`` kills are reached in all."""
    before = on_disk(folder)
    while True:
        with start(folder, cache) as child:
            killed = False
            assert child.stdout is not None
            for word in child.stdout:
                if seen.killed >= most:
                    continue
                try:
                    if dice.random() < 0.5:
                        child.wait(dice.uniform(0.0, seconds[word.strip()]))
                    else:
                        _wait_for_news(folder, child)
                        child.wait(dice.uniform(0.0, 1.0))
                except subprocess.TimeoutExpired:
                    child.kill()
                    killed = True
                    break
        if not killed and child.returncode:
            seen.losses.append("the child could not go on")
            return
        now = on_disk(folder)
        seen.losses += lost(before, now)
        if not killed:
            return
        grown = any(len(now[name]) > len(before[name]) for name in ("epochs", "times"))
        kind = "simulate" if "network" in now else "train"
        seen.kills[kind] += 1
        seen.compiling += not grown
        print(
            f"{seen.killed:3d} killed in {kind:8s} {len(now['epochs']):4d} epochs, "
            f"{len(now['times']):5d} frames on disk, {len(seen.losses)} losses",
            flush=True,
        )
        before = now


def _wait_for_news(folder: Path, child: subprocess.Popen[str]) -> None:
    """Until another epoch or chunk is on disk, or the child has ended."""
    before = _newest(folder)
    while child.poll() is None and _newest(folder) == before:
        time.sleep(0.005)


def _newest(folder: Path) -> int:
    """A number that changes with every state that is written."""
    stamps = [0]
    for path in folder.glob("[tr]*/*/state*.npz"):
        with contextlib.suppress(FileNotFoundError):  # an old state goes when a new one has come
            stamps.append(path.stat().st_mtime_ns)
    return max(stamps)


def crash_test(kills: int, seed: int, folder: Path) -> Tally:
    """So many kills, in as many rounds as that takes."""
    dice, seen, cache = random.Random(seed), Tally(), folder / "jax"
    prepare(folder / "start")
    undisturbed(shutil.copytree(folder / "start", folder / "warm"), cache)  # compiles
    whole = shutil.copytree(folder / "start", folder / "whole")
    seconds = undisturbed(whole, cache)
    print(", ".join(f"{kind} takes {value:.1f} s" for kind, value in seconds.items()), flush=True)
    expected = on_disk(whole)
    while seen.killed < kills:
        seen.rounds += 1
        place = shutil.copytree(folder / "start", folder / f"round-{seen.rounds}")
        one_round(place, cache, seconds, kills, dice, seen)
        if different := differs(expected, on_disk(place)):
            seen.losses.append(f"round {seen.rounds} ended otherwise: {', '.join(different)}")
            continue
        shutil.rmtree(place)
    return seen


def main(arguments: Sequence[str] | None = None) -> int:
    """Kill, look, tell."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=50, help="moments at which to kill")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--folder", type=Path, help="to work in; kept, for looking at afterwards")
    options = parser.parse_args(arguments)
    folder = options.folder or Path(tempfile.mkdtemp(prefix="fisherdash-crash-"))
    seen = crash_test(options.kills, options.seed, folder)
    if options.folder is None:
        shutil.rmtree(folder, ignore_errors=True)
    print(
        f"{seen.killed} kills ({seen.kills['train']} in training, {seen.kills['simulate']} in "
        f"dynamics; {seen.compiling} before anything new was on disk) in {seen.rounds} rounds, "
        f"{len(seen.losses)} losses"
    )
    for loss in seen.losses:
        print("lost:", loss)
    return 1 if seen.losses else 0


if __name__ == "__main__":
    sys.exit(main())
