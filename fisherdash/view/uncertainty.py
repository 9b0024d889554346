"""Figures with error bars: the temperature of each descriptor, forces along a trajectory."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from fisherdash.view import figure
from fisherdash.view.figure import Figure, Option
from fisherdash.view.theme import DEFAULT, FISHER, NEUTRAL, SeriesStyle

if TYPE_CHECKING:
    from fisherdash.fisher import Boltzmann

MOST_POINTS = 40
"""Descriptors of the temperature figure; the surest ones are shown."""


def temperature_figure(test: "Boltzmann") -> Figure:
    """One temperature for each descriptor with its standard error, the surest first."""
    surest = np.argsort(test.per_descriptor_stderr)[:MOST_POINTS]
    surest = surest[np.isfinite(test.per_descriptor_stderr[surest])]
    value, bar = test.per_descriptor[surest], test.per_descriptor_stderr[surest]
    place = np.arange(1, len(surest) + 1)
    source = pd.DataFrame({"place": place, "temperature": value})
    spread = np.concatenate([value - bar, value + bar, [test.temperature]])
    known = [test.believed] if test.believed else []
    # The surest half decides what is shown: the worst determined bars may be endless.
    half = (len(surest) + 1) // 2
    within = np.concatenate([(value - 2 * bar)[:half], (value + 2 * bar)[:half], known])
    low, high = figure.limits(within if len(within) else spread) or (0.0, 1.0)
    ends = np.clip(np.column_stack([value - bar, value + bar]), low, high)
    option = figure.chart(
        source,
        [_dots(place, ends), _levels(test)],
        legend={"show": False},
        tooltip={"trigger": "item", "valueFormatter": "%.4g"},
        grid=[figure.grid(top=16)],
        xAxis=figure.axis("descriptor, the best determined first", min=0, minInterval=1),
        yAxis=figure.axis("temperature (K)", vertical=True, min=low, max=high),
    )
    table = pd.DataFrame(
        {"descriptor": surest + 1, "temperature (K)": value, "standard error (K)": bar}
    )
    alt = f"Temperature of each descriptor; pooled {test.temperature:.0f} ± {test.stderr:.0f} K"
    return Figure(option, alt, 320, table)


def _dots(place: np.ndarray, ends: np.ndarray) -> Option:
    """A point for each descriptor, with the line between the ends of its error bar."""
    return {
        "type": "scatter",
        "name": "descriptor",
        "encode": {"x": "place", "y": "temperature"},
        "color": FISHER.colour,
        "symbolSize": 7,
        "clip": True,
        "markLine": {
            "silent": True,
            "symbol": "none",
            "label": {"show": False},
            "data": [
                [{"coord": [int(x), figure.rounded(float(end), 6)]} for end in both]
                for x, both in zip(place, ends, strict=True)
            ],
            "lineStyle": {"type": "solid", "color": FISHER.colour, "width": 1.5},
        },
    }


def _levels(test: "Boltzmann") -> Option:
    """Lines at the pooled temperature and at the one that the data claim."""
    levels = [(f"pooled {test.temperature:.0f} K", test.temperature, NEUTRAL, "insideEndTop")]
    if test.believed:
        name = f"believed {test.believed:g} K"
        levels.append((name, test.believed, DEFAULT.colour, "insideStartTop"))
    return {
        "type": "line",
        "name": "levels",
        "data": [],
        "markLine": {
            "silent": True,
            "symbol": "none",
            "data": [
                {
                    "yAxis": level,
                    "lineStyle": {"type": "dashed", "color": colour},
                    "label": {"formatter": name, "position": position},
                }
                for name, level, colour, position in levels
            ],
        },
    }


def error_bar_figure(
    times: np.ndarray,
    bars: Sequence[np.ndarray],
    names: Sequence[str],
    styles: Sequence[SeriesStyle],
) -> Figure:
    """Root-mean-square error bar of the forces along trajectories.

    Args:
        times: fs, shape (frames,).
        bars: eV/Å, one array of shape (frames,) for each trajectory.
        names, styles: of the heads that drove them.
    """
    labels = [f"head {index}" for index in range(len(bars))]
    source = figure.columns(["t", *labels], [times / 1000.0, *bars])
    series = [
        figure.line(name, "t", label, style.colour, style.dash)
        for name, label, style in zip(names, labels, styles, strict=True)
    ]
    option = figure.chart(
        source,
        series,
        grid=[figure.grid()],
        xAxis=figure.axis("time (ps)"),
        yAxis=figure.axis("error bar of forces (eV/Å)", vertical=True, scale=False),
    )
    table = source.set_axis(["time (ps)", *(f"{name} (eV/Å)" for name in names)], axis=1)
    most = max((float(np.max(row)) for row in bars if len(row)), default=0.0)
    alt = f"Error bars of forces along the trajectory, at most {most:.2g} eV/Å"
    return Figure(option, alt, 300, table)
