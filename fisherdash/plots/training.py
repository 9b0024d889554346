"""Curves of a training, histograms of a data set, and the loss around trained models.

The loss around several models is a map of each with common colours, a cut, and the numbers.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from fisherdash.plots.chart import (
    DEFAULT,
    NEUTRAL,
    Chart,
    SeriesStyle,
    axis,
    chart,
    curves,
    decimate,
    described,
    guide,
    line,
    panels,
    rounded,
)

if TYPE_CHECKING:
    from fisherdash.landscape import Landscape, Surface

TRAIN = SeriesStyle("#7a7f87", "solid")
VALID = SeriesStyle(DEFAULT.colour, "solid")
FALL = 3.0
"""Ratio of the largest to the least error from which on a logarithmic axis serves better."""


def training_figure(
    epochs: Sequence[int],
    train: Sequence[float],
    valid: Sequence[float],
    best: int | None,
    energies: Sequence[float] | None = None,
) -> Chart:
    """Force RMSE on training and validation frames against the epoch, and below it the energy RMSE
    on validation frames; on logarithmic axes where they fall by more than FALL.

    Args:
        train, valid: force RMSE in eV/Å.
        best: the epoch whose weights are kept, marked.
        energies: energy RMSE in eV; without it there is one panel.
    """
    values = np.array([train, valid, *([] if energies is None else [energies])], np.float64)
    shown, rows = decimate(np.asarray(epochs, np.float64), values)
    names = ("training", "validation", "energies, validation")
    table = {"epoch": epochs, "training (eV/Å)": train, "validation (eV/Å)": valid}
    count = 1 if energies is None else 2
    made = panels(count, 1, height=340 if count == 1 else 460, shared_xaxes=True,
                  vertical_spacing=0.06, row_heights=[0.6, 0.4][:count])  # fmt: skip
    for number, (name, row) in enumerate(zip(names, rows, strict=False)):
        style = (TRAIN, VALID, VALID)[number]
        made.add_trace(line(name, shown, row, style, showlegend=number < 2), number // 2 + 1, 1)
    made.update_yaxes(axis("force RMSE (eV/Å)", type=_scale(values[:2])), row=1, col=1)
    if energies is not None:
        made.update_yaxes(axis("energy RMSE (eV)", type=_scale(values[2:])), row=2, col=1)
        table["energy, validation (eV)"] = energies
    made.update_xaxes(axis("epoch", tickformat="d"), row=count, col=1)
    if best is not None:
        late = bool(epochs) and best > (epochs[0] + epochs[-1]) / 2
        side = "top left" if late else "top right"
        for row in range(1, count + 1):
            said = {"annotation_position": side, "words": f"best, epoch {best}"} if row == 1 else {}
            guide(made, x=int(best), row=row, col=1, **said)
    words = "Force RMSE of training and validation against the epoch"
    return described(made, words, pd.DataFrame(table))


def _scale(values: np.ndarray) -> str | None:
    """A logarithmic axis reaches from power to power, too far for curves that hardly fall."""
    wide = np.nanmax(values, initial=0.0) > FALL * np.nanmin(values, initial=np.inf)
    return "log" if wide else None


def histogram_figure(values: np.ndarray, quantity: str) -> Chart:
    """How often a quantity (named with its unit) takes which value."""
    finite = values[np.isfinite(values)]
    counts, edges = np.histogram(finite, bins=48)
    centres = 0.5 * (edges[1:] + edges[:-1])
    bars = {
        "type": "bar",
        "name": "count",
        "x": centres,
        "y": counts,
        "width": np.diff(edges),
        "marker": {"color": NEUTRAL},
        "hovertemplate": "%{y:,}",
    }
    return chart(
        [bars],
        f"Histogram of {quantity}: {finite.min():.3g} to {finite.max():.3g}",
        pd.DataFrame({quantity: centres, "count": counts}),
        x=axis(quantity, hoverformat=".4g"),
        y="count",
        height=260,
        margin={"t": 12},
    )


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
    return f"{rounded(value):,g}"


def surface_figures(surfaces: "Mapping[str, Surface]") -> dict[str, Chart]:
    """A map of the loss for each model, all with the same colours."""
    logs = {name: np.log10(one.loss) for name, one in surfaces.items()}
    everything = np.concatenate([values[np.isfinite(values)] for values in logs.values()])
    low = float(np.floor(everything.min()))
    high = float(min(np.ceil(everything.max()), low + DECADES))
    return {name: _map(name, one, low, high) for name, one in surfaces.items()}


def _map(name: str, found: "Surface", low: float, high: float) -> Chart:
    shown = np.where(np.isfinite(found.loss), found.loss, np.finfo(float).max)
    heat = {
        "type": "heatmap",
        "x": found.steps,
        "y": found.steps,
        "z": np.log10(shown).T,
        "zmin": low,
        "zmax": high,
        "colorbar": {"title": {"text": "log₁₀ loss"}, "thickness": 12},
        "hovertemplate": "%{x:.3g}, %{y:.3g}: log₁₀ loss %{z:.3g}<extra></extra>",
    }
    table = pd.DataFrame(
        {
            "a": np.repeat(found.steps, len(found.steps)),
            "b": np.tile(found.steps, len(found.steps)),
            f"loss {UNIT}": found.loss.ravel(),
            "force RMSE (eV/Å)": found.force_rmse.ravel(),
        }
    )
    return chart(
        [heat],
        f"Loss of {name} on a plane: {found.here:.3g} in the middle, up to {found.loss.max():.3g}",
        table,
        x="along the first direction",
        y="along the second",
        height=380,
        title=name,
        hovermode="closest",
    )


def cut_figure(surfaces: "Mapping[str, Surface]", styles: Mapping[str, SeriesStyle]) -> Chart:
    """Force error of each model along the first direction through its middle, one line each."""
    steps = next(iter(surfaces.values())).steps
    cuts = {
        name: np.where(np.isinf(values := one.force_rmse[:, len(steps) // 2]), np.nan, values)
        for name, one in surfaces.items()
    }
    columns = {f"{name}, force RMSE (eV/Å)": values for name, values in cuts.items()}
    return chart(
        curves(steps, list(cuts), cuts.values(), map(styles.__getitem__, cuts)),
        "Force error of each model along a random direction",
        pd.DataFrame({"step": steps, **columns}),
        x="step along the first direction, in parts of the weights",
        y=axis("force RMSE (eV/Å)", type="log"),
        height=340,
    )
