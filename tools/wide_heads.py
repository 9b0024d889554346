"""Do wider heads make weak models more stable? One table over many networks, one row a head.

    python tools/wide_heads.py DATA --out FOLDER --networks 8 --frames 100 200 400 800
    python tools/wide_heads.py DATA --out FOLDER --results studies/wide_heads/NAME.csv
    python tools/wide_heads.py DATA --out FOLDER --by-model --checkpoints A.safetensors …
    python tools/wide_heads.py DATA --out FOLDER --heads report noise

Trains under-trained networks (or takes those that are given), re-fits each one's head in several
ways to the frames that it was trained on, and runs NVE of all heads from the same initial states at
each temperature, through the shell. Networks, heads and runs are kept in FOLDER, and a line of the
results for every network, temperature and head, so that the same command goes on where it was
stopped, and adds heads that were not there; a network all of whose lines are there needs no file.
The Markdown table has every network that was run; its intervals are over networks.
"""

import argparse
import csv
import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from shell import shell

from fisherdash import analysis, dataset, workspace
from fisherdash.analysis.structure import structure
from fisherdash.dataset import Dataset
from fisherdash.potentials import checkpoint
from fisherdash.potentials.evaluate import evaluate
from fisherdash.recordings import survivor_positions
from fisherdash.statistics import bootstrap

DEFAULT = "default"
QUADRATIC = ["--head", "quadratic", "--metric", "noise"]
NOISE = [*QUADRATIC, "--ridge", "0.01"]
WEIGHTED = ["--head", "quadratic", "--metric", "weighted-noise", "--ridge", "0.01"]
DISPLACED, DYNAMICS = ["--label-displaced", "128"], ["--label-dynamics", "32"]
HEADS = {
    "report": ("the report's θ* = T⁻¹c", ["--head", "shared", "--ridge", "0"]),
    "element": ("by element, plain", ["--head", "by-element", "--ridge", "0"]),
    "plain": ("by element and quadratic, plain", [*QUADRATIC, "--ridge", "0"]),
    "noise": ("by element and quadratic, noise ridge", NOISE),
    "displaced": ("the same, 128 labelled displacements", [*NOISE, *DISPLACED]),
    "dynamics": ("the same, 32 labelled frames of its own dynamics", [*NOISE, *DYNAMICS]),
    "both": ("the same, both labels", [*NOISE, *DISPLACED, *DYNAMICS]),
    "weighted": ("by element and quadratic, weighted noise ridge", WEIGHTED),
    "weighted-own": ("the same, 32 labelled frames of its own dynamics", [*WEIGHTED, *DYNAMICS]),
    "stable": (
        "by element and quadratic, noise ridge chosen in short dynamics",
        [*QUADRATIC, "--ridge", "stable"],
    ),
    "entropy": ("by element and quadratic, by relative entropy", [*NOISE, "--method", "kl"]),
}
COLUMNS: tuple[str, ...] = (
    "model", "temperature_K", "head", "replicas", "picoseconds", "failed", "clashes",
    "force_rmse_eV_per_A", "drift_meV_per_atom_per_ps", "structure_error", "structure_floor",
    "reference_energy_sd",
)  # fmt: skip
"""``clashes`` are part of ``failed``; ``structure_error`` is ∫|h − h_ref| dr of the survivors'
frames, where the dynamics have the temperature of the data, and ``structure_floor`` what two halves
of the data differ by; ``reference_energy_sd`` is the median of survivors' last frames."""
Row = dict[str, str]


def network(args: argparse.Namespace, data: Dataset, index: int, name: str) -> tuple[Path, ...]:
    """Checkpoint, file of its frames and file of other frames; made where they are missing."""
    frames = args.frames[index % len(args.frames)]
    given = args.checkpoints
    model = Path(given[index]) if given else args.out / f"{name}.safetensors"
    if not model.exists():
        words = ["--frames", frames, "--valid", args.valid, "--seed", index]
        words += shlex.split(args.training)
        shell("train", args.data, "--out", model, *words)
    known, test = (args.out / f"{name}-{part}.npz" for part in ("known", "test"))
    if not test.exists():
        parts = dataset.split(data, frames, args.valid, index)
        seen = {frame.tobytes() for part in parts for frame in part.positions}
        mine = np.array([frame.tobytes() in seen for frame in data.positions])
        others = dataset.load(args.test) if args.test else data.subset(np.flatnonzero(~mine))
        dataset.save(data.subset(np.flatnonzero(mine)), known)
        dataset.save(others, test)
    return model, known, test


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
    args: argparse.Namespace,
    data: Dataset,
    name: str,
    heads: Mapping[str, Path],
    test: Path,
    temperature: float,
) -> list[Row]:
    """A row for each head, from one run of all of them."""
    run = args.out / f"run-{name}-{temperature:g}-{'-'.join(heads)}"
    shutil.rmtree(run, ignore_errors=True)
    settings = ["--replicas", args.replicas, "--temperature", temperature, "--seed", args.seed]
    settings += ["--steps", round(1000 * args.picoseconds / args.timestep_fs)]
    settings += ["--timestep-fs", args.timestep_fs]
    shell("simulate", *heads.values(), "--data", test, "--out", run, *settings)
    done = workspace.open_run(run)
    traj, frames = done.trajectories(), dataset.load(test)
    drifts, judged = np.abs(analysis.slopes(traj)), traj.reference_energy
    shapes = None
    if data.temperature is not None and abs(temperature / data.temperature - 1) < 0.05:
        kept = survivor_positions(done, most=len(traj.times), first=0)
        shapes = structure(data.positions, kept)
    rows = []
    for index, (key, file) in enumerate(heads.items()):
        survived = traj.survivors[index]
        numbers = {
            "force_rmse_eV_per_A": evaluate(checkpoint.load(file), frames).force_rmse,
            "drift_meV_per_atom_per_ps": median(drifts[index][survived]),
            "structure_error": shapes and shapes.errors[traj.names[index]],
            "structure_floor": shapes and shapes.floor,
            "reference_energy_sd": None if judged is None else median(judged[index]),
        }
        counts = {
            "replicas": traj.replicas,
            "failed": int((~survived).sum()),
            "clashes": traj.failure_counts()[traj.names[index]]["clash"],
        }
        row = {"model": name, "temperature_K": f"{temperature:g}", "head": key}
        row |= {"picoseconds": f"{args.picoseconds:g}"} | {k: str(v) for k, v in counts.items()}
        row |= {k: "" if v is None else f"{v:.5g}" for k, v in numbers.items()}
        rows.append({column: row[column] for column in COLUMNS})
    return rows


def median(values: np.ndarray) -> float | None:
    """Of those that are finite; None of none."""
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if finite.size else None


def read(path: Path) -> list[Row]:
    """The lines that are done."""
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def of(row: Row, name: str, temperature: float) -> bool:
    """Whether a line is of this network at this temperature."""
    return (row["model"], row["temperature_K"]) == (name, f"{temperature:g}")


def of_head(row: Row, name: str, key: str) -> bool:
    """Whether a line is of this head of this model."""
    return (row["model"], row["head"]) == (name, key)


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


def column(rows: Sequence[Row], name: str, digits: str) -> str:
    """The median over the networks that have a value, and how many they are where not all have."""
    values = [float(row[name]) for row in rows if row[name]]
    if not values:
        return "–"
    return f"{np.median(values):{digits}}" + (
        f" ({len(values)})" if len(values) < len(rows) else ""
    )


def table(rows: Sequence[Row]) -> str:
    """Markdown: a line a head and temperature, failures network by network."""
    lines = [
        "| K | head | failed | of these clashes | network by network | against default, points | "
        "force RMSE (eV/Å) | drift of survivors (meV/atom/ps) | error of h(r) | reference energy "
        "of survivors (SD) |",
        "|" + " --- |" * 10,
    ]
    for kelvin in sorted({row["temperature_K"] for row in rows}, key=float):
        here = [row for row in rows if row["temperature_K"] == kelvin]
        shares: dict[str, dict[str, float]] = {}
        for head in [one for one in (DEFAULT, *HEADS) if any(row["head"] == one for row in here)]:
            mine = [row for row in here if row["head"] == head]
            failed = np.array([int(row["failed"]) for row in mine])
            replicas = np.array([int(row["replicas"]) for row in mine])
            shares[head] = dict(zip((row["model"] for row in mine), failed / replicas, strict=True))
            pairs = np.array(
                [share - shares[DEFAULT][model] for model, share in shares[head].items()]
            )
            cells: list[Any] = [
                kelvin,
                DEFAULT if head == DEFAULT else HEADS[head][0],
                f"{failed.sum()} of {replicas.sum()}",
                sum(int(row["clashes"]) for row in mine),
                " ".join(map(str, failed)),
                "" if head == DEFAULT else interval(pairs),
                column(mine, "force_rmse_eV_per_A", ".3f"),
                column(mine, "drift_meV_per_atom_per_ps", ".2g"),
                column(mine, "structure_error", ".3f"),
                column(mine, "reference_energy_sd", "+.2f"),
            ]
            lines.append("| " + " | ".join(map(str, cells)) + " |")
    floors = [float(row["structure_floor"]) for row in rows if row["structure_floor"]]
    lines += ["", "Numbers without a sum are medians over networks (how many, where not all)."]
    if floors:
        lines.append(f"Halves of the data differ by {np.median(floors):.3f} in h(r).")
    return "\n".join(lines)


def by_model(rows: Sequence[Row]) -> str:
    """Markdown: a line a model and head, its failures at each temperature."""
    temperatures = sorted({row["temperature_K"] for row in rows}, key=float)
    titles = ["model", "head", "force RMSE (eV/Å)", *(f"failed, {t} K" for t in temperatures)]
    titles += [f"drift of survivors, {t} K (meV/atom/ps)" for t in temperatures]
    lines = ["| " + " | ".join(titles) + " |", "|" + " --- |" * len(titles)]
    models, heads = list(dict.fromkeys(row["model"] for row in rows)), [DEFAULT, *HEADS]
    found = {(row["model"], row["head"]) for row in rows}
    for name, key in sorted(found, key=lambda one: (models.index(one[0]), heads.index(one[1]))):
        mine = {row["temperature_K"]: row for row in rows if of_head(row, name, key)}
        here = [mine.get(t) for t in temperatures]
        cells = [name, DEFAULT if key == DEFAULT else HEADS[key][0]]
        cells.append(column([row for row in here if row][:1], "force_rmse_eV_per_A", ".4f"))
        cells += [f"{row['failed']} of {row['replicas']}" if row else "–" for row in here]
        cells += [column([row], "drift_meV_per_atom_per_ps", ".2g") if row else "–" for row in here]
        lines.append("| " + " | ".join(cells) + " |")
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
    parser.add_argument("--test", help="file of frames to test on (default: the rest of DATA)")
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
    parser.add_argument(
        "--by-model", action="store_true", help="a line for each model, not for all of them"
    )
    parser.add_argument("--seed", type=int, default=77, help="of the initial states")
    parser.add_argument("--results", type=Path, help="CSV (default: results.csv in the folder)")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    results, data = args.results or args.out / "results.csv", dataset.load(args.data)
    names = [Path(one).stem for one in args.checkpoints]
    if len(set(names)) < len(names):
        sys.exit(f"the checkpoints need different names, received {names}")
    names = names or [
        f"network{index}-{args.frames[index % len(args.frames)]}" for index in range(args.networks)
    ]
    for index, name in enumerate(names):
        rows, wanted = read(results), {}
        for kelvin in args.temperatures:
            done = {row["head"] for row in rows if of(row, name, kelvin)}
            wanted[kelvin] = [head for head in (DEFAULT, *args.heads) if head not in done]
        if not any(wanted.values()):
            continue
        model, known, test = network(args, data, index, name)
        heads = heads_of(args.out, name, model, known, args.heads)
        for kelvin, left in wanted.items():
            if left:
                files = {key: heads[key] for key in left}
                add(results, measured(args, data, name, files, test, kelvin))
                print(table(read(results)), file=sys.stderr, flush=True)
    print(
        f"{args.replicas} replicas of {args.picoseconds:g} ps, {args.timestep_fs:g} fs, the same "
        "initial states for all heads:\n"
    )
    print(by_model(read(results)) if args.by_model else table(read(results)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
