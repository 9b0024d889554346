"""Run in a process with four devices: everything that is spread must be what one device gives.

    NPROC=16 XLA_FLAGS=--xla_force_host_platform_device_count=4 python -m tests.four_devices

Sums over frames are the same to the last bit: each device does whole blocks. Dynamics is the same
to round-off, since a product over fewer molecules adds in another order; the network is in double
precision here, so that this is far below the tolerance after a few steps. Prints one line a case;
ends with status 1 where one is different.
"""

import contextlib
import dataclasses
import sys
from collections.abc import Iterator
from unittest import mock

import jax
import numpy as np

from fisherdash import devices
from fisherdash.fisher.moments import accumulate
from fisherdash.md import MDSettings, engine, simulate
from fisherdash.md.engine import group_checkpoints
from fisherdash.settings import ModelConfig
from tests.networks import WATER, checkpoint, water

STEPS = 8
SMALL, OTHER = (
    ModelConfig(features=n, max_degree=1, iterations=1, basis=6, cutoff=4.0) for n in (6, 4)
)
RECORDED = ("positions", "velocities", "potential", "kinetic")
TOLERANCE = 1e-9
"""Of dynamics in eV, Å and fs, relative to numbers of order one."""


@contextlib.contextmanager
def only(count: int) -> Iterator[None]:
    """As if there were only so many devices."""
    some = jax.local_devices()[:count]
    with mock.patch.object(devices.jax, "local_devices", lambda: some):
        yield


def dynamics(models, replicas):
    """Everything recorded of a short run, and its last state."""
    settings = MDSettings(replicas, STEPS, record_every=4, temperature=300.0, precision="float64")
    chunks = [one for one in simulate(models, water(), settings) if one.stage == "running"]
    state = chunks[-1].state
    frames = [np.concatenate([getattr(c, name) for c in chunks], axis=2) for name in RECORDED]
    return [*frames, *state]


def shares(models, replicas):
    """Devices of each compiled loop."""
    groups = group_checkpoints(models, WATER, "float64")
    return [engine.Layout.of(group, replicas).mesh.size for group in groups]


def sums():
    """The sums of a re-fit in groups, over frames that fill no whole number of blocks."""
    groups = accumulate(body(0), water(150), groups=3, laplacian=True, probes=2)
    return [np.asarray(value) for one in groups for value in dataclasses.astuple(one)]


def body(seed, ridge=1e-7, config=SMALL):
    """A small network with a head of its own, quick to compile."""
    return checkpoint(seed, ridge, config)


def runs():
    """Name, models, replicas, and the devices that the loops must use."""
    one, two = body(0), body(0, ridge=1e-3)
    yield "two heads, 6 replicas", {"a": one, "b": two}, 6, [3]
    yield "four bodies, 1 replica", {str(seed): body(seed) for seed in range(4)}, 1, [4]
    three = {"a": one, "b": body(1), "c": body(0, config=OTHER)}
    yield "two bodies and another shape, 2 replicas", three, 2, [4, 2]


def verdict(name: str, good: bool, words: str = "") -> int:
    """Prints a case; 1 where it is different."""
    print(f"{name}: {'same' if good else 'DIFFERENT'}{words}", flush=True)
    return int(not good)


def main() -> int:
    """Hold many devices against one."""
    assert jax.local_device_count() == 4, "set XLA_FLAGS as above"
    different = 0
    for name, models, replicas, expected in runs():
        many = dynamics(models, replicas)
        with only(1):
            single = dynamics(models, replicas)
        gap = max(float(np.max(np.abs(a - b))) for a, b in zip(many, single, strict=True))
        good = gap < TOLERANCE and shares(models, replicas) == expected
        different += verdict(name, good, f", {gap:.1e} apart, devices {expected}")
    many = sums()
    with only(1):
        single = sums()
    different += verdict("sums over frames, bit for bit", all(map(np.array_equal, many, single)))
    return min(different, 1)


if __name__ == "__main__":
    sys.exit(main())
