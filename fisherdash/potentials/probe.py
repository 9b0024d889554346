"""Whether a potential is what re-fits need: linear in its head, and forces the slope of its energy.

With θ₀ the head as it came, v any other and D = Σ_i h_i over all atoms or those of an element, an
energy that is linear in its last layer has

    U(θ₀ + v) − U(θ₀) = v·D,    F(θ₀ + v) − F(θ₀) = −Gv,    G = ∂D/∂x,

without a step size. Here U and F come from the function that dynamics call, in reverse mode, and G
from derivatives pushed forward, as re-fits take them, so that each holds the other. Forces are also
held against differences of the energy, (U(x − 2e) − 8U(x − e) + 8U(x + e) − U(x + 2e)) / 12|e|
along random directions. All of it in double precision, on small clusters of atoms.
"""

import dataclasses
import itertools
from collections.abc import Iterator, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Integer

from fisherdash.errors import InputError
from fisherdash.potentials import head as heads
from fisherdash.potentials.checkpoint import Checkpoint
from fisherdash.potentials.head import Descriptors, Head

MOST_HEAD_ERROR = 1e-9
MOST_FORCE_ERROR = 1e-6
HEADS = 3
"""Random v."""
_FRAMES, _SPACING, _JITTER, _STEP = 4, 1.3, 0.15, 1e-4


@dataclasses.dataclass(frozen=True)
class Probe:
    """Largest deviations, relative to the largest number that they are deviations of.

    Attributes:
        head_error: of energies and forces from what a linear head would give.
        force_error: of forces from differences of the energy.
    """

    head_error: float
    force_error: float

    @property
    def passed(self) -> bool:
        """Whether both are within their limits; not a number is not."""
        return self.head_error <= MOST_HEAD_ERROR and self.force_error <= MOST_FORCE_ERROR


def probe(checkpoint: Checkpoint) -> Probe:
    """The deviations of a checkpoint with a linear head; nothing of it is changed."""
    form = checkpoint.form
    if form.kind == "quadratic":
        raise InputError("only a head without products of features can be probed")
    rng = np.random.default_rng(0)
    numbers, frames = map(jnp.asarray, clusters(checkpoint.elements, rng))
    params, _ = checkpoint.on_device("float64")
    potential, theta = checkpoint.potential, checkpoint.head
    evaluate = jax.jit(
        lambda head, x: heads.energy_and_forces(potential, form, params, Head(head), numbers, x)
    )
    phi = Descriptors(form, None, numbers)

    @jax.jit
    def pushed(x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """D, and G as (directions, frames, features)."""

        def sums(x: jax.Array) -> jax.Array:
            """D at positions."""
            found = potential.features(params, numbers, x, forward_mode=True).features
            return phi.linear(found)

        values, push = jax.linearize(sums, x)
        axes = jnp.eye(x[0].size).reshape(-1, 1, *x.shape[1:])
        return values, jax.lax.map(push, jnp.broadcast_to(axes, (len(axes), *x.shape)))

    d, g = map(np.asarray, pushed(frames))
    energy, forces = map(np.asarray, evaluate(jnp.asarray(theta), frames))
    errors = []
    for v in random_heads(theta, rng):
        other, other_forces = map(np.asarray, evaluate(jnp.asarray(theta + v), frames))
        errors.append(relative(other - energy, d @ v))
        slope = np.moveaxis(g @ v, 0, 1).reshape(forces.shape)
        errors.append(relative(other_forces - forces, -slope))
    along = rng.normal(size=frames.shape)
    along /= np.linalg.norm(along, axis=(1, 2), keepdims=True)
    differences = sum(
        weight * np.asarray(evaluate(jnp.asarray(theta), frames + step * _STEP * along)[0])
        for step, weight in ((-2, 1.0), (-1, -8.0), (1, 8.0), (2, -1.0))
    )
    found = np.sum(forces * along, axis=(1, 2))
    # The scale is that of the forces: along one direction they may cancel.
    scale = float(np.linalg.norm(forces, axis=(1, 2)).max())
    away = np.abs(found + differences / (12 * _STEP)).max()
    return Probe(worst(errors), worst([float(away) / (scale or 1.0)]))


def relative(found: np.ndarray, expected: np.ndarray, scale: float = 0.0) -> float:
    """The largest deviation by the scale, which else is the largest expected number."""
    scale = scale or float(np.abs(expected).max()) or 1.0
    return float(np.abs(found - expected).max()) / scale


def worst(errors: Sequence[float]) -> float:
    """The largest; not a number where one of them is not."""
    return float(np.max(errors))


def random_heads(
    theta: Float[np.ndarray, " weights"], rng: np.random.Generator
) -> Iterator[Float[np.ndarray, " weights"]]:
    """Random v of the size of a head."""
    size = float(np.sqrt(np.mean(theta**2))) or 1.0
    for _ in range(HEADS):
        yield size * rng.normal(size=len(theta))


def clusters(
    elements: Sequence[int], rng: np.random.Generator, *, every: bool = False
) -> tuple[Integer[np.ndarray, " atoms"], Float[np.ndarray, "frames atoms 3"]]:
    """Atomic numbers and positions (Å) of six atoms, or eight of ``every`` element, near a cube's
    corners.

    No bond length is known, and nothing touches. Six are of organic chemistry where such elements
    are known, else of the first ones.
    """
    organic = [z for z in (6, 1, 8, 7) if z in elements]
    known = list(elements) if every or not organic else organic
    numbers = np.resize(np.array(known, np.int64), 8 if every else 6)
    corners = np.array(list(itertools.product((0.0, _SPACING), repeat=3)))[: len(numbers)]
    return numbers, corners + _JITTER * rng.uniform(-1, 1, size=(_FRAMES, len(numbers), 3))
