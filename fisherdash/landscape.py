"""The training loss around checkpoints: how sharp it is, and its surface on a random plane.

    L(w) = mean ½(U_w − U_ref)² + weight · mean ½(F_w − F_ref)²

over frames, and over atoms and directions for the forces, with energies in kcal/mol, the unit in
which the network learns (:mod:`fisherdash.train.step`). w are the body and the head, the head in
kcal/mol too. Biases of elements shift all energies alike and no force; they stay as they are.

Sharpness: the rise of the loss after a step of length ρ up its gradient,

    S = L(w + ρ g/|g|) − L(w),   g = ∇L(w),

to first order the worst that a change of that length can do. It is what sharpness-aware
minimisation keeps low (P. Foret et al., ICLR 2021), and Allegro-Legato found it to go with the
time to failure of molecular dynamics (H. Ibayashi et al., ISC High Performance 2023, 223).

Surface: L(w + a d₁ + b d₂), a and b on a grid around 0. Each direction is drawn from a normal
distribution and normalised filter by filter: every filter of d has the length of the same filter
of w, so that steps are in parts of the weights, and weights scaled without changing the output
have the same surface (H. Li et al., "Visualizing the Loss Landscape of Neural Nets", NeurIPS
2018). A filter is what makes one output feature: a column of a matrix, a channel of the radial
filters or of the tensor product, the embedding of one element, the head. Biases are not moved.
The draw depends on the seed alone: heads of one body get the same directions of the body.
"""

import dataclasses
import functools
import math
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
from fisherdash.monitor import UNWATCHED, Monitor
from fisherdash.potentials.checkpoint import Checkpoint
from fisherdash.potentials.evaluate import predict
from fisherdash.potentials.head import Head, HeadForm, energy_and_forces
from fisherdash.potentials.potential import Potential, as_precision
from fisherdash.settings import LandscapeSettings
from fisherdash.statistics import evenly_spaced
from fisherdash.text import number
from fisherdash.train.step import LEARNING_UNIT

BLOCK = 32
CALLED = "the loss landscape"

Weights = dict[str, Any]
"""{"body": …, "head": (D,)} or one of the two: pytrees of arrays, the head in kcal/mol."""

SCOPES: dict[str, tuple[str, ...]] = {"all": ("body", "head"), "head": ("head",)}
"""Which weights are moved: body and head, or the head alone."""

_Block = tuple[Array, Array, Array, Array]
"""Positions (Å), energies and forces (kcal/mol, kcal/mol/Å), and 1 or 0 for every frame."""


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

    ``settings``: which weights are moved, the weight of the forces, and the precision of the
    network; sums over frames are always float64. Raises InputError for an element that the model
    does not know.
    """

    def __init__(
        self, checkpoint: Checkpoint, dataset: Dataset, settings: LandscapeSettings
    ) -> None:
        checkpoint.check_head()
        checkpoint.check_elements(dataset.atomic_numbers)
        if "body" in SCOPES[settings.scope] and not jax.tree.leaves(checkpoint.body):
            raise InputError(
                f"the weights of {checkpoint.name} are in the file of another library; move its "
                "head alone (--scope head)"
            )
        self.forces_weight, self.frames = settings.forces_weight, len(dataset)
        self._static = checkpoint.potential, checkpoint.form
        weights = {
            "body": as_precision(checkpoint.potential, checkpoint.body, settings.precision),
            "head": jnp.asarray(checkpoint.head / LEARNING_UNIT),
        }
        self.weights: Weights = {key: weights[key] for key in SCOPES[settings.scope]}
        self._held: Weights = {key: weights[key] for key in weights if key not in self.weights}
        self._held["basis"] = checkpoint.head_basis
        self._atomic_numbers = jnp.asarray(dataset.atomic_numbers)
        self._blocks = _blocks(dataset, checkpoint.constant(dataset.atomic_numbers))

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

    def gradient(self, weights: Weights, monitor: Monitor = UNWATCHED) -> Weights:
        """∇L with respect to the moved weights, in double precision."""
        total: Weights | None = None
        for done, block in enumerate(self._blocks):
            part = self._call(_gradient, weights, block, jnp.float64(self.forces_weight))
            total = part if total is None else jax.tree.map(jnp.add, total, part)
            jax.block_until_ready(total)
            monitor.stop_if_cancelled(CALLED, f"{done + 1} of {len(self._blocks)} blocks of frames")
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
        """The loss of the block."""
        energy, force = _squares(potential, form, moving, held, atomic_numbers, block)
        return 0.5 * (energy + forces_weight * force)

    gradient = jax.grad(total)(moving)
    return jax.tree.map(lambda leaf: leaf.astype(jnp.float64), gradient)


@jax.jit
def _moved(
    weights: Weights, lengths: tuple[Float[Array, ""], ...], directions: tuple[Weights, ...]
) -> Weights:
    def leaf(start: Array, *along: Array) -> Array:
        """One array of weights after the steps."""
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
    """

    radius: float
    here: Loss
    raised: Loss
    gradient_norm: float
    weights_norm: float

    @property
    def value(self) -> float:
        """S = L(w + ρ g/|g|) − L(w) in (kcal/mol)²."""
        return self.raised.value - self.here.value


def sharpness(
    checkpoint: Checkpoint,
    dataset: Dataset,
    settings: LandscapeSettings | None = None,
    *,
    monitor: Monitor = UNWATCHED,
) -> Sharpness:
    """Sharpness of a checkpoint over all frames of a data set; some hundred are enough.

    Raises InputError if the molecule does not fit the model, the loss is not finite, or
    it was cancelled.
    """
    settings = settings or LandscapeSettings()
    objective, radius = Objective(checkpoint, dataset, settings), settings.radius
    here = objective.at(objective.weights)
    gradient = objective.gradient(objective.weights, monitor)
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
    )


@dataclasses.dataclass(frozen=True, eq=False)
class Surface:
    """The loss on a plane through a checkpoint.

    Attributes:
        steps: a and b of the grid, in parts of the weights, shape (K,); 0 is in the middle.
        loss: shape (K, K), L(a, b) in (kcal/mol)²; infinite where it cannot be evaluated.
        force_rmse: shape (K, K), eV/Å.
    """

    steps: Float[np.ndarray, " k"]
    loss: Float[np.ndarray, "k k"]
    force_rmse: Float[np.ndarray, "k k"]

    @property
    def here(self) -> float:
        """L at the checkpoint itself."""
        middle = len(self.steps) // 2
        return float(self.loss[middle, middle])


def surface(
    checkpoint: Checkpoint,
    dataset: Dataset,
    settings: LandscapeSettings,
    *,
    monitor: Monitor = UNWATCHED,
) -> Surface:
    """The loss of a checkpoint over all frames of a data set along two random directions.

    Raises InputError if the molecule does not fit the model, the number of points is even, or it
    was cancelled.
    """
    span, points = settings.span, settings.points
    if points % 2 == 0:
        raise InputError(f"points must be an odd number from 3, received {points}")
    objective = Objective(checkpoint, dataset, settings)
    first, second = directions(objective.weights, settings.seed)
    steps = np.linspace(-span, span, points)
    steps[points // 2] = 0.0  # exactly, where rounding would leave a little
    loss, force = np.empty((2, points, points))
    for done, (i, j) in enumerate(np.ndindex(points, points)):
        monitor.stop_if_cancelled(CALLED, f"{done} of {points**2} points")
        there = moved(objective.weights, (float(steps[i]), first), (float(steps[j]), second))
        found = objective.at(there)
        finite = math.isfinite(found.value)
        loss[i, j] = found.value if finite else math.inf
        force[i, j] = found.force_rmse if finite else math.inf
        monitor.tell((done + 1) / points**2)
    return Surface(steps, loss, force)


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
    made = [_filters(path, leaf, one) for one, (path, leaf) in zip(keys, leaves, strict=True)]
    return jax.tree.unflatten(tree, made)


def _filters(path: tuple[Any, ...], weights: jax.Array, key: jax.Array) -> jax.Array:
    """A random array whose filters are as long as those of the weights; zero for biases."""
    name = path[-1].key if path else "head"
    drawn = jax.random.normal(key, weights.shape, jnp.float64)
    if name == "bias":
        return jnp.zeros_like(drawn)
    last = weights.ndim - 1
    axes = {"embedding": (last,), "head": (0,)}.get(name, tuple(range(last)))
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


ANOTHER_ZERO = 10.0
"""Mean error of the energy, eV, that no model makes on data like its own."""


def survey(
    models: Mapping[str, Checkpoint],
    dataset: Dataset,
    settings: LandscapeSettings,
    *,
    monitor: Monitor = UNWATCHED,
) -> Iterator[Progress]:
    """Look around each model, by name; a report before each of them and one at the end.

    The name is the stage that the monitor is told, with the share of all models. Raises InputError
    if the molecule does not fit a model, its energies have another zero than the data's (a loss of
    10⁹ then hides all else), or it was cancelled.
    """
    frames = evenly(dataset, settings.frames)
    few = evenly(frames, 8)
    for name, model in models.items():
        energies, _ = predict(model, few)
        off = float(np.mean(energies - few.energies))
        trained = "data_fingerprint" in model.provenance  # others' zero of energy says nothing
        if trained and abs(off) > ANOTHER_ZERO:
            raise InputError(
                f"the energies of {name} lie {number(off, '.4g', sign=True)} eV off those of these "
                "data, which are of another level of theory or have another zero of energy: a loss "
                "landscape needs frames like those that the model was trained on"
            )
    found: dict[str, Landscape] = {}
    for index, (name, model) in enumerate(models.items()):
        yield Progress(index / len(models), name, dict(found))
        mine = monitor.of(name).part(index / len(models), (index + 1) / len(models))
        sharp = sharpness(model, frames, settings, monitor=mine)
        plane = None
        if settings.surfaces:
            plane = surface(model, frames, settings, monitor=mine)
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
    """So many frames, evenly spread over the set; all of them where it has fewer."""
    if count < 1:
        raise InputError(f"frames must be at least 1, received {count}")
    return dataset.subset(evenly_spaced(len(dataset), count))
