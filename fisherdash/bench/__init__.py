"""Benchmarks: each one runs its peer in the same process (or back to back), on the same input.

``fisherdash bench`` runs them and prints one key a benchmark. The peers are what the public E3x
tutorial and the published report do: E3x's own modules, ASE's integrator, a plain training step.
Every benchmark is a function without arguments that returns a :class:`Result`.

Two functions are timed fairly: alternating, after a warm-up, medians over the rounds.
"""

import statistics
import time
from collections.abc import Callable
from importlib import import_module
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


_PLACES = {
    "forces_batch64": "network.batch64",
    "forces_single": "network.single",
    "forces_large": "network.large",
    "train_step": "network.train_step",
    "solve_forces": "network.solve_forces",
    "solve_laplacian": "network.solve_laplacian",
    "solve_quadratic": "network.solve_quadratic",
    "nve_ase": "dynamics.nve_ase",
    "nve_jax_md": "dynamics.nve_jax_md",
    "nve_overhead": "dynamics.nve_overhead",
    "nve_quadratic": "dynamics.nve_quadratic",
    "warm_start": "network.warm_start",
    "matrix_product": "inputs.matrix_product",
}

WANTED = {
    "forces_batch64": 6.0,
    "forces_single": 4.0,
    "train_step": 4.0,
    "nve_ase": 10.0,
    "nve_jax_md": 4.0,
    "nve_overhead": 1.03,
    "nve_quadratic": 1.10,
    "solve_quadratic": 8.0,
    "warm_start": 5.0,
}
"""Ratios to be reached on two CPU cores: at most where the ratio is that of times (the overhead and
the quadratic head), at least the others."""

NAMES = tuple(_PLACES)
"""The benchmarks, in the order in which they run."""


def benchmark(name: str) -> Callable[[], Result]:
    """The benchmark of this name; KeyError for a name that is not among NAMES."""
    module, function = _PLACES[name].split(".")
    return getattr(import_module(f"fisherdash.bench.{module}"), function)


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
