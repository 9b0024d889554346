"""Curves of a run over one axis of time: energy drift, survival and temperature.

The same numbers as the charts of :mod:`fisherdash.view.drift`, as plain arrays, for the component
that holds curves and molecules together (moving through time never asks the server) and for
pictures that leave the dashboard.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fisherdash.analyse import Trajectories, total_energy_change
from fisherdash.view import figure
from fisherdash.view.decimate import POINTS, decimate
from fisherdash.view.drift import BUDGET, median_of_living, time_axis_end
from fisherdash.view.theme import SeriesStyle
from fisherdash.view.viewer import numbers


@dataclass(frozen=True)
class Line:
    """One curve: its head, its replica (−1 for all of them), and a value at every shown time."""

    head: int
    replica: int
    name: str
    style: SeriesStyle
    values: np.ndarray


@dataclass(frozen=True)
class Chart:
    """Curves with one axis of values; ``step`` for values that hold until the next time."""

    id: str
    title: str
    unit: str
    height: int
    lines: tuple[Line, ...]
    limits: tuple[float, float]
    ticks: tuple[float, ...] | None = None
    step: bool = False


def charts(
    traj: Trajectories, styles: Sequence[SeriesStyle], points: int = POINTS
) -> tuple[np.ndarray, tuple[Chart, ...]]:
    """Shown times in ps, (P,), and the charts of a run with at least one frame."""
    heads, replicas = traj.died_step.shape
    change, heat = total_energy_change(traj), traj.kinetic_temperature()
    rows = np.concatenate(
        [median_of_living(change), traj.alive_counts(), heat, change.reshape(heads * replicas, -1)]
    )
    times, shown = decimate(traj.times / 1000.0, rows, min(points, BUDGET // len(rows)))
    looks = list(zip(traj.names, styles, strict=True))

    def of_heads(part: int) -> tuple[Line, ...]:
        return tuple(
            Line(h, -1, name, style, shown[part * heads + h])
            for h, (name, style) in enumerate(looks)
        )

    each = tuple(
        Line(h, r, f"{name}, replica {r + 1}", style, shown[3 * heads + h * replicas + r])
        for h, (name, style) in enumerate(looks)
        for r in range(replicas)
    )
    died = bool(np.any(traj.died_step >= 0))
    drift = figure.limits(np.append(change, 0.0), robust=died) or (-1.0, 1.0)
    warm = figure.limits(heat, robust=True) or (0.0, 1.0)
    everyone = (0.0, replicas * 1.06)
    return times, (
        Chart("drift", "ΔE total (meV/atom)", "meV/atom", 230, each + of_heads(0), drift),
        Chart("alive", "alive", "alive", 70, of_heads(1), everyone, (0, replicas), step=True),
        Chart("temperature", "T (K)", "K", 100, of_heads(2), warm),
    )


def curves(
    traj: Trajectories,
    styles: Sequence[SeriesStyle],
    endings: Sequence[Sequence[str]],
    *,
    end: float | None = None,
) -> dict[str, Any]:
    """The charts as the viewer takes them.

    Args:
      traj: H heads, R replicas, at least one frame.
      styles: of the heads.
      endings: how each replica died in words, (H, R), empty for the living.
      end: time at which a run that goes on will end, ps.
    """
    times, made = charts(traj, styles)
    alive = traj.survivors.sum(axis=1)
    return {
        "times": numbers(times),
        "end": time_axis_end(traj, end),
        "heads": [
            {
                "name": f"{name}: {alive[h]} of {traj.replicas} alive",
                "colour": style.colour,
                "dash": style.dash,
            }
            for h, (name, style) in enumerate(zip(traj.names, styles, strict=True))
        ],
        "legend": "bold: median of the living; ×: death",
        "deaths": deaths(traj, endings),
        "charts": [_plain(chart) for chart in made],
    }


def deaths(traj: Trajectories, endings: Sequence[Sequence[str]]) -> list[dict[str, Any]]:
    """Head, replica, time (ps) and circumstances of every death."""
    return [
        {
            "head": int(head),
            "replica": int(replica),
            "time": figure.rounded(
                float(traj.died_step[head, replica]) * traj.timestep / 1000.0, 7
            ),
            "words": endings[head][replica],
        }
        for head, replica in np.argwhere(traj.died_step >= 0)
    ]


def _plain(chart: Chart) -> dict[str, Any]:
    low, high = chart.limits
    return {
        "id": chart.id,
        "title": chart.title,
        "unit": chart.unit,
        "alt": f"{chart.title} over time, with the moment that the molecules show",
        "height": chart.height,
        "low": low,
        "high": high,
        "step": chart.step,
        "ticks": None if chart.ticks is None else list(chart.ticks),
        "lines": [
            {
                "head": line.head,
                "replica": line.replica,
                "name": line.name,
                "colour": line.style.colour,
                "dash": line.style.dash,
                "values": numbers(line.values),
            }
            for line in chart.lines
        ],
    }
