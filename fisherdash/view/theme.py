"""One visual language: each kind of head keeps its colour and its dash everywhere.

The two main colours differ in hue and in lightness, remain apart in the common forms of colour
blindness (blue and orange), and have a contrast above 3 : 1 on the light and the dark background;
the dash tells them apart where colour does not.
"""

from collections.abc import Sequence
from dataclasses import dataclass


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
