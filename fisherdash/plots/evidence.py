"""What a study found, as tables for pages and documents; made of its own tables alone."""

from collections.abc import Mapping, Sequence
from typing import Final

import pandas as pd

from fisherdash.plots.study import Effect
from fisherdash.study.statistics import Comparison, FailureRate
from fisherdash.study.statistics.effects import OUTCOMES, PREDICTORS, Association, Change, Third
from fisherdash.study.words import p_value
from fisherdash.text import number


def comparison_rows(comparisons: Sequence[Comparison]) -> pd.DataFrame:
    """A row a comparison: survival, drift, both tests, the verdict."""
    return pd.DataFrame(
        [
            {
                "head": one.second,
                "condition": str(one.condition),
                "verdict": one.verdict,
                "models": one.models,
                "pairs": one.pairs,
                f"failed, {one.first}": one.failures[0],
                "failed, this head": one.failures[1],
                "survivors, change (points)": one.survivors.scaled(100.0).text(sign=True),
                "mean time to failure, change (ps)": one.time_to_failure.text(sign=True),
                "survival": p_value(one.survival),
                "log-rank": p_value(one.logrank),
                "|drift|, ratio": one.drift_ratio.text(),
                "|drift|, change (meV/atom/ps)": one.drift_difference.text(sign=True),
                "drift": p_value(one.drift),
                "pairs with drift": one.drift_ratio.n,
                "more survive": one.per_model.more,
                "fewer": one.per_model.fewer,
                "as many": one.per_model.alike,
                "no failure": one.per_model.silent,
                "all failed": one.per_model.lost,
            }
            for one in comparisons
        ]
    )


def rate_rows(rates: Sequence[FailureRate]) -> pd.DataFrame:
    """Failures per ns of every head, whole runs and second halves, and in 100 ns."""
    return pd.DataFrame(
        [
            {
                "head": one.head,
                "condition": str(one.condition),
                "failures": one.failures,
                "simulated (ns)": number(one.simulated),
                "failures per ns": one.rate.text(),
                "in the second half of the run": one.late.text(),
                "failures in 100 ns": one.expected.text(),
            }
            for one in rates
        ]
    )


SHORT: Final[Mapping[Effect, str]] = {
    "survivors": "Change of the surviving share (points)",
    "time to failure": "Change of mean time to failure (ps)",
    "drift": "Ratio of |drift|",
}


def third_rows(thirds: Mapping[str, Sequence[Third]], effect: Effect) -> pd.DataFrame:
    """An effect of each head in thirds of the models, a row a head."""
    rows = []
    for head, parts in thirds.items():
        row = {"head": head}
        for one in parts:
            span = f"{number(one.lowest)} to {number(one.highest)} eV/Å"
            row[f"{one.name}, {one.models} models, {span}"] = _of_third(one, effect)
        rows.append(row)
    return pd.DataFrame(rows)


def _of_third(one: Third, effect: Effect) -> str:
    if effect == "survivors":
        return one.survivors.scaled(100.0).text(sign=True)
    if effect == "drift":
        return one.drift_ratio.text()
    return one.time_to_failure.text(sign=True)


def association_rows(found: Sequence[Association]) -> pd.DataFrame:
    """Rank correlations of the effects with what is known of a model."""
    return pd.DataFrame(
        [
            {
                "head": one.head,
                "condition": str(one.condition),
                "effect": OUTCOMES[one.outcome],
                "against": PREDICTORS[one.predictor],
                "rank correlation": one.rank_correlation.text(sign=True),
                "test": p_value(one.test),
                "models": one.rank_correlation.clusters,
            }
            for one in found
        ]
    )


def change_rows(changes: Sequence[Change]) -> pd.DataFrame:
    """Errors, structure and sharpness with a re-fitted head."""
    return pd.DataFrame(
        [
            {
                "quantity": one.quantity,
                "head": one.head,
                "condition": str(one.condition) if one.condition else "",
                "default, median": number(one.default),
                "change": f"{'×' if one.relative else ''}{one.change.text(sign=not one.relative)}",
                "test": p_value(one.test),
                "models": one.change.clusters,
            }
            for one in changes
        ]
    )
