"""Statistics of a population as tables: to be read, with the units in the names of the columns."""

from collections.abc import Mapping, Sequence
from typing import Final

import pandas as pd

from fisherdash.study.statistics import Comparison, FailureRate
from fisherdash.study.statistics.cost import Cost, Expected
from fisherdash.study.statistics.quality import Change
from fisherdash.study.statistics.when import OUTCOMES, PREDICTORS, Association, Third
from fisherdash.study.words import digits, duration, interval, p_value
from fisherdash.view.study.effects import Effect


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
                f"died, {one.first}": one.deaths[0],
                "died, this head": one.deaths[1],
                "alive, change (points)": interval(one.survivors.map(_points), sign=True),
                "mean life, change (ps)": interval(one.life, sign=True),
                "survival": p_value(one.survival),
                "log-rank": p_value(one.logrank),
                "|drift|, ratio": interval(one.drift_ratio),
                "|drift|, change (meV/atom/ps)": interval(one.drift_difference, sign=True),
                "drift": p_value(one.drift),
                "pairs with drift": one.drift_ratio.pairs,
                "models helped": one.per_model.helped,
                "models hurt": one.per_model.hurt,
                "models alike": one.per_model.unchanged,
                "nobody died": one.per_model.silent,
                "everybody died": one.per_model.lost,
            }
            for one in comparisons
        ]
    )


def rate_rows(rates: Sequence[FailureRate], expected: Sequence[Expected]) -> pd.DataFrame:
    """Failures per ns of every head, whole runs and second halves, and in 100 ns."""
    return pd.DataFrame(
        [
            {
                "head": one.head,
                "condition": str(one.condition),
                "died": one.deaths,
                "lived (ns)": digits(one.living),
                "failures per ns": interval(one.rate),
                "in the second half of the run": interval(one.late),
                "failures in 100 ns": interval(ahead.failures),
            }
            for one, ahead in zip(rates, expected, strict=True)
        ]
    )


def cost_rows(costs: Sequence[Cost]) -> pd.DataFrame:
    """Time for 100 ns on every device that was measured."""
    return pd.DataFrame(
        [
            {
                "device": one.device,
                "temperature (K)": one.temperature,
                "models": one.models,
                "batch": one.batch,
                "100 ns of one trajectory": duration(one.seconds),
                "fastest model": duration(one.fastest),
                "slowest model": duration(one.slowest),
                "100 ns of the whole batch": duration(one.batch_seconds),
            }
            for one in costs
        ]
    )


SHORT: Final[Mapping[Effect, str]] = {
    "survivors": "Change of the share alive (points)",
    "life": "Change of mean life (ps)",
    "drift": "Ratio of |drift|",
}


def third_rows(thirds: Mapping[str, Sequence[Third]], effect: Effect) -> pd.DataFrame:
    """An effect of each head in thirds of the models, a row a head."""
    rows = []
    for head, parts in thirds.items():
        row = {"head": head}
        for one in parts:
            span = f"{digits(one.lowest)} to {digits(one.highest)} eV/Å"
            row[f"{one.name}, {one.models} models, {span}"] = _of_third(one, effect)
        rows.append(row)
    return pd.DataFrame(rows)


def _of_third(one: Third, effect: Effect) -> str:
    if effect == "survivors":
        return interval(one.survivors.map(_points), sign=True)
    return interval(one.life, sign=True) if effect == "life" else interval(one.drift_ratio)


def association_rows(found: Sequence[Association]) -> pd.DataFrame:
    """Rank correlations of the effects with what is known of a model."""
    return pd.DataFrame(
        [
            {
                "head": one.head,
                "condition": str(one.condition),
                "effect": OUTCOMES[one.outcome],
                "against": PREDICTORS[one.predictor],
                "rank correlation": interval(one.rank_correlation, sign=True),
                "test": p_value(one.test),
                "models": one.rank_correlation.models,
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
                "default, median": digits(one.default),
                "change": f"{'×' if one.relative else ''}{interval(one.change, not one.relative)}",
                "test": p_value(one.test),
                "models": one.change.models,
            }
            for one in changes
        ]
    )


def _points(share: float) -> float:
    return 100.0 * share
