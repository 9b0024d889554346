"""The loss of a checkpoint as a function of its weights, as training sees it.

    L(w) = mean ½(U_w − U_ref)² + weight · mean ½(F_w − F_ref)²

over frames, and over atoms and directions for the forces, with energies in kcal/mol, which is the
unit in which the network learns (:mod:`fisherdash.train.step`). Here w are the body and the head,
the head in kcal/mol too. Biases of elements shift all energies alike and no force; they stay as
they are.
"""

import dataclasses
import functools
import math
import threading
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Integer

from fisherdash.checkpoint import Checkpoint
from fisherdash.dataset import Dataset
from fisherdash.errors import InputError
from fisherdash.model import ModelConfig, energy_and_forces
from fisherdash.train.step import LEARNING_UNIT

BLOCK = 32

Weights = dict[str, Any]
"""{"body": …, "head": (D,)} or one of the two: pytrees of arrays, the head in kcal/mol."""

Scope = Literal["all", "head"]
"""Which weights are moved: body and head, or the head alone."""

SCOPES: dict[str, tuple[str, ...]] = {"all": ("body", "head"), "head": ("head",)}

_Block = tuple[Array, Array, Array, Array]
"""Positions (Å), energies and forces (kcal/mol, kcal/mol/Å), and 1 or 0 for every frame."""

Watch = Callable[[int, int], None]
"""Called with the units of work done and their total."""


@dataclasses.dataclass(frozen=True)
class Loss:
    """The loss at one point of the space of weights.

    Attributes:
        value: L in (kcal/mol)², forces in kcal/mol/Å.
        energy_rmse: eV per molecule.
        force_rmse: eV/Å.
    """

    value: float
    energy_rmse: float
    force_rmse: float


class Objective:
    """L of one checkpoint over the frames of one data set, in blocks of constant memory.

    Args:
        checkpoint: where in the space of weights one stands.
        dataset: frames with energies and forces.
        scope: the weights that are moved.
        forces_weight: of the forces against the energies, as in training.
        precision: of the network, "float32" or "float64"; sums over frames are always float64.

    Raises:
        InputError: for an element that the model does not know, or settings that make no sense.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        dataset: Dataset,
        *,
        scope: Scope = "all",
        forces_weight: float = 1.0,
        precision: str = "float32",
    ) -> None:
        checkpoint.check_elements(dataset.atomic_numbers)
        if scope not in SCOPES:
            raise InputError(f"scope must be one of {tuple(SCOPES)}, received {scope!r}")
        if precision not in ("float32", "float64"):
            raise InputError(f"precision must be float32 or float64, received {precision!r}")
        if not (math.isfinite(forces_weight) and forces_weight >= 0):
            raise InputError(f"forces_weight must not be negative, received {forces_weight}")
        self.config, self.forces_weight, self.frames = (
            checkpoint.config,
            forces_weight,
            len(dataset),
        )
        weights = {
            "body": jax.tree.map(lambda leaf: jnp.asarray(leaf, precision), checkpoint.body),
            "head": jnp.asarray(checkpoint.head / LEARNING_UNIT),
        }
        self.weights: Weights = {key: weights[key] for key in SCOPES[scope]}
        self._held: Weights = {key: weights[key] for key in weights if key not in self.weights}
        self._atomic_numbers = jnp.asarray(dataset.atomic_numbers)
        constant = checkpoint.constant(dataset.atomic_numbers)
        self._blocks = _blocks(dataset, constant)

    @property
    def blocks(self) -> int:
        """Calls of the network that one evaluation takes."""
        return len(self._blocks)

    def at(self, weights: Weights) -> Loss:
        """L where the moved weights are ``weights``."""
        sums = np.zeros(2)
        for block in self._blocks:
            # Asked for block by block, so that a cancelled job does not leave a queue behind it.
            sums += np.asarray(self._call(_sums, weights, block))
        energy, force = (float(one) / self.frames for one in sums)
        return Loss(
            value=0.5 * (energy + self.forces_weight * force),
            energy_rmse=math.sqrt(energy) * LEARNING_UNIT,
            force_rmse=math.sqrt(force) * LEARNING_UNIT,
        )

    def gradient(self, weights: Weights, watch: Watch | None = None) -> Weights:
        """∇L with respect to the moved weights, in double precision."""
        total: Weights | None = None
        for done, block in enumerate(self._blocks):
            part = self._call(_gradient, weights, block, jnp.float64(self.forces_weight))
            total = part if total is None else jax.tree.map(jnp.add, total, part)
            jax.block_until_ready(total)
            if watch is not None:
                watch(done + 1, self.blocks)
        return jax.tree.map(lambda leaf: leaf / self.frames, total)

    def _call(self, function: Callable[..., Any], weights: Weights, *rest: Any) -> Any:
        return function(self.config, weights, self._held, self._atomic_numbers, *rest)


def moved(weights: Weights, *steps: tuple[float, Weights]) -> Weights:
    """w + Σ aᵢdᵢ for steps (aᵢ, dᵢ), rounded to the precision of w at the end."""
    lengths = tuple(jnp.float64(length) for length, _ in steps)
    return _moved(weights, lengths, tuple(direction for _, direction in steps))


def norm(weights: Weights) -> float:
    """Euclidean length of all weights together, in double precision."""
    return float(optax.tree.norm(jax.tree.map(jnp.float64, weights)))


def stop_if(cancel: threading.Event | None, done: int, total: int) -> None:
    """InputError once ``cancel`` is set."""
    if cancel is not None and cancel.is_set():
        raise InputError(f"the loss landscape was cancelled after {done} of {total} points")


def _blocks(dataset: Dataset, constant: float) -> list[_Block]:
    """The frames in the learning unit; the last block is filled up with frames that count 0."""
    made = []
    for first in range(0, len(dataset), BLOCK):
        rows = np.minimum(np.arange(first, first + BLOCK), len(dataset) - 1)
        arrays = (
            dataset.positions[rows],
            (dataset.energies[rows] - constant) / LEARNING_UNIT,
            dataset.forces[rows] / LEARNING_UNIT,
            (np.arange(first, first + BLOCK) < len(dataset)).astype(np.float64),
        )
        made.append(tuple(jnp.asarray(array) for array in arrays))
    return made


def _squares(
    config: ModelConfig,
    moving: Weights,
    held: Weights,
    atomic_numbers: Integer[Array, " atoms"],
    block: _Block,
) -> Float[Array, " 2"]:
    """Sums over frames of the squared error of energy and of the mean squared error of forces."""
    positions, energies, forces, counts = block
    weights = {**moving, **held}
    found = energy_and_forces(config, weights["body"], weights["head"], atomic_numbers, positions)
    force_squared = jnp.mean((found[1] - forces) ** 2, axis=(1, 2))
    return jnp.stack([counts @ (found[0] - energies) ** 2, counts @ force_squared])


_sums = jax.jit(_squares, static_argnums=0)


@functools.partial(jax.jit, static_argnums=0)
def _gradient(
    config: ModelConfig,
    moving: Weights,
    held: Weights,
    atomic_numbers: Integer[Array, " atoms"],
    block: _Block,
    forces_weight: Float[Array, ""],
) -> Weights:
    def total(moving: Weights) -> Array:
        energy, force = _squares(config, moving, held, atomic_numbers, block)
        return 0.5 * (energy + forces_weight * force)

    gradient = jax.grad(total)(moving)
    return jax.tree.map(lambda leaf: leaf.astype(jnp.float64), gradient)


@jax.jit
def _moved(
    weights: Weights, lengths: tuple[Float[Array, ""], ...], directions: tuple[Weights, ...]
) -> Weights:
    def leaf(start: Array, *along: Array) -> Array:
        step = sum(a * d.astype(jnp.float64) for a, d in zip(lengths, along, strict=True))
        return (start.astype(jnp.float64) + step).astype(start.dtype)

    return jax.tree.map(leaf, weights, *directions)
