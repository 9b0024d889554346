"""The curves of a run as one SVG picture that needs no program and no network to be seen."""

import math
from collections.abc import Sequence
from html import escape

import numpy as np

from fisherdash.viewer import Chart, Line

LEFT, RIGHT, GAP, FOOT = 70, 20, 16, 44
DASHES = {"solid": "", "dashed": "7 4", "dotted": "2 3"}


def picture(
    times: np.ndarray,
    charts: Sequence[Chart],
    names: Sequence[str],
    end: float,
    width: int = 900,
) -> str:
    """The charts below each other over one axis of time.

    Args: times (P,) in ps; charts of :func:`fisherdash.viewer.charts`; names of the heads; the
    end of the axis of time, ps.
    """
    wide = width - LEFT - RIGHT
    parts, top = _legend(charts[0], names, width)
    for chart in charts:
        parts.append(_panel(times, chart, top, wide, end))
        top += chart.height + GAP
    bottom = top - GAP
    for value in ticks(0.0, end, 8):
        x = LEFT + value / end * wide
        parts.append(label(x, bottom + 16, f"{value:g}", "middle"))
    parts.append(label(LEFT + wide / 2, bottom + 36, "time (ps)", "middle"))
    height = bottom + FOOT
    return sheet(width, height, parts)


def ticks(low: float, high: float, most: int) -> list[float]:
    """Round values from ``low`` to ``high``, about ``most`` of them, at 1, 2 or 5 times 10ⁿ."""
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [float(f"{number * step:.10g}") for number in range(first, last + 1)]


def _panel(times: np.ndarray, chart: Chart, top: int, wide: int, end: float) -> str:
    low, high = chart.limits
    name = f"clip-{chart.id}"
    parts = [
        f'<clipPath id="{name}"><rect x="{LEFT}" y="{top}" width="{wide}" '
        f'height="{chart.height}"/></clipPath>'
    ]
    for value in chart.ticks or ticks(low, high, max(3, chart.height // 45)):
        y = top + (high - value) / (high - low) * chart.height
        parts.append(f'<path d="M{LEFT} {y:.1f}h{wide}" stroke="#d5dbe3"/>')
        parts.append(label(LEFT - 7, y + 4, f"{value:g}", "end"))
    middle = top + chart.height / 2
    parts.append(
        f'<text transform="translate(16 {middle:.0f}) rotate(-90)" text-anchor="middle">'
        f"{escape(chart.title)}</text>"
    )
    parts.append(f'<g clip-path="url(#{name})" fill="none">')
    for line in chart.lines:
        parts.append(_curve(times, line, chart, top, wide, end))
    return "".join([*parts, "</g>"])


def _curve(times: np.ndarray, line: Line, chart: Chart, top: int, wide: int, end: float) -> str:
    low, high = chart.limits
    x = LEFT + times / end * wide
    y = top + (high - line.values) / (high - low) * chart.height
    words, pen, before = [], False, 0.0
    for at, value in zip(x, y, strict=True):
        if not math.isfinite(value):
            pen = False
            continue
        if pen and chart.step:
            words.append(f"L{at:.1f} {before:.1f}")
        words.append(f"{'L' if pen else 'M'}{at:.1f} {value:.1f}")
        pen, before = True, value
    bold = line.replica < 0
    look = 'stroke-width="2.4"' if bold else 'stroke-width="0.8" opacity="0.3"'
    dash = f' stroke-dasharray="{DASHES[line.style.dash]}"' if DASHES[line.style.dash] else ""
    return f'<path d="{"".join(words)}" stroke="{line.style.colour}" {look}{dash}/>'


def _legend(chart: Chart, names: Sequence[str], width: int) -> tuple[list[str], int]:
    """The names beside their lines, in as many rows as they need; where the charts begin."""
    parts, x, y = [], float(LEFT), 16
    styles = {line.head: line.style for line in chart.lines}
    for head, name in enumerate(names):
        style, long = styles[head], 62 + 7.0 * len(name)
        if x > LEFT and x + long > width:
            x, y = float(LEFT), y + 18
        parts.append(
            f'<path d="M{x:.0f} {y}h34" stroke="{style.colour}" stroke-width="3" '
            f'stroke-dasharray="{DASHES[style.dash]}"/>'
        )
        parts.append(label(x + 42, y + 4, name, "start"))
        x += long
    return parts, y + 18


def sheet(width: int, height: int, parts: Sequence[str]) -> str:
    """A whole picture of these parts on white."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" role="img" font-family="sans-serif" font-size="12">'
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>{"".join(parts)}</svg>'
    )


def label(x: float, y: float, words: str, anchor: str) -> str:
    """Words on such a picture; ``anchor`` is SVG's "start", "middle" or "end"."""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="#3c4450">'
        f"{escape(words)}</text>"
    )
