"""Curves of a training, and histograms of a data set."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from fisherdash.plots.chart import (
    DEFAULT,
    NEUTRAL,
    Chart,
    SeriesStyle,
    axis,
    chart,
    decimate,
    described,
    guide,
    line,
    panels,
)

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
