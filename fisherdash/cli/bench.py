"""The benchmarks: ours and its peer in turn on this machine, medians over several rounds.

Nothing else should be running meanwhile. With --scaling: how the time of a step of dynamics grows
with replicas and with atoms, and falls with devices.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fisherdash import storage
from fisherdash.bench import NAMES
from fisherdash.cli.console import Console, json_safe
from fisherdash.cli.options import output_file
from fisherdash.errors import InputError

HELP = "how fast this machine is, beside the usual ways to do the same"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which ones, and where the results go."""
    parser.add_argument(
        "names", metavar="NAME", nargs="*", help=f"(default: all) {', '.join(NAMES)}"
    )
    parser.add_argument(
        "--scaling",
        action="store_true",
        help="how the time of a step grows with replicas, atoms, devices",
    )
    parser.add_argument(
        "--out", metavar="FILE.json", help="keep the results, with date and machine"
    )
    parser.add_argument("--chart", metavar="FILE.svg", help="draw the ratios, or the growth")


def run(args: argparse.Namespace, console: Console) -> Mapping[str, Any]:
    """One key a benchmark, each with ours, peer, ratio and unit; or one for each growth."""
    for name in args.names:
        if name not in NAMES:
            raise InputError(f"there is no benchmark {name!r}; choose from {', '.join(NAMES)}")
    if args.scaling and args.names:
        raise InputError(f"--scaling takes no names of benchmarks, received {args.names[0]!r}")
    out = output_file(args.out, ".json") if args.out else None
    chart = output_file(args.chart, ".svg") if args.chart else None
    found = _scaling(console, chart) if args.scaling else _races(args.names, console, chart)
    if out is not None:
        from fisherdash.bench.inputs import description

        with storage.replacing(out) as part:
            kept = json_safe({"machine": description(), "results": found})
            part.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    return found


def _races(names: Sequence[str], console: Console, chart: Path | None) -> dict[str, Any]:
    from fisherdash import bench

    chosen = [name for name in NAMES if name in names or not names]
    found: dict[str, Any] = {}
    for done, name in enumerate(chosen):
        console.progress(done, len(chosen), name)
        try:
            found[name] = bench.benchmark(name)()._asdict()
        except InputError as error:
            if names:
                raise
            console.note(f"{name} is left out: {error}")
    if chart is not None:
        from fisherdash.plots.bench import race_picture

        _draw(chart, race_picture(found, bench.WANTED))
    return found


def _scaling(console: Console, chart: Path | None) -> dict[str, Any]:
    from fisherdash.bench.dynamics import scaling

    growths = list(scaling(console.progress))
    if chart is not None:
        from fisherdash.plots.bench import growth_picture

        _draw(chart, growth_picture(growths))
    return {
        growth.of: {
            "counts": growth.counts,
            "milliseconds": growth.milliseconds,
            "exponent": growth.exponent,
            "exponent_stderr": growth.stderr,
        }
        for growth in growths
    }


def _draw(chart: Path, picture: str) -> None:
    with storage.replacing(chart) as part:
        part.write_text(picture + "\n", encoding="utf-8")
