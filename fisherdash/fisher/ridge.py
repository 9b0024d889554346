"""The ridge path: (A + λB)θ = b + λBθ₀ for every λ from one eigendecomposition.

With AV = BVμ and VᵀBV = 1 the solution is θ = θ₀ + V (μ + λ)⁻¹ Vᵀ(b − Aθ₀): it starts at the
default head θ₀ for λ → ∞ and ends at A⁻¹b for λ → 0. Directions of A or B that are zero to rounding
are never touched. With the identity as metric B, λ is always given as a multiple of the largest
eigenvalue of A, which makes it a pure number; with the noise metric it is one by itself.

Which ridge: the rules, and how sure the choice is.

"auto" takes the largest λ whose loss on held-out frames is within one standard error, paired over
groups of frames, of the lowest: on flat paths the minimum itself chose heads thousands of times as
large for nothing. With the noise metric it takes the usual 0.01, because held-out frames say
nothing of where there are no data; the default head is kept where that does not lower the held-out
loss by one paired standard error. "evidence" takes the highest marginal likelihood, "gcv" the
lowest generalised cross-validation score, "stable" (see :mod:`fisherdash.fisher.stability`) the
lowest held-out divergence among heads whose dynamics lose the fewest replicas, and no more than the
default's.

Gradient descent on the Fisher divergence: the slow way to the closed form, for teaching.

The loss is a quadratic, so its gradient is (A + λI)θ − (b + λθ₀). Plain descent needs as many
steps as A is badly conditioned; Nesterov's momentum (Soviet Math. Dokl. 27, 372 (1983)) needs the
square root of it. The path is recorded at steps that grow by a constant factor. Another metric than
the identity is that in which gradients are taken. Descent does not depend on the axes that numbers
are written in, so the steps are made along the eigenvectors, where each costs next to nothing.
"""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Integer

from fisherdash.errors import InputError
from fisherdash.fisher.moments import Equations, Moments
from fisherdash.settings import USUAL_NOISE_RIDGE, Rule
from fisherdash.statistics import bootstrap

GRID = np.concatenate([[0.0], np.logspace(-14, 2, 65)])
NOISE_GRID = np.concatenate([[0.0], np.logspace(-8, 4, 49)])


def head_at(
    ridge: float, problem: Equations, default: Float[np.ndarray, " d"]
) -> Float[np.ndarray, " d"]:
    """The head of one point of the path.

    Args:
        ridge: λ from 0, for the identity over the largest eigenvalue of A; infinity gives the
            default head.
        problem: the normal equations.
        default: θ₀, on which the ridge is centred.
    """
    spec = problem.spectrum
    if math.isinf(ridge) or not spec.rank:
        return default.copy()
    kept, basis = spec.known
    return default + basis @ (problem.residual(default) / (kept + ridge * spec.unit))


def _heads_at(
    ridges: Float[np.ndarray, " k"], problem: Equations, default: Float[np.ndarray, " d"]
) -> Float[np.ndarray, "k d"]:
    """:func:`head_at` for several λ, none of them infinite."""
    spec = problem.spectrum
    kept, basis = spec.known
    shrunk = problem.residual(default) / (kept + ridges[:, None] * spec.unit)
    return default + shrunk @ basis.T


@dataclasses.dataclass(frozen=True)
class RidgePoint:
    """One point of the path, measured on frames that were not fitted.

    ``divergence`` in eV²/Å² (without β²), ``force_rmse`` in eV/Å, ``energy_rmse`` in eV,
    ``head_change`` = |θ − θ₀| and ``head_norm`` = |θ| in eV, ``effective_dof`` a pure number.
    ``log_evidence`` and ``gcv`` (eV²/Å²) come from the fitted frames; None without forces.
    """

    ridge: float
    divergence: float
    force_rmse: float
    energy_rmse: float
    head_norm: float
    head_change: float
    effective_dof: float
    log_evidence: float | None
    gcv: float | None


def log_evidence(
    ridges: Float[np.ndarray, " k"], problem: Equations, default: Float[np.ndarray, " d"]
) -> Float[np.ndarray, " k"]:
    """Logarithm of the marginal likelihood of the fitted frames at each λ, up to a constant.

    The n rows y = Gθ + noise of variance σ² over M frames, with the prior θ ~ N(θ₀, (σ²/Mλ) B⁻¹),
    have at the best σ²

        ln p = −(n/2) ln q − ½ Σ_k ln(1 + μ_k/λ),   q = E|r|² − gᵀ(A + λB)⁻¹g,

    with r = y − Gθ₀ and g = E[Gᵀr] (D. J. C. MacKay, Neural Comput. 4, 415 (1992)). Rows of one
    frame and of neighbouring frames are taken as independent, which they are not: the evidence is
    surer of itself than the data allow. −∞ for λ = 0.

    Raises:
        ValueError: for equations without ``square`` (the fit without forces).
    """
    kept, projected, misfit = _residual(problem, default)
    found = np.full(len(ridges), -math.inf)
    given = (ridges > 0) & bool(len(kept))
    lam = ridges[given, None] * problem.spectrum.unit
    q = np.maximum(misfit - np.sum(projected**2 / (kept + lam), axis=1), np.finfo(float).tiny)
    found[given] = -0.5 * (problem.rows * np.log(q) + np.sum(np.log1p(kept / lam), axis=1))
    return found


def gcv(
    ridges: Float[np.ndarray, " k"], problem: Equations, default: Float[np.ndarray, " d"]
) -> Float[np.ndarray, " k"]:
    """Generalised cross-validation: mean squared residual over (1 − dof/n)², eV²/Å² per frame.

    G. H. Golub, M. Heath, G. Wahba, Technometrics 21, 215 (1979), at each λ. It too takes the n
    rows as independent; with many more rows than weights it hardly differs from the error of the
    fit.

    Raises:
        ValueError: for equations without ``square`` (the fit without forces).
    """
    kept, projected, misfit = _residual(problem, default)
    lam = ridges[:, None] * problem.spectrum.unit
    # |r − Gδ|² with δ = (S + α)⁻¹g, in the eigenbasis.
    delta = projected / np.maximum(kept + lam, np.finfo(float).tiny)
    rss = np.maximum(misfit - 2 * delta @ projected + delta**2 @ kept, 0.0)
    free = 1 - problem.spectrum.effective_dof(ridges) / problem.rows
    found = np.full(len(free), math.inf)
    return np.divide(rss, free**2, out=found, where=free > 0)


def _residual(
    problem: Equations, default: Float[np.ndarray, " d"]
) -> tuple[Float[np.ndarray, " rank"], Float[np.ndarray, " rank"], float]:
    """Eigenvalues, Vᵀ(b − Aθ₀) and E|y − Gθ₀|²."""
    if problem.square is None:
        raise ValueError("without forces there is no likelihood")
    misfit = problem.square + 2 * problem.loss(default)
    return problem.spectrum.known[0], problem.residual(default), misfit


def ridge_path(
    problem: Equations, fit: Moments, held_out: Moments, default: Float[np.ndarray, " d"]
) -> tuple[RidgePoint, ...]:
    """The whole path, λ rising.

    Args:
        problem: the equations of the fitted frames.
        fit: their sums, for the constant of the energy.
        held_out: sums over other frames, on which every point is measured.
        default: θ₀.
    """
    points, grid = [], GRID if problem.metric is None else NOISE_GRID
    heads = _heads_at(grid, problem, default)
    divergences, evidence, scores = held_out.divergences(heads), None, None
    if problem.square is not None:
        evidence, scores = (rule(grid, problem, default) for rule in (log_evidence, gcv))
    for index, (ridge, head) in enumerate(zip(map(float, grid), heads, strict=True)):
        divergence = float(divergences[index])
        points.append(
            RidgePoint(
                ridge=ridge,
                divergence=divergence,
                force_rmse=float(np.sqrt(2 * divergence / held_out.components)),
                energy_rmse=held_out.energy_rmse(head, fit.constant(head)),
                head_norm=float(np.linalg.norm(head)),
                head_change=float(np.linalg.norm(head - default)),
                effective_dof=problem.spectrum.effective_dof(ridge),
                log_evidence=None if evidence is None else float(evidence[index]),
                gcv=None if scores is None else float(scores[index]),
            )
        )
    return tuple(points)


WORDS = {
    "auto": "largest within one standard error of the lowest held-out loss",
    "usual": "the usual one of the noise metric",
    "kept": "default head kept: the usual ridge does not lower the held-out loss",
    "evidence": "highest marginal likelihood",
    "gcv": "generalised cross-validation",
    "stable": "stability-aware",
    "given": "given by hand",
}


@dataclasses.dataclass(frozen=True)
class Choice:
    """A ridge and the rule that chose it.

    Attributes:
        ridge: λ as in :func:`head_at`; infinite where the default head is kept.
        rule: that of :class:`fisherdash.settings.Options`, "usual", "kept" or "given".
        low, high: where 68 % of the choices fall when the held-out frames are drawn again, in
            groups; None unless they chose.
    """

    ridge: float
    rule: str
    low: float | None = None
    high: float | None = None

    @property
    def words(self) -> str:
        """How it was chosen, as people say it."""
        return WORDS[self.rule]


def choose(
    rule: Rule,
    path: Sequence[RidgePoint],
    problem: Equations,
    held_out: Sequence[Equations],
    default: Float[np.ndarray, " d"],
    seed: int,
) -> Choice:
    """The choice of a rule that needs no dynamics; of "stable", where its candidates begin.

    Args:
        rule: how to choose.
        path: the ridge path.
        problem: its equations.
        held_out: those of groups of held-out frames, for the uncertainty.
        default: θ₀.
        seed: of the bootstrap.

    Raises:
        InputError: for a rule that needs forces where the fit has none.
    """
    if rule in ("evidence", "gcv") and problem.square is None:
        raise InputError(
            f"the rule {rule!r} compares with forces, which the Laplacian way does not use; "
            'choose "auto", "stable" or a number'
        )
    if rule == "evidence":
        return Choice(max(path, key=lambda point: point.log_evidence or -np.inf).ridge, rule)
    if rule == "gcv":
        return Choice(
            min(path, key=lambda point: np.inf if point.gcv is None else point.gcv).ridge, rule
        )
    if problem.metric is not None:
        if rule == "auto":
            return _usual_or_kept(problem, held_out, default)
        # Held-out frames ask for too little, and short dynamics do not always see that.
        return Choice(USUAL_NOISE_RIDGE, rule)
    ridges = np.array([point.ridge for point in path])
    heads = _heads_at(ridges, problem, default)
    losses = np.array([group.losses(heads) for group in held_out])
    weights = np.array([group.rows for group in held_out], float)
    found = bootstrap(
        lambda often: ridges[_largest_within_an_error(losses, weights, often)],
        len(held_out),
        seed,
        level=0.68,
        quantile="nearest",
    )
    assert found.value is not None
    if found.low is None or found.high is None:
        return Choice(found.value, rule)
    return Choice(found.value, rule, min(found.low, found.value), max(found.high, found.value))


def _usual_or_kept(
    problem: Equations, held_out: Sequence[Equations], default: Float[np.ndarray, " d"]
) -> Choice:
    """The usual ridge of the noise metric if it lowers the held-out loss by a standard error."""
    heads = np.stack([head_at(USUAL_NOISE_RIDGE, problem, default), default])
    losses = np.array([group.losses(heads) for group in held_out])
    weights = np.array([group.rows for group in held_out], float)
    mean, error = _paired((losses - losses[:, 1:])[None], weights, np.ones((1, len(held_out))))
    if mean[0, 0] < -error[0, 0]:
        return Choice(USUAL_NOISE_RIDGE, "usual")
    return Choice(math.inf, "kept")


def _largest_within_an_error(
    losses: Float[np.ndarray, "groups points"],
    weights: Float[np.ndarray, " groups"],
    often: Float[np.ndarray, "draws groups"],
) -> Integer[np.ndarray, " draws"]:
    """The last point whose loss is within one paired standard error of the lowest.

    For each draw of groups; from one group there is no error, and the lowest is taken.
    """
    each = often * weights / (often @ weights)[:, None]
    lowest = np.argmin(each @ losses, axis=1)
    mean, error = _paired(losses - losses[:, lowest].T[:, :, None], weights, often)
    within = mean <= error
    return losses.shape[1] - 1 - np.argmax(within[:, ::-1], axis=1)


def _paired(
    more: Float[np.ndarray, "draws groups points"],
    weights: Float[np.ndarray, " groups"],
    often: Float[np.ndarray, "draws groups"],
) -> tuple[Float[np.ndarray, "draws points"], Float[np.ndarray, "draws points"]]:
    """Mean over groups of a difference of losses, and its standard error; 0 from one group."""
    each = weights / (often @ weights)[:, None]  # share of a group that was drawn once
    mean = np.einsum("sg,sgk->sk", often * each, more)
    spread = np.einsum("sg,sgk->sk", often * each**2, (more - mean[:, None]) ** 2)
    groups = more.shape[1]
    return mean, np.sqrt(spread * groups / max(groups - 1, 1))


STEPS = 200_000
TOLERANCE = 1e-10


@dataclasses.dataclass(frozen=True)
class Descent:
    """A descent and where it went.

    Attributes:
        head: where it ended, shape (D,), eV.
        steps: at which the path was recorded.
        distance: |θ − θ*|/|θ*| to the closed form at these steps.
        excess: J − J* at these steps, in the units of J.
        converged: whether the gradient fell to TOLERANCE of its first size.
    """

    head: Float[np.ndarray, " d"]
    steps: tuple[int, ...]
    distance: tuple[float, ...]
    excess: tuple[float, ...]
    converged: bool


def descend(problem: Equations, default: Float[np.ndarray, " d"], ridge: float) -> Descent:
    """Minimises ½θᵀAθ − θᵀb + ½λ(θ − θ₀)ᵀB(θ − θ₀) from θ₀ with Nesterov's momentum.

    Args:
        problem: A and b.
        default: θ₀, shape (D,), where it starts.
        ridge: λ as in :func:`head_at`.
    """
    spec = problem.spectrum
    values, vectors = spec.known
    # y along the eigenvectors, θ = θ₀ + Vy: the quadratic is a sum over its components there.
    curvature = values + ridge * spec.unit
    slope = problem.residual(default)
    best = slope / curvature
    top = max(curvature, default=1.0)
    bottom = min(curvature, default=1.0)
    root = np.sqrt(max(bottom, 1e-300) / top)
    momentum = (1 - root) / (1 + root)
    marks = {0, *np.unique(np.geomspace(1, STEPS, 60).astype(int)).tolist()}
    y, before = np.zeros_like(slope), np.zeros_like(slope)
    start = np.linalg.norm(slope)
    path, converged = [], False
    for step in range(STEPS + 1):
        if step in marks or converged:
            away = y - best
            path.append((step, np.linalg.norm(vectors @ away), 0.5 * curvature @ away**2))
        if converged or step == STEPS:
            break
        ahead = y + momentum * (y - before)
        gradient = curvature * ahead - slope
        before, y = y, ahead - gradient / top
        converged = bool(np.linalg.norm(gradient) <= TOLERANCE * start)
    scale = max(float(np.linalg.norm(default + vectors @ best)), 1e-300)
    return Descent(
        head=default + vectors @ y,
        steps=tuple(int(step) for step, _, _ in path),
        distance=tuple(float(away) / scale for _, away, _ in path),
        excess=tuple(float(value) for _, _, value in path),
        converged=converged,
    )
