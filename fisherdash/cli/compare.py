"""Statistics of a run: drift, survival and their paired comparison, the dead counted throughout."""

import argparse
from collections.abc import Mapping
from typing import Any

from fisherdash.cli.console import Console
from fisherdash.cli.options import add_run_folder, run_folder

HELP = "statistics of a run"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The folder that ``simulate`` wrote."""
    add_run_folder(parser)


def run(args: argparse.Namespace, console: Console) -> Mapping[str, Any]:
    """Read the recorded energies and compare every later head with the first, pair by pair.

    The JSON has the first two alone; the notes speak of all.
    """
    folder = run_folder(args)
    from fisherdash import analysis, workspace

    comparison = analysis.compare(workspace.open_run(folder).trajectories())
    console.note(comparison.sentence)
    for caution in comparison.cautions:
        console.note(caution)
    return comparison.to_json()
