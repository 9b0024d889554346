"""The visual language: how heads look in every picture, and the Plotly templates that carry it.

Each kind of head keeps its colour and its dash everywhere. Every colour of a series lies between
black and white so that one value stands out from the light and the dark background (contrast above
3 : 1, text above 4.5 : 1); the two main ones, blue and orange, remain apart in the common forms of
colour blindness, and the dash tells them apart where colour does not.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import plotly.graph_objects as go


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
        "colorscale": {"sequential": _steps(LOW_TO_HIGH)},
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


def _steps(colours: Sequence[str]) -> list[list[float | str]]:
    """Colours at equal distances, as Plotly wants them."""
    return [[place / (len(colours) - 1), colour] for place, colour in enumerate(colours)]
