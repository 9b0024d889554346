"""The loss around several models: a map of each with common colours, a cut, and the numbers."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from fisherdash.plots import figure
from fisherdash.plots.figure import Figure, Option, SeriesStyle

if TYPE_CHECKING:
    from fisherdash.landscape import Landscape, Surface

LOW_TO_HIGH = ("#fde725", "#7ad151", "#22a884", "#2a788e", "#414487", "#440154")
"""Light is low; equal steps look equally far apart, in grey and to the colour-blind too."""

UNIT = "(kcal/mol)²"
DECADES = 4.0
"""Of the loss that the colours tell apart; what is higher has the last colour."""


def sharpness_table(found: "Mapping[str, Landscape]") -> pd.DataFrame:
    """A row a model, full precision, the units in the names of the columns."""
    return pd.DataFrame(
        [
            {
                "model": name,
                f"sharpness {UNIT}": one.sharpness.value,
                f"loss {UNIT}": one.sharpness.here.value,
                "force RMSE (eV/Å)": one.sharpness.here.force_rmse,
                "after the step (eV/Å)": one.sharpness.raised.force_rmse,
                f"gradient {UNIT}": one.sharpness.gradient_norm,
                "length of the weights": one.sharpness.weights_norm,
            }
            for name, one in found.items()
        ]
    )


def sharpness_sentence(found: "Mapping[str, Landscape]") -> str:
    """Which model is the sharpest, and by how much."""
    values = {name: one.sharpness.value for name, one in found.items()}
    flat, sharp = min(values, key=values.__getitem__), max(values, key=values.__getitem__)
    radius = next(iter(found.values())).sharpness.radius
    step = f"A step of length {radius:g} up the gradient"
    if len(values) == 1:
        return f"{step} raises the loss of {flat} by {_number(values[flat])} {UNIT}."
    words = (
        f"{step} raises the loss of {flat} by {_number(values[flat])} and that of {sharp} by "
        f"{_number(values[sharp])} {UNIT}"
    )
    if values[flat] <= 0:
        return f"{words}."
    return f"{words}: {sharp} is {_number(values[sharp] / values[flat])} times as sharp."


def _number(value: float) -> str:
    """Three digits, without an exponent where people would not write one."""
    return f"{figure.rounded(value):,g}"


def surface_figures(surfaces: "Mapping[str, Surface]") -> dict[str, Figure]:
    """A map of the loss for each model, all with the same colours."""
    logs = {name: np.log10(one.loss) for name, one in surfaces.items()}
    everything = np.concatenate([values[np.isfinite(values)] for values in logs.values()])
    low = float(np.floor(everything.min()))
    high = float(min(np.ceil(everything.max()), low + DECADES))
    return {name: _map(name, one, low, high) for name, one in surfaces.items()}


def _map(name: str, found: "Surface", low: float, high: float) -> Figure:
    labels = [f"{step:+.3g}" if step else "0" for step in found.steps]
    first, second = np.meshgrid(labels, labels, indexing="ij")
    shown = np.where(np.isfinite(found.loss), found.loss, np.finfo(float).max)
    source = pd.DataFrame({"a": first.ravel(), "b": second.ravel(), "log": np.log10(shown).ravel()})
    category: Option = {"type": "category", "data": labels, "nameLocation": "middle"}
    option: Option = {
        "animation": False,
        "dataset": {"source": source},
        "tooltip": {"trigger": "item", "valueFormatter": "%.3g"},
        "title": figure.title(name),
        "grid": [figure.grid(top=30, bottom=96)],
        "xAxis": {**category, "name": "along the first direction", "nameGap": 26},
        "yAxis": {**category, "name": "along the second", "nameGap": 46},
        "visualMap": {
            "min": low,
            "max": high,
            "calculable": False,
            "orient": "horizontal",
            "left": "center",
            "bottom": 4,
            "itemHeight": 150,
            "text": [f"log₁₀ loss {high:g}", f"{low:g}"],
            "inRange": {"color": list(LOW_TO_HIGH)},
        },
        "series": [
            {
                "type": "heatmap",
                "name": "log₁₀ loss",
                "encode": {"x": "a", "y": "b", "value": "log"},
            }
        ],
    }
    table = pd.DataFrame(
        {
            "a": np.repeat(found.steps, len(found.steps)),
            "b": np.tile(found.steps, len(found.steps)),
            f"loss {UNIT}": found.loss.ravel(),
            "force RMSE (eV/Å)": found.force_rmse.ravel(),
        }
    )
    alt = f"Loss of {name} on a plane: {found.here:.3g} in the middle, up to {found.loss.max():.3g}"
    return Figure(option, alt, 420, table)


def cut_figure(surfaces: "Mapping[str, Surface]", styles: Mapping[str, SeriesStyle]) -> Figure:
    """Force error of each model along the first direction through its middle, one line each."""
    steps = next(iter(surfaces.values())).steps
    cuts = (one.force_rmse[:, len(steps) // 2] for one in surfaces.values())
    source, series = figure.curves(steps, list(surfaces), cuts, map(styles.__getitem__, surfaces))
    source = source.replace(np.inf, np.nan)
    option = figure.chart(
        source,
        series,
        grid=[figure.grid(top=18 + 20 * len(series))],
        xAxis=figure.axis("step along the first direction, in parts of the weights"),
        yAxis=figure.axis("force RMSE (eV/Å)", vertical=True, type="log", logBase=10, scale=False),
    )
    option["legend"] |= {"orient": "vertical", "left": 60, "itemHeight": 6, "itemGap": 4}
    table = source.set_axis(["step", *(f"{name}, force RMSE (eV/Å)" for name in surfaces)], axis=1)
    return Figure(option, "Force error of each model along a random direction", 340, table)
