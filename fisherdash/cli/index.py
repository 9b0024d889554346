"""Count what the workspace holds; `--rebuild` also removes what killed programs left behind."""

import argparse
import time
from collections.abc import Mapping
from typing import Any

from fisherdash.cli.console import Console

HELP = "count what the workspace holds"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Whether to tidy up."""
    parser.add_argument(
        "--rebuild",
        action="store_true",
        help="also remove half-written files and the index file of earlier versions",
    )


def run(args: argparse.Namespace, console: Console) -> Mapping[str, Any]:
    """Counts by kind, and of folders that cannot be opened."""
    from fisherdash.workspace import listing, paths

    started = time.perf_counter()
    if args.rebuild:
        listing.tidy()
    found = {kind: listing.entries(kind) for kind in listing.LISTED}
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
        "index": paths.root(),
        "state": "ready",
        "rebuilt": args.rebuild,
        "seconds": seconds,
    }
