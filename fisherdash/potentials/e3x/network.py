"""The message-passing network, written with E3x modules: the readable reference.

The architecture is that of the E3x tutorial on ethanol, which the report uses: an embedding of the
elements, ``iterations`` message-passing steps with an equivariant basis and a smooth cutoff, each
followed by a small residual network on every atom. What comes out are scalar features h_i of every
atom; the energy U = Σ_i (θ·h_i + b_{Z_i}) is linear in the head θ, which is kept apart so that
another head on the same body costs nothing.

Everything that has to be fast evaluates the same parameters through
:mod:`fisherdash.potentials.e3x.potential`.
"""

import functools
from typing import Any

import e3x
import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Float, Integer

from fisherdash.potentials.e3x.messages import Body
from fisherdash.settings import MAX_ATOMIC_NUMBER, ModelConfig


class Network(nn.Module):
    """Scalar features of every atom.

    Under 64-bit JAX the E3x basis is double precision, hence so must the parameters be.
    """

    config: ModelConfig
    param_dtype: Any = jnp.float64

    @nn.compact
    def __call__(
        self,
        atomic_numbers: Integer[Array, " atoms"],
        positions: Float[Array, "atoms 3"],
        dst_idx: Integer[Array, " pairs"],
        src_idx: Integer[Array, " pairs"],
    ) -> Float[Array, "atoms features"]:
        config, dtype = self.config, self.param_dtype
        basis: Any = e3x.nn.basis(
            e3x.ops.gather_src(positions, src_idx=src_idx)
            - e3x.ops.gather_dst(positions, dst_idx=dst_idx),
            num=config.basis,
            max_degree=config.max_degree,
            radial_fn=e3x.nn.reciprocal_bernstein,
            cutoff_fn=functools.partial(e3x.nn.smooth_cutoff, cutoff=config.cutoff),
        )
        x = e3x.nn.Embed(MAX_ATOMIC_NUMBER + 1, config.features, param_dtype=dtype)(atomic_numbers)
        for iteration in range(config.iterations):
            if iteration == config.iterations - 1:  # only scalars are used afterwards
                message = e3x.nn.MessagePass(
                    max_degree=0, include_pseudotensors=False, param_dtype=dtype
                )(x, basis, dst_idx=dst_idx, src_idx=src_idx)
                x = e3x.nn.change_max_degree_or_type(x, max_degree=0, include_pseudotensors=False)
            else:
                message = e3x.nn.MessagePass(param_dtype=dtype)(
                    x, basis, dst_idx=dst_idx, src_idx=src_idx
                )
            y = e3x.nn.add(x, message)
            y = e3x.nn.Dense(config.features, param_dtype=dtype)(y)
            y = e3x.nn.silu(y)
            y = e3x.nn.Dense(
                config.features, param_dtype=dtype, kernel_init=jax.nn.initializers.zeros
            )(y)
            x = e3x.nn.add(x, y)
        return x[:, 0, 0, :]


def init(config: ModelConfig, seed: int) -> Body:
    """Fresh weights, a nested dict of float32 arrays."""
    variables = _init(config, jax.random.key(seed))
    return jax.tree.map(lambda leaf: np.asarray(leaf, np.float32), variables["params"])


@functools.partial(jax.jit, static_argnames="config")
def _init(config: ModelConfig, key: Array) -> Any:
    pair = jnp.array([0, 1]), jnp.array([1, 0])
    return Network(config).init(key, jnp.array([1, 1]), jnp.eye(2, 3), *pair)


@functools.partial(jax.jit, static_argnames="config")
def reference_descriptors(
    config: ModelConfig,
    body: Body,
    atomic_numbers: Integer[Array, " atoms"],
    positions: Float[Array, "frames atoms 3"],
) -> Float[Array, "frames features"]:
    """D = Σ_i h_i of every frame through the E3x modules in double precision.

    All frames go through the network as one graph of disjoint molecules, so that a test of it
    also tests that nothing leaks from one frame to another.
    """
    frames, atoms = positions.shape[:2]
    dst, src = e3x.ops.sparse_pairwise_indices(atoms)
    offset = atoms * jnp.arange(frames)[:, None]
    features: Any = Network(config).apply(
        {"params": jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), body)},
        jnp.tile(jnp.asarray(atomic_numbers), frames),
        jnp.reshape(positions, (frames * atoms, 3)),
        (dst + offset).ravel(),
        (src + offset).ravel(),
    )
    return jnp.sum(jnp.reshape(features, (frames, atoms, -1)), axis=1)
