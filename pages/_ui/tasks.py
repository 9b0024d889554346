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
from fisherdash.checkpoint import Checkpoint
from fisherdash.dataset import Dataset
from fisherdash.runs import RunHeader, describe_run, jobs, limits, people, record, workspace
from fisherdash.runs import go_on as record_rest
from fisherdash.runs import unfinished as unfinished_run
from fisherdash.runs.commands import shell_command
from fisherdash.runs.estimate import cost
from fisherdash.runs.jobs import Job, Progress
from fisherdash.runs.names import refit_name, run_name
from fisherdash.simulate import Chunk, MDSettings, resume, simulate
from pages._ui.as_commands import simulate_command, solve_command


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
        reports = reference.sample(atoms, temperature=temperature, frames=frames, seed=seed)
        yield from reference.kept(reports, out, cancel)
        return out if out.exists() else None

    def describe(item: reference.SampleProgress) -> Progress:
        detail = f"{item.frames} of {frames} frames, {item.temperature_K:.0f} K"
        return Progress(min(1.0, item.done / max(1, item.total)), item.stage, detail)

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
    out = workspace.new_path("checkpoints", refit_name(checkpoint_path.stem), ".safetensors")

    def work(cancel: threading.Event) -> Iterator[Progress]:
        yield Progress(0.0, "solving", f"{len(data)} frames")
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
    """Simulate; the run grows in the workspace while the job goes on.

    Raises InputError when the run is larger than its user may ask for.
    """
    _check_cost(len(models), data.num_atoms, settings)
    folder = workspace.new_path("runs", run_name(list(paths)), "")
    command = simulate_command(list(paths.values()), data_path, folder, settings)
    header = describe_run(models, data, settings, command=command)

    def work(cancel: threading.Event) -> Iterator[Progress]:
        chunks = simulate(models, data, settings, cancel=cancel)
        # What is known of a chunk, not the chunk: the list of jobs would hold its arrays for long.
        yield from map(describe_chunk, record(chunks, folder, header, models))
        return folder

    info = {"run": folder, "command": command, "sizes": _sizes(header)}
    return jobs.submit("simulate", header.title, work, info=info)


def submit_resume(folder: Path) -> Job:
    """Go on with a stopped run; raises InputError when it cannot."""
    left = unfinished_run(folder)

    def work(cancel: threading.Event) -> Iterator[Progress]:
        rest = resume(left.header, left.checkpoints, left.state, cancel=cancel)
        yield from map(describe_chunk, record_rest(rest, left))
        return folder

    info = {"run": folder, "command": shell_command("resume", folder), "sizes": _sizes(left.header)}
    return jobs.submit("simulate", left.header.title, work, info=info)


def submit_demo(checkpoint_path: Path, data_path: Path, settings: MDSettings, seed: int = 0) -> Job:
    """The whole story in one job: load, re-fit, simulate both heads."""
    folder = workspace.new_path("runs", "demo", "")
    refit_path = workspace.new_path("checkpoints", refit_name(checkpoint_path.stem), ".safetensors")
    commands = (
        shell_command("solve", checkpoint_path, data_path, out=refit_path, quick=True),
        simulate_command([checkpoint_path, refit_path], data_path, folder, settings),
    )
    info: dict[str, Any] = {"run": folder, "out": refit_path, "command": "\n".join(commands)}

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
    limits.check_run(price, steps, people.current())


def _sizes(header: RunHeader) -> dict[str, int]:
    heads, replicas = header.shape
    steps = int(header.settings["steps"])
    return {"atoms": header.num_atoms, "heads": heads, "replicas": replicas, "steps": steps}


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
