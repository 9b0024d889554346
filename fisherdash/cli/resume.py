"""Go on with a run that was stopped or killed, exactly where it was."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fisherdash.cli.common import Console
from fisherdash.cli.simulate import describe, summary
from fisherdash.errors import InputError

HELP = "go on with a run that was stopped"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The folder of the run; everything else is in it."""
    parser.add_argument("run_folder", metavar="RUN", help="the folder that simulate wrote")


def run(args: argparse.Namespace, console: Console) -> Mapping[str, Any]:
    """Run to the end or to Ctrl-C, from the last step that is on disk."""
    folder = Path(args.run_folder)
    if not folder.is_dir():
        raise InputError(f"no run {args.run_folder!r}: there is no such folder.")
    from fisherdash import runs, simulate

    left = runs.unfinished(folder)
    console.note(f"going on from step {max(0, left.step):,}")
    with console.stoppable() as cancel:
        chunks = simulate.resume(left.header, left.checkpoints, left.state, cancel=cancel)
        for chunk in runs.go_on(chunks, left):
            console.progress(chunk.step, chunk.steps, describe(chunk))
        return summary(runs.open_run(folder))
