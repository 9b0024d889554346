"""One side held against another: survival first, drift of the survivors second, one verdict.

The drift of those that survive on both sides is a conditional statement: a head that kills its wild
trajectories keeps calm ones. So a smaller drift never counts as an improvement where fewer live.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

import numpy as np

from fisherdash.study.statistics import bootstrap, significance
from fisherdash.study.statistics.bootstrap import Estimate
from fisherdash.study.statistics.pairing import Condition, Paired
from fisherdash.study.statistics.significance import SIGNIFICANT, Tested

Verdict = Literal[
    "helps",
    "steadier survivors",
    "no effect seen",
    "too few models",
    "mixed",
    "calmer but fewer live",
    "harms",
]


@dataclasses.dataclass(frozen=True)
class PerModel:
    """For how many models survival is better, worse, or not distinguishably different.

    Sign tests over replicas, corrected over the models. ``silent``: models of which no trajectory
    died on either side, ``lost``: of which every one did. Neither can show another share alive.
    """

    helped: int
    hurt: int
    unchanged: int
    silent: int
    lost: int


@dataclasses.dataclass(frozen=True)
class Comparison:
    """The second side against the first under one condition.

    Attributes:
        first, second: what was compared, for example "default" and a head.
        condition: temperature and time step.
        horizon: ps that every pair was watched for.
        models, pairs: that count for survival.
        deaths: of the first and the second side among the pairs.
        life: difference of the restricted mean survival time, ps; positive where the second lives
            longer.
        survivors: difference of the surviving share; positive where more of the second live.
        drift_ratio: |drift| of the second over the first's where both survive, geometric mean.
        drift_difference: the same as a difference, meV/atom/ps, median over models of medians.
        survival: signed-rank test of ``life`` over models.
        drift: signed-rank test of ln ``drift_ratio`` over models.
        logrank: stratified by model; speaks of these models only.
        per_model: how many models were helped or hurt.
        testable: whether a test over so many models could be significant in its family at all:
            the smallest p-value of M models is 2/2ᴹ.
    """

    first: str
    second: str
    condition: Condition
    horizon: float
    models: int
    pairs: int
    deaths: tuple[int, int]
    life: Estimate
    survivors: Estimate
    drift_ratio: Estimate
    drift_difference: Estimate
    survival: Tested
    drift: Tested
    logrank: Tested
    per_model: PerModel
    testable: bool = True

    @property
    def survival_sign(self) -> int:
        """1 where the second side lives significantly longer, −1 where shorter, else 0."""
        return self.life.sign if self.survival.significant else 0

    @property
    def drift_sign(self) -> int:
        """−1 where surviving pairs drift significantly less on the second side, 1 where more."""
        log = self.drift_ratio.map(np.log) if self.drift_ratio.value else self.drift_ratio
        return log.sign if self.drift.significant else 0

    @property
    def verdict(self) -> Verdict:
        """Both read together."""
        lives, drifts = self.survival_sign, self.drift_sign
        if self.survival.raw is None or not self.testable:
            return "too few models"
        if lives < 0:
            return "calmer but fewer live" if drifts < 0 else "harms"
        if lives > 0:
            return "mixed" if drifts > 0 else "helps"
        if drifts:
            return "steadier survivors" if drifts < 0 else "harms"
        return "no effect seen"

    def to_json(self) -> dict[str, Any]:
        """Everything, with the verdict; None where a number is not known."""
        plain = dataclasses.asdict(self)
        del plain["condition"]
        return {
            **plain,
            "temperature_K": self.condition.temperature,
            "timestep_fs": self.condition.timestep,
            "deaths": list(self.deaths),
            "verdict": self.verdict,
        }


def compare(
    pairs: Paired, condition: Condition, first: str, second: str, seed: int = 0
) -> Comparison:
    """All statistics of one comparison; its p-values are not corrected yet."""
    death_counts = np.nansum(pairs.died, axis=(1, 2)).astype(int)
    return Comparison(
        first=first,
        second=second,
        condition=condition,
        horizon=pairs.horizon,
        models=int(np.isfinite(pairs.died[0]).any(axis=1).sum()),
        pairs=pairs.count,
        deaths=(int(death_counts[0]), int(death_counts[1])),
        life=bootstrap.mean(pairs.lived_longer, seed),
        survivors=bootstrap.mean(pairs.more_survived, seed).map(lambda x: min(1.0, max(-1.0, x))),
        drift_ratio=bootstrap.mean(pairs.log_drift_ratio, seed).map(np.exp),
        drift_difference=bootstrap.median(pairs.drift_difference, seed),
        survival=Tested(significance.over_models(pairs.lived_longer)),
        drift=Tested(significance.over_models(pairs.log_drift_ratio)),
        logrank=Tested(significance.logrank(pairs)),
        per_model=per_model(pairs),
    )


def per_model(pairs: Paired) -> PerModel:
    """How many models live longer or shorter on the second side, after correction."""
    difference = pairs.lived_longer
    known = np.isfinite(difference).any(axis=1)
    p_values = significance.holm(significance.sign_test(difference[known]).tolist())
    effect = significance.model_means(difference[known])
    clear = np.array([p is not None and p < SIGNIFICANT for p in p_values], bool)
    helped, hurt = int((clear & (effect > 0)).sum()), int((clear & (effect < 0)).sum())
    share = np.nanmean(pairs.died[:, known], axis=(0, 2))
    return PerModel(
        helped,
        hurt,
        unchanged=int(known.sum()) - helped - hurt,
        silent=int((share == 0).sum()),
        lost=int((share == 1).sum()),
    )


def corrected(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """The same with Holm's correction over everything that is shown together.

    Survival and drift of all comparisons are one family; the log-rank tests, which answer another
    question, are a family of their own.
    """
    claims = [one.survival.raw for one in comparisons] + [one.drift.raw for one in comparisons]
    survival_and_drift = significance.holm(claims)
    ranks = significance.holm([one.logrank.raw for one in comparisons])
    count, family = len(comparisons), sum(p is not None for p in claims)
    return [
        dataclasses.replace(
            one,
            survival=Tested(one.survival.raw, survival_and_drift[k]),
            drift=Tested(one.drift.raw, survival_and_drift[count + k]),
            logrank=Tested(one.logrank.raw, ranks[k]),
            testable=max(1, family) * 2.0 ** (1 - one.models) < SIGNIFICANT,
        )
        for k, one in enumerate(comparisons)
    ]


VERDICTS: Final[Mapping[Verdict, str]] = {
    "helps": "lives longer, and does not drift more",
    "steadier survivors": "drifts less, with no measurable price in survival",
    "no effect seen": "no difference in survival or drift could be shown",
    "too few models": "too few models to tell",
    "mixed": "lives longer, but those that survive either way drift more",
    "calmer but fewer live": "fewer live; the smaller drift of the others is no improvement",
    "harms": "dies sooner or drifts more",
}
"""What each verdict says."""
