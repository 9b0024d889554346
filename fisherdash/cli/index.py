"""List what the workspace holds; `--rebuild` writes the list anew from the folders."""

import argparse
import time
from collections.abc import Mapping
from typing import Any

from fisherdash.cli.console import Console

HELP = "count what the workspace holds, or rebuild the list of it"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Whether to begin anew."""
    parser.add_argument(
        "--rebuild",
        action="store_true",
        help="make the index anew from the folders of the runs alone",
    )


def run(args: argparse.Namespace, console: Console) -> Mapping[str, Any]:
    """Bring the index up to date; counts by kind, and of folders that cannot be opened."""
    from fisherdash.workspace import index

    started = time.perf_counter()
    if args.rebuild:
        index.rebuild()
    found = {kind: index.entries(kind) for kind in index.LISTED}
    seconds = time.perf_counter() - started
    for entries in found.values():
        for entry in entries:
            if entry.problem is not None:
                console.note(entry.problem)
    sound = {kind: sum(not entry.problem for entry in found[kind]) for kind in found}
    return {
        "runs": sound["runs"],
        "trainings": sound["trainings"],
        "models": sound["checkpoints"],
        "damaged": sum(map(len, found.values())) - sum(sound.values()),
        "index": index.path(),
        "state": index.state(),
        "rebuilt": args.rebuild,
        "seconds": seconds,
    }
