"""Effects with their intervals, what they go with, and how many models would show them."""

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import pandas as pd

from fisherdash.study.statistics import Comparison, Estimate
from fisherdash.study.statistics.power import Power, models_needed
from fisherdash.view import figure
from fisherdash.view.figure import Figure, Option
from fisherdash.view.theme import NEUTRAL, SeriesStyle

Effect = Literal["survivors", "life", "drift"]

EFFECT_NAMES: Mapping[Effect, str] = {
    "survivors": "difference of the share alive (percentage points)",
    "life": "difference of mean lifetime in the run (ps)",
    "drift": "log₂ of the ratio of |drift|, pairs that both survive",
}
BETTER: Mapping[Effect, str] = {
    "survivors": "more survive →",
    "life": "lives longer →",
    "drift": "← drifts less",
}


def shown(one: Comparison, effect: Effect) -> Estimate:
    """The estimate of an effect on the scale on which it is drawn."""
    if effect == "survivors":
        return one.survivors.map(lambda share: 100.0 * share)
    return one.life if effect == "life" else one.drift_ratio.map(np.log2)


def forest_figure(
    comparisons: Sequence[Comparison], effect: Effect, looks: Mapping[str, SeriesStyle]
) -> Figure:
    """Every comparison's effect as a point with its 95 % interval, zero marked."""
    labels = [f"{one.second}, {one.condition.temperature:g} K" for one in comparisons]
    found = [shown(one, effect) for one in comparisons]
    source = pd.DataFrame({"value": [one.value for one in found], "row": labels})
    spread = [x for one in found for x in (one.value, one.low, one.high) if x is not None]
    low, high = figure.limits(np.array([*spread, 0.0])) or (-1.0, 1.0)
    series: list[Option] = []
    for number, (one, estimate) in enumerate(zip(comparisons, found, strict=True)):
        colour = looks[one.second].colour if one.second in looks else NEUTRAL
        series.append(_bar(number, estimate, colour))
    series.append(_zero())
    option = figure.chart(
        source,
        series,
        legend={"show": False},
        tooltip={"show": False},
        grid=[figure.grid(top=12, left=150, bottom=64)],
        xAxis=figure.axis(
            f"{EFFECT_NAMES[effect]}\n{BETTER[effect]}",
            min=low,
            max=high,
            axisLabel={"showMinLabel": False, "showMaxLabel": False},
            nameTextStyle={"lineHeight": 15},
            nameGap=36,
        ),
        yAxis={"type": "category", "inverse": True, "data": labels, "axisTick": {"show": False}},
    )
    table = pd.DataFrame(
        {
            "head": [one.second for one in comparisons],
            "condition": [str(one.condition) for one in comparisons],
            EFFECT_NAMES[effect]: [one.value for one in found],
            "low": [one.low for one in found],
            "high": [one.high for one in found],
            "models": [one.models for one in found],
            "pairs": [one.pairs for one in found],
        }
    )
    alt = f"Effect of each re-fitted head with its 95 % interval: {EFFECT_NAMES[effect]}"
    return Figure(option, alt, 88 + 32 * len(labels), table)


def quality_figure(
    effects: Mapping[str, pd.DataFrame],
    errors: Mapping[str, float],
    effect: Effect,
    looks: Mapping[str, SeriesStyle],
) -> Figure:
    """The effect on each model against the force error of its default head.

    Args:
      effects: of :func:`fisherdash.study.statistics.when.effects`, by head.
      errors: test force RMSE in eV/Å by model.
      effect: which one.
      looks: of the heads.
    """
    scale = {"survivors": 100.0, "life": 1.0, "drift": 1.0 / np.log(2.0)}[effect]
    columns, parts, series = {}, [], []
    for number, (head, found) in enumerate(effects.items()):
        x = np.array([errors.get(name, np.nan) for name in found["model"]], float)
        y = scale * found[effect].to_numpy(float)
        columns |= {f"x{number}": x, f"y{number}": y}
        parts.append(pd.DataFrame({"model": found["model"], "head": head, "error": x, "effect": y}))
        series.append(
            {
                "type": "scatter",
                "name": head,
                "encode": {"x": f"x{number}", "y": f"y{number}"},
                "color": looks[head].colour,
                "symbolSize": 7,
                "itemStyle": {"opacity": 0.75},
            }
        )
    longest = max((len(values) for values in columns.values()), default=0)
    source = pd.DataFrame(
        {name: np.pad(v, (0, longest - len(v)), constant_values=np.nan)
         for name, v in columns.items()}
    )  # fmt: skip
    if series:
        series[0]["markLine"] = _zero_line("yAxis")
    option = figure.chart(
        source,
        series,
        legend={"top": 0},
        tooltip={"trigger": "item", "valueFormatter": "%.3g"},
        grid=[figure.grid(top=60)],
        xAxis=figure.axis("test force RMSE of the default head (eV/Å)"),
        yAxis=figure.axis(EFFECT_NAMES[effect], vertical=True),
    )
    table = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
    table = table.rename(columns={"error": "force RMSE (eV/Å)", "effect": EFFECT_NAMES[effect]})
    return Figure(option, "Effect of the re-fit on each model against its quality", 380, table)


def power_figure(found: Mapping[str, Power], looks: Mapping[str, SeriesStyle]) -> Figure:
    """How many models it takes to see a difference of the surviving share, one curve a head.

    Args: found: of the surviving share, by head.
    """
    sizes = np.array([1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 24.0])
    columns, series = {"size": sizes}, []
    for number, (head, one) in enumerate(found.items()):
        needed = models_needed(one.spread, (sizes / 100.0).tolist(), one.alpha)
        columns[f"n{number}"] = np.array(needed)
        style = looks[head]
        series.append(figure.line(head, "size", f"n{number}", style.colour, style.dash))
    source = pd.DataFrame(columns)
    models = max((one.models for one in found.values()), default=0)
    if series:
        series[0]["markLine"] = _zero_line("yAxis", models) | {
            "label": {"formatter": f"this study: {models}", "position": "insideEndTop"}
        }
    option = figure.chart(
        source,
        series,
        grid=[figure.grid(top=60)],
        xAxis=figure.axis(
            "true difference of the share alive (percentage points)", type="log", min=1, max=24
        ),
        yAxis=figure.axis("models for 80 % power", vertical=True, type="log"),
    )
    names = [f"models, {head}" for head in found]
    table = source.set_axis(["difference (percentage points)", *names], axis=1)
    return Figure(option, "Number of models needed against the size of the effect", 340, table)


def _bar(row: int, found: Estimate, colour: str) -> Option:
    dot: Option = {
        "type": "scatter",
        "data": [] if found.value is None else [[figure.rounded(found.value, 6), row]],
        "color": colour,
        "symbolSize": 9,
        "silent": True,
    }
    if found.low is not None and found.high is not None:
        dot["markLine"] = {
            "silent": True,
            "symbol": "none",
            "label": {"show": False},
            "lineStyle": {"type": "solid", "color": colour, "width": 2.2},
            "data": [
                [
                    {"coord": [figure.rounded(found.low, 6), row]},
                    {"coord": [figure.rounded(found.high, 6), row]},
                ]
            ],
        }
    return dot


def _zero() -> Option:
    return {"type": "scatter", "data": [], "silent": True, "markLine": _zero_line("xAxis")}


def _zero_line(axis: str, value: float = 0.0) -> Option:
    return {
        "silent": True,
        "symbol": "none",
        "label": {"show": False},
        "lineStyle": {"type": "dashed", "color": NEUTRAL},
        "data": [{axis: value}],
    }
