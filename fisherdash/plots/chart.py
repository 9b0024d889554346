"""A chart: a Plotly figure with a sentence and a table for those who cannot see it.

The functions here are what all figures share: curves thinned without losing a spike, limits of
axes, and the few traces that appear everywhere.

Each kind of head keeps its colour and its dash everywhere. Every colour of a series lies between
black and white so that one value stands out from the light and the dark background (contrast above
3 : 1, text above 4.5 : 1); the two main ones, blue and orange, remain apart in the common forms of
colour blindness, and the dash tells them apart where colour does not.

As SVG pictures, Plotly draws charts in a Chromium without a window, by Kaleido. The same numbers
give the same bytes from the same Chromium. Text stays text, so that a reader's program can find and
enlarge it.
"""

import contextlib
import copy
import functools
import math
import re
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from fisherdash.errors import InputError


@dataclass(frozen=True)
class SeriesStyle:
    """How one head is drawn in every chart and above its 3D view."""

    colour: str
    dash: str
    """A dash of Plotly: solid, dash, dot, dashdot, longdash or longdashdot."""

    @property
    def border(self) -> str:
        """The nearest style of a CSS border: solid, dashed or dotted."""
        return {"solid": "solid", "dot": "dotted"}.get(self.dash, "dashed")

    @property
    def line(self) -> dict[str, Any]:
        """Colour and dash, for ``line=`` of a trace; its width is that of the template."""
        return {"color": self.colour, "dash": self.dash}


DEFAULT = SeriesStyle("#2f7ed8", "solid")
FISHER = SeriesStyle("#d95f0e", "dash")
OTHERS = (
    SeriesStyle("#2a8f55", "dot"),
    SeriesStyle("#a259d9", "dashdot"),
    SeriesStyle("#a9780a", "longdash"),
    SeriesStyle("#d6487e", "longdashdot"),
    SeriesStyle("#11909e", "solid"),
    SeriesStyle("#7a7f87", "dash"),
)

NEUTRAL = "#7f858e"
"""Guides and histograms that belong to no head."""
FAILED = "#d23b30"
"""What went wrong: trainings that diverged, crosses of failures."""

ELEMENTS = {
    "H": "#d3d8df", "C": "#737d89", "N": "#3d6fe0", "O": "#e23b3b", "F": "#54b948",
    "P": "#e58a1f", "S": "#e0b81c", "Cl": "#2fae43", "Br": "#a5452a", "I": "#7d3fb0",
}  # fmt: skip
"""Colours of atoms, visible on light and dark; other elements keep the viewer's own."""


def styles(roles: Sequence[str]) -> tuple[SeriesStyle, ...]:
    """A style for each head: the first default and the first Fisher head have the two main ones.

    >>> [style.dash for style in styles(["default", "fisher", "default"])]
    ['solid', 'dash', 'dot']
    """
    main, spare = {"default": DEFAULT, "fisher": FISHER}, 0
    chosen = []
    for role in roles:
        style = main.pop(role, None)
        if style is None:
            style, spare = OTHERS[spare % len(OTHERS)], spare + 1
        chosen.append(style)
    return tuple(chosen)


Scheme = Literal["light", "dark", "projector"]
"""Projector: light, with letters and lines that are read from the last row."""


@dataclass(frozen=True)
class Ink:
    """The colours of what is no series."""

    background: str
    text: str
    quiet: str
    """Ticks, names of axes, legends: text too, so above 4.5 : 1."""
    grid: str


LIGHT = Ink("#ffffff", "#0e131b", "#4a5563", "#e3e7ec")
DARK = Ink("#12161c", "#e6eaf0", "#b4bdc9", "#2a323d")
INKS: dict[Scheme, Ink] = {"light": LIGHT, "dark": DARK, "projector": LIGHT}

FONT = '"Source Sans", "Source Sans 3", "Source Sans Pro", "Helvetica Neue", Arial, sans-serif'

LOW_TO_HIGH = ("#fde725", "#7ad151", "#22a884", "#2a788e", "#414487", "#440154")
"""Of maps: light is low; equal steps look equally far apart, in grey too."""


def see_through(colour: str, share: float) -> str:
    """A colour of which only a share covers what is behind it.

    >>> see_through("#ff8000", 0.5)
    'rgba(255,128,0,0.5)'
    """
    red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return f"rgba({red},{green},{blue},{share:g})"


@cache
def template(scheme: Scheme = "light") -> go.layout.Template:
    """The Plotly template of a scheme: fonts, axes, legend on top, hover, widths of lines."""
    ink, large = INKS[scheme], scheme == "projector"
    size, width = (18, 3.6) if large else (13, 2.2)
    axis = {
        "gridcolor": ink.grid,
        "zerolinecolor": ink.grid,
        "zerolinewidth": 1,
        "linecolor": ink.quiet,
        "showline": True,
        "ticks": "outside",
        "ticklen": 4,
        "tickcolor": ink.quiet,
        "tickfont": {"color": ink.quiet},
        "title": {"font": {"color": ink.quiet, "size": size}, "standoff": 8},
        "automargin": True,
    }
    quiet = {"color": ink.quiet, "size": size}
    layout = {
        "font": {"family": FONT, "size": size, "color": ink.text},
        "paper_bgcolor": ink.background,
        "plot_bgcolor": ink.background,
        "colorway": [style.colour for style in (DEFAULT, FISHER, *OTHERS)],
        "colorscale": {
            "sequential": [[k / (len(LOW_TO_HIGH) - 1), one] for k, one in enumerate(LOW_TO_HIGH)]
        },
        "title": {"font": {"size": size + 1}, "x": 0, "xref": "paper", "y": 1,
                  "yref": "container", "yanchor": "top", "pad": {"t": 6}},
        "margin": {"l": 60, "r": 16, "t": 36, "b": 44},
        "xaxis": axis,
        "yaxis": axis,
        "legend": {"orientation": "h", "x": 0, "y": 1, "yanchor": "bottom", "font": quiet,
                   "traceorder": "normal", "bgcolor": "rgba(0,0,0,0)"},
        "hovermode": "x unified",
        "hoverlabel": {"bgcolor": ink.background, "bordercolor": ink.quiet,
                       "font": {"color": ink.text, "size": size}, "namelength": -1},
        "annotationdefaults": {"font": quiet, "showarrow": False,
                               "bgcolor": see_through(ink.background, 0.7)},
        "shapedefaults": {"line": {"color": NEUTRAL, "width": 1.4, "dash": "dash"}},
        "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": ink.quiet, "activecolor": ink.text},
        "coloraxis": {"colorbar": {"tickfont": quiet, "title": {"font": quiet}}},
        "dragmode": "zoom",
    }  # fmt: skip
    traces = {
        "scatter": [{"line": {"width": width}, "marker": {"size": 7}}],
        "bar": [{"marker": {"line": {"width": 0}}}],
        "heatmap": [{"colorbar": {"tickfont": quiet, "title": {"font": quiet}}}],
    }
    return go.layout.Template(layout=layout, data=traces)


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

    def copied(self) -> "Chart":
        """The same for another page: what it changes for its visitor stays with it."""
        made = copy.deepcopy(self)
        made.alt, made._table = self.alt, self._table
        return made


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


WIDTH = 900
"""Pixels."""

_DRAWN_AS = re.compile(r'<defs id="\w+-([0-9a-f]{6})"')
_PATH = re.compile(r' (?:d|transform)="[^"]*"')
_LONG = re.compile(r"(\.\d)\d+")
"""Coordinates are pixels; a tenth of one is finer than anybody sees, and a third of the bytes."""


@functools.cache
def available() -> bool:
    """Whether there is a Chromium to draw with."""
    from choreographer.browsers.chromium import Chromium

    return Chromium.find_browser(skip_local=False) is not None


def check() -> None:
    """InputError where there is no Chromium."""
    if not available():
        raise InputError(
            "an SVG picture is drawn by Chromium, and there is none on this machine; install it, "
            "or take the HTML report, whose charts are as sharp"
        )


_alone = threading.RLock()  # Kaleido has one browser for all threads
_within = 0


@contextlib.contextmanager
def one_browser() -> Iterator[None]:
    """Draws every picture within it in one Chromium, which takes seconds to start."""
    import kaleido  # not by a page that draws nothing

    global _within
    with _alone:
        if not _within:
            kaleido.start_sync_server(mathjax=False)  # which would come from the internet
        _within += 1
        try:
            yield
        finally:
            _within -= 1
            if not _within:
                kaleido.stop_sync_server()


def picture(charts: Sequence[Chart], columns: int = 1, width: int = WIDTH) -> str:
    """The charts as one SVG, row by row; each row is as high as its highest chart.

    Raises:
        InputError: where there is no Chromium.
    """
    wide = width // columns
    rows = [charts[first : first + columns] for first in range(0, len(charts), columns)]
    parts, top = [], 0
    drawn = iter(_drawn(charts, wide))
    for row in rows:
        for column in range(len(row)):
            place = f'<svg x="{column * wide}" y="{top}" '
            parts.append(next(drawn).replace("<svg ", place, 1))
        top += max(map(_height, row))
    size = f'width="{width}" height="{top}" viewBox="0 0 {width} {top}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}>\n' + "\n".join(parts) + "\n</svg>\n"


def _height(made: Chart) -> int:
    return int(layout_of(made)["height"] or HEIGHT)


def _drawn(charts: Sequence[Chart], width: int) -> list[str]:
    """Each chart as an SVG, without the names that Plotly draws by lot."""
    check()
    import kaleido

    with tempfile.TemporaryDirectory() as folder, one_browser():
        files = [Path(folder) / f"{number}.svg" for number in range(len(charts))]
        kaleido.write_fig_from_object_sync(
            {
                "fig": _numbered(made),
                "path": file,
                "opts": {"format": "svg", "width": width, "height": _height(made)},
            }
            for made, file in zip(charts, files, strict=True)
        )
        texts = [file.read_text(encoding="utf-8") for file in files]
    return [_steady(text, number) for number, text in enumerate(texts)]


def _numbered(made: Chart) -> dict[str, Any]:
    """The chart with names of its traces that are not drawn by lot."""
    found = made.to_dict()
    for number, trace in enumerate(found["data"]):
        trace["uid"] = str(number)
    return found


def _steady(text: str, number: int) -> str:
    """The same names for the same chart, others for each chart of a picture; short numbers."""
    lot = _DRAWN_AS.search(text)
    if lot:
        text = text.replace(lot[1], f"chart{number}")
    return _PATH.sub(lambda path: _LONG.sub(r"\1", path.group()), text)
