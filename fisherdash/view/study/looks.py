"""How the heads of a study look: default and first re-fit as everywhere, each other its own."""

from collections.abc import Sequence

from fisherdash.study.statistics import DEFAULT
from fisherdash.view.theme import DEFAULT as DEFAULT_LOOK
from fisherdash.view.theme import FISHER, NEUTRAL, OTHERS, SeriesStyle

KIND_COLOURS = ("#b3261e", "#e58a1f", "#e0b81c", NEUTRAL)
"""Of the kinds of failure, the worst first; the last one is steady."""

_APART = (0, 1, 3, 4, 5, 2)
"""Which of the other styles come first: ochre, beside the orange of the first re-fit, last."""


def looks(heads: Sequence[str]) -> dict[str, SeriesStyle]:
    """A style for the default head and every re-fit, in their order."""
    order = [DEFAULT_LOOK, FISHER, *(OTHERS[k] for k in _APART)]
    return {head: order[k % len(order)] for k, head in enumerate([DEFAULT, *heads])}
