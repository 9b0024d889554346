"""Names for what pages make: short ones, for they are shown in every selector and legend."""

import itertools
import re
from collections.abc import Sequence

_LONGEST = 48
_REFIT = re.compile(r"-fisher(-\d+)?$")


def refit_name(model: str) -> str:
    """Of the re-fit of a model; a re-fit of a re-fit is one.

    >>> refit_name("ethanol-report"), refit_name("ethanol-report-fisher-2")
    ('ethanol-report-fisher', 'ethanol-report-fisher')
    """
    return f"{_REFIT.sub('', model)}-fisher"


def run_name(models: Sequence[str]) -> str:
    """Of a run of these models, at least one; what later names share with the first is left out.

    >>> run_name(["ethanol-report", "ethanol-report-fisher"])
    'ethanol-report-vs-fisher'
    """
    first, *others = models
    words = "-vs-".join([first, *(_beyond(first, other) for other in others)])
    return words[:_LONGEST].rstrip("-.")


def _beyond(first: str, other: str) -> str:
    """The other name without the words that both begin with."""
    pairs = zip(first.split("-"), other.split("-"), strict=False)
    shared = sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))
    return "-".join(other.split("-")[shared:]) or other
