"""How well the data determine the head, and what that means for forces.

With Gaussian noise of variance s² on every force component and the ridge as prior, θ is Gaussian
around the fitted head with the covariance

    Σ = s² (M A + M λ I)⁻¹,    s² = Σ|∇U − Gθ|²/(rows − dof),

M frames. The components of a frame, and neighbouring frames, are not independent, and what is left
of the error is the body's, not noise. So the claim is tested: two heads fitted to alternate groups
of consecutive frames should differ as Σ says; where they differ more, Σ is scaled up to what was
seen. An error bar of a force is then √(G Σ Gᵀ): the part of the error that more data could cure.
"""

import dataclasses
import functools
import operator
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Integer

from fisherdash.checkpoint import Checkpoint
from fisherdash.errors import InputError
from fisherdash.fisher.derivatives import jacobian
from fisherdash.fisher.equations import Equations, equations
from fisherdash.fisher.moments import BLOCK, Moments
from fisherdash.fisher.ridge import head_at
from fisherdash.model import Body, ModelConfig


@dataclasses.dataclass(frozen=True)
class Posterior:
    """Uncertainty of a fitted head.

    Attributes:
        covariance: Σ in eV², shape (D, D), scaled by ``scale``².
        force_stderr: √(tr(TΣ)/3N), the typical error bar of a force component, eV/Å.
        half_difference: root-mean-square difference of forces between heads fitted to the two
            halves of the frames, eV/Å.
        half_cosine: cosine between the halves' changes θ − θ₀; 1 is full agreement.
        scale: how many times further apart the halves are than an unscaled Σ says, at least 1.
    """

    covariance: Float[np.ndarray, "d d"]
    force_stderr: float
    half_difference: float
    half_cosine: float
    scale: float


def posterior(
    groups: Sequence[Moments],
    ridge: float,
    default: Float[np.ndarray, " d"],
    temperature: float | None = None,
    energy_weight: float = 0.0,
) -> Posterior:
    """The posterior of a fit at one ridge.

    Args:
        groups: sums over groups of consecutive frames, together the fitted ones.
        ridge: λ over the largest eigenvalue, the same for the halves; finite.
        default: θ₀, the centre of the ridge.
        temperature, energy_weight: as in :func:`fisherdash.fisher.equations.equations`.

    Raises:
        InputError: with fewer than two groups.
    """
    if len(groups) < 2:
        raise InputError(f"the halves of the data need two groups of frames, got {len(groups)}")

    def problem(chosen: Sequence[Moments]) -> Equations:
        return equations(functools.reduce(operator.add, chosen), temperature, energy_weight)

    total = functools.reduce(operator.add, groups)
    whole = problem(groups)
    gram = total.gram / total.frames
    lam = ridge * whole.spectrum.values[0]
    head = head_at(ridge, whole, default)
    # The spread around forces, also for the fit that has not seen them.
    rows = total.frames * total.components
    freedom = max(rows - whole.spectrum.effective_dof(ridge), 1.0)
    noise = 2 * total.frames * total.divergence(head) / freedom
    covariance = _inverse(whole, lam) * noise / total.frames

    halves = [problem(groups[start::2]) for start in (0, 1)]
    # The same absolute strength of the prior per frame as in the whole fit.
    heads = [head_at(_relative(lam, half), half, default) for half in halves]
    difference = heads[0] - heads[1]
    seen = float(np.sqrt(max(difference @ gram @ difference, 0.0) / total.components))
    # Each half has half of the frames, and a difference has both variances.
    predicted = 2 * _typical(gram, covariance, total.components)
    scale = max(1.0, seen / predicted) if predicted > 0 else 1.0
    changes = [one - default for one in heads]
    norms = float(np.linalg.norm(changes[0]) * np.linalg.norm(changes[1]))
    cosine = float(changes[0] @ changes[1]) / norms if norms > 0 else 1.0
    covariance = scale**2 * covariance
    return Posterior(
        covariance=covariance,
        force_stderr=_typical(gram, covariance, total.components),
        half_difference=seen,
        half_cosine=cosine,
        scale=scale,
    )


def force_stderr(
    checkpoint: Checkpoint,
    atomic_numbers: Integer[np.ndarray, " atoms"],
    positions: Float[np.ndarray, "frames atoms 3"],
) -> Float[np.ndarray, "frames atoms 3"]:
    """Error bars √(G Σ Gᵀ) of the forces in eV/Å, along a trajectory for instance.

    They hold what is uncertain about the head, not what the body cannot express.

    Raises:
        InputError: for a checkpoint without a covariance, or elements that it does not know.
    """
    if checkpoint.head_covariance is None:
        raise InputError(
            f"'{checkpoint.name}' carries no uncertainty of its head: only a re-fit leaves one"
        )
    checkpoint.check_elements(atomic_numbers)
    body = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), checkpoint.body)
    values, vectors = np.linalg.eigh(checkpoint.head_covariance)
    root = jnp.asarray(vectors * np.sqrt(np.maximum(values, 0.0)))
    found = []
    for first in range(0, len(positions), BLOCK):
        block = np.asarray(positions[first : first + BLOCK], np.float64)
        filled = np.concatenate([block, np.repeat(block[-1:], BLOCK - len(block), axis=0)])
        bars = _bars(checkpoint.config, body, jnp.asarray(atomic_numbers), filled, root)
        found.append(np.asarray(bars)[: len(block)])
    return np.concatenate(found)


@functools.partial(jax.jit, static_argnums=0)
def _bars(
    config: ModelConfig, body: Body, atomic_numbers: Array, positions: Array, root: Array
) -> Array:
    _, g, _ = jacobian(config, body, atomic_numbers, positions)
    spread = jnp.einsum("mxd,de->mxe", g.astype(root.dtype), root)
    return jnp.sqrt(jnp.sum(spread**2, axis=-1)).reshape(positions.shape)


def _inverse(problem: Equations, lam: float) -> Float[np.ndarray, "d d"]:
    """(A + λI)⁻¹ over the directions that the data know; the others are not fitted at all."""
    spec = problem.spectrum
    kept, basis = spec.values[: spec.rank], spec.vectors[:, : spec.rank]
    return (basis / (kept + lam)) @ basis.T


def _relative(lam: float, problem: Equations) -> float:
    """λ over the largest eigenvalue, which is zero where an untrained body exerts no force."""
    top = problem.spectrum.values[0]
    return lam / top if top > 0 else 0.0


def _typical(gram: np.ndarray, covariance: np.ndarray, components: int) -> float:
    return float(np.sqrt(max(np.sum(gram * covariance), 0.0) / components))
