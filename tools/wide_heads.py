"""Do wider heads make weak models more stable? One table over many networks, one row a head.

    python tools/wide_heads.py DATA --out FOLDER --networks 8 --frames 100 200 400 800
    python tools/wide_heads.py DATA --out FOLDER --checkpoints A.safetensors B.safetensors
    python tools/wide_heads.py DATA --out FOLDER --heads report noise

Trains under-trained networks (or takes those that are given), re-fits each one's head in several
ways to the frames that it was trained on, and runs NVE of all heads from the same initial states at
each temperature, through the shell. What is done is kept in FOLDER: networks, heads, runs, and a
line of results.csv for every network, temperature and head, so that the same command goes on where
it was stopped, and adds heads that were not there. The Markdown table has every network that was
run; its intervals are over networks.
"""

import argparse
import csv
import shlex
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from shell import shell

from fisherdash import analysis, dataset, workspace
from fisherdash.dataset import Dataset
from fisherdash.potentials import checkpoint
from fisherdash.potentials.evaluate import evaluate
from fisherdash.statistics import bootstrap

DEFAULT = "default"
QUADRATIC = ["--head", "quadratic", "--metric", "noise"]
NOISE = [*QUADRATIC, "--ridge", "0.01"]
DISPLACED, DYNAMICS = ["--label-displaced", "128"], ["--label-dynamics", "32"]
HEADS = {
    "report": ("the report's θ* = T⁻¹c", ["--head", "shared", "--ridge", "0"]),
    "element": ("by element, plain", ["--head", "by-element", "--ridge", "0"]),
    "plain": ("by element and quadratic, plain", [*QUADRATIC, "--ridge", "0"]),
    "noise": ("by element and quadratic, noise ridge", NOISE),
    "displaced": ("the same, 128 labelled displacements", [*NOISE, *DISPLACED]),
    "dynamics": ("the same, 32 labelled frames of its own dynamics", [*NOISE, *DYNAMICS]),
    "both": ("the same, both labels", [*NOISE, *DISPLACED, *DYNAMICS]),
}
COLUMNS: tuple[str, ...] = (
    "model", "temperature_K", "head", "replicas", "picoseconds", "failed", "force_rmse_eV_per_A",
    "drift_meV_per_atom_per_ps",
)  # fmt: skip
Row = dict[str, str]


def networks(args: argparse.Namespace, data: Dataset) -> Iterator[tuple[str, Path, Path, Path]]:
    """Name, checkpoint, file of its frames and file of other frames, of each network."""
    names = [Path(one).stem for one in args.checkpoints]
    if args.checkpoints and len(set(names)) < len(names):
        sys.exit(f"the checkpoints need different names, received {names}")
    count = len(names) or args.networks
    for index in range(count):
        frames = args.frames[index % len(args.frames)]
        name = names[index] if names else f"network{index}-{frames}"
        model = Path(args.checkpoints[index]) if names else args.out / f"{name}.safetensors"
        if not model.exists():
            words = ["--frames", frames, "--valid", args.valid, "--seed", index]
            words += shlex.split(args.training)
            shell("train", args.data, "--out", model, *words)
        known, test = (args.out / f"{name}-{part}.npz" for part in ("known", "test"))
        if not test.exists():
            parts = dataset.split(data, frames, args.valid, index)
            seen = {frame.tobytes() for part in parts for frame in part.positions}
            mine = np.array([frame.tobytes() in seen for frame in data.positions])
            dataset.save(data.subset(np.flatnonzero(mine)), known)
            dataset.save(data.subset(np.flatnonzero(~mine)), test)
        yield name, model, known, test


def heads_of(
    folder: Path, name: str, model: Path, known: Path, keys: Sequence[str]
) -> dict[str, Path]:
    """The files of these heads of a network, made where they are missing."""
    found = {DEFAULT: model}
    for key in keys:
        out = folder / f"{name}-{key}.safetensors"
        if not out.exists():
            shell("solve", model, known, "--out", out, *HEADS[key][1], "--quick")
        found[key] = out
    return found


def measured(
    args: argparse.Namespace, name: str, heads: Mapping[str, Path], test: Path, temperature: float
) -> list[Row]:
    """A row for each head, from one run of all of them."""
    run = args.out / f"run-{name}-{temperature:g}-{'-'.join(heads)}"
    shutil.rmtree(run, ignore_errors=True)
    settings = ["--replicas", args.replicas, "--temperature", temperature, "--seed", args.seed]
    settings += ["--steps", round(1000 * args.picoseconds / args.timestep_fs)]
    settings += ["--timestep-fs", args.timestep_fs]
    shell("simulate", *heads.values(), "--data", test, "--out", run, *settings)
    traj = workspace.open_run(run).trajectories()
    drifts, frames = np.abs(analysis.slopes(traj)), dataset.load(test)
    rows = []
    for index, (key, file) in enumerate(heads.items()):
        survived = traj.survivors[index]
        drift = np.nanmedian(drifts[index][survived]) if survived.any() else np.nan
        error = evaluate(checkpoint.load(file), frames).force_rmse
        values = (name, f"{temperature:g}", key, traj.replicas, args.picoseconds)
        values += (int((~survived).sum()), f"{error:.5f}", f"{drift:.5g}")
        rows.append(dict(zip(COLUMNS, map(str, values), strict=True)))
    return rows


def read(path: Path) -> list[Row]:
    """The lines that are done."""
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def of(row: Row, name: str, temperature: float) -> bool:
    """Whether a line is of this network at this temperature."""
    return (row["model"], row["temperature_K"]) == (name, f"{temperature:g}")


def add(path: Path, rows: Sequence[Row]) -> None:
    """Writes the rows of one network at one temperature, all at once."""
    fresh = not path.exists()
    with path.open("a", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        if fresh:
            writer.writeheader()
        writer.writerows(rows)


def interval(shares: np.ndarray) -> str:
    """Mean difference from the default in points, with its 95 % interval over enough networks."""
    mean = bootstrap(lambda often: often @ shares / len(shares), len(shares))
    return mean.scaled(100.0).text(".0f", sign=True)


def table(rows: Sequence[Row]) -> str:
    """Markdown: a line a head and temperature, failures network by network."""
    lines = [
        "| K | head | failed | network by network | against default, points | force RMSE, median "
        "(eV/Å) | drift of survivors, median (meV/atom/ps) |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for kelvin in sorted({row["temperature_K"] for row in rows}, key=float):
        here = [row for row in rows if row["temperature_K"] == kelvin]
        shares: dict[str, np.ndarray] = {}
        for head in dict.fromkeys(row["head"] for row in here):
            mine = [row for row in here if row["head"] == head]
            failed = np.array([int(row["failed"]) for row in mine])
            replicas = np.array([int(row["replicas"]) for row in mine])
            shares[head] = failed / replicas
            drift = [float(row["drift_meV_per_atom_per_ps"]) for row in mine]
            cells: list[Any] = [
                kelvin,
                DEFAULT if head == DEFAULT else HEADS[head][0],
                f"{failed.sum()} of {replicas.sum()}",
                " ".join(map(str, failed)),
                "" if head == DEFAULT else interval(shares[head] - shares[DEFAULT]),
                f"{np.median([float(row['force_rmse_eV_per_A']) for row in mine]):.3f}",
                f"{np.nanmedian(drift):.3g}" if np.isfinite(drift).any() else "no survivors",
            ]
            lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)


def main() -> int:
    """Train, re-fit, simulate, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data")
    parser.add_argument("--out", type=Path, required=True, help="folder of everything")
    parser.add_argument("--networks", type=int, default=8)
    parser.add_argument("--frames", type=int, nargs="+", default=[100, 200, 400, 800])
    parser.add_argument("--valid", type=int, default=50)
    parser.add_argument(
        "--training", default="--features 16 --epochs 60", help="options of train, in quotes"
    )
    parser.add_argument(
        "--checkpoints", nargs="+", default=[], help="in place of training; --frames are theirs"
    )
    parser.add_argument(
        "--heads", nargs="+", choices=HEADS, default=list(HEADS), help="labels need GFN2-xTB data"
    )
    parser.add_argument("--replicas", type=int, default=24)
    parser.add_argument("--picoseconds", type=float, default=10.0)
    parser.add_argument("--timestep-fs", type=float, default=1.0)
    parser.add_argument("--temperatures", type=float, nargs="+", default=[500.0, 1000.0])
    parser.add_argument("--seed", type=int, default=77, help="of the initial states")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    results, data = args.out / "results.csv", dataset.load(args.data)
    for name, model, known, test in networks(args, data):
        heads = heads_of(args.out, name, model, known, args.heads)
        for kelvin in args.temperatures:
            done = {row["head"] for row in read(results) if of(row, name, kelvin)}
            left = {key: file for key, file in heads.items() if key not in done}
            if left:
                add(results, measured(args, name, left, test, kelvin))
                print(table(read(results)), file=sys.stderr, flush=True)
    print(
        f"{args.replicas} replicas of {args.picoseconds:g} ps, {args.timestep_fs:g} fs, the same "
        "initial states for all heads:\n"
    )
    print(table(read(results)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
