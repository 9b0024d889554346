"""What the machine is, and what it can do at best: the rate of one large product of matrices."""

import datetime
import importlib.metadata
import platform
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fisherdash.bench.race import Result, race
from fisherdash.simulate import engine

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
