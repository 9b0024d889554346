"""The answer to a study's primary question: interval and tests of one and the same number.

The number is the mean over models of d, the share of a model's trajectories that survive to the end
on the second side minus that on the first. Its interval draws models, then replicas. Two tests ask
whether the d lie around zero: the signed-rank test (F. Wilcoxon, Biometrics Bull. 1, 80 (1945)),
which is the one that counts, and the sign-flip permutation test of their mean (R. A. Fisher, The
Design of Experiments (1935), § 21). Nothing is corrected: there is one question.

Models of which everything or nothing survives on both sides have d = 0. They are counted, said, and
left in.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from fisherdash.statistics import FEWEST, SIGNIFICANT, Estimate
from fisherdash.study.primary import Primary, Registered
from fisherdash.study.statistics.comparison import (
    model_means,
    more_survivors,
    over_models,
    per_model,
)
from fisherdash.study.statistics.pairing import Condition, Paired, to_json

EXACT = 14
"""Models up to which every pattern of signs is tried."""
DRAWN = 20_000
"""Patterns that are drawn for more models."""

Verdict = Literal["too few models", "more survive", "fewer survive", "no difference shown"]


@dataclasses.dataclass(frozen=True)
class Answer:
    """What the data say to the primary question.

    Attributes:
        question: that was asked.
        condition: that it is about.
        horizon: length of the shortest run, ps.
        models, pairs: that count.
        silent, lost: models of which nothing, or everything, failed on both sides.
        surviving: mean over models of the surviving share, first and second side.
        change: the mean of d with its 95 % interval.
        signed_rank, sign_flips: p-values; None with too few models.
        spread: standard deviation of d between models; None with fewer than two.
        power: of a test as planned, to see the smallest effect of interest; None where the
            question does not say how many models, what spread or what effect.
        asked: every wording of the question with its date, the last one is this.
    """

    question: Primary
    condition: Condition
    horizon: float
    models: int
    pairs: int
    silent: int
    lost: int
    surviving: tuple[float, float]
    change: Estimate
    signed_rank: float | None
    sign_flips: float | None
    spread: float | None
    power: float | None
    asked: tuple[Registered, ...] = ()

    @property
    def informative(self) -> int:
        """Models that could show a difference."""
        return self.models - self.silent - self.lost

    @property
    def verdict(self) -> Verdict:
        """By the signed-rank test and the sign of the mean."""
        if self.signed_rank is None:
            return "too few models"
        if self.signed_rank >= SIGNIFICANT or not self.change.value:
            return "no difference shown"
        return "more survive" if self.change.value > 0 else "fewer survive"

    @property
    def too_small_to_matter(self) -> bool:
        """Whether the interval excludes every change as large as the smallest of interest."""
        size, low, high = self.question.smallest, self.change.low, self.change.high
        return None not in (size, low, high) and 100 * max(-low, high) < size  # pyright: ignore

    def to_json(self) -> dict[str, Any]:
        """Every number, None where one is not known; shares between 0 and 1."""
        plain = {
            name: getattr(self, name)
            for name in ("horizon", "models", "pairs", "informative", "silent", "lost",
                         "signed_rank", "sign_flips", "spread", "power", "verdict")
        }  # fmt: skip
        return {
            "question": self.question.to_json(),
            **self.condition.to_json(),
            **plain,
            "surviving": list(self.surviving),
            "change": to_json(self.change),
            "asked": [dataclasses.asdict(one) for one in self.asked],
        }


def answer_of(
    pairs: Paired,
    question: Primary,
    condition: Condition,
    asked: Sequence[Registered] = (),
    seed: int = 0,
) -> Answer:
    """What pairs of trajectories say to the primary question.

    Args:
        pairs: at least one, under the condition that is asked about.
        question, condition: of the study.
        asked: wordings of the question.
        seed: of bootstrap and permutations.
    """
    known = np.isfinite(pairs.failed[0]).any(axis=1)
    alive = 1.0 - np.stack([model_means(side[known]) for side in pairs.failed])
    effects = alive[1] - alive[0]
    counted = per_model(pairs)
    return Answer(
        question,
        condition,
        horizon=pairs.horizon,
        models=int(known.sum()),
        pairs=pairs.count,
        silent=counted.silent,
        lost=counted.lost,
        surviving=(float(alive[0].mean()), float(alive[1].mean())),
        change=more_survivors(pairs, seed),
        signed_rank=over_models(pairs.more_survived),
        sign_flips=sign_flips(effects, seed),
        spread=float(np.std(effects, ddof=1)) if len(effects) > 1 else None,
        power=planned_power(question),
        asked=tuple(asked),
    )


def sign_flips(effects: Float[np.ndarray, " models"], seed: int = 0) -> float | None:
    """p-value that the effects' signs are a matter of chance, from the size of their mean.

    Exact for up to EXACT effects that are not zero, else from DRAWN patterns (and the observed
    one). None with fewer than FEWEST models, 1 where all effects are zero.
    """
    if len(effects) < FEWEST:
        return None
    effects = effects[effects != 0]
    if not len(effects):
        return 1.0
    least = abs(effects.sum()) * (1.0 - 1e-12)
    if len(effects) <= EXACT:
        patterns = np.arange(2 ** len(effects))[:, None] >> np.arange(len(effects)) & 1
        return float(np.mean(np.abs((1 - 2 * patterns) @ effects) >= least))
    patterns = np.random.default_rng(seed).integers(2, size=(DRAWN, len(effects)), dtype=np.int8)
    as_large = np.abs((1 - 2 * patterns) @ effects) >= least
    return (1 + int(as_large.sum())) / (1 + DRAWN)


def planned_power(question: Primary) -> float | None:
    """Probability that the planned test sees the smallest effect of interest (Student's t-test)."""
    if question.models is None or question.smallest is None or question.spread is None:
        return None
    from statsmodels.stats.power import TTestPower  # slow to import

    relative = question.smallest / question.spread
    found = TTestPower().power(effect_size=relative, nobs=question.models, alpha=SIGNIFICANT)
    return float(np.ravel(found)[0])
