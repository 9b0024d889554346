"""A population of models: losses, drift, survival, kinds of failure, effects and power.

The published report's figures 5 to 9, with what they leave out: trainings that diverged are marked,
and every trajectory is accounted for, the failed ones too.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import pandas as pd

from fisherdash.plots import figure
from fisherdash.plots.figure import DEFAULT as DEFAULT_LOOK
from fisherdash.plots.figure import FISHER, NEUTRAL, OTHERS, Figure, Option, SeriesStyle
from fisherdash.plots.training import TRAIN, VALID
from fisherdash.statistics import Estimate
from fisherdash.study.statistics import DEFAULT, KINDS, Comparison, Condition
from fisherdash.study.statistics.comparison import Power, models_needed
from fisherdash.study.statistics.failures import SurvivalCurve

KIND_COLOURS = ("#b3261e", "#e58a1f", "#e0b81c", NEUTRAL)
"""Of the kinds of failure, the worst first; the last one is steady."""

_APART = (0, 1, 3, 4, 5, 2)
"""Which of the other styles come first: ochre, beside the orange of the first re-fit, last."""


def looks(heads: Sequence[str]) -> dict[str, SeriesStyle]:
    """A style for the default head and every re-fit, in their order."""
    order = [DEFAULT_LOOK, FISHER, *(OTHERS[k] for k in _APART)]
    return {head: order[k % len(order)] for k, head in enumerate([DEFAULT, *heads])}


DIVERGED = "#b3261e"
LOSSES = (
    ("train_loss_eV2", "training", TRAIN),
    ("valid_loss_eV2", "validation", VALID),
)
_EMPTY = "#00000000"


def losses_figures(losses: pd.DataFrame, models: pd.DataFrame) -> list[Figure]:
    """Training and validation losses, a figure for each number of training frames.

    Base-ten logarithms of eV², the same limits everywhere. A training that diverged is red.
    """
    values = losses[["train_loss_eV2", "valid_loss_eV2"]].to_numpy(float)
    positive = np.log10(values[values > 0])
    limits = figure.limits(positive, robust=True) or (-1.0, 1.0)
    found = []
    for frames, group in models.groupby("frames", sort=True):
        rows = losses.loc[losses["model"].isin(list(group["model"])).to_numpy(bool), :]
        if len(rows):
            found.append(_losses(int(float(str(frames))), group, rows, limits))
    return found


def drift_figures(
    curves: pd.DataFrame,
    trajectories: pd.DataFrame,
    condition: Condition,
    looks: Mapping[str, SeriesStyle],
) -> list[Figure]:
    """Change of total energy of every member, a figure a head, all with the same axes.

    A line is the median over a member's surviving replicas and ends in a cross where the last
    one failed. Below, the share of all trajectories that survive.
    """
    here = condition.of(curves)
    middle = here["median_meV_per_atom"].to_numpy(float)
    limits = figure.limits(np.append(middle, 0.0), robust=True) or (-1.0, 1.0)
    runs = condition.of(trajectories)
    return [
        _drift(head, condition.of(curves, head), condition.of(runs, head), limits, style)
        for head, style in looks.items()
        if len(condition.of(curves, head))
    ]


def _losses(
    frames: int, models: pd.DataFrame, rows: pd.DataFrame, limits: tuple[float, float]
) -> Figure:
    wide = rows.pivot(index="epoch", columns="model", values=["train_loss_eV2", "valid_loss_eV2"])
    diverged = set(models.loc[(models["diverged"] == 1).to_numpy(bool), "model"])
    columns = {"epoch": np.array(wide.index, float)}
    series: list[Option] = []
    for column, name, style in LOSSES:
        for number, model in enumerate(wide[column].columns):
            key = f"{name} {number}"
            value = np.array(wide[column][model], float)
            columns[key] = np.log10(np.where(value > 0, value, np.nan))
            bad = model in diverged
            shown = DIVERGED if bad else style.colour
            look = {"type": "dotted" if bad else style.border, "width": 1.2, "opacity": 0.6}
            label = "diverged" if bad else name
            more = {"lineStyle": look, "connectNulls": True, "silent": True}
            series.append(figure.line(label, "epoch", key, shown, style.border, **more))
    count = len(models)
    title = f"{frames:,} training frames: {count} model{'s' if count != 1 else ''}"
    option = figure.chart(
        pd.DataFrame(columns),
        series,
        title=figure.title(f"{title}, {len(diverged)} diverged" if diverged else title),
        tooltip={"show": False},
        grid=[figure.grid(top=58)],
        xAxis=figure.axis("epoch", min=0, minInterval=1),
        yAxis=figure.axis("log₁₀ loss (eV²)", vertical=True, min=limits[0], max=limits[1]),
    )
    option["legend"] |= {
        "top": 22,
        "left": 54,
        "itemWidth": 18,
        "data": sorted({s["name"] for s in series}),
    }
    return Figure(option, f"Losses of {title}, {len(diverged)} diverged", 250)


def _drift(
    head: str,
    curves: pd.DataFrame,
    runs: pd.DataFrame,
    limits: tuple[float, float],
    style: SeriesStyle,
) -> Figure:
    wide = curves.pivot(index="time_ps", columns="model", values="median_meV_per_atom").astype(
        float
    )
    times = np.array(wide.index, float)
    columns = {"t": times, "survivors": surviving_share(runs, times)}
    look = {"lineStyle": {"type": style.border, "width": 1.1, "opacity": 0.55}, "silent": True}
    series: list[Option] = []
    ends = []
    for number, values in enumerate(wide.to_numpy().T):
        columns[f"m{number}"] = values
        series.append(figure.line("median", "t", f"m{number}", style.colour, style.border, **look))
        last = np.flatnonzero(np.isfinite(values))
        if len(last) and last[-1] < len(values) - 1:
            height = float(np.clip(values[last[-1]], *limits))
            ends.append([figure.rounded(float(times[last[-1]]), 6), figure.rounded(height, 6)])
    crosses = {
        "type": "scatter",
        "name": "all failed",
        "data": ends,
        "symbol": "path://M0,0L8,8M8,0L0,8",
        "symbolSize": 8,
        "color": _EMPTY,
        "itemStyle": {"borderColor": NEUTRAL, "borderWidth": 1.6},
        "silent": True,
    }
    series.append(crosses)
    lower = {"xAxisIndex": 1, "yAxisIndex": 1}
    series.append(figure.line("survivors", "t", "survivors", style.colour, style.border, **lower))
    beyond = (wide.to_numpy() < limits[0]) | (wide.to_numpy() > limits[1])
    failed, outside = int(runs["died"].sum()), int(beyond.any(axis=0).sum())
    words = f"{head}: {len(wide.columns)} models, {len(runs) - failed:,} of {len(runs):,} survive"
    time = {"min": 0, "max": figure.rounded(float(times[-1]), 6) or 1.0}
    option = figure.chart(
        pd.DataFrame(columns),
        series,
        title=figure.title(words),
        legend={"show": False},
        tooltip={"show": False},
        grid=[
            figure.grid(top=30, height=190, bottom=None),
            figure.grid(top=236, height=50, bottom=None),
        ],
        xAxis=[
            figure.axis("", **time, gridIndex=0, axisLabel={"show": False}),
            figure.axis("time (ps)", **time, gridIndex=1),
        ],
        yAxis=[
            figure.axis("ΔE (meV/atom)", vertical=True, gridIndex=0, min=limits[0], max=limits[1]),
            figure.axis("survivors (%)", vertical=True, gridIndex=1, min=0, max=100, interval=100,
                        axisLabel={}),
        ],
    )  # fmt: skip
    lost = f"{outside} members leave the frame, {len(ends)} have no survivor"
    alt = f"{words}, {failed:,} failed; {lost}"
    return Figure(option, alt, 336)


def surviving_share(runs: pd.DataFrame, times: np.ndarray) -> np.ndarray:
    """Per cent of trajectories that survive at these times (ps)."""
    died = runs["died"].to_numpy(float) == 1
    ends = np.where(died, runs["lifetime_ps"].to_numpy(float), np.inf)
    return 100.0 * (ends[:, None] > times).mean(axis=0) if len(ends) else np.zeros(len(times))


POINTS = 201


def on_grid(curve: SurvivalCurve, times: np.ndarray) -> np.ndarray:
    """Share of survivors, its lower and its upper bound in per cent at these times: (3, times)."""
    place = np.searchsorted(curve.times, times, side="right") - 1
    return 100.0 * np.stack([curve.fraction, curve.low, curve.high])[:, np.maximum(place, 0)]


def survival_figure(curves: Sequence[SurvivalCurve], looks: Mapping[str, SeriesStyle]) -> Figure:
    """Share of all trajectories that survive, one curve a head with its 95 % band over models."""
    end = max((float(curve.times[-1]) for curve in curves), default=0.0) or 1.0
    times = np.linspace(0.0, end, POINTS)
    columns, table, series = {"t": times}, {"time (ps)": times}, []
    for number, curve in enumerate(curves):
        style = looks[curve.name]
        share, low, high = on_grid(curve, times)
        columns |= {f"s{number}": share, f"l{number}": low, f"w{number}": high - low}
        name = curve.name
        table |= {f"{name} (%)": share, f"{name}, low": low, f"{name}, high": high}
        if np.isfinite(low).all():
            series += _band(curve.name, number, style.colour)
        series.append(figure.line(curve.name, "t", f"s{number}", style.colour, style.border, z=5))
    option = figure.chart(
        pd.DataFrame(columns),
        series,
        legend={
            "top": 0,
            "itemWidth": 34,
            "itemStyle": {"opacity": 0},
            "data": [curve.name for curve in curves],
        },
        grid=[figure.grid(top=60)],
        xAxis=figure.axis("time (ps)", min=0, max=figure.rounded(end, 6)),
        yAxis=figure.axis("survivors (%)", vertical=True, scale=False, max=100, axisLabel={}),
    )
    words = "; ".join(f"{c.name}: {c.replicas - c.deaths} of {c.replicas}" for c in curves)
    return Figure(option, f"Survivors at the end. {words}.", 360, pd.DataFrame(table))


def kinds_figure(counts: pd.DataFrame) -> Figure:
    """How the trajectories of each head ended, in per cent; all of them.

    Args: counts: heads × kinds, of :func:`fisherdash.study.statistics.failures.count_kinds`.
    """
    share = 100.0 * counts.div(counts.sum(axis=1), axis=0)
    source = pd.DataFrame({"head": list(counts.index)})
    for number, kind in enumerate(KINDS):
        source[f"k{number}"] = share[kind].to_numpy()
    series: list[Option] = [
        {
            "type": "bar",
            "stack": "all",
            "name": kind,
            "encode": {"x": f"k{number}", "y": "head"},
            "color": colour,
            "barMaxWidth": 26,
        }
        for number, (kind, colour) in enumerate(zip(KINDS, KIND_COLOURS, strict=True))
    ]
    option = figure.chart(
        source,
        series,
        legend={"top": 0},
        grid=[figure.grid(top=60, left=110)],
        xAxis=figure.axis("share of all trajectories (%)", scale=False, max=100),
        yAxis={"type": "category", "inverse": True},
    )
    table = counts.reset_index().rename(columns={"index": "head"})
    return Figure(option, "How trajectories ended, by head", 120 + 40 * len(counts), table)


def _band(name: str, number: int, colour: str) -> list[Option]:
    """The lower bound, unseen, and on it the width of the band."""
    unseen = {"silent": True, "tooltip": {"show": False}, "lineStyle": {"opacity": 0}}
    low, width = (
        figure.line(f"{name} band", "t", f"{key}{number}", colour, **unseen)
        | {"stack": f"band {number}"}
        for key in "lw"
    )
    return [low, width | {"areaStyle": {"opacity": 0.14}}]


Effect = Literal["survivors", "life", "drift"]

EFFECT_NAMES: Mapping[Effect, str] = {
    "survivors": "difference of the surviving share (percentage points)",
    "life": "difference of mean lifetime in the run (ps)",
    "drift": "log₂ of the ratio of |drift|, pairs that both survive",
}
BETTER: Mapping[Effect, str] = {
    "survivors": "more survive →",
    "life": "fails later →",
    "drift": "← drifts less",
}


def shown(one: Comparison, effect: Effect) -> Estimate:
    """The estimate of an effect on the scale on which it is drawn."""
    if effect == "survivors":
        return one.survivors.scaled(100.0)
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
    zero = figure.mark({"xAxis": 0.0})
    series.append({"type": "scatter", "data": [], "silent": True, "markLine": zero})
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
            "models": [one.clusters for one in found],
            "pairs": [one.n for one in found],
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
      effects: of :func:`fisherdash.study.statistics.effects.by_model`, by head.
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
        series[0]["markLine"] = figure.mark({"yAxis": 0.0})
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
    needed = [
        np.array(models_needed(one.spread, (sizes / 100.0).tolist(), one.alpha))
        for one in found.values()
    ]
    source, series = figure.curves(sizes, list(found), needed, map(looks.__getitem__, found))
    models = max((one.models for one in found.values()), default=0)
    if series:
        label = {"formatter": f"this study: {models}", "position": "insideEndTop"}
        series[0]["markLine"] = figure.mark({"yAxis": models}, label=label)
    option = figure.chart(
        source,
        series,
        grid=[figure.grid(top=60)],
        xAxis=figure.axis(
            "true difference of the surviving share (percentage points)", type="log", min=1, max=24
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
        ends = [{"coord": [figure.rounded(end, 6), row]} for end in (found.low, found.high)]
        dot["markLine"] = figure.mark(ends, colour=colour, type="solid", width=2.2)
    return dot
