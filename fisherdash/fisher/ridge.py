"""The ridge path: (A + λI)θ = b + λθ₀ for every λ from one eigendecomposition.

With A = VΛVᵀ the solution is θ = θ₀ + V (Λ + λ)⁻¹ Vᵀ(b − Aθ₀): it starts at the default head θ₀
for λ → ∞ and ends at A⁻¹b for λ → 0. Directions of A that are zero to rounding are never touched.
λ is always given as a multiple of the largest eigenvalue of A, which makes it a pure number.
"""

import dataclasses
import math

import numpy as np
from jaxtyping import Float

from fisherdash.fisher.equations import Equations
from fisherdash.fisher.moments import Moments

GRID = np.concatenate([[0.0], np.logspace(-14, 2, 65)])


def head_at(
    ridge: float, problem: Equations, default: Float[np.ndarray, " d"]
) -> Float[np.ndarray, " d"]:
    """The head of one point of the path.

    Args:
        ridge: λ over the largest eigenvalue of A, from 0; infinity gives the default head.
        problem: the normal equations.
        default: θ₀, on which the ridge is centred.
    """
    spec = problem.spectrum
    if math.isinf(ridge) or not spec.rank:
        return default.copy()
    kept, basis = spec.values[: spec.rank], spec.vectors[:, : spec.rank]
    # Vᵀ(b − Aθ₀), with A in its eigenbasis.
    residual = basis.T @ problem.target - kept * (basis.T @ default)
    return default + basis @ (residual / (kept + ridge * spec.values[0]))


@dataclasses.dataclass(frozen=True)
class RidgePoint:
    """One point of the path, measured on frames that were not fitted.

    ``divergence`` in eV²/Å² (without β²), ``force_rmse`` in eV/Å, ``energy_rmse`` in eV,
    ``head_change`` = |θ − θ₀| and ``head_norm`` = |θ| in eV, ``effective_dof`` a pure number.
    ``criterion`` is the loss of the fit on the held-out frames less the part that no head changes;
    eV²/Å². ``log_evidence`` and ``gcv`` (eV²/Å²) come from the fitted frames; None without forces.
    """

    ridge: float
    divergence: float
    force_rmse: float
    energy_rmse: float
    head_norm: float
    head_change: float
    effective_dof: float
    criterion: float
    log_evidence: float | None
    gcv: float | None


def log_evidence(ridge: float, problem: Equations, default: Float[np.ndarray, " d"]) -> float:
    """Logarithm of the marginal likelihood of the fitted frames, up to a constant.

    The n rows y = Gθ + noise of variance σ² over M frames, with the prior θ ~ N(θ₀, (σ²/Mλ) I),
    have at the best σ²

        ln p = −(n/2) ln q − ½ Σ_k ln(1 + Λ_k/λ),   q = E|r|² − gᵀ(A + λI)⁻¹g,

    with r = y − Gθ₀ and g = E[Gᵀr] (D. J. C. MacKay, Neural Comput. 4, 415 (1992)). Rows of one
    frame and of neighbouring frames are taken as independent, which they are not: the evidence is
    surer of itself than the data allow. −∞ for λ = 0.

    Raises:
        ValueError: for equations without ``square`` (the fit without forces).
    """
    spec = problem.spectrum
    if ridge <= 0 or not spec.rank:
        return -math.inf
    kept, projected, misfit = _residual(problem, default)
    lam = ridge * spec.values[0]
    q = max(misfit - float(np.sum(projected**2 / (kept + lam))), np.finfo(float).tiny)
    return -0.5 * problem.rows * math.log(q) - 0.5 * float(np.sum(np.log1p(kept / lam)))


def gcv(ridge: float, problem: Equations, default: Float[np.ndarray, " d"]) -> float:
    """Generalised cross-validation: mean squared residual over (1 − dof/n)², eV²/Å² per frame.

    G. H. Golub, M. Heath, G. Wahba, Technometrics 21, 215 (1979). It too takes the n rows as
    independent; with many more rows than weights it hardly differs from the error of the fit.

    Raises:
        ValueError: for equations without ``square`` (the fit without forces).
    """
    spec = problem.spectrum
    kept, projected, misfit = _residual(problem, default)
    lam = ridge * spec.values[0]
    # |r − Gδ|² with δ = (S + α)⁻¹g, in the eigenbasis.
    delta = projected / np.maximum(kept + lam, np.finfo(float).tiny)
    rss = max(misfit - 2 * float(delta @ projected) + float(delta**2 @ kept), 0.0)
    free = 1 - spec.effective_dof(ridge) / problem.rows
    return rss / free**2 if free > 0 else math.inf


def _residual(
    problem: Equations, default: Float[np.ndarray, " d"]
) -> tuple[Float[np.ndarray, " rank"], Float[np.ndarray, " rank"], float]:
    """Eigenvalues, Vᵀ(b − Aθ₀) and E|y − Gθ₀|²."""
    if problem.square is None:
        raise ValueError("without forces there is no likelihood")
    spec = problem.spectrum
    kept, basis = spec.values[: spec.rank], spec.vectors[:, : spec.rank]
    projected = basis.T @ problem.target - kept * (basis.T @ default)
    return kept, projected, problem.square + 2 * problem.loss(default)


def ridge_path(
    problem: Equations,
    fit: Moments,
    held_out: Moments,
    unseen: Equations,
    default: Float[np.ndarray, " d"],
    grid: Float[np.ndarray, " k"] = GRID,
) -> tuple[RidgePoint, ...]:
    """The whole path, λ rising.

    Args:
        problem: the equations of the fitted frames.
        fit: their sums, for the constant of the energy.
        held_out: sums over other frames, on which every point is measured.
        unseen: the equations of these, made the same way; their loss is the criterion. A fit
            without forces so chooses its ridge without forces, too.
        default: θ₀.
        grid: of λ over the largest eigenvalue.
    """
    points = []
    for ridge in map(float, grid):
        head = head_at(ridge, problem, default)
        knows = problem.square is not None
        points.append(
            RidgePoint(
                ridge=ridge,
                divergence=held_out.divergence(head),
                force_rmse=held_out.force_rmse(head),
                energy_rmse=held_out.energy_rmse(head, fit.constant(head)),
                head_norm=float(np.linalg.norm(head)),
                head_change=float(np.linalg.norm(head - default)),
                effective_dof=problem.spectrum.effective_dof(ridge),
                criterion=unseen.loss(head),
                log_evidence=log_evidence(ridge, problem, default) if knows else None,
                gcv=gcv(ridge, problem, default) if knows else None,
            )
        )
    return tuple(points)
