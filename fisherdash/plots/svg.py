"""SVG pictures, drawn by Matplotlib: the same bytes for the same numbers.

Text stays text, so that a reader's program can find and enlarge it.
"""

import io
import re
import threading
from collections.abc import Callable
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator

_STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "fisherdash",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": "#e3e7ec",
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
}
_ALONE = threading.Lock()  # Matplotlib's settings are those of all threads
WIDTH = 9.0
"""Inches."""

_PATH = re.compile(r' d="[^"]*"')
_LONG = re.compile(r"(\.\d)\d+")
"""Coordinates are points; a tenth of one is finer than anybody sees, and a third of the bytes."""


def picture(
    draw: Callable[[list[Axes]], None],
    columns: int = 1,
    rows: int = 1,
    *,
    height: float,
    width: float = WIDTH,
    **more: Any,
) -> str:
    """Panels that ``draw`` fills, as SVG; sizes in inches, ``more`` for Matplotlib's subplots."""
    with _ALONE, rc_context(_STYLE):
        figure, stream = Figure(figsize=(width, height)), io.StringIO()
        axes = figure.subplots(rows, columns, squeeze=False, **more)
        draw(list(axes.ravel()))
        figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
    return _PATH.sub(lambda path: _LONG.sub(r"\1", path.group()), stream.getvalue())


def round_logs(axis: Axes, which: str) -> None:
    """Logarithmic axes, "x", "y" or "xy", with the labels 1, 2, 5, 10, …"""
    for name in which:
        getattr(axis, f"set_{name}scale")("log", subs=[])
        ticks = getattr(axis, f"{name}axis")
        ticks.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        ticks.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
