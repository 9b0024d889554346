"""h(r) of the data and of each head, and how far apart they are."""

from collections.abc import Mapping

import pandas as pd

from fisherdash.analyse.structure import Structure
from fisherdash.view import figure
from fisherdash.view.figure import Figure
from fisherdash.view.theme import NEUTRAL, SeriesStyle


def structure_figure(found: Structure, styles: Mapping[str, SeriesStyle]) -> Figure:
    """How often two atoms are a distance apart: data as an area, heads as lines."""
    columns = {"r": found.centres, "data": found.reference}
    columns |= {name: h for name, h in found.heads.items() if h is not None}
    labels = {name: f"h{k}" for k, name in enumerate(columns)}
    source = pd.DataFrame({labels[name]: values for name, values in columns.items()})
    data = figure.line("data", labels["r"], labels["data"], NEUTRAL)
    series = [data | {"areaStyle": {"opacity": 0.35}, "lineStyle": {"width": 1.2}}]
    series += [
        figure.line(name, labels["r"], labels[name], styles[name].colour, styles[name].dash)
        for name, h in found.heads.items()
        if h is not None
    ]
    option = figure.chart(
        source,
        series,
        grid=[figure.grid()],
        dataZoom=[{"type": "inside", "filterMode": "none"}],
        xAxis=figure.axis("distance of two atoms r (Å)", min=0),
        yAxis=figure.axis("h(r) (1/Å)", vertical=True, scale=False),
    )
    table = source.set_axis(
        ["r (Å)", *(f"{name} (1/Å)" for name in columns if name != "r")], axis=1
    )
    return Figure(option, "Distribution of distances between atoms, data and heads", 320, table)


def structure_sentence(found: Structure) -> str:
    """The differences in words, with what chance alone makes of them."""
    words = [
        f"{name}: {'nobody lives' if error is None else format(error, '.3g')}"
        for name, error in found.errors.items()
    ]
    return (
        f"∫|h − h_data| dr, between 0 (alike) and 2 (nothing in common): {'; '.join(words)}. "
        f"The two halves of the data differ by {found.floor:.2g}."
    )
