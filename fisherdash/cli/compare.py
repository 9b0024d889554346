"""Statistics of a run: drift, survival and their paired comparison, the dead counted throughout."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fisherdash.cli.common import Console
from fisherdash.errors import InputError

HELP = "statistics of a run"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The folder that ``simulate`` wrote."""
    parser.add_argument("run_folder", metavar="RUN", help="the folder that simulate wrote")


def run(args: argparse.Namespace, console: Console) -> Mapping[str, Any]:
    """Read the recorded energies and compare the first two checkpoints pair by pair."""
    folder = Path(args.run_folder)
    if not folder.is_dir():
        raise InputError(f"no run {args.run_folder!r}: there is no such folder.")
    from fisherdash import analyse, runs

    comparison = analyse.compare(runs.open_run(folder).trajectories())
    console.note(comparison.sentence)
    return comparison.to_json()
