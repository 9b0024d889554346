"""What the machine can do at best: the rate of one large product of matrices."""

import jax
import jax.numpy as jnp
import numpy as np

from fisherdash.bench.race import Result, race

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
