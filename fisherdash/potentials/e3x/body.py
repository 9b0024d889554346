"""The weights of the network by name.

Nothing here needs E3x: a checkpoint is opened and run without waiting for it.
"""

import itertools
from typing import Any

import jax
import jax.numpy as jnp

from fisherdash.potentials.e3x import couplings
from fisherdash.settings import MAX_ATOMIC_NUMBER, ModelConfig

Body = dict[str, Any]
"""Nested dict of weight arrays, with the names that flax gives to the modules of
:class:`fisherdash.potentials.e3x.network.Network`."""


def body_shapes(config: ModelConfig) -> dict[str, Any]:
    """Shapes of the body's arrays, as a nested dict of ``jax.ShapeDtypeStruct``.

    Written down rather than asked of the modules: tracing them would take seconds, and every
    checkpoint that is opened is checked against these shapes.
    """
    size = config.features

    def array(*shape: int) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(shape, jnp.float32)

    filters = couplings.Layout(has_parity=False, degree=config.max_degree)
    shapes: dict[str, Any] = {"Embed_0": {"embedding": array(MAX_ATOMIC_NUMBER + 1, 1, 1, size)}}
    for index, (before, after) in enumerate(itertools.pairwise(couplings.layouts(config))):
        shapes[f"MessagePass_{index}"] = {
            "filter": {
                couplings.kernel_name(irrep, filters.has_parity): {
                    "kernel": array(config.basis, size)
                }
                for irrep in filters.irreps
            },
            "tensor": {"kernel": array(*couplings.kernel_shape(config, before, after), size)},
        }
        for dense in (2 * index, 2 * index + 1):
            layers = {
                couplings.kernel_name(irrep, after.has_parity): {"kernel": array(size, size)}
                for irrep in after.irreps
            }
            layers["0+"]["bias"] = array(size)
            shapes[f"Dense_{dense}"] = layers
    return shapes
