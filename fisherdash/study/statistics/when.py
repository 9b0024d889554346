"""When a re-fit helps: its effect on each model against what is known of the model beforehand.

Effects are those of whole models, so that a model with many replicas is no more than one point.
Association is C. Spearman's rank correlation (Am. J. Psychol. 15, 72 (1904)), with the interval of
drawing models.
"""

import dataclasses
from collections.abc import Iterable
from typing import Any, Final

import numpy as np
import pandas as pd
import scipy
from jaxtyping import Float

from fisherdash.study.statistics import comparison, pairing
from fisherdash.study.statistics.comparison import Tested
from fisherdash.study.statistics.pairing import DEFAULT, Condition, Estimate, Paired

OUTCOMES: Final = {
    "life": "difference of mean lifetime (ps)",
    "drift": "ln ratio of |drift|",
}
PREDICTORS: Final = {
    "force error": "test force RMSE of the default head (eV/Å)",
    "frames": "training frames",
    "head growth": "head norm over the default's",
}
TERCILES: Final = ("best third", "middle third", "worst third")


@dataclasses.dataclass(frozen=True)
class Association:
    """How an effect goes with what is known of a model.

    Attributes:
        head, condition: of the effect.
        outcome: a key of OUTCOMES.
        predictor: a key of PREDICTORS.
        rank_correlation: Spearman's, with its interval.
        test: that it is zero.
    """

    head: str
    condition: Condition
    outcome: str
    predictor: str
    rank_correlation: Estimate
    test: Tested


def effects(pairs: Paired) -> pd.DataFrame:
    """One row a model: its pairs' mean difference of lifetime, ln ratio of drift, and survivors.

    Columns: model, life, drift (NaN where no pair survives), survivors (difference of the share).
    """
    return pd.DataFrame(
        {
            "model": list(pairs.units),
            "life": comparison.model_means(pairs.lived_longer),
            "drift": comparison.model_means(pairs.log_drift_ratio),
            "survivors": comparison.model_means(pairs.more_survived),
        }
    )


def predictors(models: pd.DataFrame, heads: pd.DataFrame, head: str) -> pd.DataFrame:
    """What is known of every model before any dynamics, indexed by model; keys of PREDICTORS."""
    known = models.set_index("model")
    norms = heads.pivot(index="model", columns="head", values="head_norm_eV").astype(float)
    growth = norms.reindex(columns=[head])[head] / norms.reindex(columns=[DEFAULT])[DEFAULT]
    table = {
        "force error": known["test_force_rmse_eV_per_A"].astype(float),
        "frames": known["frames"].astype(float),
        "head growth": growth.reindex(known.index),
    }
    return pd.DataFrame(table)


def associations(
    effect: pd.DataFrame, known: pd.DataFrame, head: str, condition: Condition, seed: int = 0
) -> list[Association]:
    """Every outcome against every predictor; the p-values are not corrected yet."""
    found = []
    for outcome in OUTCOMES:
        for predictor in PREDICTORS:
            x = _of(known, predictor, effect["model"])
            y = effect[outcome].to_numpy(float)
            both = np.isfinite(x) & np.isfinite(y)
            found.append(
                Association(
                    head, condition, outcome, predictor, *rank_correlation(x[both], y[both], seed)
                )
            )
    return found


def rank_correlation(
    x: Float[np.ndarray, " models"], y: Float[np.ndarray, " models"], seed: int = 0
) -> tuple[Estimate, Tested]:
    """Spearman's ρ of finite numbers with its interval and test; nothing for a constant."""
    if len(x) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return Estimate(None, None, None, len(x), len(x)), Tested(None)
    estimate = pairing.over_models(lambda drawn: _spearman(drawn, x, y), len(x), seed)
    test: Any = scipy.stats.spearmanr(x, y)
    return estimate, Tested(float(test.pvalue) if estimate.low is not None else None)


def _of(known: pd.DataFrame, predictor: str, models: Iterable[str]) -> Float[np.ndarray, " models"]:
    """What is known of these models, NaN where it is not."""
    values = dict(zip(known.index, known[predictor], strict=True))
    return np.array([values.get(name, np.nan) for name in models], float)


@dataclasses.dataclass(frozen=True)
class Third:
    """The effect of a head on a third of the models, ordered by their force error.

    Attributes:
        name: one of TERCILES.
        models: in this third.
        lowest, highest: test force RMSE of their default heads, eV/Å.
        life: difference of mean lifetime, ps.
        survivors: difference of the surviving share.
        drift_ratio: of |drift| where both survive.
    """

    name: str
    models: int
    lowest: float
    highest: float
    life: Estimate
    survivors: Estimate
    drift_ratio: Estimate


def by_third(pairs: Paired, known: pd.DataFrame, seed: int = 0) -> list[Third]:
    """The effect in each third of the models; ``known`` is that of :func:`predictors`."""
    error = pd.Series(_of(known, "force error", pairs.units))
    place = error.rank(method="first").to_numpy() / max(1, error.notna().sum())
    found = []
    for number, name in enumerate(TERCILES):
        chosen = (place > number / 3) & (place <= (number + 1) / 3)
        if chosen.any():
            found.append(
                Third(
                    name=name,
                    models=int(chosen.sum()),
                    lowest=float(error[chosen].min()),
                    highest=float(error[chosen].max()),
                    life=pairing.mean(pairs.lived_longer[chosen], seed),
                    survivors=pairing.mean(pairs.more_survived[chosen], seed),
                    drift_ratio=pairing.mean(pairs.log_drift_ratio[chosen], seed).map(np.exp),
                )
            )
    return found


def _spearman(drawn: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Rank correlation with every model as often as it was drawn; NaN where all ranks are one."""
    first, second = (_ranks(drawn, side) - (drawn.sum(axis=1)[:, None] + 1) / 2 for side in (x, y))
    size = np.sqrt((drawn * first**2).sum(axis=1) * (drawn * second**2).sum(axis=1))
    products = (drawn * first * second).sum(axis=1)
    return np.divide(products, size, out=np.full(len(drawn), np.nan), where=size > 0)


def _ranks(drawn: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The models' mid-ranks among the drawn ones, from how often each value was drawn."""
    distinct, which = np.unique(values, return_inverse=True)
    often = drawn @ (which[:, None] == np.arange(len(distinct)))
    return (np.cumsum(often, axis=1) - often + (often + 1) / 2)[:, which]
