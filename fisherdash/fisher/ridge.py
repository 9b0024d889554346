"""The ridge path: (T + λI)θ = c + λθ₀ for every λ from one eigendecomposition.

With T = VΛVᵀ the solution is θ = θ₀ + V (Λ + λ)⁻¹ Vᵀ(c − Tθ₀): it starts at the default head θ₀
for λ → ∞ and ends at T⁻¹c for λ → 0. Directions of T that are zero to rounding are never touched.
λ is always given as a multiple of the largest eigenvalue of T, which makes it a pure number.
"""

import dataclasses

import numpy as np
from jaxtyping import Float

from fisherdash.fisher.moments import Moments
from fisherdash.units import BOLTZMANN

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


def right_hand_side(moments: Moments, temperature: float | None) -> Float[np.ndarray, " d"]:
    """c of the normal equations, shape (D,), in eV/Å².

    Args:
        moments: of the frames.
        temperature: None for E[Gᵀ∇U], from forces; in K for kT E[ΔD], from positions alone.
    """
    if temperature is None:
        return moments.gradient / moments.frames
    if moments.laplacian is None:
        raise ValueError("the sums were accumulated without Laplacians")
    return BOLTZMANN * temperature * moments.laplacian / moments.frames


def head_at(
    ridge: float,
    spec: Spectrum,
    target: Float[np.ndarray, " d"],
    default: Float[np.ndarray, " d"],
) -> Float[np.ndarray, " d"]:
    """The head of one point of the path.

    Args:
        ridge: λ over the largest eigenvalue of T, from 0.
        spec: eigendecomposition of T.
        target: c, from :func:`right_hand_side`.
        default: θ₀, on which the ridge is centred.
    """
    kept, basis = spec.values[: spec.rank], spec.vectors[:, : spec.rank]
    # Vᵀ(c − Tθ₀), with T in its eigenbasis.
    residual = basis.T @ target - kept * (basis.T @ default)
    top = spec.values[0] if spec.rank else 1.0
    return default + basis @ (residual / (kept + ridge * top))


@dataclasses.dataclass(frozen=True)
class RidgePoint:
    """One point of the path, measured on frames that were not fitted.

    ``divergence`` in eV²/Å² (without β²), ``force_rmse`` in eV/Å, ``energy_rmse`` in eV,
    ``head_change`` = |θ − θ₀| and ``head_norm`` = |θ| in eV, ``effective_dof`` a pure number.
    ``criterion`` is what the ridge is chosen by: the divergence less the part that no head changes,
    from forces or, for a fit without forces, from Laplacians; eV²/Å².
    """

    ridge: float
    divergence: float
    force_rmse: float
    energy_rmse: float
    head_norm: float
    head_change: float
    effective_dof: float
    criterion: float


def ridge_path(
    fit: Moments,
    held_out: Moments,
    default: Float[np.ndarray, " d"],
    temperature: float | None = None,
    grid: Float[np.ndarray, " k"] = GRID,
) -> tuple[RidgePoint, ...]:
    """The whole path, fitted on ``fit`` and measured on ``held_out``; λ rising.

    With a temperature in K neither the fit nor the criterion looks at forces; the errors that a
    point carries beside them still do.
    """
    spec, target = spectrum(fit), right_hand_side(fit, temperature)
    unseen = right_hand_side(held_out, temperature)
    points = []
    for ridge in grid:
        head = head_at(float(ridge), spec, target, default)
        points.append(
            RidgePoint(
                ridge=float(ridge),
                divergence=held_out.divergence(head),
                force_rmse=held_out.force_rmse(head),
                energy_rmse=held_out.energy_rmse(head, fit.constant(head)),
                head_norm=float(np.linalg.norm(head)),
                head_change=float(np.linalg.norm(head - default)),
                effective_dof=spec.effective_dof(float(ridge)),
                criterion=float(
                    0.5 * head @ held_out.gram @ head / held_out.frames - head @ unseen
                ),
            )
        )
    return tuple(points)
