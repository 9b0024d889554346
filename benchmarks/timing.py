"""Timing two functions fairly: alternating, after a warm-up, medians over the rounds."""

import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple


class Result(NamedTuple):
    """Speeds in ``unit`` (higher is better); the ratio is the median over the rounds."""

    ours: float
    peer: float
    ratio: float
    unit: str


def race(
    ours: Callable[[], Any], peer: Callable[[], Any], *, work: float, unit: str, rounds: int = 7
) -> Result:
    """Run both in turn; ``work`` is what one call does, in the unit's numerator.

    The two alternate and the ratio is taken round by round, so that a machine that slows down
    slows both. The first call of each compiles and is not counted.
    """
    ours()
    peer()
    pairs = [(_seconds(ours), _seconds(peer)) for _ in range(rounds)]
    return Result(
        ours=statistics.median(work / one for one, _ in pairs),
        peer=statistics.median(work / other for _, other in pairs),
        ratio=statistics.median(other / one for one, other in pairs),
        unit=unit,
    )


def _seconds(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
