"""The work behind the buttons, as jobs: each a generator that calls the science and keeps it.

Nothing here knows of Streamlit: a task runs in a worker thread whether or not anyone watches.
"""

import dataclasses
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fisherdash import checkpoint as checkpoints
from fisherdash import dataset as datasets
from fisherdash import fisher, reference
from fisherdash import train as training
from fisherdash.checkpoint import Checkpoint
from fisherdash.dataset import Dataset
from fisherdash.errors import InputError
from fisherdash.model import ModelConfig
from fisherdash.runs import describe_run, jobs, record, workspace
from fisherdash.runs import go_on as record_rest
from fisherdash.runs import unfinished as unfinished_run
from fisherdash.runs.commands import shell_command
from fisherdash.runs.jobs import Job, Progress
from fisherdash.simulate import Chunk, MDSettings, resume, simulate
from pages._ui.as_commands import simulate_command, solve_command, train_command


def submit_sample(
    molecule: str, temperature: float, frames: int, seed: int, structure: Path | None = None
) -> Job:
    """Make a data set with GFN2-xTB; the result is its file in the workspace."""
    atoms = reference.molecule(structure or molecule)
    name = f"{workspace.safe_stem(molecule)}_{temperature:g}K"
    out = workspace.new_path("datasets", name, ".npz")
    command = shell_command(
        "sample", structure or molecule, temperature=temperature, frames=frames, seed=seed, out=out
    )

    def work(cancel: threading.Event) -> Iterator[reference.SampleProgress]:
        for progress in reference.sample(atoms, temperature=temperature, frames=frames, seed=seed):
            yield progress
            if progress.dataset is not None:
                datasets.save(progress.dataset, out)
                return out
            if cancel.is_set():
                return None
        return None

    def describe(item: reference.SampleProgress) -> Progress:
        detail = f"{item.frames} of {frames} frames, {item.temperature_K:.0f} K"
        return Progress(min(1.0, item.done / max(1, item.total)), item.stage, detail)

    title = f"{molecule}, {frames} frames at {temperature:g} K"
    info = {"out": out, "command": command}
    return jobs.submit("sample", title, work, describe=describe, info=info)


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
    resume: Path | None = None
    """The unfinished training to go on with."""


def submit_training(plan: TrainingPlan) -> Job:
    """Train; the best checkpoint is in the workspace whenever the job ends, however it ends."""
    train_set, valid_set = datasets.split(plan.data, plan.frames, plan.valid, plan.settings.seed)
    out = plan.resume or workspace.new_path("checkpoints", plan.name, ".safetensors")
    state = unfinished(out)

    def work(cancel: threading.Event) -> Iterator[training.EpochReport]:
        report = None
        for report in training.train(
            plan.config,
            train_set,
            valid_set,
            plan.settings,
            name=out.stem,
            cancel=cancel,
            state_file=state,
            resume=plan.resume is not None,
        ):
            yield report
        if report is None or report.checkpoint is None:
            if report is not None and report.status == "diverged":
                raise InputError(
                    "training diverged in its first epoch and nothing was kept; "
                    "try a lower learning rate"
                )
            return None
        checkpoints.save(report.checkpoint, out)
        return out

    info = {"out": out, "plan": plan, "command": train_command(plan, out)}
    title = f"{out.stem}: {plan.frames} frames, {plan.settings.epochs} epochs"
    return jobs.submit("train", title, work, describe=_describe_epoch, info=info)


def unfinished(checkpoint: Path) -> Path:
    """Where a training that was stopped keeps what it needs to go on."""
    return checkpoint.with_name(f"{checkpoint.name}.unfinished.npz")


def submit_refit(
    checkpoint_path: Path,
    data_path: Path,
    checkpoint: Checkpoint,
    data: Dataset,
    options: fisher.Options,
) -> Job:
    """Re-fit the head; the result is the Refit, its checkpoint is in the workspace."""
    out = workspace.new_path("checkpoints", f"{checkpoint_path.stem}-fisher", ".safetensors")

    def work(cancel: threading.Event) -> Iterator[Progress]:
        yield Progress(0.0, "solving", f"{len(data)} frames")
        refit = _solve(checkpoint, data, options, cancel, share=1.0)
        checkpoints.save(refit.checkpoint, out)
        return refit

    command = solve_command(checkpoint_path, data_path, out, options)
    info = {"out": out, "checkpoint": checkpoint_path, "data": data_path, "command": command}
    return jobs.submit("refit", f"{checkpoint_path.stem} on {data_path.stem}", work, info=info)


def keep_head(refit: fisher.Refit) -> Path:
    """Saves the head of another point of the path into the workspace; its file."""
    name = f"{refit.checkpoint.name}-{refit.ridge:.0e}"
    out = workspace.new_path("checkpoints", name, ".safetensors")
    checkpoints.save(refit.checkpoint, out)
    return out


def submit_simulation(
    paths: Mapping[str, Path],
    data_path: Path,
    models: Mapping[str, Checkpoint],
    data: Dataset,
    settings: MDSettings,
) -> Job:
    """Simulate; the run grows in the workspace while the job goes on."""
    folder = workspace.new_path("runs", "-".join(paths), "")
    command = simulate_command(list(paths.values()), data_path, folder, settings)
    header = describe_run(models, data, settings, command=command)

    def work(cancel: threading.Event) -> Iterator[Chunk]:
        yield from record(simulate(models, data, settings, cancel=cancel), folder, header, models)
        return folder

    info = {"run": folder, "command": command}
    return jobs.submit("simulate", header.title, work, describe=describe_chunk, info=info)


def submit_resume(folder: Path) -> Job:
    """Go on with a stopped run; raises InputError when it cannot."""
    left = unfinished_run(folder)

    def work(cancel: threading.Event) -> Iterator[Chunk]:
        rest = resume(left.header, left.checkpoints, left.state, cancel=cancel)
        yield from record_rest(rest, left)
        return folder

    info = {"run": folder, "command": shell_command("resume", folder)}
    return jobs.submit("simulate", left.header.title, work, describe=describe_chunk, info=info)


def submit_demo(checkpoint_path: Path, data_path: Path, settings: MDSettings, seed: int = 0) -> Job:
    """The whole story in one job: load, re-fit, simulate both heads."""
    folder = workspace.new_path("runs", "demo", "")
    refit_path = workspace.new_path("checkpoints", f"{checkpoint_path.stem}-fisher", ".safetensors")
    commands = (
        shell_command("solve", checkpoint_path, data_path, out=refit_path, quick=True),
        simulate_command([checkpoint_path, refit_path], data_path, folder, settings),
    )
    info: dict[str, Any] = {"run": folder, "command": "\n".join(commands)}

    def work(cancel: threading.Event) -> Iterator[Progress]:
        yield Progress(0.0, "loading")
        checkpoint, data = checkpoints.load(checkpoint_path), datasets.load(data_path)
        yield Progress(0.0, "solving", f"{len(data)} frames")
        options = fisher.Options(seed=seed, test_boltzmann=False)
        refit = _solve(checkpoint, data, options, cancel, share=_DEMO_SOLVE)
        info["verdict"] = refit.verdict
        checkpoints.save(refit.checkpoint, refit_path)
        models = {"default head": checkpoint, "Fisher head": refit.checkpoint}
        header = describe_run(models, data, settings, command=commands[1])
        for chunk in record(
            simulate(models, data, settings, cancel=cancel), folder, header, models
        ):
            yield _later(describe_chunk(chunk), _DEMO_SOLVE)
        return folder

    return jobs.submit("demo", "the demo", work, info=info)


def describe_chunk(chunk: Chunk) -> Progress:
    """Progress of a simulation."""
    done = chunk.step if chunk.stage == "running" else 0
    return Progress(
        min(1.0, max(0, done) / chunk.steps),
        chunk.stage,
        f"step {max(0, done):,} of {chunk.steps:,}",
        chunk.steps_per_second or None,
        "steps/s",
        chunk.device,
    )


_DEMO_SOLVE = 0.1
"""Share of the demo's progress bar that belongs to the re-fit."""


def _solve(
    checkpoint: Checkpoint,
    data: Dataset,
    options: fisher.Options,
    cancel: threading.Event,
    share: float,
) -> fisher.Refit:
    def progress(stage: str, done: float) -> None:
        jobs.report(Progress(share * done, stage, f"{len(data)} frames"))

    return fisher.solve(checkpoint, data, options, cancel=cancel, progress=progress)


def _later(progress: Progress, before: float) -> Progress:
    """The same progress as the last part of a longer job."""
    return dataclasses.replace(progress, fraction=before + (1 - before) * progress.fraction)


def _describe_epoch(report: training.EpochReport) -> Progress:
    rate = 1.0 / report.seconds if report.epoch and report.seconds > 0 else None
    return Progress(
        report.epoch / report.epochs,
        "compiling" if report.status == "compiling" else "training",
        f"epoch {report.epoch} of {report.epochs}",
        rate,
        "epochs/s",
    )
