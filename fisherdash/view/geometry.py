"""Bond lengths and angles: a table of all kinds, and the distributions of one of them."""

from collections.abc import Mapping, Sequence

import pandas as pd

from fisherdash.analyse.geometry import Kind
from fisherdash.view import figure
from fisherdash.view.figure import Figure
from fisherdash.view.theme import NEUTRAL, SeriesStyle


def kinds_table(kinds: Sequence[Kind]) -> pd.DataFrame:
    """A row a kind: mean ± standard deviation of the data and of each head, and how far apart."""
    rows = []
    for kind in kinds:
        digits = 3 if kind.unit == "Å" else 1
        row: dict[str, object] = {"kind": f"{kind.name} ({kind.unit})", "number": kind.count}
        row["data"] = _spread(kind.data, digits)
        row |= {name: _spread(found, digits) for name, found in kind.heads.items()}
        row |= {f"{name}: away from data": away for name, away in kind.distances.items()}
        rows.append(row | {"halves of the data: apart": kind.floor})
    return pd.DataFrame(rows)


def _spread(found: tuple[float, float] | None, digits: int) -> str:
    return "nobody lives" if found is None else f"{found[0]:.{digits}f} ± {found[1]:.{digits}f}"


def kind_figure(kind: Kind, styles: Mapping[str, SeriesStyle]) -> Figure:
    """Distribution of one kind: data as an area, heads as lines."""
    labels = {name: f"p{k}" for k, name in enumerate(kind.densities)}
    source = figure.columns(["x", *labels.values()], [kind.centres, *kind.densities.values()])
    data = figure.line("data", "x", labels[None], NEUTRAL)
    series = [data | {"areaStyle": {"opacity": 0.35}, "lineStyle": {"width": 1.2}}]
    heads = [name for name in labels if name is not None]
    series += [
        figure.line(name, "x", labels[name], styles[name].colour, styles[name].dash)
        for name in heads
    ]
    what = f"{kind.name} {'length' if kind.unit == 'Å' else 'angle'} ({kind.unit})"
    option = figure.chart(
        source,
        series,
        grid=[figure.grid()],
        xAxis=figure.axis(what),
        yAxis=figure.axis(f"density (1/{kind.unit})", vertical=True, scale=False),
    )
    columns = [what, *(f"{name} (1/{kind.unit})" for name in ("data", *heads))]
    return Figure(option, f"Distribution of the {what}", 320, source.set_axis(columns, axis=1))
