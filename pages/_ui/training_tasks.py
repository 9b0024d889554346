"""Training as a job: from the page's wishes or from the folder of one that was stopped.

Nothing here knows of Streamlit. Everything that a training brings is in its folder of the workspace
within seconds, so that going on needs nothing but the folder.
"""

import dataclasses
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fisherdash import dataset as datasets
from fisherdash import train as training
from fisherdash.dataset import Dataset
from fisherdash.errors import InputError
from fisherdash.model import ModelConfig
from fisherdash.runs import (
    TrainingHeader,
    begin_training,
    jobs,
    trainings,
    unfinished_training,
    workspace,
)
from fisherdash.runs.commands import shell_command
from fisherdash.runs.jobs import Job, Progress
from pages._ui.as_commands import train_command


@dataclasses.dataclass(frozen=True)
class TrainingPlan:
    """What the Train page asks for."""

    data_path: Path
    data: Dataset
    frames: int
    valid: int
    config: ModelConfig
    settings: training.TrainSettings
    name: str


def submit_training(plan: TrainingPlan) -> Job:
    """Train; the job's result is the best network's file, None when there was none yet."""
    sets = datasets.split(plan.data, plan.frames, plan.valid, plan.settings.seed)
    folder = workspace.new_path("trainings", plan.name, "")
    name = folder.name
    header = TrainingHeader(
        title=f"{name}: {plan.frames} frames, {plan.settings.epochs} epochs",
        name=name,
        config=plan.config.to_json(),
        settings=plan.settings.to_json(),
        command=train_command(plan, workspace.place("checkpoints") / f"{name}.safetensors"),
    )

    def work(cancel: threading.Event) -> Iterator[training.EpochReport]:
        state = trainings.state_file(folder)
        reports = training.resume(header, *sets, state, cancel=cancel)
        return (yield from _kept(begin_training(folder, header, *sets), reports))

    return _submit(folder, header, sets, work, header.command)


def submit_rest_of_training(folder: Path) -> Job:
    """Go on with a stopped training; raises InputError when it cannot."""
    left = unfinished_training(folder)
    sets = left.train_set, left.valid_set

    def work(cancel: threading.Event) -> Iterator[training.EpochReport]:
        reports = training.resume(left.header, *sets, left.state_file, cancel=cancel)
        return (yield from _kept(left.go_on(), reports))

    return _submit(folder, left.header, sets, work, shell_command("resume", folder))


def _submit(
    folder: Path, header: TrainingHeader, sets: tuple[Dataset, Dataset], work: Any, command: str
) -> Job:
    sizes = {
        "atoms": sets[0].num_atoms,
        "frames": len(sets[0]),
        "valid": len(sets[1]),
        "epochs": header.settings["epochs"],
    }
    info = {"training": folder, "command": command, "sizes": sizes}
    return jobs.submit("train", header.title, work, describe=_describe_epoch, info=info)


def _kept(
    writer: trainings.TrainingWriter, reports: Iterator[training.EpochReport]
) -> Iterator[Any]:
    """The reports, each one kept; returns the best network's file."""
    report = None
    for report in writer.record(reports):
        yield report
    if writer.model is None and report is not None and report.status == "diverged":
        raise InputError(
            "training diverged in its first epoch and nothing was kept; try a lower learning rate"
        )
    return writer.model


def _describe_epoch(report: training.EpochReport) -> Progress:
    rate = 1.0 / report.seconds if report.epoch and report.seconds > 0 else None
    return Progress(
        report.epoch / report.epochs,
        "compiling" if report.status == "compiling" else "training",
        f"epoch {report.epoch} of {report.epochs}",
        rate,
        "epochs/s",
    )
