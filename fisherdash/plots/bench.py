"""Benchmarks as SVG pictures: ratios to the peers, and how the time of a step grows."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes

from fisherdash.plots.svg import picture, round_logs
from fisherdash.plots.theme import DEFAULT, FISHER

if TYPE_CHECKING:
    from fisherdash.bench.dynamics import Growth

DARK = "#1b2430"


def growth_picture(growths: Sequence["Growth"]) -> str:
    """A panel for each growth, on two logarithmic axes: points, and the line of the exponent."""

    def draw(axes: list[Axes]) -> None:
        for axis, one in zip(axes, growths, strict=True):
            counts, title = np.array(one.counts, float), f"time of a step (ms) against {one.of}"
            axis.loglog(counts, one.milliseconds, "o", color=DEFAULT.colour, gid=one.of)
            if one.exponent is not None:
                title += f": grows as n^{one.exponent:.2f}"
                seen = axis.get_ylim()
                line = one.milliseconds[-1] * (counts / counts[-1]) ** one.exponent
                axis.plot(counts, line, color=FISHER.colour, linestyle="dashed")
                axis.set_ylim(seen)
            axis.set_title(title, fontsize=9)
            axis.set_xlabel(one.of)

    return picture(draw, len(growths), height=3.2, width=4.2 * len(growths))


def race_picture(found: Mapping[str, Mapping[str, Any]], wanted: Mapping[str, float]) -> str:
    """A bar for each benchmark, from 1 to its ratio, with its spread and the ratio wanted.

    Args:
        found: by name, the fields of :class:`fisherdash.bench.Result`.
        wanted: by name, the ratio to be reached; marked with a line.
    """

    def draw(axes: list[Axes]) -> None:
        (axis,) = axes
        round_logs(axis, "x")
        for row, (name, one) in enumerate(found.items()):
            ratio, spread = float(one["ratio"]), float(one["spread"])
            axis.barh(row, ratio - 1, left=1, height=0.6, color=DEFAULT.colour, gid=name)
            axis.hlines(row, max(ratio - spread, 0.01), ratio + spread, color=DARK)
            if name in wanted:
                axis.vlines(wanted[name], row - 0.45, row + 0.45, color=DARK, linewidth=2)
            numbers = f"{_digits(one['ours'])} against {_digits(one['peer'])} {one['unit']}"
            axis.text(1.02, row, f"{ratio:.3g} ({numbers})", va="center",
                      transform=axis.get_yaxis_transform())  # fmt: skip
        axis.set_yticks(range(len(found)), list(found))
        axis.set_ylim(len(found) - 0.5, -0.5)
        axis.set_xlabel("ratio to the peer; the line marks what is wanted")

    return picture(draw, height=0.8 + 0.35 * len(found))


def _digits(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"
