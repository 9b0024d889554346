"""What an epoch adds to a training's progress: errors, the best so far, whether to go on."""

import math

from fisherdash.checkpoint import Checkpoint
from fisherdash.train.progress import Progress
from fisherdash.train.report import EpochReport, Status
from fisherdash.train.settings import TrainSettings
from fisherdash.train.step import LEARNING_UNIT, Sums


def errors_of(sums: Sums) -> dict[str, float]:
    """Errors on the validation frames in eV, eV/Å and, for the loss, eV²."""
    count = float(sums.frames)
    return {
        "valid_loss": float(sums.loss) / count * LEARNING_UNIT**2,
        "valid_force_rmse": math.sqrt(float(sums.force_squared) / count) * LEARNING_UNIT,
        "valid_force_mae": float(sums.force_absolute) / count * LEARNING_UNIT,
        "valid_energy_rmse": math.sqrt(float(sums.energy_squared) / count) * LEARNING_UNIT,
    }


def count_epoch(
    progress: Progress, sums: Sums, errors: dict[str, float], rate: float, seconds: float
) -> bool:
    """Enters an epoch into the progress; whether its weights are the best so far."""
    frames = float(sums.frames)
    train_force_rmse = math.sqrt(float(sums.force_squared) / frames) * LEARNING_UNIT
    progress.epoch += 1
    progress.seconds += seconds
    progress.history.append(
        {
            "epoch": progress.epoch,
            "train_loss": float(sums.loss) / frames * LEARNING_UNIT**2,
            "train_force_rmse": train_force_rmse,
            "learning_rate": rate,
            **errors,
        }
    )
    if _diverged(progress) or not errors["valid_loss"] < progress.best_loss:
        return False
    progress.best_loss, progress.best_epoch = errors["valid_loss"], progress.epoch
    progress.best_errors = {**errors, "train_force_rmse": train_force_rmse}
    return True


def status_after(progress: Progress, settings: TrainSettings) -> Status:
    """Whether a training goes on after the epoch that was counted last."""
    if _diverged(progress):
        return "diverged"
    if progress.epoch >= settings.epochs:
        return "finished"
    patience = settings.patience
    if patience is not None and progress.epoch - progress.best_epoch >= patience:
        return "stopped early"
    return "running"


def report_of(
    progress: Progress,
    settings: TrainSettings,
    status: Status,
    compile_seconds: float,
    checkpoint: Checkpoint | None,
    force_rms: float = math.nan,
) -> EpochReport:
    """The report on what has been counted so far."""
    epochs, epoch = settings.epochs, progress.epoch
    last = dict(progress.history[-1]) if progress.history else {}
    last.pop("epoch", None)
    per_epoch = progress.seconds / epoch if epoch else math.nan
    return EpochReport(
        epoch=epoch,
        epochs=epochs,
        status=status,
        seconds=per_epoch,
        seconds_left=per_epoch * (epochs - epoch) if epoch else None,
        compile_seconds=compile_seconds,
        best_epoch=progress.best_epoch,
        best_errors=dict(progress.best_errors),
        history=tuple(progress.history),
        checkpoint=checkpoint,
        force_rms=force_rms,
        **last,
    )


def _diverged(progress: Progress) -> bool:
    last = progress.history[-1]
    return not (math.isfinite(last["train_loss"]) and math.isfinite(last["valid_loss"]))
