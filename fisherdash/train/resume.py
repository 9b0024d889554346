"""Going on with a training from what its folder says, without the page or command that began it."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fisherdash.dataset import Dataset
from fisherdash.errors import InputError
from fisherdash.model import ModelConfig
from fisherdash.train.loop import train
from fisherdash.train.report import EpochReport
from fisherdash.train.settings import TrainSettings


def resume(
    header: Any,
    train_set: Dataset,
    valid_set: Dataset,
    state_file: Path,
    *,
    cancel: threading.Event | None = None,
) -> Iterator[EpochReport]:
    """The rest of a training, bit for bit as if it had never stopped (on the same kind of device).

    Args:
        header: of the training: ``config`` and ``settings`` as JSON, and its ``name``.
        train_set: frames to learn from.
        valid_set: frames that choose the weights to keep.
        state_file: where the training keeps its state; begun anew if there is none yet.
        cancel: set it to stop; the last report then carries the best weights so far.

    Raises:
        InputError: settings that this program does not know, or a state of another training.
    """
    try:
        config, settings = ModelConfig.from_json(header.config), TrainSettings(**header.settings)
    except TypeError as error:
        raise InputError(f"the training has settings that are not known here: {error}") from error
    return train(
        config,
        train_set,
        valid_set,
        settings,
        name=header.name,
        cancel=cancel,
        state_file=state_file,
        resume=state_file.exists(),
    )
