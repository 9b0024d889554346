"""The loss on a plane through a checkpoint, spanned by two random directions.

    L(w + a d₁ + b d₂),   a, b on a grid around 0

Each direction is drawn from a normal distribution and normalised filter by filter: every filter
of d has the length of the same filter of w, so that steps are in parts of the weights and a
network whose weights were scaled without changing its output has the same surface (H. Li et al.,
"Visualizing the Loss Landscape of Neural Nets", NeurIPS 2018). A filter is what makes one output
feature: a column of a matrix, a channel of the radial filters or of the tensor product, the
embedding of one element, the head. Biases are not moved.

The draw depends on the seed alone, so that heads of one body are looked at along the same
directions of the body.
"""

import dataclasses
import math
import threading
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from fisherdash.checkpoint import Checkpoint
from fisherdash.dataset import Dataset
from fisherdash.errors import InputError
from fisherdash.landscape.loss import SCOPES, Objective, Scope, Watch, Weights, moved, stop_if

SPAN = 0.25
POINTS = 11


@dataclasses.dataclass(frozen=True, eq=False)
class Surface:
    """The loss on a plane through a checkpoint.

    Attributes:
        steps: a and b of the grid, in parts of the weights, shape (K,); 0 is in the middle.
        loss: shape (K, K), L(a, b) in (kcal/mol)²; infinite where it cannot be evaluated.
        force_rmse: shape (K, K), eV/Å.
        seed: of the two directions.
        frames: number of frames over which the loss is the mean.
    """

    steps: Float[np.ndarray, " k"]
    loss: Float[np.ndarray, "k k"]
    force_rmse: Float[np.ndarray, "k k"]
    seed: int
    frames: int

    @property
    def here(self) -> float:
        """L at the checkpoint itself."""
        middle = len(self.steps) // 2
        return float(self.loss[middle, middle])


def surface(
    checkpoint: Checkpoint,
    dataset: Dataset,
    *,
    span: float = SPAN,
    points: int = POINTS,
    seed: int = 0,
    scope: Scope = "all",
    forces_weight: float = 1.0,
    precision: str = "float32",
    cancel: threading.Event | None = None,
    watch: Watch | None = None,
) -> Surface:
    """The loss of a checkpoint along two random directions.

    Args:
        checkpoint: body and head.
        dataset: frames with energies and forces; some hundred are enough.
        span: the largest step along each direction, in parts of the weights.
        points: along each direction, an odd number.
        seed: of the directions.
        scope: "all" moves body and head, "head" the head alone.
        forces_weight: of the forces in the loss, as in training.
        precision: of the network, "float32" or "float64".
        cancel: set it to stop between two points.
        watch: called with the points done and their total.

    Raises:
        InputError: if the molecule does not fit the model, a setting makes no sense, or ``cancel``
            was set.
    """
    if not (math.isfinite(span) and span > 0):
        raise InputError(f"span must be a number above 0, received {span}")
    if points < 3 or points % 2 == 0:
        raise InputError(f"points must be an odd number from 3, received {points}")
    objective = Objective(
        checkpoint, dataset, scope=scope, forces_weight=forces_weight, precision=precision
    )
    first, second = directions(objective.weights, seed)
    steps = np.linspace(-span, span, points)
    steps[points // 2] = 0.0  # exactly, where rounding would leave a little
    loss, force = np.empty((2, points, points))
    for done, (i, j) in enumerate(np.ndindex(points, points)):
        stop_if(cancel, done, points**2)
        there = moved(objective.weights, (float(steps[i]), first), (float(steps[j]), second))
        found = objective.at(there)
        finite = math.isfinite(found.value)
        loss[i, j] = found.value if finite else math.inf
        force[i, j] = found.force_rmse if finite else math.inf
        if watch is not None:
            watch(done + 1, points**2)
    return Surface(steps, loss, force, seed, len(dataset))


def directions(weights: Weights, seed: int) -> tuple[Weights, Weights]:
    """Two random directions, filter-normalised; the same draw for weights of the same shapes."""
    drawn = []
    for key in jax.random.split(jax.random.key(seed)):
        # A key for each of the body and the head: moving both moves the head as moving it alone.
        keys: dict[str, jax.Array] = dict(zip(SCOPES["all"], jax.random.split(key), strict=True))
        drawn.append({name: _like(weights[name], keys[name]) for name in weights})
    return drawn[0], drawn[1]


def _like(weights: Any, key: jax.Array) -> Any:
    leaves, tree = jax.tree_util.tree_flatten_with_path(weights)
    keys = jax.random.split(key, len(leaves))
    made = [
        _filters(jax.random.normal(one, leaf.shape, jnp.float64), leaf, _axes(path, leaf))
        for one, (path, leaf) in zip(keys, leaves, strict=True)
    ]
    return jax.tree.unflatten(tree, made)


def _axes(path: tuple[Any, ...], leaf: jax.Array) -> tuple[int, ...] | None:
    """The axes of an array that belong to one filter; None for biases, which are not moved."""
    name = path[-1].key if path else "head"
    if name == "bias":
        return None
    if name == "embedding":
        return (leaf.ndim - 1,)
    return (0,) if name == "head" else tuple(range(leaf.ndim - 1))


def _filters(drawn: jax.Array, weights: jax.Array, axes: tuple[int, ...] | None) -> jax.Array:
    if axes is None:
        return jnp.zeros_like(drawn)
    wanted, received = (
        jnp.sqrt(jnp.sum(array.astype(jnp.float64) ** 2, axis=axes, keepdims=True))
        for array in (weights, drawn)
    )
    return drawn * wanted / received
