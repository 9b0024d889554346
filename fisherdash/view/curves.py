"""Small figures: training curves, the path of the ridge, and what a data set holds."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from fisherdash.view import figure
from fisherdash.view.decimate import POINTS, decimate
from fisherdash.view.figure import Figure, Option
from fisherdash.view.theme import DEFAULT, FISHER, NEUTRAL

TRAIN = ("training", "#7a7f87", "solid")
VALID = ("validation", DEFAULT.colour, "solid")


def training_figure(
    epochs: Sequence[int], train: Sequence[float], valid: Sequence[float], best: int | None
) -> Figure:
    """Force RMSE on training and validation frames against the epoch, on a logarithmic axis.

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
        series[1]["markLine"] = {
            "silent": True,
            "symbol": "none",
            "lineStyle": {"type": "dotted", "color": NEUTRAL},
            "label": {"formatter": "best, epoch {c}", "position": "insideEndTop"},
            "data": [{"xAxis": int(best)}],
        }
    option = figure.chart(
        source,
        series,
        grid=[figure.grid()],
        dataZoom=[{"type": "inside", "filterMode": "none"}],
        xAxis=figure.axis("epoch", minInterval=1),
        yAxis=figure.axis("force RMSE (eV/Å)", vertical=True, type="log", logBase=2),
    )
    table = pd.DataFrame({"epoch": epochs, "training (eV/Å)": train, "validation (eV/Å)": valid})
    return Figure(option, "Force RMSE of training and validation against the epoch", 340, table)


def path_figure(
    ridges: Sequence[float],
    force_rmse: Sequence[float],
    divergence: Sequence[float],
    default_rmse: float,
    chosen: float,
) -> Figure:
    """Held-out force RMSE (eV/Å) and Fisher divergence along the ridge, largest ridge left.

    From left to right the head goes from the default one to the plain least-squares solution.
    """
    order = np.argsort(ridges)[::-1]
    labels = [f"{ridges[i]:.0e}".replace("e-0", "e-").replace("e+0", "e") for i in order]
    labels = ["0" if ridges[i] == 0 else label for i, label in zip(order, labels, strict=True)]
    rmse, divergences = np.asarray(force_rmse)[order], np.asarray(divergence)[order]
    source = pd.DataFrame({"ridge": labels, "rmse": rmse, "divergence": divergences})
    upper = _with_guides(
        figure.line("force RMSE", "ridge", "rmse", FISHER.colour, "solid"),
        default_rmse,
        labels[int(np.argmin(np.abs(np.asarray(ridges)[order] - chosen)))],
    )
    lower = figure.line("Fisher divergence", "ridge", "divergence", "#a259d9", "dashed")
    upper |= {"showSymbol": True, "symbol": "circle"}
    lower |= {"showSymbol": True, "symbol": "diamond", "xAxisIndex": 1, "yAxisIndex": 1}
    upper_limits = figure.limits(np.append(rmse, default_rmse), least=0.05) or (0.0, 1.0)
    lower_limits = figure.limits(divergences, least=0.1) or (0.0, 1.0)
    option = figure.chart(
        source,
        [upper, lower],
        grid=[
            figure.grid(height=150, bottom=None),
            figure.grid(top=214, height=120, bottom=None),
        ],
        axisPointer={"link": [{"xAxisIndex": "all"}]},
        xAxis=[
            {"type": "category", "gridIndex": 0, "axisLabel": {"show": False}},
            {
                "type": "category",
                "gridIndex": 1,
                "name": "ridge λ: close to the default head ← → free",
                "nameLocation": "middle",
                "nameGap": 28,
            },
        ],
        yAxis=[
            figure.axis("force RMSE (eV/Å)", vertical=True, gridIndex=0,
                        min=upper_limits[0], max=upper_limits[1]),
            figure.axis("divergence (eV²/Å²)", vertical=True, gridIndex=1, splitNumber=3,
                        min=lower_limits[0], max=lower_limits[1]),
        ],
    )  # fmt: skip
    table = source.set_axis(
        ["ridge", "held-out force RMSE (eV/Å)", "held-out Fisher divergence (eV²/Å²)"], axis=1
    )
    return Figure(option, "Held-out force RMSE and Fisher divergence along the ridge", 384, table)


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


def _with_guides(series: Option, default_rmse: float, chosen: str) -> Option:
    """Mark the default head's error and the chosen ridge."""
    return series | {
        "markLine": {
            "silent": True,
            "symbol": "none",
            "lineStyle": {"type": "dotted", "color": NEUTRAL},
            "data": [
                {
                    "yAxis": default_rmse,
                    "lineStyle": {"type": "solid", "color": DEFAULT.colour},
                    "label": {"formatter": "default head", "position": "insideStartTop"},
                },
                {"xAxis": chosen, "label": {"formatter": "chosen", "position": "insideEndTop"}},
            ],
        }
    }
