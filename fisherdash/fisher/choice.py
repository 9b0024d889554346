"""Which ridge: the rules, and how sure the choice is.

"auto" takes the lowest loss on held-out frames, "evidence" the highest marginal likelihood, "gcv"
the lowest generalised cross-validation score, "stable" (see :mod:`fisherdash.fisher.stability`) the
lowest held-out divergence among heads whose dynamics lose no more replicas than the default's.
"""

import dataclasses
from collections.abc import Sequence
from typing import Literal

import numpy as np
from jaxtyping import Float

from fisherdash.errors import InputError
from fisherdash.fisher.equations import Equations
from fisherdash.fisher.ridge import GRID, RidgePoint, head_at

Rule = Literal["auto", "evidence", "gcv", "stable"]
RULES: tuple[Rule, ...] = ("auto", "evidence", "gcv", "stable")
WORDS = {
    "auto": "lowest loss on held-out frames",
    "evidence": "highest marginal likelihood",
    "gcv": "generalised cross-validation",
    "stable": "stability-aware",
    "given": "given by hand",
}
RESAMPLES = 500


@dataclasses.dataclass(frozen=True)
class Choice:
    """A ridge and the rule that chose it.

    Attributes:
        ridge: λ over the largest eigenvalue; infinite where the default head is kept.
        rule: one of :data:`RULES`, or "given".
        low, high: where 68 % of the choices fall when the held-out frames are drawn again, in
            groups; None unless they chose.
    """

    ridge: float
    rule: str
    low: float | None = None
    high: float | None = None


def choose(
    rule: Rule,
    path: Sequence[RidgePoint],
    problem: Equations,
    held_out: Sequence[Equations],
    default: Float[np.ndarray, " d"],
    seed: int,
) -> Choice:
    """The choice of a rule that needs no dynamics; "stable" starts from that of "auto".

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
    best = min(path, key=lambda point: point.criterion).ridge
    low, high = _spread(problem, held_out, default, seed)
    return Choice(best, rule, low, high)


def _spread(
    problem: Equations,
    held_out: Sequence[Equations],
    default: Float[np.ndarray, " d"],
    seed: int,
) -> tuple[float, float] | tuple[None, None]:
    """Central 68 % of the best ridges over bootstrap samples of the held-out groups."""
    if len(held_out) < 4:
        return None, None
    heads = [head_at(ridge, problem, default) for ridge in map(float, GRID)]
    losses = np.array([[group.loss(head) for head in heads] for group in held_out])
    weights = np.array([group.rows for group in held_out], float)
    chosen = np.random.default_rng(seed).integers(len(held_out), size=(RESAMPLES, len(held_out)))
    drawn = np.einsum("rg,rgk->rk", weights[chosen], losses[chosen])
    best = GRID[np.argmin(drawn, axis=1)]
    low, high = np.quantile(best, [0.16, 0.84], method="nearest")
    return float(low), float(high)
