"""NVE molecular dynamics of every checkpoint, all from the same positions and momenta.

Ctrl-C ends the run and keeps what was done.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fisherdash.cli.console import Console
from fisherdash.cli.options import (
    add_data_options,
    output_folder,
    positive,
    read_checkpoint,
    read_data,
    whole,
)
from fisherdash.errors import InputError

if TYPE_CHECKING:
    from fisherdash.dataset import Dataset
    from fisherdash.md import Chunk
    from fisherdash.potentials.checkpoint import Checkpoint
    from fisherdash.workspace import Run


HELP = "molecular dynamics of one or more checkpoints"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Checkpoints, where they start, how far they go."""
    parser.add_argument(
        "checkpoints", metavar="CKPT", nargs="+", help="the first is compared with the others"
    )
    parser.add_argument("--data", required=True, help="frames from which the starts are drawn")
    parser.add_argument("--out", required=True, metavar="RUN", help="folder of the run, a new one")
    parser.add_argument(
        "--replicas",
        type=whole(1),
        default=32,
        help="trajectories of each checkpoint; 16 to 64 show survival",
    )
    parser.add_argument(
        "--steps", type=whole(1), default=5000, help="velocity Verlet steps of each replica"
    )
    parser.add_argument(
        "--timestep-fs",
        type=positive,
        default=0.5,
        help="length of a step, fs; usually 0.25 to 1 with hydrogen",
    )
    parser.add_argument(
        "--temperature",
        type=positive,
        metavar="K",
        help="temperature of the first momenta (default: that of the data, or 500)",
    )
    parser.add_argument(
        "--seed", type=whole(0), default=0, help="seed of the starting frames and momenta"
    )
    parser.add_argument(
        "--precision",
        choices=("float32", "float64"),
        default="float32",
        help="precision of the network; the integrator is float64",
    )
    parser.add_argument(
        "--start",
        choices=("data", "relaxed"),
        default="data",
        help="from frames of the data, or from a minimum of the first model",
    )
    parser.add_argument(
        "--record-every",
        type=whole(1),
        default=10,
        metavar="STEPS",
        help="steps from one kept frame to the next",
    )
    add_data_options(parser)


def run(args: argparse.Namespace, console: Console) -> Mapping[str, Any]:
    """Run to the end or to Ctrl-C; every chunk is on disk before the next one starts."""
    out = output_folder(args.out)
    checkpoints = named(args.checkpoints)
    data = read_data(args.data, args, console)
    from fisherdash import md, workspace

    settings = md.MDSettings(
        replicas=args.replicas,
        steps=args.steps,
        timestep=args.timestep_fs,
        temperature=start_temperature(args.temperature, data, console),
        seed=args.seed,
        record_every=args.record_every,
        precision=args.precision,
        start=args.start,
    )
    header = workspace.describe_run(checkpoints, data, settings, command=args.command_line)
    with console.stoppable() as cancel:
        chunks = md.simulate(checkpoints, data, settings, cancel=cancel)
        for chunk in workspace.record(chunks, out, header, checkpoints):
            console.progress(chunk.step, chunk.steps, describe(chunk))
        return summary(workspace.open_run(out))


def named(paths: Sequence[str]) -> dict[str, "Checkpoint"]:
    """The checkpoints under the names of their files; InputError when two names are the same."""
    checkpoints: dict[str, Checkpoint] = {}
    for path in paths:
        name = Path(path).stem
        if name in checkpoints:
            raise InputError(f"two checkpoints are called {name!r}; rename one of the files.")
        checkpoints[name] = read_checkpoint(path)
    return checkpoints


def start_temperature(asked: float | None, data: "Dataset", console: Console) -> float:
    """The temperature asked for, else that of the data, else 500 K; the last two are said."""
    if asked is not None:
        return asked
    if data.temperature is not None:
        console.note(f"starting at the temperature of the data, {data.temperature:g} K")
        return data.temperature
    console.note("the data have no temperature: starting at 500 K")
    return 500.0


def describe(chunk: "Chunk") -> str:
    """A few words for the progress bar."""
    if chunk.stage == "compiling":
        return f"compiling for {chunk.device}"
    return f"{chunk.steps_per_second:.0f} steps/s on {chunk.device}"


def summary(run: "Run") -> dict[str, Any]:
    """The keys promised to scripts; ``steps`` is how far it came."""
    from fisherdash import analysis

    drift = analysis.head_drift(run.trajectories())
    return {
        "run": str(run.folder),
        "steps": run.step,
        "replicas": run.header.settings["replicas"],
        "steps_per_second": run.steps_per_second,
        "exploded": {
            name: int((died >= 0).sum())
            for name, died in zip(run.header.names, run.died_step, strict=True)
        },
        "drift_meV_per_atom_per_ps": {
            name: interval.median if interval else None for name, interval in drift.items()
        },
    }
