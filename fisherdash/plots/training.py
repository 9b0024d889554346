"""Curves of a training, and histograms of a data set."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from fisherdash.plots.chart import Chart, axis, chart, decimate, guide, line
from fisherdash.plots.theme import DEFAULT, NEUTRAL, SeriesStyle

TRAIN = SeriesStyle("#7a7f87", "solid")
VALID = SeriesStyle(DEFAULT.colour, "solid")
FALL = 3.0
"""Ratio of the largest to the least error from which on a logarithmic axis serves better."""


def training_figure(
    epochs: Sequence[int], train: Sequence[float], valid: Sequence[float], best: int | None
) -> Chart:
    """Force RMSE on training and validation frames against the epoch, on a logarithmic axis where
    it falls by more than FALL.

    Args: train, valid in eV/Å; best: the epoch whose weights are kept, marked.
    """
    values = np.array([train, valid], np.float64)
    shown, both = decimate(np.asarray(epochs, np.float64), values)
    # A logarithmic axis reaches from power to power, too far for curves that hardly fall.
    wide = np.nanmax(values, initial=0.0) > FALL * np.nanmin(values, initial=np.inf)
    made = chart(
        [
            line(name, shown, one, style)
            for name, one, style in zip(
                ("training", "validation"), both, (TRAIN, VALID), strict=True
            )
        ],
        "Force RMSE of training and validation against the epoch",
        pd.DataFrame({"epoch": epochs, "training (eV/Å)": train, "validation (eV/Å)": valid}),
        x=axis("epoch", tickformat="d"),
        y=axis("force RMSE (eV/Å)", type="log" if wide else None),
        height=340,
    )
    if best is not None:
        late = bool(epochs) and best > (epochs[0] + epochs[-1]) / 2
        side = "top left" if late else "top right"
        guide(made, f"best, epoch {best}", x=int(best), annotation_position=side)
    return made


def histogram_figure(values: np.ndarray, quantity: str, bins: int = 48) -> Chart:
    """How often a quantity (named with its unit) takes which value."""
    finite = values[np.isfinite(values)]
    counts, edges = np.histogram(finite, bins=bins)
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
