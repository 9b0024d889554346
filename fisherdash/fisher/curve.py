"""Learning curve of a re-fit: its error on other frames against the number of frames it was given.

Frames are drawn at random, each draw's smaller sets within its larger ones, and every set is
re-fitted from the start with the same settings. The test frames are none of them.
"""

import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from jaxtyping import Bool

from fisherdash.dataset import Dataset
from fisherdash.errors import InputError
from fisherdash.fisher.solve import solve
from fisherdash.monitor import UNWATCHED, Monitor
from fisherdash.potentials.evaluate import evaluate
from fisherdash.settings import Options

if TYPE_CHECKING:
    from fisherdash.potentials.checkpoint import Checkpoint

DRAWS: Final = 3
FEWEST: Final = 10
"""Frames of the smallest set; each next one has twice as many."""
TEST_SHARE: Final = 0.2
MOST_TEST: Final = 1000


@dataclasses.dataclass(frozen=True)
class Point:
    """Sets of one size.

    Attributes:
        frames: of each set.
        errors: force RMSE on the test frames of each draw, eV/Å.
        kept: how many draws kept the default head.
    """

    frames: int
    errors: tuple[float, ...]
    kept: int

    @property
    def median(self) -> float:
        """Over the draws."""
        return float(np.median(self.errors))


@dataclasses.dataclass(frozen=True)
class LearningCurve:
    """What a re-fit makes of more and more frames.

    Attributes:
        default: force RMSE of the default head on the test frames, eV/Å.
        test_frames: how many there are.
        seen: how many of these the network was trained on.
        points: by rising number of frames; the largest set is of one draw, all that there is.
    """

    default: float
    test_frames: int
    seen: int
    points: tuple[Point, ...]

    def to_json(self) -> dict[str, Any]:
        """What ``fisherdash curve --json`` prints."""
        return {
            "test_frames": self.test_frames,
            "test_frames_trained_on": self.seen,
            "default_force_rmse_eV_per_A": self.default,
            "curve": [
                {
                    "frames": one.frames,
                    "force_rmse_eV_per_A": one.median,
                    "lowest": min(one.errors),
                    "highest": max(one.errors),
                    "draws": len(one.errors),
                    "kept_default": one.kept,
                }
                for one in self.points
            ],
        }


def sizes(frames: int) -> list[int]:
    """10, 20, 40, … below the number of frames, and that number itself."""
    found = []
    size = FEWEST
    while size < 0.75 * frames:  # a last step of less says nothing
        found.append(size)
        size *= 2
    return [*found, frames]


def parts(
    data: Dataset, seed: int, seen: Bool[np.ndarray, " frames"]
) -> tuple[Dataset, Dataset, int]:
    """Frames to fit, frames to test, and how many of these are ``seen``, where no others are given.

    Frames that the network was trained on are tested only where there are not enough others.

    Raises:
        InputError: with fewer than 25 frames.
    """
    least = 25
    if len(data) < least:
        raise InputError(
            f"a learning curve needs at least {least} frames, or frames to test on in another "
            f"file; received {len(data)}"
        )
    order = np.random.default_rng(seed).permutation(len(data))
    order = order[np.argsort(seen[order], kind="stable")]
    tested = min(MOST_TEST, round(TEST_SHARE * len(data)))
    fit, test = np.sort(order[tested:]), np.sort(order[:tested])
    return data.subset(fit), data.subset(test), int(seen[test].sum())


def learning_curve(
    model: "Checkpoint",
    data: Dataset,
    test: Dataset,
    options: Options,
    seen: int = 0,
    monitor: Monitor = UNWATCHED,
) -> Iterator[LearningCurve]:
    """The curve as far as it has come, after every re-fit.

    Args:
        model: to be re-fitted.
        data: frames to draw from.
        test: frames that are not fitted.
        options: of every re-fit; its seed is that of the draws.
        seen: test frames that the network was trained on.
        monitor: ends the curve after the re-fit that is at work; it is told nothing.

    Raises:
        InputError: for settings that label frames, and for what a re-fit refuses.
    """
    if options.labels:
        raise InputError("a learning curve takes the data's own labels; leave new labels out")
    default = evaluate(model, test).force_rmse
    orders = [
        np.random.default_rng([options.seed, draw]).permutation(len(data)) for draw in range(DRAWS)
    ]
    points: list[Point] = []
    for size in sizes(len(data)):
        errors: list[float] = []
        kept = 0
        for order in orders if size < len(data) else orders[:1]:
            if monitor.cancelled:
                return
            chosen = data.subset(np.sort(order[:size]))
            refit = solve(model, chosen, options, monitor=monitor.silent)
            errors.append(evaluate(refit.checkpoint, test).force_rmse)
            kept += int(np.isinf(refit.ridge))
            now = Point(size, tuple(errors), kept)
            yield LearningCurve(default, len(test), seen, (*points, now))
        points.append(now)
