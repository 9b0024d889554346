"""The normal equations of one re-fit, whatever they were made from.

Every way to a head minimises a quadratic

    L(θ) = ½ θᵀAθ − θᵀb + ½ s,

per frame, in eV²/Å². From forces A = T = E[GᵀG], b = E[Gᵀ∇U], s = E|∇U|². From Laplacians b is
kT E[ΔD] and s is unknown. Where energies count too, w times the variance of the energy error is
added, with C the covariances over frames and the constant of the energy already at its best:

    A = T + 3N w C[D, D],    b = E[Gᵀ∇U] + 3N w C[D, U],    s = E|∇U|² + 3N w Var U,

so that w (in Å⁻²) weighs the squared energy error of a molecule against the mean squared component
of a force, as the loss of a training does.
"""

import dataclasses
import functools

import numpy as np
from jaxtyping import Float

from fisherdash.fisher.moments import Moments
from fisherdash.units import BOLTZMANN


@dataclasses.dataclass(frozen=True)
class Equations:
    """½ θᵀAθ − θᵀb + ½ s over a set of frames.

    Attributes:
        matrix: A, shape (D, D), Å⁻².
        target: b, shape (D,), eV/Å².
        square: s, eV²/Å²; None for the fit without forces, which never knows it.
        rows: scalar equations behind the sums: 3N for each frame, one more with energies.
    """

    matrix: Float[np.ndarray, "d d"]
    target: Float[np.ndarray, " d"]
    square: float | None
    rows: int

    def loss(self, head: Float[np.ndarray, " d"]) -> float:
        """L(θ) without the part ½ s that no head changes, eV²/Å²."""
        return float(0.5 * head @ self.matrix @ head - head @ self.target)

    @functools.cached_property
    def spectrum(self) -> "Spectrum":
        """Eigendecomposition of A in float64."""
        values, vectors = np.linalg.eigh(self.matrix)
        values, vectors = values[::-1], vectors[:, ::-1]
        threshold = len(values) * np.finfo(float).eps * max(values[0], 0.0)
        return Spectrum(np.maximum(values, 0.0), vectors, int(np.sum(values > threshold)))


@dataclasses.dataclass(frozen=True)
class Spectrum:
    """Eigendecomposition of A, eigenvalues falling.

    Attributes:
        values: eigenvalues, shape (D,), Å⁻².
        vectors: eigenvectors as columns, shape (D, D).
        rank: number of eigenvalues that are not zero to rounding.
    """

    values: Float[np.ndarray, " d"]
    vectors: Float[np.ndarray, "d d"]
    rank: int

    @property
    def condition_number(self) -> float:
        """Largest over smallest eigenvalue; infinite if some direction is not determined."""
        full = self.rank == len(self.values)
        return float(self.values[0] / self.values[-1]) if full else float("inf")

    def effective_dof(self, ridge: float) -> float:
        """Σ_k Λ_k/(Λ_k + λ): the number of directions that the data decide at this ridge."""
        kept = self.values[: self.rank]
        return float(np.sum(kept / (kept + ridge * self.values[0]))) if self.rank else 0.0


def equations(
    moments: Moments, temperature: float | None = None, energy_weight: float = 0.0
) -> Equations:
    """The normal equations of these frames.

    Args:
        moments: sums over the frames.
        temperature: None for the fit from forces; in K for the one from positions alone.
        energy_weight: w in Å⁻², from forces only.

    Raises:
        ValueError: for Laplacians that were not summed, or energies beside them.
    """
    frames, size = moments.frames, len(moments.gradient)
    matrix = moments.gram / frames
    if temperature is not None:
        if moments.laplacian is None:
            raise ValueError("the sums were accumulated without Laplacians")
        if energy_weight:
            raise ValueError("the fit without forces takes no energies either")
        target = BOLTZMANN * temperature * moments.laplacian / frames
        return Equations(matrix, target, None, frames * moments.components)
    target, square = moments.gradient / frames, moments.force_squared / frames
    rows = frames * moments.components
    if energy_weight:
        mean = moments.energy_sum / frames
        covariance = moments.energy / frames - np.outer(mean, mean)
        weight = moments.components * energy_weight
        matrix = matrix + weight * covariance[:size, :size]
        target = target + weight * covariance[:size, size]
        square += weight * float(covariance[size, size])
        rows += frames
    return Equations(matrix, target, square, rows)
