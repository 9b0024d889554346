"""The whole population at once: how it learned, and what every member's energy did.

The published report's figures 5 to 9, with what they leave out: trainings that diverged are marked,
and every trajectory is accounted for, the dead ones too.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from fisherdash.study.statistics import Condition
from fisherdash.view import figure
from fisherdash.view.curves import TRAIN, VALID
from fisherdash.view.figure import Figure, Option
from fisherdash.view.theme import NEUTRAL, SeriesStyle

DIVERGED = "#b3261e"
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

    A line is the median over a member's living replicas and ends in a cross where the last one
    died. Below, the share of all trajectories that live.
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
    for column, (name, colour, dash) in (("train_loss_eV2", TRAIN), ("valid_loss_eV2", VALID)):
        for number, model in enumerate(wide[column].columns):
            key = f"{name} {number}"
            value = np.array(wide[column][model], float)
            columns[key] = np.log10(np.where(value > 0, value, np.nan))
            bad = model in diverged
            shown = DIVERGED if bad else colour
            look = {"type": "dotted" if bad else dash, "width": 1.2, "opacity": 0.6}
            label = "diverged" if bad else name
            more = {"lineStyle": look, "connectNulls": True, "silent": True}
            series.append(figure.line(label, "epoch", key, shown, dash, **more))
    count = len(models)
    title = f"{frames:,} training frames: {count} model{'s' if count != 1 else ''}"
    option = figure.chart(
        pd.DataFrame(columns),
        series,
        title=_title(f"{title}, {len(diverged)} diverged" if diverged else title),
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
    columns = {"t": times, "alive": alive_share(runs, times)}
    look = {"lineStyle": {"type": style.dash, "width": 1.1, "opacity": 0.55}, "silent": True}
    series: list[Option] = []
    ends = []
    for number, values in enumerate(wide.to_numpy().T):
        columns[f"m{number}"] = values
        series.append(figure.line("median", "t", f"m{number}", style.colour, style.dash, **look))
        last = np.flatnonzero(np.isfinite(values))
        if len(last) and last[-1] < len(values) - 1:
            height = float(np.clip(values[last[-1]], *limits))
            ends.append([figure.rounded(float(times[last[-1]]), 6), figure.rounded(height, 6)])
    series.append(_crosses(ends))
    lower = {"xAxisIndex": 1, "yAxisIndex": 1}
    series.append(figure.line("alive", "t", "alive", style.colour, style.dash, **lower))
    died, outside = int(runs["died"].sum()), _outside(wide.to_numpy(), limits)
    words = f"{head}: {len(wide.columns)} models, {len(runs) - died:,} of {len(runs):,} alive"
    time = {"min": 0, "max": figure.rounded(float(times[-1]), 6) or 1.0}
    option = figure.chart(
        pd.DataFrame(columns),
        series,
        title=_title(words),
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
            figure.axis("alive (%)", vertical=True, gridIndex=1, min=0, max=100, interval=100,
                        axisLabel={}),
        ],
    )  # fmt: skip
    alt = f"{words}, {died:,} died; {outside} members leave the frame, {len(ends)} die out"
    return Figure(option, alt, 336)


def alive_share(runs: pd.DataFrame, times: np.ndarray) -> np.ndarray:
    """Per cent of trajectories that live at these times (ps)."""
    died = runs["died"].to_numpy(float) == 1
    ends = np.where(died, runs["lifetime_ps"].to_numpy(float), np.inf)
    return 100.0 * (ends[:, None] > times).mean(axis=0) if len(ends) else np.zeros(len(times))


def _outside(values: np.ndarray, limits: tuple[float, float]) -> int:
    """Members whose curve leaves the axes."""
    beyond = (values < limits[0]) | (values > limits[1])
    return int(beyond.any(axis=0).sum())


def _crosses(ends: list[list[float]]) -> Option:
    return {
        "type": "scatter",
        "name": "all dead",
        "data": ends,
        "symbol": "path://M0,0L8,8M8,0L0,8",
        "symbolSize": 8,
        "color": _EMPTY,
        "itemStyle": {"borderColor": NEUTRAL, "borderWidth": 1.6},
        "silent": True,
    }


def _title(words: str) -> Option:
    return {"text": words, "textStyle": {"fontSize": 13}, "top": 2, "padding": 0, "left": 60}
