"""Commands about the machine and the program: bench, index, doctor, app."""

import argparse
import json
import os
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import fisherdash
from fisherdash import storage
from fisherdash.bench import NAMES
from fisherdash.cli.console import Console, json_safe
from fisherdash.cli.options import output_file, whole
from fisherdash.errors import InputError

_SCALED = 10
"""So many races take as long as ``--scaling``."""


def add_bench(parser: argparse.ArgumentParser) -> None:
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


def bench(args: argparse.Namespace, console: Console) -> Mapping[str, Any]:
    """The benchmarks: ours and its peer in turn on this machine, medians over several rounds.

    Nothing else should be running meanwhile. With --scaling: how the time of a step of dynamics
    grows with replicas and with atoms, and falls with devices.
    """
    for name in args.names:
        if name not in NAMES:
            raise InputError(f"there is no benchmark {name!r}; choose from {', '.join(NAMES)}")
    if args.scaling and args.names:
        raise InputError(f"--scaling takes no names of benchmarks, received {args.names[0]!r}")
    out = output_file(args.out, ".json") if args.out else None
    chart = output_file(args.chart, ".svg", option="--chart") if args.chart else None
    if chart is not None:
        from fisherdash.plots.chart import check

        check()
    from fisherdash.workspace import estimates

    number = _SCALED if args.scaling else len(args.names or NAMES)
    console.begin(estimates.benchmarks(number), *filter(None, (out, chart)))
    found = _scaling(console, chart) if args.scaling else _races(args.names, console, chart)
    if out is not None:
        from fisherdash.bench.inputs import description

        kept = json_safe({"machine": description(), "results": found})
        _write(out, json.dumps(kept, indent=1))
    return found


def _races(names: Sequence[str], console: Console, chart: Path | None) -> dict[str, Any]:
    """One key a benchmark, each with ours, peer, ratio and unit."""
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
        from fisherdash.plots.bench import race_figure
        from fisherdash.plots.chart import picture

        _write(chart, picture([race_figure(found, bench.WANTED)]))
    return found


def _scaling(console: Console, chart: Path | None) -> dict[str, Any]:
    """One key for each quantity that grows."""
    from fisherdash.bench.dynamics import scaling

    growths = list(scaling(console.progress))
    if chart is not None:
        from fisherdash.plots.bench import growth_figures
        from fisherdash.plots.chart import picture

        _write(chart, picture(growth_figures(growths)))
    return {
        growth.of: {
            "counts": growth.counts,
            "milliseconds": growth.milliseconds,
            "exponent": growth.exponent,
            "exponent_stderr": growth.stderr,
        }
        for growth in growths
    }


def _write(path: Path, text: str) -> None:
    with storage.replacing(path) as part:
        part.write_text(text + "\n", encoding="utf-8")


def add_index(parser: argparse.ArgumentParser) -> None:
    """Whether to tidy up."""
    parser.add_argument(
        "--rebuild",
        action="store_true",
        help="also remove half-written files and the index file of earlier versions",
    )


def index(args: argparse.Namespace, console: Console) -> Mapping[str, Any]:
    """Count what the workspace holds; `--rebuild` also removes what killed programs left behind."""
    from fisherdash.workspace import listing, paths

    started = time.perf_counter()
    if args.rebuild:
        listing.tidy()
    found = {kind: listing.entries(kind) for kind in listing.LISTED}
    seconds = time.perf_counter() - started
    problems = [one.problem for entries in found.values() for one in entries if one.problem]
    for problem in problems:
        console.note(problem)
    sound = {kind: sum(not entry.problem for entry in found[kind]) for kind in found}
    return {
        "runs": sound["runs"],
        "trainings": sound["trainings"],
        "models": sound["checkpoints"],
        "damaged": len(problems),
        "index": paths.root(),
        "state": "ready",
        "rebuilt": args.rebuild,
        "seconds": seconds,
    }


def add_doctor(parser: argparse.ArgumentParser) -> None:
    """No arguments."""


def doctor(args: argparse.Namespace, console: Console) -> Mapping[str, Any]:
    """Say whether this machine and the workspace are in order, and what to do where they are not.

    What is amiss does not change the exit status.
    """
    from fisherdash.doctor import examine

    checks = examine()
    if args.json:
        return {
            "ok": all(check.ok for check in checks),
            "checks": [check.to_json() for check in checks],
        }
    return {
        check.name: f"ok    {check.found}" if check.ok else f"LOOK  {check.found}; {check.advice}"
        for check in checks
    }


def add_app(parser: argparse.ArgumentParser) -> None:
    """Where it listens."""
    parser.add_argument(
        "--port", type=whole(1, 65535), default=8501, help="port of the page on this machine"
    )


def app(args: argparse.Namespace, console: Console) -> Mapping[str, Any]:
    """Open the dashboard in the browser, served on this machine only."""
    # This process becomes Streamlit, in the project's folder so that it finds its configuration.
    script = Path(fisherdash.__file__).resolve().parent.parent / "app.py"
    if not script.is_file():
        raise InputError(
            f"the dashboard's pages are not part of the installed library ({script} is missing); "
            "start it from a checkout of the project, with 'make app'."
        )
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", args.port))
        except OSError as error:
            raise InputError(
                f"--port {args.port} cannot be used ({error.strerror}); give another one, for "
                f"example --port {args.port % 65535 + 1}."
            ) from error
    os.chdir(script.parent)
    command = ["-m", "pages.ui.serve", "--server.port", str(args.port)]
    os.execv(sys.executable, [sys.executable, *command])
