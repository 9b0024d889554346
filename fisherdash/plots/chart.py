"""A chart: a Plotly figure with a sentence and a table for those who cannot see it.

The functions here are what all figures share: curves thinned without losing a spike, limits of
axes, and the few traces that appear everywhere. Colours and fonts are those of :mod:`.theme`.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from fisherdash.plots.theme import Scheme, SeriesStyle, template

HEIGHT = 360
"""Pixels of a chart that asks for nothing else."""


class Chart(go.Figure):
    """A Plotly figure that someone else will show.

    Attributes:
        alt: one sentence that says what is to be seen, for those who cannot see it.
    """

    alt: str = ""
    _table: pd.DataFrame | Callable[[], pd.DataFrame] = pd.DataFrame()

    @property
    def table(self) -> pd.DataFrame:
        """The numbers behind the chart for reading, with units in the column names."""
        if not isinstance(self._table, pd.DataFrame):
            self._table = self._table()
        return self._table


def chart(
    traces: Sequence[Any],
    alt: str,
    table: pd.DataFrame | None = None,
    *,
    x: str | Mapping[str, Any] = "",
    y: str | Mapping[str, Any] = "",
    height: int = HEIGHT,
    scheme: Scheme = "light",
    **layout: Any,
) -> Chart:
    """A chart of one panel.

    Args:
        traces: Plotly's, as objects or mappings.
        alt, table: see :class:`Chart`.
        x, y: the axes: a name with its unit, or :func:`axis`.
        height: pixels.
        scheme: a page replaces it by its own.
        layout: more of Plotly's layout.
    """
    made = Chart(
        data=list(traces),
        layout={
            "template": template(scheme),
            "xaxis": axis(x) if isinstance(x, str) else x,
            "yaxis": axis(y) if isinstance(y, str) else y,
            "height": height,
            **layout,
        },
    )
    return described(made, alt, table)


def panels(rows: int = 1, columns: int = 1, *, height: int, **more: Any) -> Chart:
    """Empty panels to add traces to, see :func:`described`; ``more`` is of ``make_subplots``."""
    made = make_subplots(rows=rows, cols=columns, figure=Chart(), **more)
    made.update_layout(template=template("light"), height=height)
    made.update_annotations(font={"size": None})  # titles of panels in the template's size
    assert isinstance(made, Chart)
    return made


def described(
    made: Chart, alt: str, table: pd.DataFrame | Callable[[], pd.DataFrame] | None = None
) -> Chart:
    """The chart with its sentence and its table, or with what makes the table when it is read."""
    made.alt, made._table = alt, pd.DataFrame() if table is None else table
    return made


def axis(
    name: str = "", low_high: tuple[float, float] | None = None, **more: Any
) -> dict[str, Any]:
    """An axis with its quantity and unit beside it; limits as (low, high), in decades when ``type``
    is ``"log"``."""
    found: dict[str, Any] = {"title": {"text": name}, **more}
    if low_high is not None:
        found["range"] = list(low_high)
    if more.get("type") == "log":
        found.setdefault("dtick", "D2")
        # Else 0.2 and 20 are both a small 2, and on an axis of less than a decade nobody can tell.
        found.setdefault("tickformat", "~g")
    return found


def line(
    name: str, x: np.ndarray, y: np.ndarray, style: SeriesStyle, **more: Any
) -> dict[str, Any]:
    """A line in the style of its head; ``more`` is of Plotly's scatter trace."""
    return {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "x": x,
        "y": y,
        "line": style.line,
        "hovertemplate": "%{y:.4g}",
        **more,
    }


def curves(
    x: np.ndarray,
    names: Sequence[str],
    values: Iterable[np.ndarray],
    looks: Iterable[SeriesStyle],
    **more: Any,
) -> list[dict[str, Any]]:
    """A line for each name over the same x."""
    return [
        line(name, x, value, look, **more)
        for name, value, look in zip(names, values, looks, strict=True)
    ]


def guide(made: Chart, words: str = "", colour: str | None = None, **place: Any) -> None:
    """A line across a panel, at ``x=`` or ``y=``, with words beside it; the rest of ``place`` is of
    Plotly's ``add_vline`` and ``add_hline``."""
    add = made.add_vline if "x" in place else made.add_hline
    look = {"line": {"color": colour}} if colour else {}
    note = {"annotation_text": words} if words else {}
    add(**{**look, **note, "layer": "below", **place})
    for name in ("x", "y"):  # on a logarithmic axis Plotly places words by their decade
        if words and name in place and layout_of(made)[f"{name}axis"]["type"] == "log":
            layout_of(made)["annotations"][-1][name] = math.log10(place[name])


def layout_of(made: Chart) -> Any:
    """Plotly's layout, of which type checkers know nothing."""
    return made.layout


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
