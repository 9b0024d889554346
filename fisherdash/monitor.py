"""Progress of a long computation, and its cancellation."""

import dataclasses
import threading
from collections.abc import Callable

from fisherdash.errors import InputError


@dataclasses.dataclass(frozen=True)
class Monitor:
    """Handed down to the parts of a computation: each tells its share done, and looks whether to
    stop.

    Attributes:
        cancel: set by another thread to stop the computation; None where nothing stops it.
        report: called with the stage and the share of it that is done; None where nobody listens.
        stage: what is being done.
        first, last: shares of the stage between which the part lies.
    """

    cancel: threading.Event | None = None
    report: Callable[[str, float], None] | None = None
    stage: str = ""
    first: float = 0.0
    last: float = 1.0

    @property
    def cancelled(self) -> bool:
        """Whether it was told to stop."""
        return self.cancel is not None and self.cancel.is_set()

    def tell(self, share: float) -> None:
        """Report the share of this part that is done."""
        if self.report is not None:
            self.report(self.stage, self.first + share * (self.last - self.first))

    def stop_if_cancelled(self, what: str, how_far: str = "") -> None:
        """InputError once it was told to stop: "the solve was cancelled after 3 of 8 frames"."""
        if self.cancelled:
            raise InputError(f"{what} was cancelled{how_far and f' after {how_far}'}")

    @property
    def silent(self) -> "Monitor":
        """For a part that may be stopped and tells nothing."""
        return Monitor(self.cancel)

    def of(self, stage: str) -> "Monitor":
        """For a stage, whose share begins at 0."""
        return Monitor(self.cancel, self.report, stage)

    def part(self, first: float, last: float) -> "Monitor":
        """For the part of this one that lies between two shares of it."""
        width = self.last - self.first
        ends = self.first + first * width, self.first + last * width
        return Monitor(self.cancel, self.report, self.stage, *ends)


UNWATCHED = Monitor()
