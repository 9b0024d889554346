"""Benchmarks as one SVG picture: how many times faster than the peer, on a logarithmic axis."""

import math
from collections.abc import Mapping
from typing import Any

from fisherdash.view.svg import label, sheet
from fisherdash.view.theme import DEFAULT

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
