"""All long work, for the shell and for the pages: sample, train, solve, simulate, evaluate, …

Between this program's files and those of others there is more in :mod:`fisherdash.exchange`.

A task takes settings, data and the path of its result; it yields progress and returns the result.
Every task says beforehand what it will take. A command waits for it
(:meth:`fisherdash.cli.console.Console.follow`); a page puts it into the user's queue
(:mod:`fisherdash.submit`). Both pass the gate (:mod:`fisherdash.workspace.limits`).

The science is imported where it is used, so that a page imports no JAX.
"""

import contextlib
import dataclasses
import threading
from collections.abc import Callable, Generator, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np

from fisherdash import dataset as datasets
from fisherdash import recordings
from fisherdash.dataset import Dataset
from fisherdash.errors import InputError
from fisherdash.monitor import Monitor
from fisherdash.settings import (
    LandscapeSettings,
    MDSettings,
    ModelConfig,
    Options,
    SampleSettings,
    SplitSettings,
    TrainSettings,
    shell_command,
)
from fisherdash.workspace import (
    Run,
    RunHeader,
    estimates,
    headers,
    jobs,
    runs,
    trainings,
)
from fisherdash.workspace.estimates import Estimate, Network
from fisherdash.workspace.headers import TrainingHeader
from fisherdash.workspace.jobs import Job, JobProgress, progress_as_is

if TYPE_CHECKING:
    from ase import Atoms

    from fisherdash.fisher import Refit
    from fisherdash.fisher.curve import LearningCurve
    from fisherdash.landscape import Landscape
    from fisherdash.md import Chunk
    from fisherdash.potentials.checkpoint import Checkpoint
    from fisherdash.potentials.evaluate import Predicted
    from fisherdash.reference import Labeller, SampleProgress
    from fisherdash.study import Progress as StudyProgress
    from fisherdash.study import Spec
    from fisherdash.train import EpochReport

Item = TypeVar("Item")
Result = TypeVar("Result")
Report = Callable[[JobProgress], None]


@dataclasses.dataclass(frozen=True)
class Task(Generic[Item, Result]):
    """Work that takes a while.

    Attributes:
        kind: one word ("train"), which names it in the list of jobs.
        title: what the user reads there; the shell shows none.
        estimate: of what it will take.
        work: called with an event that asks it to stop and with what to call between two items of a
            long calculation; it yields items and returns the result.
        describe: reads the progress off an item.
        info: facts to display: the files that it writes, its sizes.
        note: what the shell says before it begins.
        keeps: whether what was done before it was stopped is kept.
    """

    kind: str
    title: str
    estimate: Estimate
    work: Callable[[threading.Event, Report], Generator[Item, None, Result]]
    describe: Callable[[Item], JobProgress] = progress_as_is
    info: dict[str, Any] = dataclasses.field(default_factory=dict)
    note: str = ""
    keeps: bool = True

    @property
    def outs(self) -> list[Path]:
        """The files and folders that it writes, the main one first; inputs come by submit only."""
        return [place for place in self.info.values() if isinstance(place, Path)]

    def submit(self, **info: Any) -> Job:
        """Put it into the user's queue, with more facts about it.

        InputError when the gate does not let it begin: see :func:`jobs.submit`.
        """
        self.info.update(info)
        return jobs.submit(
            self.kind,
            self.title,
            lambda cancel: self.work(cancel, jobs.report),
            describe=self.describe,
            info=self.info,
            estimate=self.estimate,
        )


def sample(
    atoms: "Atoms", out: Path, settings: SampleSettings, title: str = ""
) -> "Task[SampleProgress, Dataset | None]":
    """Make a data set with GFN2-xTB in the file ``out``; None when there was no frame yet."""

    def work(cancel: threading.Event, report: Report) -> Any:
        """Run the dynamics; the file has every frame within seconds."""
        from fisherdash import reference

        last = None
        for last in reference.kept(reference.sample(atoms, settings), out, cancel):
            yield last
        return last.so_far() if last is not None and last.so_far is not None else None

    def describe(item: "SampleProgress") -> JobProgress:
        """Frames so far and their temperature."""
        detail = f"{item.frames} of {settings.frames} frames, {item.temperature_K:.0f} K"
        return JobProgress(min(1.0, item.done / max(1, item.total)), item.stage, detail)

    info = {"out": out, "sizes": {"atoms": len(atoms), "frames": settings.frames}}
    estimate = estimates.sample(len(atoms), settings)
    return Task("sample", title, estimate, work, describe, info)


def train(
    config: ModelConfig,
    data: Dataset,
    settings: TrainSettings,
    out: Path,
    *,
    split: SplitSettings,
    name: str,
    resume: bool = False,
) -> "Task[EpochReport, None]":
    """Train a network and keep the best one in the file ``out``.

    The state that resuming needs is kept beside it until the training has ended. InputError when
    there are not so many frames.
    """
    sets = datasets.split(data, *split.counts(len(data)), settings.seed)
    state = state_beside(out)

    def work(cancel: threading.Event, report: Report) -> Any:
        """Train, and save the best network when it has ended."""
        from fisherdash import train as training
        from fisherdash.potentials import checkpoint

        for one in training.train(
            config, *sets, settings, cancel=cancel, name=name, state_file=state, resume=resume
        ):
            # Before the state is removed, so that a kill at any moment leaves one of the two.
            if one.checkpoint is not None and one.status not in ("compiling", "running"):
                checkpoint.save(one.checkpoint, out)
            yield one

    return _training(name, sets, config, settings, work, {"out": out, "state": state})


def state_beside(out: Path) -> Path:
    """Where a training that writes ``out`` keeps what going on with it needs."""
    return out.with_name(f"{out.name}.unfinished.npz")


def train_in(
    folder: Path,
    header: TrainingHeader,
    sets: tuple[Dataset, Dataset],
    begin: Callable[[], trainings.TrainingWriter],
) -> "Task[EpochReport, Path | None]":
    """A training of the workspace; its folder holds everything that resuming needs."""

    def work(cancel: threading.Event, report: Report) -> Any:
        """Train or go on, every report into the training's folder."""
        from fisherdash import train as training

        reports = training.resume(header, *sets, trainings.state_file(folder), cancel=cancel)
        writer, last = begin(), None
        for last in writer.record(reports):
            yield last
        if writer.model is None and last is not None and last.status == "diverged":
            raise InputError(
                "training diverged in its first epoch and nothing was kept; try a lower learning "
                "rate"
            )
        return writer.model

    config, settings = (
        ModelConfig.from_json(header.config),
        TrainSettings.from_json(header.settings),
    )
    return _training(header.title, sets, config, settings, work, {"training": folder})


def resume_training(folder: Path) -> "Task[EpochReport, Path | None]":
    """The rest of a training of the workspace; the result is the best network's file.

    InputError when it cannot be resumed.
    """
    left = trainings.unfinished_training(folder)
    task = train_in(folder, left.header, (left.train_set, left.valid_set), left.go_on)
    rest = task.estimate.part(1.0 - left.epoch / left.header.settings["epochs"])
    return dataclasses.replace(task, estimate=rest, note=f"resuming from epoch {left.epoch}")


def solve(
    model: "Checkpoint",
    data: Dataset,
    options: Options,
    out: Path,
    title: str = "",
    report_out: Path | None = None,
    *,
    labeller: "Labeller | None" = None,
    labelled: Dataset | None = None,
    labels_out: Path | None = None,
) -> "Task[JobProgress, Refit]":
    """Re-fit the last layer; its checkpoint goes into the file ``out``.

    The published report's own head, beside a wider one, goes into ``report_out``. Frames that were
    labelled for it, by ``labeller``, are kept beside ``out``, or in ``labels_out`` together with
    ``labelled`` ones that exist already.
    """

    model.check_head()
    kept = labels_out or (out.with_suffix(".labels.npz") if options.labels else None)

    def work(cancel: threading.Event, report: Report) -> Any:
        """Re-fit, and save head and labels."""
        from fisherdash import fisher
        from fisherdash.potentials import checkpoint

        words = f"{len(data)} frames"
        monitor = Monitor(cancel, lambda stage, share: report(JobProgress(share, stage, words)))
        yield JobProgress(0.0, "solving", words)
        refit = fisher.solve(
            model,
            data,
            options,
            labeller=labeller,
            labelled=labelled,
            monitor=monitor,
        )
        checkpoint.save(refit.checkpoint, out)
        if kept is not None and refit.prepared.labels is not None:
            datasets.save(refit.prepared.labels.saved(), kept)
        own = refit.report_head  # computed here, not in the thread of a page that shows it
        if report_out is not None and own is not None:
            checkpoint.save(own.checkpoint, report_out)
        return refit

    also = {name: one for name, one in (("report", report_out), ("labels", kept)) if one}
    info = {"out": out, **also, "sizes": {"atoms": data.num_atoms, "frames": len(data)}}
    return Task("refit", title, _refit(Network.of(model), data, options), work, info=info)


def label(
    model: "Checkpoint", data: Dataset, options: Options, out: Path
) -> Task[JobProgress, dict[str, int]]:
    """Frames to be labelled elsewhere, as extended XYZ in the file ``out``; how many of each kind.

    They are some of the data, and those that the options ask for.
    """

    def work(cancel: threading.Event, report: Report) -> Any:
        """Run the dynamics, and write the frames."""
        from fisherdash.fisher import labels
        from fisherdash.fisher.refit import divide

        monitor = Monitor(cancel, lambda stage, share: report(JobProgress(share, stage)))
        yield JobProgress(0.0, "running the model", "")
        # As solve does, from the frames that it fits: held-out ones are for judging.
        fit = divide(data, options).fit
        found = labels.frames_to_label(model, fit, options, monitor=monitor.of("running the model"))
        datasets.write_unlabelled(found, data.atomic_numbers, out)
        return {kind: len(frames) for kind, frames in found.items()}

    estimate = estimates.label(Network.of(model), data.num_atoms, options)
    return Task("label", "frames to be labelled", estimate, work, info={"out": out})


def simulate(
    models: "Mapping[str, Checkpoint]",
    data: Dataset,
    settings: MDSettings,
    folder: Path,
    *,
    command: str,
    title: str = "",
    roles: "Mapping[str, headers.Role] | None" = None,
) -> Task[JobProgress, Path]:
    """Dynamics of several heads from the same states; the run grows in its folder, the result."""
    header = headers.describe_run(models, data, settings, title=title, command=command, roles=roles)

    def work(cancel: threading.Event, report: Report) -> Any:
        """Run, record, and judge the survivors where their potential is known."""
        from fisherdash import md

        chunks = md.simulate(models, data, settings, cancel=cancel)
        yield from _described(runs.record(chunks, folder, header, models))
        run = runs.open_run(folder)
        if run.status == "finished" and not cancel.is_set():
            with contextlib.suppress(InputError):  # most data do not say what labelled them
                recordings.judge_survivors(run, data)
        return folder

    networks = [Network.of(model) for model in models.values()]
    estimate = estimates.simulate(networks, data.num_atoms, settings)
    return _simulation(folder, header, estimate, work)


def resume_simulation(folder: Path) -> Task[JobProgress, Path]:
    """The rest of a run; the result is its folder. InputError when it cannot be resumed."""
    left = runs.unfinished(folder)

    def work(cancel: threading.Event, report: Report) -> Any:
        """Run and record the rest."""
        from fisherdash import md

        rest = md.resume(left.header, left.checkpoints, left.state, cancel=cancel)
        yield from _described(runs.go_on(rest, left))
        return folder

    networks = [Network.of(model) for model in left.checkpoints.values()]
    settings = MDSettings.from_json(left.header.settings)
    whole = estimates.simulate(networks, left.header.num_atoms, settings)
    rest = whole.part(1.0 - max(0, left.step) / settings.steps)
    task = _simulation(folder, left.header, rest, work)
    return dataclasses.replace(task, note=f"resuming from step {max(0, left.step):,}")


def is_training(folder: Path) -> bool:
    """Whether a folder holds a training of the workspace, not a run."""
    return (folder / TrainingHeader.FILE).exists()


def demo(
    model_path: Path, data_path: Path, settings: MDSettings, folder: Path, out: Path
) -> Task[JobProgress, Path]:
    """Load, re-fit (a tenth of the progress) and simulate the default head, the published report's
    own and the wide one; the re-fitted checkpoint goes into ``out``, the run into ``folder``."""
    own = out.with_name(f"{out.stem}-report.safetensors")
    options = Options(test_boltzmann=False)
    commands = (
        shell_command("solve", model_path, data_path, options, out=out, report_out=own),
        shell_command("simulate", model_path, own, out, settings, data=data_path, out=folder),
    )
    info: dict[str, Any] = {"run": folder, "out": out, "command": "\n".join(commands)}
    data, network = datasets.load(data_path), Network.planned(ModelConfig())  # as the samples are
    estimate = _refit(network, data, options).together(
        "demo", estimates.simulate([network] * 3, data.num_atoms, settings)
    )

    def work(cancel: threading.Event, report: Report) -> Any:
        """The two tasks one after the other."""
        from fisherdash.potentials import checkpoint

        yield JobProgress(0.0, "loading")
        model = checkpoint.load(model_path)
        first = solve(model, data, options, out, report_out=own)
        refit = yield from _part(first, 0.0, 0.1, cancel, report)
        info["verdict"] = refit.verdict
        models, roles = {"default head": model}, {}
        if (shared := refit.report_head) is not None:
            models["report's Fisher head"] = shared.checkpoint
            roles["report's Fisher head"] = "other"
        models["wide Fisher head"] = refit.checkpoint
        second = simulate(models, data, settings, folder, command=commands[1], roles=roles)
        info["sizes"] = second.info["sizes"]
        return (yield from _part(second, 0.1, 1.0, cancel, report))

    return Task("demo", "the demo", estimate, work, info=info)


def evaluate(
    models: "Mapping[str, Checkpoint]", data: Dataset, title: str = ""
) -> "Task[JobProgress, dict[str, Predicted]]":
    """What several models give for the same frames, by the models' names.

    InputError where that is not finite.
    """

    def work(cancel: threading.Event, report: Report) -> Any:
        """One model after the other."""
        from fisherdash.potentials.evaluate import predicted

        found: dict[str, Predicted] = {}
        for done, (name, model) in enumerate(models.items()):
            if cancel.is_set():
                return None
            yield JobProgress(done / len(models), "evaluating", name)
            found[name] = predicted(model, data)
            if wrong := found[name].not_finite:
                raise InputError(
                    f"{name} gives energies or forces that are not finite for {wrong:,} of "
                    f"{len(data):,} frames, so it has no errors"
                )
        yield JobProgress(1.0, "evaluating", f"{len(data):,} frames")
        return found

    roles = [headers.role_of(model) for model in models.values()]
    networks = [Network.of(model) for model in models.values()]
    estimate = estimates.evaluate(networks, data.num_atoms, len(data))
    return Task("evaluate", title, estimate, work, info={"roles": roles}, keeps=False)


def curve(
    model: "Checkpoint",
    data: Dataset,
    options: Options,
    test: Dataset | None = None,
    title: str = "",
) -> "Task[LearningCurve, LearningCurve]":
    """Re-fits to more and more frames, each tested on ``test`` or on frames that are held back.

    InputError where there are too few frames, or other atoms in the test.
    """
    from fisherdash.fisher.curve import DRAWS, learning_curve, parts, sizes
    from fisherdash.potentials.evaluate import seen_frames

    if test is None:
        data, test, seen = parts(data, options.seed, seen_frames(model, data))
    else:
        seen = int(seen_frames(model, test).sum())
    if not np.array_equal(test.atomic_numbers, data.atomic_numbers):
        raise InputError(
            f"the frames to test on are of {test.formula}, or in another order of atoms; the data "
            f"are of {data.formula}"
        )
    every = [size for size in sizes(len(data)) for _ in range(DRAWS if size < len(data) else 1)]
    number, tested = len(every), test

    def work(cancel: threading.Event, report: Report) -> Any:
        """One re-fit after the other."""
        found = None
        for found in learning_curve(model, data, tested, options, seen, Monitor(cancel)):
            yield found
        return found

    def describe(found: "LearningCurve") -> JobProgress:
        """Re-fits so far."""
        done = sum(len(one.errors) for one in found.points)
        words = f"{done} of {number} re-fits, {found.points[-1].frames} frames"
        return JobProgress(done / number, "solving", words)

    network = Network.of(model)
    once = [_refit(network, data, options, frames) for frames in every]
    estimate = Estimate("curve", 0.0).together("curve", *once)
    return Task("curve", title, estimate, work, describe=describe, keeps=False)


def landscape(
    models: "Mapping[str, Checkpoint]",
    data: Dataset,
    settings: LandscapeSettings,
    out: Path | None = None,
    title: str = "",
) -> "Task[JobProgress, dict[str, Landscape]]":
    """The loss around several models, by their names; the surfaces go into the file ``out``."""

    def work(cancel: threading.Event, report: Report) -> Any:
        """One model after the other; surfaces into the file."""
        from fisherdash import landscape

        monitor = Monitor(cancel, lambda name, share: report(JobProgress(share, "mapping", name)))
        found: dict[str, Landscape] = {}
        for step in landscape.survey(models, data, settings, monitor=monitor):
            yield JobProgress(step.share, "mapping", step.name)
            found = step.found
        if out is not None:
            landscape.save(found, out)
        return found

    info: dict[str, Any] = {"roles": [headers.role_of(model) for model in models.values()]}
    if out is not None:
        info["out"] = out
    networks = [Network.of(model) for model in models.values()]
    estimate = estimates.landscape(networks, data.num_atoms, len(data), settings)
    return Task("landscape", title, estimate, work, info=info)


def study(
    spec: "Spec", folder: Path, *, workers: int | None = None, scheduler: str | None = None
) -> "Task[StudyProgress, Path]":
    """Run what is missing in the folder of a study; the result is the folder."""

    def work(cancel: threading.Event, report: Report) -> Any:
        """All units, see :func:`fisherdash.study.run_study`."""
        from fisherdash.study import run_study

        yield from run_study(spec, folder, workers=workers, scheduler=scheduler, cancel=cancel)
        return folder

    def describe(item: "StudyProgress") -> JobProgress:
        """Models done and failed."""
        words = f"{item.done} of {item.models} models"
        words += f", {item.failed} failed" if item.failed else ""
        words += "" if item.ended else f", {item.stage}"
        return JobProgress((item.done + item.failed) / max(1, item.models), "running", words)

    from fisherdash.study import estimate_of

    return Task("study", spec.title, estimate_of(spec), work, describe, {"folder": folder})


def commands_of(run: Run) -> tuple[str, str]:
    """The shell commands that repeat a run and its statistics."""
    return run.header.command, shell_command("compare", run.folder)


def _training(
    title: str,
    sets: tuple[Dataset, Dataset],
    config: ModelConfig,
    settings: TrainSettings,
    work: Any,
    info: dict[str, Any],
) -> "Task[EpochReport, Any]":
    def describe(report: "EpochReport") -> JobProgress:
        """The epoch, its error and its pace."""
        words = f"epoch {report.epoch} of {report.epochs}"
        if report.epoch:
            words += f", force RMSE {1000 * report.valid_force_rmse:.3g} meV/Å"
        rate = 1.0 / report.seconds if report.epoch and report.seconds > 0 else None
        stage = "compiling" if report.status == "compiling" else "training"
        return JobProgress(report.epoch / report.epochs, stage, words, rate, "epochs/s")

    (learn, choose), atoms = map(len, sets), sets[0].num_atoms
    sizes = {"atoms": atoms, "frames": learn, "valid": choose, "epochs": settings.epochs}
    estimate = estimates.train(atoms, learn, choose, config, settings)
    return Task("train", title, estimate, work, describe, {**info, "sizes": sizes})


def _refit(
    network: Network, data: Dataset, options: Options, frames: int | None = None
) -> Estimate:
    elements = len(np.unique(data.atomic_numbers))
    return estimates.refit(network, data.num_atoms, frames or len(data), elements, options)


def _simulation(
    folder: Path, header: RunHeader, estimate: Estimate, work: Any
) -> Task[JobProgress, Path]:
    heads, replicas = header.shape
    steps = int(header.settings["steps"])
    sizes = {"atoms": header.num_atoms, "heads": heads, "replicas": replicas, "steps": steps}
    info = {"run": folder, "command": header.command, "sizes": sizes}
    return Task("simulate", header.title, estimate, work, info=info)


def _described(chunks: "Iterable[Chunk]") -> Generator[JobProgress, None, None]:
    """Progress of each chunk, without its arrays: the list of jobs would keep them in memory."""
    for chunk in chunks:
        done = max(0, chunk.step) if chunk.stage == "running" else 0
        yield JobProgress(
            min(1.0, done / chunk.steps),
            chunk.stage,
            f"step {done:,} of {chunk.steps:,}",
            chunk.steps_per_second or None,
            "steps/s",
            chunk.device,
        )


def _part(
    task: Task[JobProgress, Result],
    begin: float,
    end: float,
    cancel: threading.Event,
    report: Report,
) -> Generator[JobProgress, None, Result]:
    """A task as the part of a longer one from one share of its progress to another."""

    def scaled(item: JobProgress) -> JobProgress:
        """The progress as that of the whole."""
        return dataclasses.replace(item, fraction=begin + (end - begin) * item.fraction)

    work = task.work(cancel, lambda item: report(scaled(item)))
    while True:
        try:
            yield scaled(next(work))
        except StopIteration as stop:
            return stop.value
