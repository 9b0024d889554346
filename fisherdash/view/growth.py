"""How times grow, as one SVG picture with two logarithmic axes."""

import math
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

import numpy as np

from fisherdash.view.svg import label, sheet
from fisherdash.view.theme import DEFAULT, FISHER

if TYPE_CHECKING:
    from fisherdash.bench.scaling import Growth

WIDTH, HEIGHT = 420, 320
LEFT, RIGHT, TOP, FOOT = 64, 16, 40, 48


def growth_picture(growths: Sequence["Growth"]) -> str:
    """A panel for each growth, side by side: points, and the line of the fitted exponent."""
    panels = [_panel(growth, k * WIDTH) for k, growth in enumerate(growths)]
    return sheet(WIDTH * len(panels), HEIGHT, panels)


def _panel(growth: "Growth", x0: int) -> str:
    counts, times = np.array(growth.counts, float), np.array(growth.milliseconds)
    xs, ys = _decades(counts), _decades(times)

    def at(x: float, y: float) -> tuple[float, float]:
        wide, high = WIDTH - LEFT - RIGHT, HEIGHT - TOP - FOOT
        along = (math.log10(x) - xs[0]) / (xs[1] - xs[0])
        up = (math.log10(y) - ys[0]) / (ys[1] - ys[0])
        return x0 + LEFT + along * wide, TOP + (1 - up) * high

    parts = []
    for power in range(ys[0], ys[1] + 1):
        x, y = at(10.0 ** xs[0], 10.0**power)
        parts.append(f'<path d="M{x:.1f} {y:.1f}H{x0 + WIDTH - RIGHT}" stroke="#d5dbe3"/>')
        parts.append(label(x - 6, y + 4, f"{10.0**power:g}", "end"))
    for power in range(xs[0], xs[1] + 1):
        x, y = at(10.0**power, 10.0 ** ys[0])
        parts.append(f'<path d="M{x:.1f} {y:.1f}V{TOP}" stroke="#d5dbe3"/>')
        parts.append(label(x, y + 16, f"{10.0**power:g}", "middle"))
    words = f"time of a step (ms) against {growth.of}"
    if growth.exponent is not None:
        words += f": grows as n^{growth.exponent:.2f}"
        ends = [max(counts[0], counts[-1] / 10 ** (0.6 * (xs[1] - xs[0]))), counts[-1]]
        line = [at(n, times[-1] * (n / counts[-1]) ** growth.exponent) for n in ends]
        path = "L".join(f"{x:.1f} {y:.1f}" for x, y in line)
        clip = f"inset-{escape(growth.of)}"
        parts.append(
            f'<clipPath id="{clip}"><rect x="{x0 + LEFT}" y="{TOP}" '
            f'width="{WIDTH - LEFT - RIGHT}" height="{HEIGHT - TOP - FOOT}"/></clipPath>'
            f'<path d="M{path}" stroke="{FISHER.colour}" stroke-width="2" '
            f'stroke-dasharray="7 4" fill="none" clip-path="url(#{clip})"/>'
        )
    for x, y in (at(n, ms) for n, ms in zip(counts, times, strict=True)):
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{DEFAULT.colour}"/>')
    parts.append(label(x0 + LEFT, TOP - 14, words, "start"))
    parts.append(label(x0 + (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 12, growth.of, "middle"))
    return "".join(parts)


def _decades(values: np.ndarray) -> tuple[int, int]:
    low, high = math.floor(np.log10(values.min())), math.ceil(np.log10(values.max()))
    return low, max(high, low + 1)
