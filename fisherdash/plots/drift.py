"""Energy drift and survival on one page: the change of total energy, and who is still alive.

The two are drawn together on the same axis of time, because a plot of the survivors' drift alone
flatters the head whose bad trajectories have died.

Small figures: training curves and what a data set holds.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from fisherdash.analysis import Trajectories, total_energy_change
from fisherdash.plots import figure
from fisherdash.plots.figure import DEFAULT, NEUTRAL, POINTS, Figure, Option, SeriesStyle, decimate

TRAIN = ("training", "#7a7f87", "solid")
VALID = ("validation", DEFAULT.colour, "solid")
FALL = 3.0
"""Ratio of the largest to the least error from which on a logarithmic axis serves better."""


def training_figure(
    epochs: Sequence[int], train: Sequence[float], valid: Sequence[float], best: int | None
) -> Figure:
    """Force RMSE on training and validation frames against the epoch, on a logarithmic axis where
    it falls by more than FALL.

    Args: train, valid in eV/Å; best: the epoch whose weights are kept, marked.
    """
    values = np.array([train, valid], np.float64)
    shown_epochs, shown = decimate(np.asarray(epochs, np.float64), values, POINTS)
    source = figure.columns(["epoch", "train", "valid"], [shown_epochs, *shown])
    series = [
        figure.line(name, "epoch", column, colour, dash)
        for column, (name, colour, dash) in (("train", TRAIN), ("valid", VALID))
    ]
    if best is not None:
        late = bool(epochs) and best > (epochs[0] + epochs[-1]) / 2
        series[1]["markLine"] = {
            "silent": True,
            "symbol": "none",
            "lineStyle": {"type": "dotted", "color": NEUTRAL},
            "label": {
                "formatter": "best, epoch {c}",
                "position": "insideEndTop" if late else "insideEndBottom",
                "color": NEUTRAL,
            },
            "data": [{"xAxis": int(best)}],
        }
    # A logarithmic axis reaches from power to power, too far for curves that hardly fall.
    wide = np.nanmax(values, initial=0.0) > FALL * np.nanmin(values, initial=np.inf)
    scale: Option = {"type": "log", "logBase": 2} if wide else {}
    option = figure.chart(
        source,
        series,
        grid=[figure.grid(top=52)],
        dataZoom=[{"type": "inside", "filterMode": "none"}],
        xAxis=figure.axis("epoch", minInterval=1),
        yAxis=figure.axis("force RMSE (eV/Å)", vertical=True, **scale),
    )
    table = pd.DataFrame({"epoch": epochs, "training (eV/Å)": train, "validation (eV/Å)": valid})
    return Figure(option, "Force RMSE of training and validation against the epoch", 340, table)


def histogram_figure(values: np.ndarray, quantity: str, bins: int = 48) -> Figure:
    """How often a quantity (named with its unit) takes which value."""
    finite = values[np.isfinite(values)]
    counts, edges = np.histogram(finite, bins=bins)
    centres = 0.5 * (edges[1:] + edges[:-1])
    source = pd.DataFrame({"value": centres, "frames": counts})
    bars: Option = {
        "type": "bar",
        "name": "count",
        "encode": {"x": "value", "y": "frames"},
        "color": NEUTRAL,
        "barCategoryGap": "0%",
    }
    option = figure.chart(
        source,
        [bars],
        legend={"show": False},
        grid=[figure.grid(top=16)],
        xAxis=figure.axis(quantity),
        yAxis=figure.axis("count", vertical=True, scale=False),
    )
    alt = f"Histogram of {quantity}: {finite.min():.3g} to {finite.max():.3g}"
    table = source.set_axis([quantity, "count"], axis=1)
    return Figure(option, alt, 260, table)


BUDGET = 120_000
"""Numbers that one drift chart may hold; many replicas get fewer points each."""


def drift_figure(
    traj: Trajectories, styles: Sequence[SeriesStyle], *, end: float | None = None
) -> Figure:
    """ΔE_tot(t) in meV per atom of all heads on the same axes; below it, who is still alive.

    Args:
      traj: the run so far, with at least one frame.
      styles: of the heads.
      end: time at which a run that goes on will end, ps; the axis then grows towards it.
    """
    names, times, alive = traj.names, traj.times / 1000.0, traj.surviving_counts()
    change = total_energy_change(traj)
    heads, replicas, _ = change.shape
    median = median_of_living(change)
    curves = np.concatenate([median, alive, change.reshape(heads * replicas, -1)])
    points = min(POINTS, BUDGET // len(curves))
    shown_times, shown = decimate(times, curves, points)
    labels = [
        *(f"median {h}" for h in range(heads)),
        *(f"alive {h}" for h in range(heads)),
        *(f"replica {h} {r}" for h in range(heads) for r in range(replicas)),
    ]
    source = figure.columns(["t", *labels], [shown_times, *shown])
    series: list[Option] = []
    for h, (name, style) in enumerate(zip(names, styles, strict=True)):
        bold = {"lineStyle": {"type": style.dash, "width": 2.6}, "z": 5}
        series.append(figure.line(name, "t", f"median {h}", style.colour, style.dash, **bold))
        lower = {"xAxisIndex": 1, "yAxisIndex": 1, "step": "end"}
        series.append(figure.line(name, "t", f"alive {h}", style.colour, style.dash, **lower))
        series += [_replica(name, style, f"replica {h} {r}") for r in range(replicas)]
    option = figure.chart(source, series, **_frame(change, traj, end))
    return Figure(
        option,
        _alt(names, alive, replicas, times),
        448 + figure.below_legend(heads),
        _table(times, median, alive, names),
    )


def temperature_figure(
    traj: Trajectories, styles: Sequence[SeriesStyle], *, end: float | None = None
) -> Figure:
    """Mean kinetic temperature of the living replicas of every head, K, against time in ps."""
    names, times, temperature = traj.names, traj.times / 1000.0, traj.kinetic_temperature()
    shown_times, shown = decimate(times, temperature, POINTS)
    labels = [f"T {h}" for h in range(len(names))]
    source = figure.columns(["t", *labels], [shown_times, *shown])
    series = [
        figure.line(name, "t", label, style.colour, style.dash)
        for name, label, style in zip(names, labels, styles, strict=True)
    ]
    if traj.temperature is not None:
        drawn = figure.rounded(traj.temperature, 4)
        source["drawn"] = drawn
        words = f"momenta drawn at {drawn:g} K"
        series.append(figure.line(words, "t", "drawn", NEUTRAL, "dotted"))
    option = figure.chart(
        source,
        series,
        grid=[figure.grid(top=figure.below_legend(len(series)))],
        xAxis=figure.axis("time (ps)", min=0, max=time_axis_end(traj, end)),
        yAxis=figure.axis("kinetic temperature (K)", vertical=True),
    )
    table = figure.columns(["time (ps)", *(f"{name} (K)" for name in names)], [times, *temperature])
    return Figure(option, "Mean kinetic temperature of the living replicas over time", 300, table)


def _replica(name: str, style: SeriesStyle, column: str) -> Option:
    faint = {"type": style.dash, "width": 0.8, "opacity": 0.28}
    quiet = {"lineStyle": faint, "silent": True, "tooltip": {"show": False}, "z": 2}
    return figure.line(name, "t", column, style.colour, style.dash, **quiet)


def _frame(change: np.ndarray, traj: Trajectories, end: float | None) -> Option:
    replicas, died = traj.replicas, not traj.survivors.all()
    limits = figure.limits(np.append(change, 0.0), robust=died)
    low, high = limits if limits else (-1.0, 1.0)
    top = figure.below_legend(len(traj.names))
    time = {"min": 0, "max": time_axis_end(traj, end)}
    return {
        "grid": [
            figure.grid(top=top, height=280, bottom=None),
            figure.grid(top=top + 316, height=84, bottom=None),
        ],
        "axisPointer": {"link": [{"xAxisIndex": "all"}]},
        "dataZoom": [{"type": "inside", "xAxisIndex": [0, 1], "filterMode": "none"}],
        "xAxis": [
            figure.axis("", **time, gridIndex=0, axisLabel={"show": False}),
            figure.axis("time (ps)", **time, gridIndex=1),
        ],
        "yAxis": [
            figure.axis(
                "ΔE total (meV/atom)",
                vertical=True,
                gridIndex=0,
                min=low,
                max=high,
            ),
            figure.axis(
                "alive",
                vertical=True,
                gridIndex=1,
                min=0,
                max=replicas,
                interval=max(1, replicas),
                scale=False,
                axisLabel={},
            ),
        ],
    }


def time_axis_end(traj: Trajectories, end: float | None) -> float:
    """Where the axis of time ends, ps: at the last frame, or, while a run goes on towards ``end``,
    at the next of end/16, end/8, …, end, so that a young curve is not squeezed into a corner; where
    everybody died before, a little behind the last death."""
    last = traj.duration
    nobody = np.flatnonzero(~traj.surviving.any(axis=(0, 1)))
    first = float(traj.times[nobody[0]]) if len(nobody) else 0.0
    if first > 0.0 and (dead := figure.round_above(1.1e-3 * first)) < last:
        return dead
    if end is None:
        return figure.rounded(last, 6) or 1.0
    halvings = next(k for k in (4, 3, 2, 1, 0) if k == 0 or last <= 0.95 * end / 2**k)
    return figure.rounded(end / 2**halvings, 6)


def median_of_living(change: np.ndarray) -> np.ndarray:
    """Median over the living replicas of (H, R, K), NaN where none is left."""
    empty = np.all(np.isnan(change), axis=1)
    return np.where(empty, np.nan, np.nanmedian(np.where(empty[:, None], 0.0, change), axis=1))


def _alt(names: Sequence[str], alive: np.ndarray, replicas: int, times: np.ndarray) -> str:
    ends = "; ".join(
        f"{name}: {int(alive[h, -1])} of {replicas} alive" for h, name in enumerate(names)
    )
    return f"Change of total energy per atom over {times[-1]:.3g} ps, and replicas alive. {ends}."


def _table(
    times: np.ndarray, median: np.ndarray, alive: np.ndarray, names: Sequence[str]
) -> pd.DataFrame:
    columns = {"time (ps)": times}
    for h, name in enumerate(names):
        columns[f"{name}: median ΔE (meV/atom)"] = median[h]
        columns[f"{name}: alive"] = alive[h]
    return pd.DataFrame(columns)
