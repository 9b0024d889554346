"""Does a re-fit make a weak model more stable? One table for one model, its rows from one run.

    python tools/stability_table.py CHECKPOINT DATA --temperature 1000

Re-fits the head in several ways through the shell, runs NVE of all heads from the same initial
states (not those that the stability-aware rule has seen), and prints a Markdown table: survivors
with the p-value of the log-rank test against the default head, and the drift of the pairs that both
survive. Nothing is left out: a head without survivors has a row like the others.
"""

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from shell import shell

from fisherdash import analysis, statistics, workspace
from fisherdash.statistics import Estimate
from fisherdash.text import number

HEADS = {
    "plain T⁻¹c": ["--ridge", "0", "--quick"],
    "held-out λ": ["--ridge", "auto", "--quick"],
    "stability-aware λ": ["--ridge", "stable", "--quick"],
    "Laplacians, held-out λ": ["--ridge", "auto", "--method", "laplacian"],
}
FINAL_SEED = 77


def row(traj: analysis.Trajectories, head: int, solved: dict[str, Any], name: str) -> list[str]:
    """One line of the table; ``solved`` is the answer of ``solve``, empty for the default head."""
    again = f"{traj.names[head]}, again" if head == 0 else traj.names[head]
    pair = traj.of([0, head], names=(traj.names[0], again))
    found = analysis.compare(pair)
    survivors = int(traj.survivors[head].sum())
    median = analysis.time_to_failure(pair)[pair.names[1]]
    p, difference = found.logrank_p_value, found.difference
    drift = statistics.median(np.abs(analysis.slopes(traj)[head]))
    numbers = solved or {}
    return [
        name,
        "" if not solved or numbers["ridge"] is None else f"{numbers['ridge']:.1e}",
        _change(numbers["details"]["force_rmse_change"]) if solved else "",
        f"×{numbers['head_norm']['fisher'] / numbers['head_norm']['default']:.3g}"
        if solved
        else "×1",
        f"{survivors} of {traj.replicas}",
        "" if head == 0 else ("no failures" if p is None else f"{p:.1g}"),
        "more than half survive" if median is None else f"{median:.2f}",
        "no survivors" if drift.value is None else number(drift.value, ".3f"),
        "" if head == 0 else f"{difference.text('.3f', sign=True)}, {found.pairs} pairs",
    ]


def _change(change: dict[str, Any]) -> str:
    """Relative change against the default head on the same frames, with its 95 % interval."""
    return Estimate(**change).scaled(100.0).text(".1f", sign=True, unit="%")


COLUMNS = (
    "head",
    "λ",
    "held-out force RMSE",
    "head norm",
    "survivors",
    "log-rank p",
    "half failed after (ps)",
    "median drift of survivors (meV/atom/ps)",
    "paired difference of drift",
)


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("checkpoint")
    parser.add_argument("data")
    parser.add_argument("--temperature", type=float, default=1000.0, help="K")
    parser.add_argument("--replicas", type=int, default=64)
    parser.add_argument("--picoseconds", type=float, default=4.0)
    parser.add_argument("--timestep-fs", type=float, default=1.0)
    parser.add_argument("--trial-replicas", type=int, default=32, help="of the stability check")
    parser.add_argument("--trial-picoseconds", type=float, default=2.0, help="of the same")
    args = parser.parse_args()
    trial = ["--md-temperature", args.temperature, "--timestep-fs", args.timestep_fs]
    trial += ["--replicas", args.trial_replicas, "--picoseconds", args.trial_picoseconds]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        solved, files = {}, []
        for index, (label, options) in enumerate(HEADS.items()):
            out = folder / f"head{index}.safetensors"
            more = trial if "stable" in options else []
            words = [args.checkpoint, args.data, "--out", out, *options, *more, "--details"]
            solved[label] = shell("solve", *words)
            files.append(out)
        run = folder / "run"
        steps = round(1000 * args.picoseconds / args.timestep_fs)
        settings = ["--replicas", args.replicas, "--steps", steps, "--seed", FINAL_SEED]
        settings += ["--timestep-fs", args.timestep_fs, "--temperature", args.temperature]
        shell("simulate", args.checkpoint, *files, "--data", args.data, "--out", run, *settings)
        traj = workspace.open_run(run).trajectories()
    print(
        f"{args.replicas} replicas of {args.picoseconds:g} ps at {args.temperature:g} K, "
        f"{args.timestep_fs:g} fs, the same initial states for all heads:\n"
    )
    print("| " + " | ".join(COLUMNS) + " |")
    print("|" + " --- |" * len(COLUMNS))
    print("| " + " | ".join(row(traj, 0, {}, "default")) + " |")
    for head, (label, answer) in enumerate(solved.items(), start=1):
        print("| " + " | ".join(row(traj, head, answer, label)) + " |")
    first = next(iter(solved.values()))
    print(f"\nDefault head: {first['force_rmse_eV_per_A']['default']:.4f} eV/Å on these frames.")
    check = solved["stability-aware λ"]["details"]
    print(f"Stability-aware rule: {check['verdict']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
