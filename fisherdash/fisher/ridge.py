"""The ridge path: (T + λI)θ = c + λθ₀ for every λ from one eigendecomposition.

With T = VΛVᵀ the solution is θ = θ₀ + V (Λ + λ)⁻¹ Vᵀ(c − Tθ₀): it starts at the default head θ₀
for λ → ∞ and ends at T⁻¹c for λ → 0. Directions of T that are zero to rounding are never touched.
λ is always given as a multiple of the largest eigenvalue of T, which makes it a pure number.
"""

import dataclasses

import numpy as np
from jaxtyping import Float

from fisherdash.fisher.moments import Moments

GRID = np.concatenate([[0.0], np.logspace(-14, 2, 65)])


@dataclasses.dataclass(frozen=True)
class Spectrum:
    """Eigendecomposition of T, eigenvalues falling.

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


def spectrum(moments: Moments) -> Spectrum:
    """Eigendecomposition of T = gram/frames in float64."""
    values, vectors = np.linalg.eigh(moments.gram / moments.frames)
    values, vectors = values[::-1], vectors[:, ::-1]
    threshold = len(values) * np.finfo(float).eps * max(values[0], 0.0)
    return Spectrum(np.maximum(values, 0.0), vectors, int(np.sum(values > threshold)))


def head_at(
    ridge: float, moments: Moments, default: Float[np.ndarray, " d"], spec: Spectrum | None = None
) -> Float[np.ndarray, " d"]:
    """The head of one point of the path.

    Args:
        ridge: λ over the largest eigenvalue of T, from 0.
        moments: of the frames that are fitted.
        default: θ₀, on which the ridge is centred.
        spec: the eigendecomposition of T, if it is at hand.
    """
    spec = spectrum(moments) if spec is None else spec
    kept, basis = spec.values[: spec.rank], spec.vectors[:, : spec.rank]
    residual = basis.T @ -moments.divergence_gradient(default)
    top = spec.values[0] if spec.rank else 1.0
    return default + basis @ (residual / (kept + ridge * top))


@dataclasses.dataclass(frozen=True)
class RidgePoint:
    """One point of the path, measured on frames that were not fitted.

    ``divergence`` in eV²/Å² (without β²), ``force_rmse`` in eV/Å, ``energy_rmse`` in eV,
    ``head_change`` = |θ − θ₀| and ``head_norm`` = |θ| in eV, ``effective_dof`` a pure number.
    """

    ridge: float
    divergence: float
    force_rmse: float
    energy_rmse: float
    head_norm: float
    head_change: float
    effective_dof: float


def ridge_path(
    fit: Moments,
    held_out: Moments,
    default: Float[np.ndarray, " d"],
    grid: Float[np.ndarray, " k"] = GRID,
) -> tuple[RidgePoint, ...]:
    """The whole path, fitted on ``fit`` and measured on ``held_out``; λ rising."""
    spec = spectrum(fit)
    points = []
    for ridge in grid:
        head = head_at(float(ridge), fit, default, spec)
        points.append(
            RidgePoint(
                ridge=float(ridge),
                divergence=held_out.divergence(head),
                force_rmse=held_out.force_rmse(head),
                energy_rmse=held_out.energy_rmse(head, fit.constant(head)),
                head_norm=float(np.linalg.norm(head)),
                head_change=float(np.linalg.norm(head - default)),
                effective_dof=spec.effective_dof(float(ridge)),
            )
        )
    return tuple(points)
