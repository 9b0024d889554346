"""Timing two functions fairly: alternating, after a warm-up, medians over the rounds."""

import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple


class Result(NamedTuple):
    """Medians over the rounds, in ``unit``.

    The ratio says how many times faster we are where the unit is a speed; where it is a time that
    is compared with a bare minimum, how many times longer. ``spread`` is half the distance between
    the lowest and the highest ratio of a round.
    """

    ours: float
    peer: float
    ratio: float
    unit: str
    spread: float = 0.0


def race(
    ours: Callable[[], Any],
    peer: Callable[[], Any],
    *,
    work: float,
    unit: str,
    peer_work: float | None = None,
    rounds: int = 7,
) -> Result:
    """Speeds of both, run in turn; the ratio is that of the speeds.

    The two alternate and the ratio is taken round by round, so that a machine that slows down
    slows both. The first call of each compiles and is not counted.

    Args:
        ours: a call that ends when its work is done.
        peer: likewise.
        work: what one call of ours does, in the unit's numerator.
        unit: of the speeds.
        peer_work: what one call of the peer does, where it is not the same.
        rounds: calls of each.
    """
    pairs = _times(ours, peer, rounds)
    other_work = work if peer_work is None else peer_work
    return _result([(work / one, other_work / other) for one, other in pairs], unit)


def compare_times(ours: Callable[[], Any], peer: Callable[[], Any], *, rounds: int = 7) -> Result:
    """Seconds of both, run in turn; the ratio is how many times longer ours takes."""
    return _result(_times(ours, peer, rounds), "s")


def _times(
    ours: Callable[[], Any], peer: Callable[[], Any], rounds: int
) -> list[tuple[float, float]]:
    ours()
    peer()
    return [(seconds(ours), seconds(peer)) for _ in range(rounds)]


def _result(pairs: list[tuple[float, float]], unit: str) -> Result:
    ratios = [one / other for one, other in pairs]
    return Result(
        ours=statistics.median(one for one, _ in pairs),
        peer=statistics.median(other for _, other in pairs),
        ratio=statistics.median(ratios),
        unit=unit,
        spread=(max(ratios) - min(ratios)) / 2,
    )


def seconds(call: Callable[[], Any]) -> float:
    """How long one call takes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
