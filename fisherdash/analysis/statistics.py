"""Medians with bootstrap intervals, and the paired test of two samples.

The interval is the percentile bootstrap of the median (B. Efron, Ann. Statist. 7, 1 (1979)); the
test is Wilcoxon's signed-rank test, which asks whether paired differences lie around zero.
"""

import dataclasses
from typing import Any, Final

import numpy as np
import scipy
from jaxtyping import Float

FEWEST: Final = 6
"""Below this number a median has no 95 % interval (the whole range of five values covers it with
94 %) and a signed-rank test cannot reach p < 0.05: neither is given."""

SIGNIFICANT: Final = 0.05
"""Below this p value a single test counts as significant."""

_RESAMPLES: Final = 4000


@dataclasses.dataclass(frozen=True)
class Interval:
    """A median, its 95 % interval (None for fewer than FEWEST values), and how many values."""

    median: float
    low: float | None
    high: float | None
    count: int

    def to_json(self) -> dict[str, float | None]:
        """Keys median, low, high."""
        return {"median": self.median, "low": self.low, "high": self.high}


@dataclasses.dataclass(frozen=True)
class PairedDifference(Interval):
    """The median of paired differences, and the p-value of Wilcoxon's signed-rank test."""

    p_value: float | None = None

    def to_json(self) -> dict[str, float | None]:
        """Keys median, low, high, p_value."""
        return {**super().to_json(), "p_value": self.p_value}

    @property
    def sign(self) -> int:
        """−1 or 1 where test and interval agree that the difference is not zero, else 0."""
        return self.sign_at(SIGNIFICANT)

    def sign_at(self, level: float) -> int:
        """The same, with the test at another level; that of the interval stays 95 %."""
        if self.p_value is None or self.low is None or self.high is None:
            return 0
        excluded = int(self.low > 0) - int(self.high < 0)
        return excluded if self.p_value < level else 0


def median_interval(values: Float[np.ndarray, " values"], seed: int = 0) -> Interval | None:
    """Median and interval of what is finite in ``values``; None if nothing is."""
    values = np.asarray(values, np.float64)
    values = values[np.isfinite(values)]
    if len(values) == 0:
        return None
    low = high = None
    if len(values) >= FEWEST:
        rng = np.random.default_rng(seed)
        drawn = rng.integers(len(values), size=(_RESAMPLES, len(values)))
        low, high = map(float, np.quantile(np.median(values[drawn], axis=1), [0.025, 0.975]))
    return Interval(float(np.median(values)), low, high, len(values))


def paired(differences: Float[np.ndarray, " pairs"], seed: int = 0) -> PairedDifference | None:
    """Median, interval and p-value of what is finite in ``differences``; None if nothing is."""
    interval = median_interval(differences, seed)
    if interval is None:
        return None
    differences = np.asarray(differences)[np.isfinite(differences)]
    p_value = None
    if interval.count >= FEWEST:
        same = not np.any(differences)  # the test knows no answer for a sample of zeros
        test: Any = None if same else scipy.stats.wilcoxon(differences)
        p_value = 1.0 if same else float(test.pvalue)
    return PairedDifference(interval.median, interval.low, interval.high, interval.count, p_value)
