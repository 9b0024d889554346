"""How far a piece of work is, in a form that any page or log can show."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Progress:
    """How far a job is: a fraction (0 to 1), a stage in one word, and what is known beside it."""

    fraction: float = 0.0
    stage: str = "running"
    detail: str = ""
    rate: float | None = None
    """Units of work per second, for example MD steps."""
    rate_unit: str = ""
    device: str = ""

    def __post_init__(self) -> None:
        if not 0.0 <= self.fraction <= 1.0:
            raise ValueError(f"fraction is {self.fraction}, expected 0 to 1")


def progress_as_is(item: Any) -> Progress:
    """The reading of items that are a :class:`Progress` already."""
    return item if isinstance(item, Progress) else Progress()
