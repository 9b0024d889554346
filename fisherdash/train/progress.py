"""What a training has reached: kept between epochs and, so that it can go on later, on disk.

The file is an npz of plain arrays with a JSON header, written atomically. It holds everything that
the next epoch depends on, so a training that was stopped and resumed takes the same steps.
"""

import dataclasses
import json
import math
import zipfile
from pathlib import Path
from typing import Any

import jax
import numpy as np

from fisherdash import disk
from fisherdash.errors import InputError
from fisherdash.train.step import Params, State

FORMAT_VERSION = 3


@dataclasses.dataclass
class Progress:
    """Mutable state of a training between two epochs.

    Attributes:
        state: parameters, their average, optimiser and step counter, on the device.
        epoch: epochs done.
        best: parameters with the lowest validation loss so far.
        best_epoch: when that was.
        best_loss: the validation loss then.
        best_errors: errors of the best parameters, by name.
        seconds: time spent in epochs, compilation not counted.
        history: a row of numbers per epoch, JSON-able.
    """

    state: State
    best: Params
    epoch: int = 0
    best_epoch: int = 0
    best_loss: float = math.inf
    best_errors: dict[str, float] = dataclasses.field(default_factory=dict)
    seconds: float = 0.0
    history: list[dict[str, float]] = dataclasses.field(default_factory=list)

    def save(self, path: Path, fixed: dict[str, Any]) -> None:
        """Writes everything to ``path``, whole or not at all.

        Args:
            path: the file.
            fixed: what a resumed training must agree with.

        Raises:
            InputError: if the disk refuses; the state of the epoch before stays.
        """
        header = {
            "version": FORMAT_VERSION,
            "fixed": fixed,
            "epoch": self.epoch,
            "best_epoch": self.best_epoch,
            "best_loss": self.best_loss,
            "best_errors": self.best_errors,
            "seconds": self.seconds,
            "history": self.history,
        }
        leaves = jax.tree.leaves((self.state, self.best))
        arrays: dict[str, Any] = {f"leaf_{i}": np.asarray(leaf) for i, leaf in enumerate(leaves)}
        with disk.replacing(path) as part, part.open("wb") as file:
            np.savez(file, allow_pickle=False, header=np.array(json.dumps(header)), **arrays)

    @classmethod
    def load(cls, path: Path, fixed: dict[str, Any], fresh: "Progress") -> "Progress":
        """Reads what :meth:`save` wrote.

        Args:
            path: the file.
            fixed: settings that must be those of the file.
            fresh: a progress of the same network, for the structure and the shapes.

        Raises:
            InputError: if the file is missing, damaged, or from another training.
        """
        leaves, structure = jax.tree.flatten((fresh.state, fresh.best))
        names = ("epoch", "best_epoch", "best_loss", "best_errors", "seconds", "history")
        try:
            with np.load(path, allow_pickle=False) as file:
                header = json.loads(str(file["header"]))
                _check_version(path, header["version"])
                agreed, numbers = dict(header["fixed"]), {name: header[name] for name in names}
                loaded = [file[f"leaf_{index}"] for index in range(len(leaves))]
        except InputError:
            raise
        except FileNotFoundError as error:
            raise InputError(f"there is no interrupted training to go on with: {path}") from error
        except (OSError, EOFError, KeyError, TypeError, ValueError, zipfile.BadZipFile) as error:
            raise InputError(f"{path} does not hold an interrupted training: {error}") from error
        for key, value in fixed.items():
            if agreed.get(key) != value:
                raise InputError(
                    f"cannot resume with another {key}: the interrupted training had "
                    f"{agreed.get(key)!r}, received {value!r}"
                )
        if any(
            a.shape != b.shape or a.dtype != b.dtype for a, b in zip(loaded, leaves, strict=True)
        ):
            raise InputError(f"the arrays in {path} do not fit the network")
        state, best = jax.tree.unflatten(structure, [jax.numpy.asarray(a) for a in loaded])
        return cls(state, best, **numbers)


def _check_version(path: Path, version: object) -> None:
    if version != FORMAT_VERSION:
        raise InputError(
            f"{path} is version {version!r} of an interrupted training; this program goes on with "
            f"version {FORMAT_VERSION}, so train anew or go on with the program that wrote it"
        )
