"""Work of the workspace, put into the user's queue by a page.

Each function chooses a path in the workspace for what a task of :mod:`fisherdash.tasks` makes,
writes down the same as a shell command, and returns the job. InputError where the gate does not
let it begin (:mod:`fisherdash.workspace.limits`). A job that has to wait is written down too, and
:func:`put_back` asks for it again after a restart:

    waiting/PROCESS/NUMBER.json    what one job was asked to do, until it begins or is cancelled
    waiting/PROCESS/writer.lock    held while the process lives

Each user has such a folder. What a process that has ended left behind is taken over by the next one
that asks (:func:`_left_behind`).
"""

import contextlib
import functools
import inspect
import json
import threading
import uuid
from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec

from fisherdash import dataset as datasets
from fisherdash import exchange, storage, tasks
from fisherdash import settings as declared
from fisherdash.dataset import Dataset
from fisherdash.errors import InputError
from fisherdash.settings import (
    ImportSettings,
    LandscapeSettings,
    MDSettings,
    ModelConfig,
    Options,
    OutsideSettings,
    SampleSettings,
    Settings,
    SplitSettings,
    TrainSettings,
    shell_command,
)
from fisherdash.workspace import Run, headers, jobs, limits, locks, paths, runs, trainings, users
from fisherdash.workspace.headers import TrainingHeader, new_identity
from fisherdash.workspace.jobs import Job, JobProgress

if TYPE_CHECKING:
    from fisherdash.analysis.drift import Cause
    from fisherdash.fisher import Refit
    from fisherdash.potentials.checkpoint import Checkpoint

Given = ParamSpec("Given")

_SETTINGS: dict[str, type[Settings]] = {
    name: one
    for name, one in vars(declared).items()
    if isinstance(one, type) and issubclass(one, Settings)
}
"""Every declaration of settings by its name: what is written down of one says which it is."""
_READ_AGAIN = ("data", "model", "models")
"""Arguments that are read from their files, ``data_path`` and so on, when a job is put back."""

PUTTING_BACK = "putting back"
"""Name of the thread that does."""

_functions: dict[str, Callable[..., Job]] = {}
_looked: set[str] = set()
_lock = threading.Lock()


def _put_back_if_it_waits(function: Callable[Given, Job]) -> Callable[Given, Job]:
    """Write down what was asked for, for as long as the job waits."""

    @functools.wraps(function)
    def submitting(*args: Given.args, **kwargs: Given.kwargs) -> Job:
        """Submit, and write down what was asked for."""
        job = function(*args, **kwargs)
        given = inspect.signature(function).bind(*args, **kwargs).arguments
        written = {name: _written(one) for name, one in given.items() if name not in _READ_AGAIN}
        _write_down(job, {"what": function.__name__, "title": job.title, "given": written})
        return job

    _functions[function.__name__] = submitting
    return submitting


@_put_back_if_it_waits
def sample(molecule: str, settings: SampleSettings, structure: Path | None = None) -> Job:
    """Make a data set of a molecule, or of what a structure file holds."""
    from fisherdash import reference

    atoms = reference.molecule(structure or molecule)
    name = f"{paths.safe_stem(molecule)}_{settings.temperature:g}K"
    out = paths.new_path("datasets", name, ".npz")
    title = f"{molecule}, {settings.frames} frames at {settings.temperature:g} K"
    command = shell_command("sample", structure or molecule, settings, out=out)
    return tasks.sample(atoms, out, settings, title).submit(command=command)


@_put_back_if_it_waits
def training(
    data_path: Path,
    data: Dataset,
    config: ModelConfig,
    settings: TrainSettings,
    *,
    split: SplitSettings,
    name: str,
) -> Job:
    """Train; the result is the best network's file, None when there was none yet.

    All that going on needs is in the training's folder within seconds. InputError when there are
    not so many frames.
    """
    sets = datasets.split(data, *split.counts(len(data)), settings.seed)
    folder = paths.new_path("trainings", name, "")
    out = paths.place("checkpoints") / f"{folder.name}.safetensors"
    header = TrainingHeader(
        title=f"{folder.name}: {len(sets[0])} frames, {settings.epochs} epochs",
        name=folder.name,
        config=config.to_json(),
        settings=settings.to_json(),
        command=shell_command("train", data_path, split, config, settings, out=out),
        identity=new_identity(),
    )
    task = tasks.train_in(
        folder, header, sets, lambda: trainings.begin_training(folder, header, *sets)
    )
    return task.submit(command=header.command)


@_put_back_if_it_waits
def refit(
    model_path: Path, data_path: Path, model: "Checkpoint", data: Dataset, options: Options
) -> Job:
    """Re-fit the last layer; the result is the Refit."""
    out = paths.new_path("checkpoints", paths.refit_name(model_path.stem), ".safetensors")
    task = tasks.solve(model, data, options, out, f"{model_path.stem} on {data_path.stem}")
    command = shell_command("solve", model_path, data_path, options, options.stability, out=out)
    return task.submit(checkpoint=model_path, data=data_path, command=command)


@_put_back_if_it_waits
def curve(
    model_path: Path, data_path: Path, model: "Checkpoint", data: Dataset, options: Options
) -> Job:
    """Re-fits to more and more frames; the result is the LearningCurve."""
    task = tasks.curve(model, data, options, title=f"{model_path.stem} on {data_path.stem}")
    command = shell_command("curve", model_path, data_path, options)
    return task.submit(checkpoint=model_path, data=data_path, command=command)


@_put_back_if_it_waits
def import_model(path: Path, settings: ImportSettings, outside: OutsideSettings) -> Job:
    """Import a model that its own library opens; the result says what was found.

    InputError on a shared server, and without the user's word that the file may be opened.
    """
    from fisherdash.potentials.worker import importing

    importing.check(path, outside)
    out = paths.new_path("checkpoints", paths.safe_stem(path.stem), ".safetensors")
    command = shell_command("import", path, settings, outside, out=out)
    return exchange.import_model(path, settings, outside, out).submit(command=command)


def keep_head(refit: "Refit") -> Path:
    """Save the head of another point of the ridge path; its file."""
    from fisherdash.potentials import checkpoint

    name = f"{refit.checkpoint.name}-{refit.ridge:.0e}"
    out = paths.new_path("checkpoints", name, ".safetensors")
    checkpoint.save(refit.checkpoint, out)
    return out


@_put_back_if_it_waits
def simulation(
    model_paths: Mapping[str, Path],
    data_path: Path,
    models: "Mapping[str, Checkpoint]",
    data: Dataset,
    settings: MDSettings,
) -> Job:
    """Simulate."""
    folder = paths.new_path("runs", paths.run_name(list(model_paths)), "")
    files = model_paths.values()
    command = shell_command("simulate", *files, settings, data=data_path, out=folder)
    return tasks.simulate(models, data, settings, folder, command=command).submit()


@_put_back_if_it_waits
def finer(run: Run, data_path: Path, data: Dataset, cause: "Cause") -> Job:
    """Run the heads of ``run`` from the same initial states of its data, with less of ``cause``."""
    before = MDSettings.from_json(run.header.settings)
    if cause == "time step":
        settings, mark, words = before.halved(), "half-step", "at half the time step"
    else:
        settings, mark, words = before.in_double(), "float64", "in double precision"
    models = runs.kept_models(run.folder, run.header)
    folder = paths.new_path("runs", f"{run.id}-{mark}", "")
    files = [run.folder / headers.MODEL.format(number) for number in range(len(models))]
    command = shell_command("simulate", *files, settings, data=data_path, out=folder)
    roles = dict(zip(run.header.names, run.header.roles, strict=True))
    title = f"{run.header.title}, {words}"
    task = tasks.simulate(models, data, settings, folder, command=command, title=title, roles=roles)
    return task.submit()


@_put_back_if_it_waits
def resumption(folder: Path) -> Job:
    """Resume a stopped run or training; InputError when it cannot be."""
    task = (
        tasks.resume_training(folder)
        if tasks.is_training(folder)
        else tasks.resume_simulation(folder)
    )
    return task.submit(command=shell_command("resume", folder))


@_put_back_if_it_waits
def demo(model_path: Path, data_path: Path, settings: MDSettings) -> Job:
    """Load, re-fit and simulate in one job, see :func:`fisherdash.tasks.demo`."""
    folder = paths.new_path("runs", "demo", "")
    out = paths.new_path("checkpoints", paths.refit_name(model_path.stem), ".safetensors")
    return tasks.demo(model_path, data_path, settings, folder, out).submit()


@_put_back_if_it_waits
def evaluation(
    model_paths: Sequence[Path], data_path: Path, models: "Mapping[str, Checkpoint]", data: Dataset
) -> Job:
    """Errors of several models on the same frames."""
    task = tasks.evaluate(models, data, _models_on(models, data_path))
    commands = (shell_command("evaluate", path, data_path) for path in model_paths)
    return task.submit(command="\n".join(commands))


@_put_back_if_it_waits
def landscape(
    model_paths: Sequence[Path],
    data_path: Path,
    models: "Mapping[str, Checkpoint]",
    data: Dataset,
    settings: LandscapeSettings,
) -> Job:
    """The loss around several models."""
    task = tasks.landscape(models, data, settings, title=_models_on(models, data_path))
    out = Path("landscape.npz")
    return task.submit(
        command=shell_command("landscape", *model_paths, settings, data=data_path, out=out)
    )


def _models_on(models: "Mapping[str, Checkpoint]", data_path: Path) -> str:
    return f"{len(models)} model{'s' if len(models) != 1 else ''} on {data_path.stem}"


def study(text: str, data_folder: Path) -> Job:
    """Begin a study of data in a folder; InputError for a wrong specification or its data."""
    from fisherdash.study import prepare_study, read_spec

    spec = read_spec(text, data_folder, inside=data_folder)
    folder = paths.new_path("studies", spec.title, "")
    prepare_study(spec, folder)
    try:
        return rest_of_study(folder)
    except InputError:
        storage.remove_folder(folder)  # what is not to be done leaves nothing behind
        raise


@_put_back_if_it_waits
def rest_of_study(folder: Path) -> Job:
    """Do what is left of a study of the workspace, on its own copies of the data."""
    from fisherdash.study import read_begun
    from fisherdash.study.plan import SPEC_FILE

    # In this process: it has the device, and its queue keeps jobs from getting in their way.
    command = shell_command("study", folder / SPEC_FILE, out=folder)
    return tasks.study(read_begun(folder), folder, workers=0).submit(command=command)


def models_left(folder: Path) -> int:
    """How many models of a study are unfinished."""
    from fisherdash.study import open_plan, read_progress

    state = read_progress(folder, open_plan(folder))
    return state.models - state.done - state.failed


def job_in(folder: Path) -> Job | None:
    """The latest job that writes this folder of a run, a training or a study; None without one."""
    return next((job for job in jobs.every() if folder in job.info.values()), None)


def put_back() -> None:
    """Ask again, in the background, for what waited when the last server stopped.

    Once for each user of a process. What cannot be asked for again is a failed job, which says why.
    """
    user = users.current()
    with _lock:
        if user in _looked:
            return
        _looked.add(user)
    threading.Thread(target=_put_back, args=(user,), name=PUTTING_BACK, daemon=True).start()


def _put_back(user: str) -> None:
    with users.acting_for(user), limits.agreed():
        for asked in _left_behind():
            try:
                _ask_again(asked)
            except InputError as error:
                sentence = f"this waited when the server was stopped, and cannot be begun: {error}"
                jobs.submit("again", str(asked.get("title")), functools.partial(_refuse, sentence))


def _ask_again(asked: Mapping[str, Any]) -> Job:
    from fisherdash.potentials import checkpoint

    if asked.get("what") not in _functions or not isinstance(asked.get("given"), dict):
        raise InputError("what is written down about it is damaged")
    function = _functions[asked["what"]]
    given = {name: _read(value) for name, value in asked["given"].items()}
    wanted = inspect.signature(function).parameters
    if "data" in wanted:
        given["data"] = datasets.load(given["data_path"])
    if "model" in wanted:
        given["model"] = checkpoint.load(given["model_path"])
    if "models" in wanted:
        files = given["model_paths"]
        named = files.items() if isinstance(files, dict) else ((one.stem, one) for one in files)
        given["models"] = {name: checkpoint.load(path) for name, path in named}
    return function(**given)


def _refuse(sentence: str, cancel: threading.Event) -> Generator[JobProgress, None, None]:
    yield JobProgress(0.0, "reading")
    raise InputError(sentence)


def _written(value: Any) -> Any:
    """An argument as JSON; :func:`_read` is the inverse."""
    if isinstance(value, Path):
        return {"path": str(value)}
    if isinstance(value, Run):
        return {"run": str(value.folder)}
    if isinstance(value, Settings):
        return {"settings": type(value).__name__, "fields": value.to_json()}
    if isinstance(value, Mapping):
        return {"mapping": {str(name): _written(one) for name, one in value.items()}}
    if isinstance(value, (list, tuple)):
        return [_written(one) for one in value]
    return value


def _read(value: Any) -> Any:
    match value:
        case {"path": str(path)}:
            return Path(path)
        case {"run": str(folder)}:
            return runs.open_run(Path(folder))
        case {"settings": str(name), "fields": fields} if name in _SETTINGS:
            return _SETTINGS[name].from_json(fields)
        case {"mapping": dict(found)}:
            return {name: _read(one) for name, one in found.items()}
        case list(found):
            return [_read(one) for one in found]
        case _:
            return value


_NOTE_VERSION = 1

_LARGEST = 10_000_000
"""Bytes of what is written down of one job; a study of that size has a specification of 1 MB."""

_PROCESS = uuid.uuid4().hex
_held: dict[Path, locks.FolderLock] = {}


def _write_down(job: Job, what: dict[str, Any]) -> None:
    """Keep what a job was asked to do, JSON-able, for as long as it waits."""
    if job.status != "queued":
        return
    with contextlib.suppress(InputError):  # a disk that is full costs the note, not the job
        path = _own_folder() / f"{job.id}.json"
        with storage.telling(path), storage.replacing(path) as part:
            part.write_text(json.dumps({"version": _NOTE_VERSION, **what}), encoding="utf-8")
        job.when_no_longer_waiting(lambda: path.unlink(missing_ok=True))


def _left_behind() -> list[dict[str, Any]]:
    """What waited in processes that have ended, oldest first; each is given to one caller only."""
    home, found = paths.place("waiting"), []
    with _lock:
        for folder in sorted(home.iterdir()) if home.is_dir() else []:
            if folder.is_dir() and folder not in _held and not locks.is_locked(folder, None):
                found += _taken_over(folder)
    return [fields for _, _, fields in sorted(found, key=lambda one: one[:2])]


def _taken_over(folder: Path) -> list[tuple[int, str, dict[str, Any]]]:
    """Time, name and fields of each note in a folder, which is removed."""
    try:
        lock = locks.FolderLock(folder)
    except InputError:
        return []  # of two that were started together, the other has it
    found = []
    try:
        for path in folder.glob("[!.]*.json"):
            with contextlib.suppress(OSError, ValueError, RecursionError):
                fields = json.loads(storage.content(path, _LARGEST))
                if isinstance(fields, dict) and fields.pop("version", 0) == _NOTE_VERSION:
                    found.append((path.stat().st_mtime_ns, path.name, fields))
        with contextlib.suppress(InputError):
            storage.remove_folder(folder)
    finally:
        lock.release()
    return found


def _own_folder() -> Path:
    folder = paths.folder("waiting") / _PROCESS
    with _lock:
        if folder not in _held:
            _held[folder] = locks.FolderLock(storage.made(folder))
    return folder
