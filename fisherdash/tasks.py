"""The work behind the buttons, as jobs: each a generator that calls the science and keeps it.

Nothing here knows of Streamlit: a task runs in a worker thread whether or not anyone watches.

The shell commands that do what the pages' buttons do.

Training as a job: from the page's wishes or from the folder of one that was stopped.

Nothing here knows of Streamlit. Everything that a training brings is in its folder of the workspace
within seconds, so that going on needs nothing but the folder.

Several models held against the same frames, as a job; it knows nothing of Streamlit.

A study as a background job; it knows nothing of Streamlit.
"""

import dataclasses
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fisherdash import dataset as datasets
from fisherdash import fisher, reference
from fisherdash import train as training
from fisherdash.dataset import Dataset
from fisherdash.errors import InputError
from fisherdash.md import Chunk, MDSettings, resume, simulate
from fisherdash.potentials import checkpoint as checkpoints
from fisherdash.potentials.checkpoint import Checkpoint
from fisherdash.potentials.e3x import ModelConfig
from fisherdash.potentials.evaluate import Errors, evaluate
from fisherdash.study import Progress as StudyProgress
from fisherdash.study import (
    Spec,
    open_plan,
    prepare_study,
    read_begun,
    read_progress,
    read_spec,
    run_study,
)
from fisherdash.study.plan import SPEC_FILE
from fisherdash.workspace import (
    RunHeader,
    TrainingHeader,
    begin_training,
    describe_run,
    jobs,
    limits,
    paths,
    record,
    trainings,
    unfinished_training,
    users,
)
from fisherdash.workspace import go_on as record_rest
from fisherdash.workspace import unfinished as unfinished_run
from fisherdash.workspace.commands import shell_command
from fisherdash.workspace.jobs import Job, JobProgress
from fisherdash.workspace.limits import cost
from fisherdash.workspace.paths import new_path, refit_name, run_name, safe_stem


def train_command(plan: "TrainingPlan", out: Path) -> str:
    """The shell command of a training."""
    settings = plan.settings.to_json()
    return shell_command(
        "train",
        plan.data_path,
        out=out,
        frames=plan.frames,
        valid=plan.valid,
        **plan.config.to_json(),
        **settings,
    )


def solve_command(
    checkpoint_path: Path, data_path: Path, out: Path, options: fisher.Options
) -> str:
    """The shell command of a re-fit; what has its default value is left out."""
    usual, stability = fisher.Options(), options.stability
    runs: dict[str, object] = {}
    if options.ridge == "stable":
        runs = {
            "replicas": stability.replicas,
            "picoseconds": stability.picoseconds,
            "points": stability.points,
            "timestep_fs": stability.timestep,
            "md_temperature": stability.temperature,
        }
    return shell_command(
        "solve",
        checkpoint_path,
        data_path,
        out=out,
        method=options.method,
        ridge=options.ridge,
        head=None if options.head == usual.head else options.head.replace(" ", "-"),
        energy_weight=options.energy_weight or None,
        probes=options.probes,
        holdout=None if options.holdout == usual.holdout else options.holdout,
        seed=options.seed,
        quick=not options.test_boltzmann,
        temperature=options.temperature,
        **runs,
    )


def simulate_command(paths: list[Path], data_path: Path, folder: Path, settings: MDSettings) -> str:
    """The shell command of a simulation."""
    return shell_command(
        "simulate",
        *paths,
        data=data_path,
        out=folder,
        replicas=settings.replicas,
        steps=settings.steps,
        timestep_fs=settings.timestep,
        temperature=settings.temperature,
        seed=settings.seed,
        precision=settings.precision,
        start=settings.start,
        record_every=settings.record_every,
    )


def submit_sample(
    molecule: str, temperature: float, frames: int, seed: int, structure: Path | None = None
) -> Job:
    """Make a data set with GFN2-xTB; the result is its file in the workspace."""
    atoms = reference.molecule(structure or molecule)
    name = f"{safe_stem(molecule)}_{temperature:g}K"
    out = new_path("datasets", name, ".npz")
    command = shell_command(
        "sample", structure or molecule, temperature=temperature, frames=frames, seed=seed, out=out
    )

    def work(cancel: threading.Event) -> Iterator[reference.SampleProgress]:
        reports = reference.sample(atoms, temperature=temperature, frames=frames, seed=seed)
        yield from reference.kept(reports, out, cancel)
        return out if out.exists() else None

    def describe(item: reference.SampleProgress) -> JobProgress:
        detail = f"{item.frames} of {frames} frames, {item.temperature_K:.0f} K"
        return JobProgress(min(1.0, item.done / max(1, item.total)), item.stage, detail)

    title = f"{molecule}, {frames} frames at {temperature:g} K"
    info = {"out": out, "command": command, "sizes": {"atoms": len(atoms), "frames": frames}}
    return jobs.submit("sample", title, work, describe=describe, info=info)


def submit_refit(
    checkpoint_path: Path,
    data_path: Path,
    checkpoint: Checkpoint,
    data: Dataset,
    options: fisher.Options,
) -> Job:
    """Re-fit the head; the result is the Refit, its checkpoint is in the workspace."""
    out = new_path("checkpoints", refit_name(checkpoint_path.stem), ".safetensors")

    def work(cancel: threading.Event) -> Iterator[JobProgress]:
        yield JobProgress(0.0, "solving", f"{len(data)} frames")
        refit = _solve(checkpoint, data, options, cancel, share=1.0)
        checkpoints.save(refit.checkpoint, out)
        return refit

    command = solve_command(checkpoint_path, data_path, out, options)
    info = {"out": out, "checkpoint": checkpoint_path, "data": data_path, "command": command}
    info["sizes"] = {"atoms": data.num_atoms, "frames": len(data)}
    return jobs.submit("refit", f"{checkpoint_path.stem} on {data_path.stem}", work, info=info)


def keep_head(refit: fisher.Refit) -> Path:
    """Saves the head of another point of the path into the workspace; its file."""
    name = f"{refit.checkpoint.name}-{refit.ridge:.0e}"
    out = new_path("checkpoints", name, ".safetensors")
    checkpoints.save(refit.checkpoint, out)
    return out


def submit_simulation(
    paths: Mapping[str, Path],
    data_path: Path,
    models: Mapping[str, Checkpoint],
    data: Dataset,
    settings: MDSettings,
) -> Job:
    """Simulate; the run grows in the workspace while the job goes on.

    Raises InputError when the run is larger than its user may ask for.
    """
    _check_cost(len(models), data.num_atoms, settings)
    folder = new_path("runs", run_name(list(paths)), "")
    command = simulate_command(list(paths.values()), data_path, folder, settings)
    header = describe_run(models, data, settings, command=command)

    def work(cancel: threading.Event) -> Iterator[JobProgress]:
        chunks = simulate(models, data, settings, cancel=cancel)
        # What is known of a chunk, not the chunk: the list of jobs would hold its arrays for long.
        yield from map(describe_chunk, record(chunks, folder, header, models))
        return folder

    info = {"run": folder, "command": command, "sizes": _sizes(header)}
    return jobs.submit("simulate", header.title, work, info=info)


def submit_resume(folder: Path) -> Job:
    """Go on with a stopped run; raises InputError when it cannot."""
    left = unfinished_run(folder)

    def work(cancel: threading.Event) -> Iterator[JobProgress]:
        rest = resume(left.header, left.checkpoints, left.state, cancel=cancel)
        yield from map(describe_chunk, record_rest(rest, left))
        return folder

    info = {"run": folder, "command": shell_command("resume", folder), "sizes": _sizes(left.header)}
    return jobs.submit("simulate", left.header.title, work, info=info)


def submit_demo(checkpoint_path: Path, data_path: Path, settings: MDSettings, seed: int = 0) -> Job:
    """The whole story in one job: load, re-fit, simulate both heads."""
    folder = new_path("runs", "demo", "")
    refit_path = new_path("checkpoints", refit_name(checkpoint_path.stem), ".safetensors")
    commands = (
        shell_command("solve", checkpoint_path, data_path, out=refit_path, quick=True),
        simulate_command([checkpoint_path, refit_path], data_path, folder, settings),
    )
    info: dict[str, Any] = {"run": folder, "out": refit_path, "command": "\n".join(commands)}

    def work(cancel: threading.Event) -> Iterator[JobProgress]:
        yield JobProgress(0.0, "loading")
        checkpoint, data = checkpoints.load(checkpoint_path), datasets.load(data_path)
        yield JobProgress(0.0, "solving", f"{len(data)} frames")
        options = fisher.Options(seed=seed, test_boltzmann=False)
        refit = _solve(checkpoint, data, options, cancel, share=_DEMO_SOLVE)
        info["verdict"] = refit.verdict
        checkpoints.save(refit.checkpoint, refit_path)
        models = {"default head": checkpoint, "Fisher head": refit.checkpoint}
        header = describe_run(models, data, settings, command=commands[1])
        info["sizes"] = _sizes(header)
        for chunk in record(
            simulate(models, data, settings, cancel=cancel), folder, header, models
        ):
            yield _later(describe_chunk(chunk), _DEMO_SOLVE)
        return folder

    return jobs.submit("demo", "the demo", work, info=info)


def _check_cost(heads: int, atoms: int, settings: MDSettings) -> None:
    price = cost(heads, settings.replicas, settings.steps, settings.record_every, atoms)
    steps = heads * settings.replicas * settings.steps
    limits.check_run(price, steps, users.current())


def _sizes(header: RunHeader) -> dict[str, int]:
    heads, replicas = header.shape
    steps = int(header.settings["steps"])
    return {"atoms": header.num_atoms, "heads": heads, "replicas": replicas, "steps": steps}


def describe_chunk(chunk: Chunk) -> JobProgress:
    """JobProgress of a simulation."""
    done = chunk.step if chunk.stage == "running" else 0
    return JobProgress(
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
        jobs.report(JobProgress(share * done, stage, f"{len(data)} frames"))

    return fisher.solve(checkpoint, data, options, cancel=cancel, progress=progress)


def _later(progress: JobProgress, before: float) -> JobProgress:
    """The same progress as the last part of a longer job."""
    return dataclasses.replace(progress, fraction=before + (1 - before) * progress.fraction)


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
    folder = paths.new_path("trainings", plan.name, "")
    name = folder.name
    header = TrainingHeader(
        title=f"{name}: {plan.frames} frames, {plan.settings.epochs} epochs",
        name=name,
        config=plan.config.to_json(),
        settings=plan.settings.to_json(),
        command=train_command(plan, paths.place("checkpoints") / f"{name}.safetensors"),
    )

    def work(cancel: threading.Event) -> Iterator[training.EpochReport]:
        state = trainings.state_file(folder)
        reports = training.resume(header, *sets, state, cancel=cancel)
        return (yield from _kept(begin_training(folder, header, *sets), reports))

    return _submit_training(folder, header, sets, work, header.command)


def submit_rest_of_training(folder: Path) -> Job:
    """Go on with a stopped training; raises InputError when it cannot."""
    left = unfinished_training(folder)
    sets = left.train_set, left.valid_set

    def work(cancel: threading.Event) -> Iterator[training.EpochReport]:
        reports = training.resume(left.header, *sets, left.state_file, cancel=cancel)
        return (yield from _kept(left.go_on(), reports))

    return _submit_training(folder, left.header, sets, work, shell_command("resume", folder))


def _submit_training(
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


def _describe_epoch(report: training.EpochReport) -> JobProgress:
    rate = 1.0 / report.seconds if report.epoch and report.seconds > 0 else None
    return JobProgress(
        report.epoch / report.epochs,
        "compiling" if report.status == "compiling" else "training",
        f"epoch {report.epoch} of {report.epochs}",
        rate,
        "epochs/s",
    )


def submit_evaluation(
    paths: list[Path], data_path: Path, models: Mapping[str, Checkpoint], data: Dataset
) -> Job:
    """Hold models against the same frames; the result is the errors by the models' names."""

    def work(cancel: threading.Event) -> Iterator[JobProgress]:
        found: dict[str, Errors] = {}
        for done, (name, model) in enumerate(models.items()):
            if cancel.is_set():
                return None
            yield JobProgress(done / len(models), "evaluating", name)
            found[name] = evaluate(model, data)
        return found

    command = "\n".join(shell_command("evaluate", path, data_path) for path in paths)
    title = f"{len(models)} models on {data_path.stem}"
    return jobs.submit("evaluate", title, work, info={"command": command})


def submit_study(text: str, data_folder: Path) -> jobs.Job:
    """Begin a study of data in a folder; it grows in the workspace.

    Raises:
        InputError: what is wrong with the specification or its data.
    """
    spec = read_spec(text, data_folder, inside=data_folder)
    folder = paths.new_path("studies", spec.title, "")
    prepare_study(spec, folder)
    return _submit_study(spec, folder)


def go_on(folder: Path) -> jobs.Job:
    """Do what is left of a study of the workspace, on its own copies of the data."""
    return _submit_study(read_begun(folder), folder)


def models_left(folder: Path) -> int:
    """How many models of a study still have something to be done."""
    state = read_progress(folder, open_plan(folder))
    return state.models - state.done - state.failed


def study_job(folder: Path) -> jobs.Job | None:
    """The latest job that works on a study."""
    return next((job for job in jobs.every("study") if job.info["folder"] == folder), None)


def _submit_study(spec: Spec, folder: Path) -> jobs.Job:
    def work(cancel: threading.Event) -> Iterator[StudyProgress]:
        # In this process: it has the device, and its queue keeps jobs from getting in their way.
        yield from run_study(spec, folder, workers=0, cancel=cancel)
        return folder

    command = shell_command("study", folder / SPEC_FILE, out=folder)
    info = {"folder": folder, "command": command}
    return jobs.submit("study", spec.title, work, describe=_describe, info=info)


def _describe(item: StudyProgress) -> JobProgress:
    over = item.done + item.failed
    words = f"{item.done} of {item.models} models"
    if item.failed:
        words += f", {item.failed} failed"
    if not item.ended:
        words += f", {item.stage}"
    return JobProgress(over / max(1, item.models), "running", words)
