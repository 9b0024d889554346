"""Go on with a run that was stopped or killed, exactly where it was."""

import argparse
from collections.abc import Mapping
from typing import Any

from fisherdash.cli.common import Console
from fisherdash.cli.options import add_run_folder, run_folder
from fisherdash.cli.simulate import describe, summary

HELP = "go on with a run that was stopped"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The folder of the run; everything else is in it."""
    add_run_folder(parser)


def run(args: argparse.Namespace, console: Console) -> Mapping[str, Any]:
    """Run to the end or to Ctrl-C, from the last step that is on disk."""
    folder = run_folder(args)
    from fisherdash import runs, simulate

    left = runs.unfinished(folder)
    console.note(f"going on from step {max(0, left.step):,}")
    with console.stoppable() as cancel:
        chunks = simulate.resume(left.header, left.checkpoints, left.state, cancel=cancel)
        for chunk in runs.go_on(chunks, left):
            console.progress(chunk.step, chunk.steps, describe(chunk))
        return summary(runs.open_run(folder))
