"""Benchmarks as charts: ratios to the peers, and how the time of a step grows."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fisherdash.plots.chart import DEFAULT, FISHER, NEUTRAL, Chart, axis, chart, guide, line

if TYPE_CHECKING:
    from fisherdash.bench.dynamics import Growth


def growth_figures(growths: Sequence["Growth"]) -> list[Chart]:
    """A chart for each growth, on two logarithmic axes: points, and the line of the exponent."""
    return [_growth(one) for one in growths]


def _growth(one: "Growth") -> Chart:
    counts, title = np.array(one.counts, float), f"time of a step against {one.of}"
    times = np.array(one.milliseconds, float)
    traces = [line(one.of, counts, times, DEFAULT, mode="markers")]
    if one.exponent is not None:
        title += f": grows as n^{one.exponent:.2f}"
        fitted = times[-1] * (counts / counts[-1]) ** one.exponent
        traces.append(line("fit", counts, fitted, FISHER))
    return chart(
        traces,
        title,
        x=axis(one.of, type="log"),
        y=axis("time of a step (ms)", type="log"),
        title=title,
        showlegend=False,
    )


def race_figure(found: Mapping[str, Mapping[str, Any]], wanted: Mapping[str, float]) -> Chart:
    """A bar for each benchmark, from 1 to its ratio, with its spread and the ratio wanted.

    Args:
        found: by name, the fields of :class:`fisherdash.bench.Result`.
        wanted: by name, the ratio to be reached; marked with a line.
    """
    names = list(found)
    ratios = np.array([float(one["ratio"]) for one in found.values()])
    labels = [
        f"{name}: {one['ratio']:.3g} ({_digits(one['ours'])} against {_digits(one['peer'])} "
        f"{one['unit']})"
        for name, one in found.items()
    ]
    bars = {
        "type": "bar",
        "orientation": "h",
        "x": ratios - 1.0,
        "base": 1.0,
        "y": list(range(len(names))),
        "marker": {"color": DEFAULT.colour},
        "error_x": {"array": [float(one["spread"]) for one in found.values()], "color": NEUTRAL},
        "showlegend": False,
    }
    aims = line(
        "wanted",
        np.array([wanted[name] for name in names if name in wanted]),
        np.array([row for row, name in enumerate(names) if name in wanted]),
        FISHER,
        mode="markers",
        marker={"symbol": "line-ns", "size": 20, "line": {"width": 3, "color": FISHER.colour}},
    )
    made = chart(
        [bars, aims],
        "Ratio of each benchmark to its peer, with its spread and the ratio wanted",
        x=axis("ratio to the peer", type="log"),
        y={"tickvals": list(range(len(names))), "ticktext": labels,
           "range": [len(names) - 0.5, -0.5]},
        height=110 + 34 * len(names),
    )  # fmt: skip
    guide(made, x=1.0)
    return made


def _digits(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"
