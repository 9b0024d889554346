"""Several models looked at in the same way: the same frames, the same step, the same directions.

The loss of a checkpoint as a function of its weights, as training sees it.

    L(w) = mean ½(U_w − U_ref)² + weight · mean ½(F_w − F_ref)²

over frames, and over atoms and directions for the forces, with energies in kcal/mol, which is the
unit in which the network learns (:mod:`fisherdash.train.step`). Here w are the body and the head,
the head in kcal/mol too. Biases of elements shift all energies alike and no force; they stay as
they are.

Sharpness: how much the loss rises one step of a given length up its gradient.

    S = L(w + ρ g/|g|) − L(w),   g = ∇L(w)

to first order the worst that a change of the weights of length ρ can do. It is what
sharpness-aware minimisation keeps low (P. Foret et al., ICLR 2021) and what Allegro-Legato found
to go with the time to failure of molecular dynamics (H. Ibayashi et al., ISC High Performance
2023, 223).

The loss on a plane through a checkpoint, spanned by two random directions.

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
import functools
import math
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Integer

from fisherdash import storage
from fisherdash.dataset import Dataset
from fisherdash.devices import blocks
from fisherdash.errors import InputError
from fisherdash.potentials.checkpoint import Checkpoint
from fisherdash.potentials.form import HeadForm
from fisherdash.potentials.head import Head, energy_and_forces
from fisherdash.potentials.potential import Potential, as_precision
from fisherdash.settings import LandscapeSettings, Scope
from fisherdash.statistics import evenly_spaced
from fisherdash.train.step import LEARNING_UNIT

BLOCK = 32

Weights = dict[str, Any]
"""{"body": …, "head": (D,)} or one of the two: pytrees of arrays, the head in kcal/mol."""

SCOPES: dict[str, tuple[str, ...]] = {"all": ("body", "head"), "head": ("head",)}
"""Which weights are moved: body and head, or the head alone."""

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
        self.forces_weight, self.frames = forces_weight, len(dataset)
        self._static = checkpoint.potential, checkpoint.form
        weights = {
            "body": as_precision(checkpoint.potential, checkpoint.body, precision),
            "head": jnp.asarray(checkpoint.head / LEARNING_UNIT),
        }
        self.weights: Weights = {key: weights[key] for key in SCOPES[scope]}
        self._held: Weights = {key: weights[key] for key in weights if key not in self.weights}
        self._held["basis"] = checkpoint.head_basis
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
        return function(*self._static, weights, self._held, self._atomic_numbers, *rest)


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
    for rows, new in blocks(len(dataset), BLOCK):
        arrays = (
            dataset.positions[rows],
            (dataset.energies[rows] - constant) / LEARNING_UNIT,
            dataset.forces[rows] / LEARNING_UNIT,
            (np.arange(BLOCK) < new).astype(np.float64),
        )
        made.append(tuple(jnp.asarray(array) for array in arrays))
    return made


def _squares(
    potential: Potential,
    form: HeadForm,
    moving: Weights,
    held: Weights,
    atomic_numbers: Integer[Array, " atoms"],
    block: _Block,
) -> Float[Array, " 2"]:
    """Sums over frames of the squared error of energy and of the mean squared error of forces."""
    positions, energies, forces, counts = block
    weights = {**moving, **held}
    theta = weights["head"] * LEARNING_UNIT
    head = Head.of(form, potential.num_features, theta, weights["basis"])
    found = energy_and_forces(potential, form, weights["body"], head, atomic_numbers, positions)
    energy_error, force_error = (
        one / LEARNING_UNIT - other for one, other in zip(found, (energies, forces), strict=True)
    )
    force_squared = jnp.mean(force_error**2, axis=(1, 2))
    return jnp.stack([counts @ energy_error**2, counts @ force_squared])


_sums = jax.jit(_squares, static_argnums=(0, 1))


@functools.partial(jax.jit, static_argnums=(0, 1))
def _gradient(
    potential: Potential,
    form: HeadForm,
    moving: Weights,
    held: Weights,
    atomic_numbers: Integer[Array, " atoms"],
    block: _Block,
    forces_weight: Float[Array, ""],
) -> Weights:
    def total(moving: Weights) -> Array:
        energy, force = _squares(potential, form, moving, held, atomic_numbers, block)
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


@dataclasses.dataclass(frozen=True)
class Sharpness:
    """How sharp the loss is around a checkpoint.

    Attributes:
        radius: ρ, length of the step in the space of weights (the head in kcal/mol).
        here: the loss at the checkpoint.
        raised: the loss after the step.
        gradient_norm: |g|, (kcal/mol)² per unit of weight.
        weights_norm: |w| of the weights that were moved.
        frames: number of frames over which the loss is the mean.
    """

    radius: float
    here: Loss
    raised: Loss
    gradient_norm: float
    weights_norm: float
    frames: int

    @property
    def value(self) -> float:
        """S = L(w + ρ g/|g|) − L(w) in (kcal/mol)²."""
        return self.raised.value - self.here.value


def sharpness(
    checkpoint: Checkpoint,
    dataset: Dataset,
    *,
    radius: float = LandscapeSettings.radius,
    scope: Scope = "all",
    forces_weight: float = 1.0,
    precision: str = "float32",
    cancel: threading.Event | None = None,
    watch: Watch | None = None,
) -> Sharpness:
    """Sharpness of a checkpoint over all frames of a data set.

    Args:
        checkpoint: body and head.
        dataset: frames with energies and forces; some hundred are enough.
        radius: ρ, at least 0.
        scope: "all" moves body and head, "head" the head alone.
        forces_weight: of the forces in the loss, as in training.
        precision: of the network, "float32" or "float64".
        cancel: set it to stop between two blocks of frames.
        watch: called with the blocks done and their total.

    Raises:
        InputError: if the molecule does not fit the model, a setting makes no sense, the loss is
            not finite, or ``cancel`` was set.
    """
    if not (math.isfinite(radius) and radius >= 0):
        raise InputError(f"radius must be a length of at least 0, received {radius}")
    objective = Objective(
        checkpoint, dataset, scope=scope, forces_weight=forces_weight, precision=precision
    )

    def between(done: int, total: int) -> None:
        stop_if(cancel, done, total)
        if watch is not None:
            watch(done, total)

    here = objective.at(objective.weights)
    gradient = objective.gradient(objective.weights, between)
    length = norm(gradient)
    if not math.isfinite(here.value + length):
        raise InputError(f"the loss of '{checkpoint.name}' on these frames is not finite")
    # At a minimum there is no way up to first order, and no step.
    uphill = moved(objective.weights, (radius / length if length else 0.0, gradient))
    return Sharpness(
        radius=radius,
        here=here,
        raised=objective.at(uphill),
        gradient_norm=length,
        weights_norm=norm(objective.weights),
        frames=len(dataset),
    )


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
    span: float = LandscapeSettings.span,
    points: int = LandscapeSettings.points,
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


@dataclasses.dataclass(frozen=True)
class Landscape:
    """What was found around one model; no surface where none was asked for."""

    sharpness: Sharpness
    surface: Surface | None


@dataclasses.dataclass(frozen=True)
class Progress:
    """How far a survey is: the share that is done, and of which model."""

    share: float
    name: str
    found: dict[str, Landscape]


def survey(
    models: Mapping[str, Checkpoint],
    dataset: Dataset,
    settings: LandscapeSettings,
    *,
    cancel: threading.Event | None = None,
    watch: Callable[[float, str], None] | None = None,
) -> Iterator[Progress]:
    """Look around each model; a report before each of them and one at the end.

    Args:
        models: by name.
        dataset: of one molecule, which all of them know.
        settings: how to look.
        cancel: set it to stop between two points.
        watch: called with the share done and the model's name, within a model too.

    Raises:
        InputError: if the molecule does not fit a model, a setting makes no sense, or ``cancel``
            was set.
    """
    frames = evenly(dataset, settings.frames)
    common: dict[str, Any] = {
        "scope": settings.scope,
        "forces_weight": settings.forces_weight,
        "precision": settings.precision,
    }
    found: dict[str, Landscape] = {}
    for index, (name, model) in enumerate(models.items()):
        yield Progress(index / len(models), name, dict(found))

        def within(done: int, total: int, index: int = index, name: str = name) -> None:
            if watch is not None:
                watch((index + done / total) / len(models), name)

        sharp = sharpness(model, frames, radius=settings.radius, cancel=cancel, **common)
        plane = None
        if settings.surfaces:
            plane = surface(
                model,
                frames,
                span=settings.span,
                points=settings.points,
                seed=settings.seed,
                cancel=cancel,
                watch=within,
                **common,
            )
        found[name] = Landscape(sharp, plane)
    yield Progress(1.0, "", found)


def save(found: Mapping[str, Landscape], path: Path) -> None:
    """Write the surfaces to one npz file, whole or not at all.

    Arrays: ``names`` (M,), ``steps`` (K,) in parts of the weights, ``loss`` (M, K, K) in
    (kcal/mol)² and ``force_rmse`` (M, K, K) in eV/Å.

    Raises:
        InputError: if a model has no surface, or the file cannot be written.
    """
    surfaces = [one.surface for one in found.values() if one.surface is not None]
    if len(surfaces) < len(found) or not surfaces:
        raise InputError("surfaces are saved where every model has one; some of these have none")
    arrays = {
        "names": np.array(list(found)),
        "steps": surfaces[0].steps,
        "loss": np.stack([one.loss for one in surfaces]),
        "force_rmse": np.stack([one.force_rmse for one in surfaces]),
    }
    with storage.replacing(path) as part, part.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)


def evenly(dataset: Dataset, count: int) -> Dataset:
    """So many frames, evenly spread over the set; all of them where it has fewer.

    Raises:
        InputError: if ``count`` is not above 0.
    """
    if count < 1:
        raise InputError(f"frames must be at least 1, received {count}")
    return dataset.subset(evenly_spaced(len(dataset), count))
