"""The effect of a re-fit on each model: on errors and structure, and when it helps or harms.

A model is one point, however many replicas it has. Associations are C. Spearman's rank correlation
(Am. J. Psychol. 15, 72 (1904)), with the interval of drawing models.
"""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any, Final, TypeVar

import numpy as np
import pandas as pd
import scipy
from jaxtyping import Float

from fisherdash.statistics import Estimate, bootstrap, cluster_mean
from fisherdash.study.statistics.comparison import (
    DEFAULT,
    Condition,
    Paired,
    Tested,
    holm,
    model_means,
    over_models,
)

OUTCOMES: Final = {
    "time to failure": "difference of mean time to failure (ps)",
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
        predictor: a key of PREDICTORS, or "sharpness".
        rank_correlation: Spearman's, with its interval.
        test: that it is zero.
    """

    head: str
    condition: Condition
    outcome: str
    predictor: str
    rank_correlation: Estimate
    test: Tested


def by_model(pairs: Paired) -> pd.DataFrame:
    """One row a model: means over its pairs of the effects on time to failure, drift and survival.

    Columns: model, time to failure (ps), drift (ln ratio; NaN where no pair survives), survivors
    (share).
    """
    return pd.DataFrame(
        {
            "model": list(pairs.units),
            "time to failure": model_means(pairs.survived_longer),
            "drift": model_means(pairs.log_drift_ratio),
            "survivors": model_means(pairs.more_survived),
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
        return Estimate(None, n=len(x), clusters=len(x)), Tested(None)
    estimate = bootstrap(lambda drawn: _spearman(drawn, x, y), len(x), seed, student=True)
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
        time_to_failure: difference of its mean, ps.
        survivors: difference of the surviving share.
        drift_ratio: of |drift| where both survive.
    """

    name: str
    models: int
    lowest: float
    highest: float
    time_to_failure: Estimate
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
                    time_to_failure=cluster_mean(pairs.survived_longer[chosen], seed),
                    survivors=cluster_mean(pairs.more_survived[chosen], seed),
                    drift_ratio=cluster_mean(pairs.log_drift_ratio[chosen], seed).map(np.exp),
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


@dataclasses.dataclass(frozen=True)
class Change:
    """How a quantity changes from the default head to another, over models.

    Attributes:
        quantity: what, with its unit where it has one.
        head: the re-fit.
        condition: None for what needs no dynamics.
        default: median over the models with the default head.
        change: the ratio (geometric mean) or, for what may be zero, the mean difference.
        relative: whether ``change`` is a ratio.
        test: signed-rank over models.
    """

    quantity: str
    head: str
    condition: Condition | None
    default: float
    change: Estimate
    relative: bool
    test: Tested


_Finding = TypeVar("_Finding", Association, Change)


def as_family(found: Sequence[_Finding]) -> list[_Finding]:
    """The same findings, their tests corrected as one family."""
    p_values = holm([one.test.raw for one in found])
    return [
        dataclasses.replace(one, test=Tested(one.test.raw, p))
        for one, p in zip(found, p_values, strict=True)
    ]


def force_errors(heads: pd.DataFrame, names: Sequence[str], seed: int = 0) -> list[Change]:
    """Ratio of the force RMSE on frames that no model has seen, one a head."""
    column = "test_force_rmse_eV_per_A"
    return as_family(_changes(heads, column, names, "test force RMSE (eV/Å)", None, True, seed))


def sharpness(heads: pd.DataFrame, names: Sequence[str], seed: int = 0) -> list[Change]:
    """Ratio of the sharpness of the loss; empty where it was not measured."""
    positive = heads.loc[(heads["sharpness_eV2"].astype(float) > 0).to_numpy(bool), :]
    return as_family(
        _changes(positive, "sharpness_eV2", names, "sharpness (eV²)", None, True, seed)
    )


def structure_errors(
    structure: pd.DataFrame, names: Sequence[str], conditions: Sequence[Condition], seed: int = 0
) -> list[Change]:
    """Difference of the error of h(r) under every condition, corrected together."""
    found = []
    for condition in conditions:
        rows = condition.of(structure)
        found += _changes(rows, "h_error", names, "error of h(r)", condition, False, seed)
    return as_family(found)


def sharpness_and_failure(
    heads: pd.DataFrame, trajectories: pd.DataFrame, conditions: Sequence[Condition], seed: int = 0
) -> list[Association]:
    """Whether sharper models fail sooner, for every head that has a measured sharpness."""
    sharp = heads.pivot(index="model", columns="head", values="sharpness_eV2").astype(float)
    found = []
    for condition in conditions:
        rows = condition.of(trajectories)
        mean = rows.groupby(["head", "model"], sort=False)["time_to_failure_ps"].mean()
        for head in [name for name in rows["head"].drop_duplicates() if name in sharp]:
            table = pd.DataFrame({"sharp": sharp[head], "time to failure": mean[head]}).dropna()
            if len(table):
                values = table["sharp"].to_numpy(float), table["time to failure"].to_numpy(float)
                test = rank_correlation(*values, seed)
                found.append(
                    Association(str(head), condition, "time to failure", "sharpness", *test)
                )
    return as_family(found)


def _changes(
    table: pd.DataFrame,
    column: str,
    names: Sequence[str],
    quantity: str,
    condition: Condition | None,
    relative: bool,
    seed: int,
) -> list[Change]:
    wide = table.pivot(index="model", columns="head", values=column).astype(float)
    found = []
    for head in [name for name in names if name in wide and DEFAULT in wide]:
        both = wide[[DEFAULT, head]].dropna().to_numpy()
        if not len(both):
            continue
        first, second = np.log(both.T) if relative else both.T
        effect = (second - first)[:, None]
        change = cluster_mean(effect, seed)
        found.append(
            Change(
                quantity=quantity,
                head=head,
                condition=condition,
                default=float(np.median(both[:, 0])),
                change=change.map(np.exp) if relative else change,
                relative=relative,
                test=Tested(over_models(effect)),
            )
        )
    return found
