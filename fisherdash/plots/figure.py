"""ECharts options, until the last figure that uses them is one of Plotly."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from fisherdash.plots.chart import POINTS, columns, decimate, limits, round_above, rounded
from fisherdash.plots.theme import DEFAULT, ELEMENTS, FISHER, NEUTRAL, OTHERS, SeriesStyle, styles

__all__ = [
    "DEFAULT", "ELEMENTS", "FISHER", "NEUTRAL", "OTHERS", "POINTS", "Figure", "Option",
    "SeriesStyle", "columns", "decimate", "limits", "round_above", "rounded", "styles",
]  # fmt: skip


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
        line(name, "x", label, look.colour, look.border)
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


def below_legend(names: int) -> int:
    """Where a chart begins below a legend of so many names, of which two fit into a narrow row."""
    return 36 + 20 * max(0, math.ceil(names / 2) - 1)
