"""Small figures: training curves and what a data set holds."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from fisherdash.view import figure
from fisherdash.view.decimate import POINTS, decimate
from fisherdash.view.figure import Figure, Option
from fisherdash.view.theme import DEFAULT, NEUTRAL

TRAIN = ("training", "#7a7f87", "solid")
VALID = ("validation", DEFAULT.colour, "solid")
FALL = 3.0
"""Ratio of the largest to the least error from which on a logarithmic axis serves better."""


def training_figure(
    epochs: Sequence[int], train: Sequence[float], valid: Sequence[float], best: int | None
) -> Figure:
    """Force RMSE on training and validation frames against the epoch, on a logarithmic axis where
    it falls by more than FALL.

    Args: train, valid in eV/Å; best: the epoch whose weights are kept, marked.
    """
    values = np.array([train, valid], np.float64)
    shown_epochs, shown = decimate(np.asarray(epochs, np.float64), values, POINTS)
    source = figure.columns(["epoch", "train", "valid"], [shown_epochs, *shown])
    series = [
        figure.line(name, "epoch", column, colour, dash)
        for column, (name, colour, dash) in (("train", TRAIN), ("valid", VALID))
    ]
    if best is not None:
        late = bool(epochs) and best > (epochs[0] + epochs[-1]) / 2
        series[1]["markLine"] = {
            "silent": True,
            "symbol": "none",
            "lineStyle": {"type": "dotted", "color": NEUTRAL},
            "label": {
                "formatter": "best, epoch {c}",
                "position": "insideEndTop" if late else "insideEndBottom",
                "color": NEUTRAL,
            },
            "data": [{"xAxis": int(best)}],
        }
    # A logarithmic axis reaches from power to power, too far for curves that hardly fall.
    wide = np.nanmax(values, initial=0.0) > FALL * np.nanmin(values, initial=np.inf)
    scale: Option = {"type": "log", "logBase": 2} if wide else {}
    option = figure.chart(
        source,
        series,
        grid=[figure.grid(top=52)],
        dataZoom=[{"type": "inside", "filterMode": "none"}],
        xAxis=figure.axis("epoch", minInterval=1),
        yAxis=figure.axis("force RMSE (eV/Å)", vertical=True, **scale),
    )
    table = pd.DataFrame({"epoch": epochs, "training (eV/Å)": train, "validation (eV/Å)": valid})
    return Figure(option, "Force RMSE of training and validation against the epoch", 340, table)


def histogram_figure(values: np.ndarray, quantity: str, bins: int = 48) -> Figure:
    """How often a quantity (named with its unit) takes which value."""
    finite = values[np.isfinite(values)]
    counts, edges = np.histogram(finite, bins=bins)
    centres = 0.5 * (edges[1:] + edges[:-1])
    source = pd.DataFrame({"value": centres, "frames": counts})
    bars: Option = {
        "type": "bar",
        "name": "count",
        "encode": {"x": "value", "y": "frames"},
        "color": NEUTRAL,
        "barCategoryGap": "0%",
    }
    option = figure.chart(
        source,
        [bars],
        legend={"show": False},
        grid=[figure.grid(top=16)],
        xAxis=figure.axis(quantity),
        yAxis=figure.axis("count", vertical=True, scale=False),
    )
    alt = f"Histogram of {quantity}: {finite.min():.3g} to {finite.max():.3g}"
    table = source.set_axis([quantity, "count"], axis=1)
    return Figure(option, alt, 260, table)
