"""What a figure is, and the parts that all figures share.

Each kind of head keeps its colour and its dash everywhere. The two main colours differ in hue and
in lightness, remain apart in the common forms of colour blindness (blue and orange), and have a
contrast above 3 : 1 on the light and the dark background; the dash tells them apart where colour
does not.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class SeriesStyle:
    """How one head is drawn in every chart and above its 3D view."""

    colour: str
    dash: str
    """An ECharts line type, which is also a CSS border style: solid, dashed or dotted."""


DEFAULT = SeriesStyle("#2f7ed8", "solid")
FISHER = SeriesStyle("#e0620d", "dashed")
OTHERS = (
    SeriesStyle("#2a9d5c", "dotted"),
    SeriesStyle("#a259d9", "solid"),
    SeriesStyle("#b8860b", "dashed"),
    SeriesStyle("#d6487e", "dotted"),
    SeriesStyle("#11909e", "solid"),
    SeriesStyle("#7a7f87", "dashed"),
)

NEUTRAL = "#8a919c"
"""Axes, guides and histograms that belong to no head."""

ELEMENTS = {
    "H": "#d3d8df", "C": "#59626e", "N": "#3d6fe0", "O": "#e23b3b", "F": "#54b948",
    "P": "#e58a1f", "S": "#e0b81c", "Cl": "#2fae43", "Br": "#a5452a", "I": "#7d3fb0",
}  # fmt: skip
"""Colours of atoms, visible on light and dark; other elements keep the viewer's own."""


def styles(roles: Sequence[str]) -> tuple[SeriesStyle, ...]:
    """A style for each head: the first default and the first Fisher head have the two main ones.

    >>> [style.dash for style in styles(["default", "fisher", "default"])]
    ['solid', 'dashed', 'dotted']
    """
    main, spare = {"default": DEFAULT, "fisher": FISHER}, 0
    chosen = []
    for role in roles:
        style = main.pop(role, None)
        if style is None:
            style, spare = OTHERS[spare % len(OTHERS)], spare + 1
        chosen.append(style)
    return tuple(chosen)


POINTS = 4000
"""Points kept of each curve."""


def decimate(
    times: np.ndarray, values: np.ndarray, points: int = POINTS
) -> tuple[np.ndarray, np.ndarray]:
    """At most ``points`` points of each of C curves: the extremes of every bucket of time.

    On a screen they cover the same pixels as all points, and no spike is lost.

    Args: times (K,), values (C, K), NaN where a curve has none.
    Returns: times (P,) and values (C, P), P ≤ max(points, 2); unchanged when K is small enough.
      The two points of a bucket come in the order in which they occur in their curve.
    """
    count = len(times)
    if count <= points:
        return times, values
    width = -(-count // max(points // 2, 1))
    buckets = -(-count // width)
    padded = np.full((len(values), buckets * width), np.nan)
    padded[:, :count] = values
    blocks = padded.reshape(len(values), buckets, width)
    absent = np.isnan(blocks)
    low = np.argmin(np.where(absent, np.inf, blocks), axis=2)
    high = np.argmax(np.where(absent, -np.inf, blocks), axis=2)
    pair = np.stack([np.minimum(low, high), np.maximum(low, high)], axis=2)
    kept = np.take_along_axis(blocks, pair, axis=2).reshape(len(values), -1)
    begins = np.arange(buckets) * width
    shown = np.stack([begins, np.minimum(begins + width // 2, count - 1)], axis=1).ravel()
    return times[shown], kept


Option = dict[str, Any]


@dataclass(frozen=True)
class Figure:
    """A chart that someone else will draw.

    Attributes:
        option: an ECharts option; ``dataset.source`` is a pandas table.
        alt: one sentence that says what is to be seen, for those who cannot see it.
        height: pixels.
        table: the numbers behind the chart for reading, with units in the column names.
    """

    option: Option
    alt: str
    height: int = 360
    table: pd.DataFrame = field(default_factory=pd.DataFrame)

    @property
    def points(self) -> int:
        """Rows of data in the chart."""
        return len(self.option["dataset"]["source"])


def axis(name: str, *, vertical: bool = False, **more: Any) -> Option:
    """A value axis with its quantity and unit beside it.

    Limits that were set from the data are no round numbers and get no label of their own.
    """
    gap = {"nameGap": 46} if vertical else {"nameGap": 26}
    common = {"type": "value", "name": name, "nameLocation": "middle", "scale": True, **gap}
    if "min" in more and "axisLabel" not in more and vertical:
        common["axisLabel"] = {"showMinLabel": False, "showMaxLabel": False}
    return {**common, **more}


def grid(top: int = 36, bottom: int | None = 44, **more: Any) -> Option:
    """Where a chart's axes stand; the same left edge for all, so that charts line up."""
    return {"left": 60, "right": 20, "top": top, "bottom": bottom, "containLabel": False, **more}


def line(name: str, x: str, y: str, colour: str, dash: str = "solid", **more: Any) -> Option:
    """A line from column ``x`` to column ``y`` of the data."""
    return {
        "type": "line",
        "name": name,
        "encode": {"x": x, "y": y},
        "color": colour,
        "lineStyle": {"type": dash, "width": 2.2},
        "showSymbol": False,
        "symbol": "none",
        **more,
    }


def curves(
    x: np.ndarray,
    names: Sequence[str],
    values: Iterable[np.ndarray],
    looks: Iterable[SeriesStyle],
) -> tuple[pd.DataFrame, list[Option]]:
    """A table with the columns "x", "y0", "y1", …, and a line for each name."""
    labels = [f"y{k}" for k in range(len(names))]
    series = [
        line(name, "x", label, look.colour, look.dash)
        for name, label, look in zip(names, labels, looks, strict=True)
    ]
    return columns(["x", *labels], [x, *values]), series


def mark(*data: Any, label: Option | None = None, colour: str = NEUTRAL, **look: Any) -> Option:
    """Lines across a series; ``data`` says where, ``look`` are properties of the line."""
    return {
        "silent": True,
        "symbol": "none",
        "label": label or {"show": False},
        "lineStyle": {"type": "dashed", "color": colour, **look},
        "data": list(data),
    }


def title(words: str) -> Option:
    """A title above the legend."""
    return {"text": words, "textStyle": {"fontSize": 13}, "top": 2, "padding": 0, "left": 60}


def chart(source: pd.DataFrame, series: list[Option], **more: Any) -> Option:
    """An option with what all charts have: no animation, a shared tooltip, a legend on top."""
    return {
        "animation": False,
        "dataset": {"source": source},
        "tooltip": {"trigger": "axis", "valueFormatter": "%.4g"},
        "legend": {"top": 0, "itemWidth": 34, "itemStyle": {"opacity": 0}},
        "series": series,
        **more,
    }


def limits(
    values: np.ndarray, robust: bool = False, least: float = 0.0
) -> tuple[float, float] | None:
    """Axis limits with a margin; None when there is nothing finite to show.

    ``robust`` leaves out the most extreme half per cent. ``least`` is the smallest span relative
    to the values, so that differences of no consequence do not fill the chart.
    """
    finite = values[np.isfinite(values)]
    if not finite.size:
        return None
    low, high = np.quantile(finite, [0.005, 0.995]) if robust else (finite.min(), finite.max())
    short = least * abs(high + low) / 2 - (high - low)
    margin = max(0.08 * (high - low), short / 2) or 0.1 * abs(high) or 1.0
    step = 10.0 ** (math.floor(math.log10(high - low + 2 * margin)) - 2)
    return (
        rounded(math.floor((low - margin) / step) * step, 12),
        rounded(math.ceil((high + margin) / step) * step, 12),
    )


def below_legend(names: int) -> int:
    """Where a chart begins below a legend of so many names, of which two fit into a narrow row."""
    return 36 + 20 * max(0, math.ceil(names / 2) - 1)


def round_above(value: float) -> float:
    """The least of 1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10 times 10ⁿ that is not below a positive
    value: an end of an axis that is not too close to a tick."""
    power = 10.0 ** math.floor(math.log10(value))
    steps = (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10)
    return rounded(power * next(step for step in steps if step * power >= value * (1 - 1e-9)))


def rounded(value: float, digits: int = 3) -> float:
    """The value with so many significant digits, as plain float."""
    return float(f"{value:.{digits}g}")


def columns(names: Iterable[str], arrays: Iterable[np.ndarray]) -> pd.DataFrame:
    """A table from names and equally long arrays."""
    return pd.DataFrame(dict(zip(names, arrays, strict=True)))
