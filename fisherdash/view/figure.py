"""What a figure is, and the parts that all figures share."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

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
