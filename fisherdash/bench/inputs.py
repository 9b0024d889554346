"""Shared by all benchmarks: ethanol, the report's network, E3x's own evaluation, the machine."""

import datetime
import functools
import importlib.metadata
import math
import platform
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ase.build
import jax
import jax.numpy as jnp
import numpy as np

from fisherdash.bench import Result, race
from fisherdash.dataset import Dataset
from fisherdash.md import engine
from fisherdash.potentials import e3x
from fisherdash.potentials.checkpoint import Checkpoint

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
        """The weights themselves, random ones in place of zeros."""
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
        """Sum of the energies, whose slope are the forces, and the energies."""
        energies = reference_energies(body, head, x)
        return jnp.sum(energies), energies

    gradient, energies = jax.grad(total, has_aux=True)(x)
    return energies, -gradient
