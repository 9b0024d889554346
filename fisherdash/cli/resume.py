"""Go on with a run or a training that was stopped or killed, exactly where it was."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fisherdash.cli import simulate as simulate_command
from fisherdash.cli import train as train_command
from fisherdash.cli.console import Console
from fisherdash.cli.options import add_run_folder, run_folder
from fisherdash.errors import InputError

HELP = "go on with a run or a training that was stopped"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The folder of the run or of the dashboard's training; everything else is in it."""
    add_run_folder(parser)


def run(args: argparse.Namespace, console: Console) -> Mapping[str, Any]:
    """Run to the end or to Ctrl-C, from the last step or epoch that is on disk."""
    folder = run_folder(args)
    from fisherdash.workspace import TrainingHeader

    if (folder / TrainingHeader.FILE).exists():
        return go_on_training(folder, console)
    return go_on_simulating(folder, console)


def go_on_simulating(folder: Path, console: Console) -> Mapping[str, Any]:
    """The rest of a simulation; its numbers are those of ``simulate``."""
    from fisherdash import md, workspace

    left = workspace.unfinished(folder)
    console.note(f"going on from step {max(0, left.step):,}")
    with console.stoppable() as cancel:
        chunks = md.resume(left.header, left.checkpoints, left.state, cancel=cancel)
        for chunk in workspace.go_on(chunks, left):
            console.progress(chunk.step, chunk.steps, simulate_command.describe(chunk))
        return simulate_command.summary(workspace.open_run(folder))


def go_on_training(folder: Path, console: Console) -> Mapping[str, Any]:
    """The rest of a training; its numbers are those of ``train``, with the model's file."""
    from fisherdash import train, workspace

    left = workspace.unfinished_training(folder)
    report = None
    with console.stoppable() as cancel:
        sets = left.train_set, left.valid_set
        reports = train.resume(left.header, *sets, left.state_file, cancel=cancel)
        writer = left.go_on()
        for report in writer.record(reports):
            if report.status == "compiling":
                console.note(f"going on from epoch {report.epoch}")
            console.progress(report.epoch, report.epochs, train_command.describe(report))
    if report is None or writer.model is None:
        raise InputError(train_command.nothing_kept(report))
    return {"model": writer.model, **train_command.summary(report)}
