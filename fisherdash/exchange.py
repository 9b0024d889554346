"""Work between this program's files and those of others: import, convert, export, judge.

Tasks as those of :mod:`fisherdash.tasks`: each says beforehand what it will take, passes the gate,
and holds its outputs while it writes them.
"""

import itertools
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fisherdash import storage
from fisherdash.dataset import Dataset
from fisherdash.errors import InputError
from fisherdash.settings import ImportSettings, OutsideSettings, TutorialSettings
from fisherdash.settings.data import Energy
from fisherdash.tasks import Report, Task
from fisherdash.workspace import Run, estimates, limits
from fisherdash.workspace.jobs import JobProgress

if TYPE_CHECKING:
    from fisherdash.potentials.checkpoint import Checkpoint
    from fisherdash.potentials.foreign import Imported
    from fisherdash.potentials.native import Native

_FEW_FILES = 2000
"""Files and folders in one of NeuroChem."""
_HEADER = 20_000
"""Bytes of a checkpoint without weights of its own."""


def import_model(
    path: Path, settings: ImportSettings, outside: OutsideSettings, out: Path
) -> "Task[JobProgress, Imported]":
    """A model of another program becomes a checkpoint; the result says what was found.

    Nothing in the file is run, unless ``outside`` names a Python whose library may open it.
    """

    def work(cancel: threading.Event, report: Report) -> Any:
        """Read, probe and save the model."""
        from fisherdash.potentials import checkpoint, foreign
        from fisherdash.potentials.worker import importing

        yield JobProgress(0.0, "importing", path.name)
        if outside == OutsideSettings():
            imported = foreign.load(path, settings, name=out.stem)
        else:
            imported = importing.load(path, settings, outside, name=out.stem)
        if cancel.is_set():
            return None
        checkpoint.save(imported.checkpoint, out)
        return imported

    from fisherdash.potentials import inert
    from fisherdash.potentials.worker import trusted

    most = inert.MOST_BYTES if outside == OutsideSettings() else trusted.MOST_BYTES
    estimate = estimates.reading(_size(path, most))
    return Task("import", path.name, estimate, work, info={"out": out}, keeps=False)


def import_calculator(which: str, out: Path) -> "Task[JobProgress, Checkpoint]":
    """GFN2-xTB, or the ASE calculator ``module:object``, becomes a checkpoint, the result."""

    def work() -> Any:
        """Find the calculator and save the checkpoint that names it."""
        from fisherdash.potentials import checkpoint, foreign

        model = foreign.calculator(which, name=out.stem)
        checkpoint.save(model, out)
        return model

    estimate = estimates.reading(_HEADER)
    return _in_one_step("import", which, estimate, {"out": out}, "importing", work)


def convert(path: Path, settings: TutorialSettings, out: Path) -> "Task[JobProgress, Checkpoint]":
    """Parameters of the public E3x tutorial become a checkpoint, the result."""
    from fisherdash.potentials import checkpoint

    def work() -> Any:
        """Read the parameters and save the checkpoint."""
        from fisherdash.potentials.e3x import tutorial

        try:
            data = storage.content(path, checkpoint.MAX_BYTES)
        except OSError as error:
            raise InputError(f"cannot read {str(path)!r}: {error.strerror}") from error
        model = tutorial.load_bytes(data, **settings.to_json(), name=out.stem)
        checkpoint.save(model, out)
        return model

    estimate = estimates.reading(_size(path, checkpoint.MAX_BYTES))
    return _in_one_step("import", path.name, estimate, {"out": out}, "converting", work)


def write_back(
    model: "Checkpoint", original: Path, out: Path, unit: Energy | None = None
) -> "Task[JobProgress, Native]":
    """The head of a checkpoint goes into a copy of the file or folder that was imported."""

    def work() -> Any:
        """Write the file and read it again."""
        from fisherdash.potentials import native

        return native.write(model, original, out, unit)

    from fisherdash.potentials.worker import trusted

    estimate = estimates.writing_back(_size(original, trusted.MOST_BYTES))
    return _in_one_step("export", out.name, estimate, {"out": out}, "writing", work)


def write_torch_head(model: "Checkpoint", out: Path) -> "Task[JobProgress, Native]":
    """A head of a model that a library of torch evaluates goes out as a module, in a new folder."""

    def work() -> Any:
        """Write the folder and test it on the library's model."""
        from fisherdash.potentials import native

        return native.write_torch_head(model, out)

    estimate = estimates.writing_back(8 * model.head.size)
    return _in_one_step("export", out.name, estimate, {"out": out}, "writing", work)


def export_run(
    run: Run, out: Path, parts: Callable[[], Iterable[bytes]]
) -> "Task[JobProgress, int]":
    """What is made of a run goes into a file; the result is its bytes.

    Args:
        run: must have frames.
        out: the file.
        parts: gives its content, piece by piece.
    """

    def work() -> int:
        """Write the file piece by piece; its bytes."""
        with storage.replacing(out) as part, Path(part).open("wb") as file:
            return sum(file.write(block) for block in parts())

    heads, replicas = run.header.shape
    shown = 1 if out.suffix == ".xyz" else heads
    estimate = estimates.exported(len(run.times), run.header.num_atoms, heads * replicas, shown)
    return _in_one_step("export", out.name, estimate, {"out": out}, "writing", work)


def judge(run: Run, data: Dataset, calculator: str | None = None) -> "Task[JobProgress, None]":
    """The survivors' last frames by the potential that labelled the data, kept with the run."""

    def work() -> None:
        """Evaluate the survivors' last frames and keep the energies."""
        from fisherdash import recordings

        recordings.judge_survivors(run, data, calculator)

    heads, replicas = run.header.shape
    estimate = estimates.judged(heads, replicas, run.header.num_atoms)
    return _in_one_step("judge", run.id, estimate, {"run": run.folder}, "judging", work)


def _in_one_step(
    kind: Any,
    subject: str,
    estimate: Any,
    info: dict[str, Any],
    stage: str,
    call: Callable[[], Any],
) -> "Task[JobProgress, Any]":
    """A task that says what it is about and then does it whole."""

    def work(cancel: threading.Event, report: Report) -> Any:
        """Say what it is about, then do it."""
        yield JobProgress(0.0, stage, subject)
        return call()

    return Task(kind, subject, estimate, work, info=info, keeps=False)


def _size(path: Path, most: int) -> int:
    """Bytes of a file or a folder, behind links; InputError for more than a model has.

    Of a folder no more files are looked at than one of NeuroChem has: it may be that of a disk.
    """
    real = path.resolve()
    files = real.rglob("*") if real.is_dir() else [real]
    few = [one for one in itertools.islice(files, _FEW_FILES) if not one.is_dir()]
    size = sum(limits.size_of(one) for one in few)
    if size > most:
        raise InputError(f"{path.name} has {size} bytes; a model has at most {most}")
    return size
