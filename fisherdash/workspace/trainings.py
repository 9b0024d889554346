"""One folder a training, so that a killed program loses one epoch at most.

    training.json          header (fisherdash.workspace.headers), status, who writes it
    train.npz, valid.npz   the frames, until the training has ended
    state.npz              all that the next epoch depends on; the training itself writes it
    model.safetensors      the best network so far, never older than a few seconds
    history.csv            a row an epoch: losses in eV² and eV²/Å², errors in eV and eV/Å

When a training has ended or was stopped, its best network goes to the workspace's models. One that
was stopped can be resumed from its folder alone.
"""

import csv
import dataclasses
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fisherdash import dataset, storage
from fisherdash.dataset import Dataset
from fisherdash.errors import InputError
from fisherdash.workspace import listing, paths
from fisherdash.workspace.headers import TrainingHeader
from fisherdash.workspace.locks import FolderLock

if TYPE_CHECKING:
    from fisherdash.potentials.checkpoint import Checkpoint

STATE, MODEL, HISTORY = listing.TRAINING_STATE, "model.safetensors", "history.csv"
SETS = ("train.npz", "valid.npz")

SECONDS = 2.0
"""From one writing of network and history to the next; the state is written after every epoch."""

_ENDED = ("finished", "stopped early", "diverged")


class TrainingWriter:
    """Writes one training, epoch by epoch.

    Made by :func:`begin_training` or :meth:`UnfinishedTraining.go_on`; ``model`` is the file of the
    best network once the training has ended with one.
    """

    def __init__(self, folder: Path, header: TrainingHeader, lock: FolderLock) -> None:
        self.folder, self.header, self._lock = folder, header, lock
        self.model: Path | None = None
        self._saved_epoch, self._saved_at = 0, -float("inf")

    def record(self, reports: Iterable[Any]) -> Iterator[Any]:
        """Pass a training's reports on; the best network is stored before the last one is.

        InputError when the disk refuses; what was written before is kept.
        """
        status, report = "failed", None
        try:
            for report in reports:
                if report.status in ("compiling", "running"):
                    late = time.monotonic() - self._saved_at >= SECONDS
                    if late and report.epoch != self._saved_epoch:
                        self._keep(report)
                        self._saved_epoch, self._saved_at = report.epoch, time.monotonic()
                else:
                    self._end(report)
                    status = report.status
                    # Before the training removes its state, so that a kill never leaves neither.
                    self.header.write(self.folder, status)
                yield report
        except GeneratorExit:
            if report is not None:
                self._end(report)
            status = "cancelled"
            raise
        finally:
            try:
                self.header.write(self.folder, status)
            finally:
                self._lock.release()
        if status in _ENDED:
            for name in (*SETS, STATE):
                (self.folder / name).unlink(missing_ok=True)

    def _keep(self, report: Any) -> None:
        rows = list(report.history)
        with storage.replacing(self.folder / HISTORY) as part, part.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]) if rows else ["epoch"])
            writer.writeheader()
            writer.writerows(rows)
        if report.checkpoint is not None:
            _save(report.checkpoint, self.folder / MODEL)

    def _end(self, report: Any) -> None:
        self._keep(report)
        if report.checkpoint is not None:
            self.model = self._publish(report.checkpoint)

    def _publish(self, best: "Checkpoint") -> Path:
        """The best network among the workspace's models, under the name it had there before."""
        if self.folder.resolve().parent != paths.place("trainings"):
            return self.folder / MODEL
        path = paths.folder("checkpoints") / Path(self.header.model).name
        if self.header.model and self._is_ours(path):
            _save(best, path)
        else:
            name, write = self.header.name, lambda part: _save(best, part)
            path = paths.save_new("checkpoints", name, ".safetensors", write)
        self.header = dataclasses.replace(self.header, model=path.name, published=best.fingerprint)
        return path

    def _is_ours(self, path: Path) -> bool:
        """Whether the file was made by this training or does not exist."""
        if not path.exists() or not self.header.published:
            return True
        from fisherdash.potentials import checkpoint

        try:
            return checkpoint.load(path).fingerprint == self.header.published
        except InputError:
            return False


def state_file(folder: Path) -> Path:
    """File of everything that the next epoch depends on."""
    return folder / STATE


def _save(model: "Checkpoint", path: Path) -> None:
    from fisherdash.potentials import checkpoint

    checkpoint.save(model, path)


def begin_training(
    folder: Path, header: TrainingHeader, train_set: Dataset, valid_set: Dataset
) -> TrainingWriter:
    """Make a training's folder, with everything that is needed to resume it or not at all.

    InputError when something has its name already or the disk refuses.
    """
    sets = dict(zip(SETS, (train_set, valid_set), strict=True))
    facts: dict[str, Any] = {"source": train_set.source} | {
        name.removesuffix(".npz"): {"frames": len(data), "fingerprint": data.fingerprint}
        for name, data in sets.items()
    }
    header = dataclasses.replace(header, dataset=facts, number=listing.next_number(folder))
    with storage.new_folder(folder) as part:
        for name, data in sets.items():
            dataset.save(data, part / name)
        lock = FolderLock(part)
        header.write(part, "running")
    return TrainingWriter(folder, header, lock)


@dataclasses.dataclass(frozen=True, eq=False)
class UnfinishedTraining:
    """Everything that is needed to resume a training."""

    folder: Path
    header: TrainingHeader
    train_set: Dataset
    valid_set: Dataset

    @property
    def epoch(self) -> int:
        """Last epoch that is on disk."""
        return listing.epochs_done(self.folder)

    def go_on(self) -> TrainingWriter:
        """A writer for the rest; InputError when another process has begun with it."""
        lock = FolderLock(self.folder)
        try:
            storage.sweep(self.folder)
            self.header.write(self.folder, "running")
        except BaseException:
            lock.release()
            raise
        return TrainingWriter(self.folder, self.header, lock)


def unfinished_training(folder: Path) -> UnfinishedTraining:
    """Opens a training to resume it.

    Raises InputError, one sentence, for what is no training, is still being written, has come to
    its end, or lacks its frames.
    """
    header, fields = TrainingHeader.read(folder)
    header.check_idle(folder, fields)
    if fields.get("status") in _ENDED:
        raise InputError(f"the training in {folder} has come to its end: {fields['status']}")
    sets = [dataset.load(folder / name) for name in SETS]
    return UnfinishedTraining(folder, header, *sets)
