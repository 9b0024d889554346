"""Energy drift with survival, and temperature.

Drift and survival share an axis of time, because a plot of the survivors' drift alone flatters the
head whose bad trajectories have failed.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from fisherdash.analysis import Trajectories, total_energy_change
from fisherdash.plots import figure
from fisherdash.plots.figure import NEUTRAL, POINTS, Figure, Option, SeriesStyle, decimate

BUDGET = 120_000
"""Numbers that one drift chart may hold; many replicas get fewer points each."""


def drift_figure(
    traj: Trajectories, styles: Sequence[SeriesStyle], *, end: float | None = None
) -> Figure:
    """ΔE_tot(t) in meV per atom of all heads on the same axes; below it, the number of survivors.

    Args:
      traj: the run so far, with at least one frame.
      styles: of the heads.
      end: time at which a run that goes on will end, ps; the axis then grows towards it.
    """
    names, times, survivors = traj.names, traj.times / 1000.0, traj.surviving_counts()
    change = total_energy_change(traj)
    heads, replicas, _ = change.shape
    median = median_of_living(change)
    curves = np.concatenate([median, survivors, change.reshape(heads * replicas, -1)])
    points = min(POINTS, BUDGET // len(curves))
    shown_times, shown = decimate(times, curves, points)
    labels = [
        *(f"median {h}" for h in range(heads)),
        *(f"survivors {h}" for h in range(heads)),
        *(f"replica {h} {r}" for h in range(heads) for r in range(replicas)),
    ]
    source = figure.columns(["t", *labels], [shown_times, *shown])
    series: list[Option] = []
    for h, (name, style) in enumerate(zip(names, styles, strict=True)):
        bold = {"lineStyle": {"type": style.border, "width": 2.6}, "z": 5}
        series.append(figure.line(name, "t", f"median {h}", style.colour, style.border, **bold))
        lower = {"xAxisIndex": 1, "yAxisIndex": 1, "step": "end"}
        series.append(figure.line(name, "t", f"survivors {h}", style.colour, style.border, **lower))
        series += [_replica(name, style, f"replica {h} {r}") for r in range(replicas)]
    option = figure.chart(source, series, **_frame(change, traj, end))
    ends = "; ".join(
        f"{name}: {int(survivors[h, -1])} of {replicas} survive" for h, name in enumerate(names)
    )
    alt = f"Change of total energy per atom over {times[-1]:.3g} ps, and survivors. {ends}."
    table = {"time (ps)": times}
    for h, name in enumerate(names):
        table |= {f"{name}: median ΔE (meV/atom)": median[h], f"{name}: survivors": survivors[h]}
    return Figure(option, alt, 448 + figure.below_legend(heads), pd.DataFrame(table))


def temperature_figure(
    traj: Trajectories, styles: Sequence[SeriesStyle], *, end: float | None = None
) -> Figure:
    """Mean kinetic temperature of the surviving replicas of every head, K, against time in ps."""
    names, times, temperature = traj.names, traj.times / 1000.0, traj.kinetic_temperature()
    shown_times, shown = decimate(times, temperature, POINTS)
    source, series = figure.curves(shown_times, names, shown, styles)
    if traj.temperature is not None:
        drawn = figure.rounded(traj.temperature, 4)
        source["drawn"] = drawn
        words = f"momenta drawn at {drawn:g} K"
        series.append(figure.line(words, "x", "drawn", NEUTRAL, "dotted"))
    option = figure.chart(
        source,
        series,
        grid=[figure.grid(top=figure.below_legend(len(series)))],
        xAxis=figure.axis("time (ps)", min=0, max=time_axis_end(traj, end)),
        yAxis=figure.axis("kinetic temperature (K)", vertical=True),
    )
    table = figure.columns(["time (ps)", *(f"{name} (K)" for name in names)], [times, *temperature])
    return Figure(
        option, "Mean kinetic temperature of the surviving replicas over time", 300, table
    )


def _replica(name: str, style: SeriesStyle, column: str) -> Option:
    faint = {"type": style.border, "width": 0.8, "opacity": 0.28}
    quiet = {"lineStyle": faint, "silent": True, "tooltip": {"show": False}, "z": 2}
    return figure.line(name, "t", column, style.colour, style.border, **quiet)


def _frame(change: np.ndarray, traj: Trajectories, end: float | None) -> Option:
    replicas, failed = traj.replicas, not traj.survivors.all()
    limits = figure.limits(np.append(change, 0.0), robust=failed)
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
            figure.axis("ΔE total (meV/atom)", vertical=True, gridIndex=0, min=low, max=high),
            figure.axis("survivors", vertical=True, gridIndex=1, min=0, max=replicas,
                        interval=max(1, replicas), scale=False, axisLabel={}),
        ],
    }  # fmt: skip


def time_axis_end(traj: Trajectories, end: float | None) -> float:
    """Where the axis of time ends, ps: at the last frame, or, while a run goes on towards ``end``,
    at the next of end/16, end/8, …, end, so that a young curve is not squeezed into a corner; where
    all replicas failed before, a little behind the last failure."""
    last = traj.duration
    none = np.flatnonzero(~traj.surviving.any(axis=(0, 1)))
    first = float(traj.times[none[0]]) if len(none) else 0.0
    if first > 0.0 and (behind := figure.round_above(1.1e-3 * first)) < last:
        return behind
    if end is None:
        return figure.rounded(last, 6) or 1.0
    halvings = next(k for k in (4, 3, 2, 1, 0) if k == 0 or last <= 0.95 * end / 2**k)
    return figure.rounded(end / 2**halvings, 6)


def median_of_living(change: np.ndarray) -> np.ndarray:
    """Median over the surviving replicas of (H, R, K), NaN where none is left."""
    empty = np.all(np.isnan(change), axis=1)
    return np.where(empty, np.nan, np.nanmedian(np.where(empty[:, None], 0.0, change), axis=1))
