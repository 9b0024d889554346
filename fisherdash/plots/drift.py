"""The chart of a run: energy drift with survival over one axis of time; and temperature.

Drift and survival share an axis of time, because a plot of the survivors' drift alone flatters the
head whose bad trajectories have failed. Drift is small beside the oscillation of single curves, so
what is drawn first is the running mean of the median over survivors, the band of 10 to 90 % of
them, and the robust line whose slope is the drift; single replicas come on request.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.io

from fisherdash.analysis import Trajectories, total_energy_change
from fisherdash.plots import chart
from fisherdash.plots.chart import (
    NEUTRAL,
    Chart,
    Scheme,
    SeriesStyle,
    axis,
    decimate,
    limits,
    round_above,
    rounded,
    see_through,
    template,
)
from fisherdash.statistics import Estimate, evenly_spaced

Ending = Callable[[int, int], str]

BUDGET = 40_000
"""Points that one live chart may hold; many replicas get fewer each."""
MOST_REPLICAS = 2000
"""Curves, and crosses of failures, of each head: evenly spaced ones where there are more."""
BAND, LIVE_BAND = 1000, 300
"""Times at which the band of replicas and the survivors are known; of a run that goes on, fewer:
its chart is drawn anew each second or two, and Plotly's time grows with them."""
WINDOWS = 40
"""Running means are over this part of the frames."""


def drift_figure(
    traj: Trajectories,
    styles: Sequence[SeriesStyle],
    *,
    end: float | None = None,
    drift: Mapping[str, Estimate] | None = None,
    endings: Ending | None = None,
    chosen: int | None = None,
    singles: bool = False,
    scheme: Scheme = "light",
) -> Chart:
    """ΔE_tot(t) in meV per atom of all heads on the same axes; below it, the number of survivors.

    Each point of a replica has its number as ``customdata``, counted from 0; ``layout.meta`` has
    the whole range of ΔE as ``full`` where a curve leaves the axis.

    Args:
      traj: the run so far, with at least one frame.
      styles: of the heads.
      end: time at which a run that goes on will end, ps; the axis then grows towards it.
      drift: slopes, meV/atom/ps, for the fitted lines; none are drawn without.
      endings: how a replica of a head failed, in words.
      chosen: a replica to draw by itself.
      singles: draw all replicas, or evenly spaced ones where there are more than MOST_REPLICAS.
      scheme: of colours.
    """
    traj = dataclasses.replace(traj, names=tuple(map(plain_text, traj.names)))
    drift = drift and {plain_text(name): slope for name, slope in drift.items()}
    change, times = total_energy_change(traj), traj.times / 1000.0
    robust = not traj.survivors.all()
    low, high = limits(np.append(change, 0.0), robust=robust) or (-1.0, 1.0)
    most = BAND if end is None else LIVE_BAND
    shown, bands = _bands(change, most)
    heads = [
        _head(name, style, times[shown], bands[:, h], drift)
        for h, (name, style) in enumerate(zip(traj.names, styles, strict=True))
    ]
    traces = [band for band, *_ in heads]
    if singles:
        every = evenly_spaced(traj.replicas, MOST_REPLICAS)
        traces += _replicas(traj, styles, change, every.tolist(), 2 * most)
    elif chosen is not None:
        traces += _replicas(traj, styles, change, [chosen], 2 * most, width=1.0, opacity=0.6)
    traces += [line for _, *lines in heads for line in lines]  # above all that oscillates
    if singles or chosen is not None:
        traces.append(_key(_thin(traj.replicas) if singles else f"replica {(chosen or 0) + 1}"))
    traces += _crosses(traj, styles, change, (low, high), endings)
    traces += _survivors(traj, styles, most)
    finite = change[np.isfinite(change)]
    outside = finite.size and (finite.min() < low or finite.max() > high)
    full = limits(np.append(finite, 0.0)) if outside else None
    layout = {
        **_two_panels(traj, time_axis_end(traj, end), (low, high)),
        "template": template(scheme),
        "meta": {"limits": [low, high], "full": full and list(full)},
    }
    # To check each property, as Plotly does, takes most of a redraw; the tests check them.
    made = Chart(data=traces, layout=layout, _validate=False)
    return chart.described(made, _alt(traj), functools.partial(_numbers, traj, change))


def _two_panels(traj: Trajectories, end: float, reach: tuple[float, float]) -> dict[str, Any]:
    """The layout: energies above the number of survivors, on one time axis (ps)."""
    span, top = (0.0, end), 1.08 * traj.replicas
    return {
        "height": 448,
        "hovermode": "closest",
        "uirevision": "run",
        "margin": {"l": 58, "r": 12, "t": 31 + 19 * len(traj.names), "b": 40},
        "legend": {"orientation": "v", "y": 1.01, "tracegroupgap": 0, "font": {"size": 12}},
        "xaxis": axis("", span, anchor="y", matches="x2", showticklabels=False),
        "xaxis2": axis("time (ps)", span, anchor="y2"),
        "yaxis": axis("ΔE total (meV/atom)", reach, anchor="x", domain=[0.27, 1.0]),
        "yaxis2": axis("survivors", (0, top), tickvals=[0, traj.replicas], anchor="x2",
                       domain=[0.0, 0.22]),
    }  # fmt: skip


def plain_json(made: Chart) -> str:
    """The chart as Plotly.js reads it; its height is its place's."""
    whole = made.to_dict()
    whole["layout"].pop("height", None)
    return str(plotly.io.to_json(whole, validate=False))


def _head(
    name: str,
    style: SeriesStyle,
    times: np.ndarray,
    band: np.ndarray,
    drift: Mapping[str, Estimate] | None,
) -> list[dict[str, Any]]:
    """Band, running mean and fitted line of one head; ``band`` is (3, times): 10, 50 and 90 %."""
    slope = drift[name] if drift else None
    label = name
    if slope is not None and slope.value is not None:
        label = f"{name}: {slope.text('.2g', sign=True)} meV/atom/ps"
    quiet = {"hoverinfo": "skip", "showlegend": False, "legendgroup": name, "mode": "lines"}
    there = np.isfinite(band[1])
    edge = np.concatenate([band[2][there], band[0][there][::-1]])
    around = np.concatenate([times[there], times[there][::-1]])
    found = [
        _scatter(x=around, y=edge, fill="toself", fillcolor=see_through(style.colour, 0.16),
                   line={"width": 0}, name=f"{name}, 10 to 90 %", **quiet),
        _scatter(x=times, y=running_mean(band[1], max(1, len(times) // WINDOWS)), name=label,
                   mode="lines", legendgroup=name, line={**style.line, "width": 2.6},
                   hovertemplate="ΔE %{y:.4g} meV/atom at %{x:.4g} ps"
                   f"<extra>{name}: running mean of the median</extra>"),
    ]  # fmt: skip
    if slope is not None and slope.value is not None and there.any():
        level = np.median(band[1][there] - slope.value * times[there])
        ends = times[there][[0, -1]]
        thin = {"color": style.colour, "width": 1.2, "dash": "dot"}
        found.append(
            _scatter(x=ends, y=level + slope.value * ends, line=thin, name=f"{name}, fit", **quiet)
        )
    return found


def _key(thin: str) -> dict[str, Any]:
    """An entry of the legend that says what the lines are beside the means."""
    words = f"thin: {thin}; band: 10 to 90 %; dotted: fitted line"
    look = {"color": NEUTRAL, "width": 1.3}
    return _scatter(x=[None], y=[None], mode="lines", name=words, line=look, hoverinfo="skip")


def _thin(replicas: int) -> str:
    """What the thin lines are where all replicas are asked for."""
    if replicas <= MOST_REPLICAS:
        return "every replica"
    return f"{MOST_REPLICAS:,} of {replicas:,} replicas"


def _bands(change: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices of at most ``most`` frames, and there the 10, 50 and 90 % of the survivors,
    (3, H, P)."""
    shown = np.unique(np.linspace(0, change.shape[2] - 1, most).astype(int))
    return shown, _quantiles(change[:, :, shown], (0.1, 0.5, 0.9))


def _quantiles(change: np.ndarray, parts: Sequence[float]) -> np.ndarray:
    """Quantiles over the surviving replicas of (H, R, K), (parts, H, K); NaN where none is left.

    NumPy's own, which leave NaN out, take ten times as long.
    """
    ordered = np.sort(change, axis=1)  # NaN comes last
    last = np.maximum(np.sum(np.isfinite(ordered), axis=1) - 1, 0)
    found = []
    for part in parts:
        place = part * last
        below = np.floor(place).astype(int)
        above = np.minimum(below + 1, last)
        low, high = (np.take_along_axis(ordered, at[:, None], 1)[:, 0] for at in (below, above))
        found.append(low + (place - below) * (high - low))
    return np.array(found)


def running_mean(values: np.ndarray, window: int) -> np.ndarray:
    """Mean over a window about each of (K,) values, fewer at the ends; NaN stays and counts not."""
    there = np.isfinite(values)
    sums = np.concatenate([[0.0], np.cumsum(np.where(there, values, 0.0))])
    counts = np.concatenate([[0], np.cumsum(there)])
    at, half = np.arange(len(values)), window // 2
    low, high = np.maximum(at - half, 0), np.minimum(at + half + 1, len(values))
    mean = (sums[high] - sums[low]) / np.maximum(counts[high] - counts[low], 1)
    return np.where(there, mean, np.nan)


def _replicas(
    traj: Trajectories,
    styles: Sequence[SeriesStyle],
    change: np.ndarray,
    which: Sequence[int],
    most: int,
    width: float = 0.8,
    opacity: float = 0.35,
) -> list[dict[str, Any]]:
    """Single replicas at ``most`` points, one trace a head with a gap between two of them."""
    heads, count = len(traj.names), len(which)
    rows = change[:, list(which)].reshape(heads * count, -1)
    points = min(most, max(2, BUDGET // max(1, len(rows)) - 1))
    times, shown = decimate(traj.times / 1000.0, rows, points)
    gap = np.full((heads, count, 1), np.nan)
    y = np.concatenate([shown.reshape(heads, count, -1), gap], axis=2).reshape(heads, -1)
    x = np.tile(np.append(times, times[-1]), count)
    numbers = np.repeat(np.asarray(which), len(times) + 1)
    # A text for each point is most of the chart's size; one replica needs none.
    number, text = ("%{text}", (numbers + 1).astype(str)) if count > 1 else (which[0] + 1, None)
    return [
        _scatter(x=x, y=y[h].astype(np.float32), customdata=numbers, mode="lines",
                   name=f"{name}, replicas", legendgroup=name, showlegend=False,
                   line={**style.line, "width": width}, opacity=opacity, connectgaps=False,
                   text=text, hovertemplate="ΔE %{y:.4g} meV/atom at %{x:.4g} ps"
                   f"<extra>{name}, replica {number}</extra>")
        for h, (name, style) in enumerate(zip(traj.names, styles, strict=True))
    ]  # fmt: skip


def _crosses(
    traj: Trajectories,
    styles: Sequence[SeriesStyle],
    change: np.ndarray,
    low_high: tuple[float, float],
    endings: Ending | None,
) -> list[dict[str, Any]]:
    """A cross where a replica failed, at its last energy or the edge of the axis."""
    found = []
    for h, (name, style) in enumerate(zip(traj.names, styles, strict=True)):
        failed = np.flatnonzero(traj.failed_step[h] >= 0)
        if not len(failed):
            continue
        failed = failed[evenly_spaced(len(failed), MOST_REPLICAS)]
        last = np.maximum(np.sum(np.isfinite(change[h, failed]), axis=1) - 1, 0)
        energy = np.nan_to_num(change[h, failed, last])
        words = [endings(h, r) if endings else "failed" for r in failed.tolist()]
        said = [f"replica {r + 1}: {word}" for r, word in zip(failed, words, strict=True)]
        found.append(
            _scatter(x=traj.failed_step[h, failed] * traj.timestep / 1000.0,
                       y=np.clip(energy, *low_high), mode="markers", name=f"{name}, failures",
                       legendgroup=name, showlegend=False, customdata=failed, cliponaxis=False,
                       text=said,
                       marker={"symbol": "x", "size": 8, "color": style.colour,
                               "line": {"width": 1, "color": "white"}},
                       hovertemplate="%{text}<extra>" + name + "</extra>")
        )  # fmt: skip
    return found


def _survivors(
    traj: Trajectories, styles: Sequence[SeriesStyle], most: int
) -> list[dict[str, Any]]:
    counts = traj.surviving_counts()
    times, shown = decimate(traj.times / 1000.0, counts.astype(float), most)
    return [
        _scatter(
            x=times, y=row, mode="lines", name=name, legendgroup=name, showlegend=False,
            line={**style.line, "shape": "hv"}, xaxis="x2", yaxis="y2",
            hovertemplate=f"%{{y:.0f}} of {traj.replicas} survive at %{{x:.4g}} ps"
            f"<extra>{name}</extra>",
        )
        for name, style, row in zip(traj.names, styles, shown, strict=True)
    ]  # fmt: skip


def _scatter(**properties: Any) -> dict[str, Any]:
    return {"type": "scatter", **properties}


def _alt(traj: Trajectories) -> str:
    ends = "; ".join(
        f"{name}: {count} of {traj.replicas} survive"
        for name, count in zip(traj.names, traj.surviving_counts()[:, -1], strict=True)
    )
    return f"Change of total energy per atom over {traj.duration:.3g} ps, and survivors. {ends}."


def _numbers(traj: Trajectories, change: np.ndarray) -> pd.DataFrame:
    median, survivors = median_of_survivors(change), traj.surviving_counts()
    table = {"time (ps)": traj.times / 1000.0}
    for h, name in enumerate(traj.names):
        table |= {f"{name}: median ΔE (meV/atom)": median[h], f"{name}: survivors": survivors[h]}
    return pd.DataFrame(table)


def plain_text(name: str) -> str:
    """A stranger's name as text: Plotly reads some HTML, and %{…} in tooltips."""
    return name.replace("&", "&amp;").replace("<", "&lt;").replace("%{", "% {")


def temperature_figure(
    traj: Trajectories, styles: Sequence[SeriesStyle], *, end: float | None = None
) -> Chart:
    """Mean kinetic temperature of the surviving replicas of every head, K, against time in ps."""
    names, times, temperature = traj.names, traj.times / 1000.0, traj.kinetic_temperature()
    shown_times, shown = decimate(times, temperature)
    made = chart.chart(
        chart.curves(shown_times, names, shown, styles),
        "Mean kinetic temperature of the surviving replicas over time",
        chart.columns(["time (ps)", *(f"{name} (K)" for name in names)], [times, *temperature]),
        x=axis("time (ps)", (0, time_axis_end(traj, end))),
        y="kinetic temperature (K)",
        height=300,
    )
    if traj.temperature is not None:
        drawn = rounded(traj.temperature, 4)
        chart.guide(made, f"momenta drawn at {drawn:g} K", NEUTRAL, y=drawn)
    return made


def time_axis_end(traj: Trajectories, end: float | None) -> float:
    """Where the axis of time ends, ps: at the last frame, or, while a run goes on towards ``end``,
    at the next of end/16, end/8, …, end, so that a young curve is not squeezed into a corner; where
    all replicas failed before, a little behind the last failure."""
    last = traj.duration
    none = np.flatnonzero(~traj.surviving.any(axis=(0, 1)))
    first = float(traj.times[none[0]]) if len(none) else 0.0
    if first > 0.0 and (behind := round_above(1.1e-3 * first)) < last:
        return behind
    if end is None:
        return rounded(last, 6) or 1.0
    halvings = next(k for k in (4, 3, 2, 1, 0) if k == 0 or last <= 0.95 * end / 2**k)
    return rounded(end / 2**halvings, 6)


def median_of_survivors(change: np.ndarray) -> np.ndarray:
    """Median over the surviving replicas of (H, R, K), NaN where none is left."""
    return _quantiles(change, (0.5,))[0]
