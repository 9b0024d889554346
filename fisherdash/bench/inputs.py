"""Shared by all benchmarks: the timing of two functions, ethanol, the report's network, E3x's own
evaluation, the machine.

Two functions are timed fairly: alternating, after a warm-up, medians over the rounds.
"""

import datetime
import functools
import importlib.metadata
import math
import platform
import statistics
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import ase.build
import jax
import jax.numpy as jnp
import numpy as np

from fisherdash.dataset import Dataset
from fisherdash.md import engine
from fisherdash.potentials import e3x
from fisherdash.potentials.checkpoint import Checkpoint


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


SIZE = 1024


def matrix_product() -> Result:
    """Single-precision products of 1024 × 1024 matrices: through JAX, and as the peer NumPy's."""
    x = np.random.default_rng(0).normal(size=(SIZE, SIZE)).astype(np.float32)
    on_device = jnp.asarray(x)
    product = jax.jit(lambda a: jnp.dot(a, a, precision=jax.lax.Precision.HIGHEST))
    work = 2e-9 * SIZE**3
    return race(
        lambda: jax.block_until_ready(product(on_device)), lambda: x @ x, work=work, unit="GFLOP/s"
    )


def description() -> dict[str, Any]:
    """When and on what something was measured."""
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "device": engine.device_name(),
        "processor": _processor(),
        "python": platform.python_version(),
        "jax": importlib.metadata.version("jax"),
    }


def _processor() -> str:
    """As the kernel names it, else as Python does."""
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8") as file:
            names = (
                line.partition(":")[2].strip() for line in file if line.startswith("model name")
            )
            return next(names, platform.machine())
    except OSError:
        return platform.machine()


CONFIG = e3x.ModelConfig()
MOLECULE = ase.build.molecule("CH3CH2OH")
NUMBERS = np.asarray(MOLECULE.numbers)
SPACING = 6.0
"""Of the molecules of a cluster, Å."""


@functools.cache
def checkpoint() -> Checkpoint:
    """Fresh weights, small ones where they would be zero, and a head that breaks no molecule.

    An untrained network of this kind has zeros in its residual layers and hence no forces.
    """
    random = np.random.default_rng(0)

    def filled(leaf: np.ndarray) -> np.ndarray:
        return leaf if leaf.any() else random.normal(scale=0.1, size=leaf.shape).astype(leaf.dtype)

    body = jax.tree.map(filled, e3x.init(CONFIG, seed=0))
    head = random.normal(scale=0.01, size=CONFIG.features)
    return Checkpoint(e3x.E3x(CONFIG), body, head, np.zeros(119), (1, 6, 8), name="benchmark")


def positions(frames: int, dtype: type = np.float64) -> np.ndarray:
    """Ethanol with normal noise of 0.05 Å, shape (frames, 9, 3)."""
    noise = np.random.default_rng(1).normal(scale=0.05, size=(frames, *MOLECULE.positions.shape))
    return (MOLECULE.positions + noise).astype(dtype)


def cluster(replicas: int, molecules: int) -> np.ndarray:
    """So many molecules on a cubic grid, shape (replicas, atoms, 3) in Å, each replica its own."""
    side = math.ceil(molecules ** (1 / 3) - 1e-9)
    cells = np.argwhere(np.ones((side, side, side)))[:molecules]
    one = positions(replicas)
    return (one[:, None] + SPACING * cells[:, None, :]).reshape(replicas, -1, 3)


def dataset(frames: int) -> Dataset:
    """The same as a data set, with random energies and forces: only the speed is of interest."""
    random = np.random.default_rng(2)
    shape = (frames, len(NUMBERS), 3)
    return Dataset(
        positions(frames), random.normal(size=frames), random.normal(size=shape), NUMBERS
    )


@contextmanager
def plain_jax() -> Iterator[None]:
    """JAX as it comes, single precision throughout, as the tutorial runs it."""
    with jax.enable_x64(False), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # our reference asks for float64 and is given float32
        yield


def reference_energies(body: e3x.Body, head: jax.Array, x: jax.Array) -> jax.Array:
    """Energies through E3x's modules, all frames one graph of disjoint molecules."""
    return e3x.reference_descriptors(CONFIG, body, jnp.asarray(NUMBERS), x) @ head


@jax.jit
def reference_forces(body: e3x.Body, head: jax.Array, x: jax.Array) -> tuple[jax.Array, ...]:
    """Energies and forces through E3x's modules; call it inside :func:`plain_jax`."""

    def total(x: jax.Array) -> tuple[jax.Array, jax.Array]:
        energies = reference_energies(body, head, x)
        return jnp.sum(energies), energies

    gradient, energies = jax.grad(total, has_aux=True)(x)
    return energies, -gradient
