"""The benchmarks: ours and its peer in turn on this machine, medians over several rounds.

Nothing else should be running meanwhile.
"""

import argparse
from collections.abc import Mapping
from typing import Any

from fisherdash.bench import NAMES
from fisherdash.cli.common import Console

HELP = "how fast this machine is, beside the usual ways to do the same"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which ones."""
    parser.add_argument(
        "names", metavar="NAME", nargs="*", help=f"(default: all) {', '.join(NAMES)}"
    )


def run(args: argparse.Namespace, console: Console) -> Mapping[str, Any]:
    """One key a benchmark, each with ours, peer, ratio and unit."""
    from fisherdash import bench
    from fisherdash.errors import InputError

    for name in args.names:
        if name not in NAMES:
            raise InputError(f"there is no benchmark {name!r}; choose from {', '.join(NAMES)}")
    chosen = [name for name in NAMES if name in args.names or not args.names]
    found = {}
    for done, name in enumerate(chosen):
        console.progress(done, len(chosen), name)
        found[name] = bench.benchmark(name)()._asdict()
    return found
