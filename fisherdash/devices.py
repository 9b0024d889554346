"""Work spread over all local devices; with one device the same code, and nothing to spread.

Replicas, models of a population and frames never need one another, so every device runs the whole
program on its share (``jax.shard_map``) and no number crosses from one to another.
"""

import itertools
import os
from collections.abc import Iterator

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Int


def mesh(**lengths: int) -> Mesh:
    """A grid of local devices whose sides divide the lengths of the axes to be spread.

    As many devices are used as can have equal shares; of equally many, the last axis is cut first.

    Args:
        lengths: names of the axes and how long they are, such as ``members=4, replicas=64``.
    """
    devices = jax.local_devices()
    sides = [
        [n for n in range(1, len(devices) + 1) if length % n == 0] for length in lengths.values()
    ]
    fitting = [shape for shape in itertools.product(*sides) if np.prod(shape) <= len(devices)]
    shape = max(fitting, key=lambda shape: (np.prod(shape), shape[::-1]))
    chosen = np.array(devices[: int(np.prod(shape))]).reshape(shape)
    return Mesh(chosen, tuple(lengths))


def line(name: str) -> Mesh:
    """All local devices in a row, for work that is cut to fit them."""
    return Mesh(np.array(jax.local_devices()), (name,))


def blocks(count: int, size: int) -> Iterator[tuple[Int[np.ndarray, " size"], int]]:
    """Indices of consecutive blocks of ``count`` rows, and how many of each block are new.

    The last block is filled up with its last row, so that there is one shape to compile.
    """
    for first in range(0, count, size):
        rows = np.arange(first, first + size)
        yield np.minimum(rows, count - 1), min(size, count - first)


def cores() -> int:
    """Processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
