"""Calls out of compiled programs, to what JAX cannot evaluate itself."""

import dataclasses
import logging
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.experimental.buffer_callback import buffer_callback
from jaxtyping import Array

from fisherdash.errors import InputError

Shapes = tuple[jax.ShapeDtypeStruct, ...]


def _not_told_already(record: logging.LogRecord) -> bool:
    """JAX logs what is raised in a call out of its programs; an InputError is told elsewhere."""
    return not (record.exc_info and isinstance(record.exc_info[1], InputError))


logging.getLogger("jax._src.callback").addFilter(_not_told_already)


def called(
    function: Callable[..., tuple[np.ndarray, ...]], shapes: Shapes, *arrays: Array
) -> tuple[Array, ...]:
    """What a function of NumPy arrays returns, in a program that JAX compiles.

    On a CPU the arrays are looked at where they lie. ``pure_callback`` would make arrays of JAX of
    them and wait for these in a thread of XLA's pool; large ones are copied by that same pool, and
    as many calls at once as there are cores wait for ever.

    Args:
        function: hashable, equal for equal functions, so that programs are shared.
        shapes: of its results.
        arrays: that it is given.
    """
    if jax.default_backend() == "cpu":
        call = buffer_callback(_InPlace(function), shapes, vmap_method="sequential")
        return call(*arrays)  # pyright: ignore[reportReturnType]
    return jax.pure_callback(function, shapes, *arrays, vmap_method="sequential")


@dataclasses.dataclass(frozen=True)
class _InPlace:
    """A function that writes its results where XLA wants them."""

    function: Callable[..., tuple[np.ndarray, ...]]

    def __call__(self, _: Any, outputs: Any, *arrays: Any) -> None:
        found = self.function(*map(np.asarray, arrays))
        for output, one in zip(outputs, found, strict=True):
            np.asarray(output)[...] = one
