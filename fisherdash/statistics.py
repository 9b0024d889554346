"""Estimates with their intervals: one class, one bootstrap, one way to write them down.

Intervals are percentiles of bootstrap draws (B. Efron, Ann. Statist. 7, 1 (1979)) of independent
samples; arrays are drawn together, so pairs stay pairs. A draw is how often each sample came: sums
over samples are then one matrix product for all draws. ``scipy.stats.bootstrap`` gives the same
intervals (see the tests); SciPy takes a third of a second to import, so that is done where needed.

Samples in clusters, such as the replicas of one model, are alike: a draw takes clusters, with
replacement, and members within each. That counts the noise of the members twice, so the clusters'
means are first pulled together by the factor that makes the variance of a draw that of the
estimate: the two-stage bootstrap with shrinkage correction of A. C. Davison and D. V. Hinkley,
Bootstrap Methods and their Application (1997), section 3.8, here for unequal numbers of members
too. Quantiles are taken where Student's t has them, because a few clusters know little about their
spread (T. Hesterberg, Am. Stat. 69, 371 (2015)). All clusters weigh the same.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, Final, Literal

import numpy as np
from jaxtyping import Float, Int

from fisherdash.text import number

DRAWS: Final = 2000
FEWEST: Final = 6
"""Below this number of independent samples there is no 95 % interval (the whole range of five
values covers their median with 94 %), and a signed-rank test cannot reach p < 0.05: neither is
given."""
SIGNIFICANT: Final = 0.05
"""Below this p-value a single test counts as significant."""
LEVEL: Final = 0.95

_AT_ONCE: Final = 4_000_000
"""Numbers of draws that are held at a time, three arrays of them."""
_INNER: Final = 400
"""Second draws kept of each cluster; the first draw takes one of them."""

Drawn = Float[np.ndarray, "draws samples"]


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A number with its confidence interval.

    Attributes:
        value: None where there is nothing to estimate it from.
        low, high: ends of the interval; None with fewer than FEWEST independent samples.
        n: values, or pairs, that count.
        clusters: independent samples that they make up; ``n`` where each stands for itself.
        p_value: of the test that the number is zero, where one was made.
        level: of the interval.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    n: int = 0
    clusters: int = 0
    p_value: float | None = None
    level: float = LEVEL

    @property
    def sign(self) -> int:
        """−1 or 1 where the whole interval lies on one side of zero, else 0."""
        if self.low is None or self.high is None:
            return 0
        return int(self.low > 0) - int(self.high < 0)

    def sign_at(self, p: float) -> int:
        """The same where the test rejects at this level too; that of the interval stays."""
        return self.sign if self.p_value is not None and self.p_value < p else 0

    def map(self, change: Callable[[float], float]) -> "Estimate":
        """The same after an increasing function of the number, such as exp."""
        moved = [None if x is None else float(change(x)) for x in (self.value, self.low, self.high)]
        return dataclasses.replace(self, value=moved[0], low=moved[1], high=moved[2])

    def scaled(self, factor: float) -> "Estimate":
        """The same times a positive factor, such as 100 for per cent."""
        return self.map(lambda x: factor * x)

    def to_json(self) -> dict[str, float | None]:
        """Keys value, low and high: numbers or None, never NaN."""
        return {"value": self.value, "low": self.low, "high": self.high}

    def text(self, spec: str = ".3g", *, sign: bool = False, unit: str = "") -> str:
        """The number and in brackets its interval, where it has one; a dash without a value.

        >>> Estimate(1.5, 1.0, 2.25).text(sign=True), Estimate(-0.25).text(unit="eV")
        ('+1.5 [+1, +2.25]', '−0.25 eV')
        """
        value = number(self.value, spec, sign=sign)
        if self.low is not None and self.high is not None:
            ends = (number(end, spec, sign=sign) for end in (self.low, self.high))
            value = f"{value} [{', '.join(ends)}]"
        return f"{value} {unit}" if unit and self.value is not None else value

    def span(self, spec: str = ".3g", *, sign: bool = False, unit: str = "") -> str:
        """The interval in words, for a sentence.

        >>> Estimate(1.5, 1.0, 2.25).span(unit="eV"), Estimate(1.5).span()
        ('95 % interval 1 eV to 2.25 eV', 'too few for a 95 % interval')
        """
        name = f"{100 * self.level:g} % interval"
        if self.low is None or self.high is None:
            return f"too few for a {name}"
        low, high = (number(end, spec, sign=sign, unit=unit) for end in (self.low, self.high))
        return f"{name} {low} to {high}"


def how_often(samples: int, seed: int | np.random.Generator, draws: int = DRAWS) -> Drawn:
    """How often each sample comes when as many are drawn with replacement, a row a draw."""
    rng = np.random.default_rng(seed)
    drawn = rng.integers(samples, size=(draws, samples)) + samples * np.arange(draws)[:, None]
    counts = np.bincount(drawn.ravel(), minlength=draws * samples)
    return counts.reshape(draws, samples).astype(float)


def _of_draws(
    function: Callable[[Drawn], np.ndarray], samples: int, rng: np.random.Generator, draws: int
) -> np.ndarray:
    """What ``function`` makes of :func:`how_often`, a row a draw.

    A few draws at a time: those of a run with a million replicas would take 48 GB together.
    """
    at_once = max(1, _AT_ONCE // samples)
    return np.concatenate(
        [
            function(how_often(samples, rng, min(at_once, draws - first)))
            for first in range(0, draws, at_once)
        ]
    )


def bootstrap(
    statistic: Callable[[Drawn], Float[np.ndarray, " draws"]],
    samples: int,
    seed: int = 0,
    *,
    level: float = LEVEL,
    student: bool = False,
    quantile: Literal["linear", "nearest"] = "linear",
) -> Estimate:
    """Any statistic of independent samples with its percentile interval.

    Args:
        statistic: of how often each sample was drawn, a row a draw; NaN where it has no value.
        samples: how many there are.
        seed: of the draws.
        level: of the interval.
        student: whether to take the quantiles where Student's t has them; wider with few samples.
        quantile: "nearest" for statistics that take some values only.
    """
    value = float(statistic(np.ones((1, samples)))[0]) if samples else np.nan
    if not np.isfinite(value):
        return Estimate(None, n=samples, clusters=samples, level=level)
    drawn = np.zeros(0)
    if samples >= FEWEST:
        drawn = _of_draws(statistic, samples, np.random.default_rng(seed), DRAWS)
        drawn = drawn[np.isfinite(drawn)]
    found = Estimate(value, n=samples, clusters=samples, level=level)
    return _with_interval(found, drawn, student, quantile)


def evenly_spaced(count: int, most: int, first: int = 0) -> Int[np.ndarray, " rows"]:
    """At most ``most`` of the indices from ``first`` to ``count − 1``, both ends among them."""
    rows = min(most, count - first)
    return np.linspace(first, count - 1, max(rows, 0)).round().astype(int)


def median(values: Float[np.ndarray, " values"], seed: int = 0) -> Estimate:
    """Of what is finite in ``values``."""
    known = np.sort(values[np.isfinite(values)])
    count = len(known)

    def middle(often: Drawn) -> Float[np.ndarray, " draws"]:
        """The median of each draw, from how often each value came."""
        upto = np.cumsum(often, axis=1)
        places = [(upto <= place).sum(axis=1) for place in ((count - 1) // 2, count // 2)]
        return known[places].mean(axis=0)

    return bootstrap(middle, count, seed)


def paired(differences: Float[np.ndarray, " pairs"], seed: int = 0) -> Estimate:
    """Median of what is finite in ``differences``, with the signed-rank test that it is zero."""
    known = differences[np.isfinite(differences)]
    return dataclasses.replace(median(known, seed), p_value=signed_rank(known))


def signed_rank(values: Float[np.ndarray, " values"]) -> float | None:
    """p-value that finite values lie around zero (F. Wilcoxon, Biometrics Bull. 1, 80 (1945)).

    None with fewer than FEWEST values; 1 where all are zero, which the test knows no answer for.
    """
    if len(values) < FEWEST:
        return None
    if not np.any(values):
        return 1.0
    import scipy

    test: Any = scipy.stats.wilcoxon(values)
    return float(test.pvalue)


def cluster_mean(values: Float[np.ndarray, "clusters members"], seed: int = 0) -> Estimate:
    """The mean over clusters of their means; NaN marks what does not count."""
    return _of_means(lambda means: means[0], values[None], seed)


def cluster_ratio(
    above: Float[np.ndarray, "clusters members"],
    below: Float[np.ndarray, "clusters members"],
    seed: int = 0,
) -> Estimate:
    """The mean of ``above`` over that of ``below``, drawn together; ``below`` is positive."""
    return _of_means(lambda means: means[0] / means[1], np.stack([above, below]), seed)


def cluster_median(values: Float[np.ndarray, "clusters members"], seed: int = 0) -> Estimate:
    """The median over clusters of their medians.

    Medians have no shrinkage correction, so the interval errs on the wide side.
    """
    rows, counts = _compact(values[None])
    if not len(counts):
        return Estimate(None)
    middle = float(np.median(np.nanmedian(rows[0], axis=1)))
    found = Estimate(middle, n=int(counts.sum()), clusters=len(counts))
    if found.clusters < FEWEST:
        return found
    rng = np.random.default_rng(seed)
    inner = np.empty((1, len(counts), _INNER))
    for count in np.unique(counts):
        drawn = rng.integers(count, size=(_INNER, count))
        for one in np.flatnonzero(counts == count):
            inner[0, one] = np.median(rows[0, one][drawn], axis=-1)
    return _with_interval(found, np.median(_one_of_each(inner, rng)[0], axis=1), student=True)


def cluster_band(
    curves: Float[np.ndarray, "clusters times"], seed: int = 0
) -> tuple[Float[np.ndarray, " times"], Float[np.ndarray, " times"]]:
    """95 % interval of the mean of curves, by drawing clusters; NaN with fewer than FEWEST."""
    clusters = len(curves)
    if clusters < FEWEST:
        unknown = np.full(curves.shape[1], np.nan)
        return unknown, unknown
    rng = np.random.default_rng(seed)
    drawn = _of_draws(lambda often: often @ curves, clusters, rng, DRAWS) / clusters
    low, high = np.quantile(drawn, _levels(clusters, LEVEL, student=True), axis=0)
    return low, high


def _of_means(
    combine: Callable[[np.ndarray], np.ndarray],
    values: Float[np.ndarray, "quantities clusters members"],
    seed: int,
) -> Estimate:
    """A function of the quantities' means, by the two-stage bootstrap."""
    rows, counts = _compact(values)
    if not len(counts):
        return Estimate(None)
    means, clusters = np.nanmean(rows, axis=2), len(counts)
    value = float(combine(means.mean(axis=1)))
    found = Estimate(value, n=int(counts.sum()), clusters=clusters)
    if clusters < FEWEST:
        return found
    rng = np.random.default_rng(seed)
    inner = _redrawn_means(rows, counts, rng) - means[..., None]
    # The second draw's variance of a cluster's mean, and the spread of the means that holds it too.
    noise = (np.nanvar(rows, axis=2) / counts).mean(axis=1)
    spread = means.var(axis=1, ddof=1)
    left = 1.0 - np.divide(noise, spread, out=np.zeros_like(noise), where=spread > 0)
    factor = np.sqrt(clusters / (clusters - 1) * np.maximum(left, 0.0))[:, None]
    centre = means.mean(axis=1, keepdims=True)
    shrunk = centre + factor * (means - centre)
    drawn = _one_of_each(inner + shrunk[..., None], rng).mean(axis=2)
    return _with_interval(found, combine(drawn), student=True)


def _compact(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Clusters with a complete member, what counts moved to the front, and how many count."""
    known = np.isfinite(values).all(axis=0)
    counts = known.sum(axis=1)
    order = np.argsort(~known, axis=1, kind="stable")[None]
    rows = np.take_along_axis(np.where(known, values, np.nan), order, axis=2)
    return rows[:, counts > 0], counts[counts > 0]


def _redrawn_means(rows: np.ndarray, counts: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Means of each cluster's members drawn anew: (quantities, clusters, _INNER).

    Clusters with equally many members share one pool of draws, a matrix of how often each member
    was drawn, from which :func:`_one_of_each` takes one for every cluster.
    """
    found = np.empty((*rows.shape[:2], _INNER))
    for count in np.unique(counts):
        same = counts == count
        members = rows[:, same, :count] / count
        drawn = _of_draws(lambda often, of=members: (of @ often.T).T, int(count), rng, _INNER)
        found[:, same] = drawn.T
    return found


def _one_of_each(inner: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Clusters drawn anew, each with one of its second draws: (quantities, DRAWS, clusters)."""
    quantities, clusters, kept = inner.shape
    drawn = rng.integers(clusters * kept, size=(DRAWS, clusters), dtype=np.int32)
    return np.take(inner.reshape(quantities, clusters * kept), drawn, axis=1)


def _with_interval(
    found: Estimate,
    drawn: Float[np.ndarray, " draws"],
    student: bool,
    quantile: Literal["linear", "nearest"] = "linear",
) -> Estimate:
    """The estimate with the interval of its draws; as it is without any."""
    if not len(drawn):
        return found
    levels = _levels(found.clusters, found.level, student)
    low, high = map(float, np.quantile(drawn, levels, method=quantile))
    return dataclasses.replace(found, low=low, high=high)


def _levels(samples: int, level: float, student: bool) -> tuple[float, float]:
    """Where an interval ends among the draws."""
    tail = (1 - level) / 2
    if student:
        import scipy

        tail = float(scipy.special.ndtr(scipy.special.stdtrit(samples - 1, tail)))
    return tail, 1 - tail
