"""Who lives how long, and how the others fail."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from fisherdash.analyse.survival import SurvivalCurve
from fisherdash.study.statistics import KINDS
from fisherdash.view import figure
from fisherdash.view.figure import Figure, Option
from fisherdash.view.study.looks import KIND_COLOURS
from fisherdash.view.theme import SeriesStyle

POINTS = 201


def on_grid(curve: SurvivalCurve, times: np.ndarray) -> np.ndarray:
    """Share alive, its lower and its upper bound in per cent at these times: (3, times)."""
    place = np.searchsorted(curve.times, times, side="right") - 1
    return 100.0 * np.stack([curve.fraction, curve.low, curve.high])[:, np.maximum(place, 0)]


def survival_figure(curves: Sequence[SurvivalCurve], looks: Mapping[str, SeriesStyle]) -> Figure:
    """Share of all trajectories that live, one curve a head with its 95 % band over models."""
    end = max((float(curve.times[-1]) for curve in curves), default=0.0) or 1.0
    times = np.linspace(0.0, end, POINTS)
    columns, table, series = {"t": times}, {"time (ps)": times}, []
    for number, curve in enumerate(curves):
        style = looks[curve.name]
        share, low, high = on_grid(curve, times)
        columns |= {f"s{number}": share, f"l{number}": low, f"w{number}": high - low}
        table |= {
            f"{curve.name} (%)": share,
            f"{curve.name}, low": low,
            f"{curve.name}, high": high,
        }
        if np.isfinite(low).all():
            series += _band(curve.name, number, style.colour)
        series.append(figure.line(curve.name, "t", f"s{number}", style.colour, style.dash, z=5))
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
        yAxis=figure.axis("alive (%)", vertical=True, scale=False, max=100, axisLabel={}),
    )
    words = "; ".join(f"{c.name}: {c.replicas - c.deaths} of {c.replicas}" for c in curves)
    return Figure(option, f"Trajectories alive at the end. {words}.", 360, pd.DataFrame(table))


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
    common = {"symbol": "none", "silent": True, "tooltip": {"show": False}, "color": colour}
    return [
        figure.line(f"{name} band", "t", f"l{number}", colour, **common)
        | {"lineStyle": {"opacity": 0}, "stack": f"band {number}"},
        figure.line(f"{name} band", "t", f"w{number}", colour, **common)
        | {
            "lineStyle": {"opacity": 0},
            "stack": f"band {number}",
            "areaStyle": {"opacity": 0.14},
        },
    ]
