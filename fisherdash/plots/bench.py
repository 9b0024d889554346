"""Benchmarks as one SVG picture: how many times faster than the peer, on a logarithmic axis.

How times grow, as one SVG picture with two logarithmic axes.
"""

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from fisherdash.plots.figure import DEFAULT, FISHER
from fisherdash.plots.svg import label, sheet

if TYPE_CHECKING:
    from fisherdash.bench.dynamics import Growth


PANEL_WIDTH, PANEL_HEIGHT = 420, 320
PANEL_LEFT, PANEL_RIGHT, PANEL_TOP, PANEL_FOOT = 64, 16, 40, 48


def growth_picture(growths: Sequence["Growth"]) -> str:
    """A panel for each growth, side by side: points, and the line of the fitted exponent."""
    panels = [_panel(growth, k * PANEL_WIDTH) for k, growth in enumerate(growths)]
    return sheet(PANEL_WIDTH * len(panels), PANEL_HEIGHT, panels)


def _panel(growth: "Growth", x0: int) -> str:
    counts, times = np.array(growth.counts, float), np.array(growth.milliseconds)
    xs, ys = _decades(counts), _decades(times)

    def at(x: float, y: float) -> tuple[float, float]:
        wide, high = PANEL_WIDTH - PANEL_LEFT - PANEL_RIGHT, PANEL_HEIGHT - PANEL_TOP - PANEL_FOOT
        along = (math.log10(x) - xs[0]) / (xs[1] - xs[0])
        up = (math.log10(y) - ys[0]) / (ys[1] - ys[0])
        return x0 + PANEL_LEFT + along * wide, PANEL_TOP + (1 - up) * high

    parts = []
    for power in range(ys[0], ys[1] + 1):
        x, y = at(10.0 ** xs[0], 10.0**power)
        parts.append(
            f'<path d="M{x:.1f} {y:.1f}H{x0 + PANEL_WIDTH - PANEL_RIGHT}" stroke="#d5dbe3"/>'
        )
        parts.append(label(x - 6, y + 4, f"{10.0**power:g}", "end"))
    for power in range(xs[0], xs[1] + 1):
        x, y = at(10.0**power, 10.0 ** ys[0])
        parts.append(f'<path d="M{x:.1f} {y:.1f}V{PANEL_TOP}" stroke="#d5dbe3"/>')
        parts.append(label(x, y + 16, f"{10.0**power:g}", "middle"))
    words = f"time of a step (ms) against {growth.of}"
    if growth.exponent is not None:
        words += f": grows as n^{growth.exponent:.2f}"
        ends = [max(counts[0], counts[-1] / 10 ** (0.6 * (xs[1] - xs[0]))), counts[-1]]
        line = [at(n, times[-1] * (n / counts[-1]) ** growth.exponent) for n in ends]
        path = "L".join(f"{x:.1f} {y:.1f}" for x, y in line)
        clip = f"inset-{escape(growth.of)}"
        parts.append(
            f'<clipPath id="{clip}"><rect x="{x0 + PANEL_LEFT}" y="{PANEL_TOP}" '
            f'width="{PANEL_WIDTH - PANEL_LEFT - PANEL_RIGHT}" '
            f'height="{PANEL_HEIGHT - PANEL_TOP - PANEL_FOOT}"/></clipPath>'
            f'<path d="M{path}" stroke="{FISHER.colour}" stroke-width="2" '
            f'stroke-dasharray="7 4" fill="none" clip-path="url(#{clip})"/>'
        )
    for x, y in (at(n, ms) for n, ms in zip(counts, times, strict=True)):
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{DEFAULT.colour}"/>')
    parts.append(label(x0 + PANEL_LEFT, PANEL_TOP - 14, words, "start"))
    parts.append(
        label(
            x0 + (PANEL_LEFT + PANEL_WIDTH - PANEL_RIGHT) / 2,
            PANEL_HEIGHT - 12,
            growth.of,
            "middle",
        )
    )
    return "".join(parts)


def _decades(values: np.ndarray) -> tuple[int, int]:
    low, high = math.floor(np.log10(values.min())), math.ceil(np.log10(values.max()))
    return low, max(high, low + 1)


WIDTH, ROW, LEFT, RIGHT, TOP, FOOT = 860, 34, 120, 310, 44, 44
TICKS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)


def race_picture(found: Mapping[str, Mapping[str, Any]], wanted: Mapping[str, float]) -> str:
    """A bar for each benchmark, from 1 to its ratio, with its spread and the ratio wanted.

    Args:
        found: by name, the fields of :class:`fisherdash.bench.Result`.
        wanted: by name, the ratio to be reached; marked with a line.
    """
    ratios = [1.0, *(float(one["ratio"]) for one in found.values()), *wanted.values()]
    low = max((tick for tick in TICKS if tick < min(ratios)), default=TICKS[0])
    high = min((tick for tick in TICKS if tick > max(ratios)), default=TICKS[-1])
    height = TOP + ROW * len(found) + FOOT

    def at(ratio: float) -> float:
        share = math.log(min(max(ratio, low), high) / low) / math.log(high / low)
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    parts = [label(LEFT, TOP - 20, "ratio to the peer; the line marks what is wanted", "start")]
    for tick in (tick for tick in TICKS if low <= tick <= high):
        x = at(tick)
        parts.append(f'<path d="M{x:.1f} {TOP - 8}V{height - FOOT}" stroke="#d5dbe3"/>')
        parts.append(label(x, height - FOOT + 18, f"{tick:g}", "middle"))
    for row, (name, one) in enumerate(found.items()):
        parts.append(_bar(TOP + ROW * row, name, one, wanted.get(name), at))
    return sheet(WIDTH, height, parts)


def _bar(top: float, name: str, one: Mapping[str, Any], wanted: float | None, at: Any) -> str:
    ratio, spread, unit = float(one["ratio"]), float(one["spread"]), str(one["unit"])
    middle, start, end = top + ROW / 2 - 2, at(1.0), at(ratio)
    parts = [
        label(LEFT - 8, middle + 4, name, "end"),
        f'<rect x="{min(start, end):.1f}" y="{top + 5}" width="{abs(end - start):.1f}" '
        f'height="{ROW - 14}" fill="{DEFAULT.colour}"/>',
        f'<path d="M{at(ratio - spread):.1f} {middle:.1f}H{at(ratio + spread):.1f}" '
        'stroke="#1b2430" stroke-width="1.5"/>',
    ]
    if wanted is not None:
        x = at(wanted)
        parts.append(
            f'<path d="M{x:.1f} {top + 1}V{top + ROW - 5}" stroke="#1b2430" stroke-width="2"/>'
        )
    words = f"{ratio:.3g} ({_digits(one['ours'])} against {_digits(one['peer'])} {unit})"
    parts.append(label(WIDTH - RIGHT + 14, middle + 4, words, "start"))
    return "".join(parts)


def _digits(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"
