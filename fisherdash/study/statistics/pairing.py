"""Trajectories in pairs: two heads, or two ways to train, from the same initial states.

A pair is one unit (a model, or a network that was trained in two ways) and one replica. Everything
that is said about a difference is said of pairs, so that an unlucky start counts on both sides.

Intervals that know that replicas of one model are alike: models are drawn, then replicas.

Every draw takes as many models as there are, with replacement, and within each as many of its
replicas. Done plainly this counts the noise of the replicas twice, once in the spread of the
models' means and once in the second draw. So the models' means are first pulled together by the
factor that makes the variance of a draw that of the estimate: the two-stage bootstrap with
shrinkage correction of A. C. Davison and D. V. Hinkley, Bootstrap Methods and their Application
(1997), section 3.8, here for unequal numbers of replicas too. Quantiles are taken where Student's t
has them rather than the normal distribution, because a few models know little about their spread
(T. Hesterberg, Am. Stat. 69, 371 (2015)).

All models weigh the same, however many of their replicas count.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd
import scipy
from jaxtyping import Float

from fisherdash.analysis.statistics import FEWEST
from fisherdash.errors import InputError

DRAWS: Final = 2000
_INNER: Final = 400
"""Second draws kept of each model; the first draw takes one of them."""


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval.

    Attributes:
        value: None without any pair.
        low, high: None with fewer than FEWEST models.
        models: that have a pair.
        pairs: that count.
    """

    value: float | None
    low: float | None
    high: float | None
    models: int
    pairs: int

    @property
    def sign(self) -> int:
        """−1 or 1 where the whole interval lies on one side of zero, else 0."""
        if self.low is None or self.high is None:
            return 0
        return int(self.low > 0) - int(self.high < 0)

    def map(self, change: Callable[[float], float]) -> "Estimate":
        """The same after an increasing function of the number, such as exp."""
        moved = [None if x is None else float(change(x)) for x in (self.value, self.low, self.high)]
        return dataclasses.replace(self, value=moved[0], low=moved[1], high=moved[2])

    def to_json(self) -> dict[str, Any]:
        """Numbers or null, never NaN."""
        return dataclasses.asdict(self)


def mean(values: Float[np.ndarray, "models replicas"], seed: int = 0) -> Estimate:
    """The mean over models of their means; NaN marks what does not count."""
    drawn, means, pairs = _drawn_means(values[None], seed)
    return _estimate(float(means[0].mean()) if pairs else None, drawn[0], means.shape[1], pairs)


def ratio(
    above: Float[np.ndarray, "models replicas"],
    below: Float[np.ndarray, "models replicas"],
    seed: int = 0,
) -> Estimate:
    """The sum of ``above`` over that of ``below``, drawn together; ``below`` is positive."""
    drawn, means, pairs = _drawn_means(np.stack([above, below]), seed)
    value = float(means[0].mean() / means[1].mean()) if pairs else None
    return _estimate(value, drawn[0] / drawn[1], means.shape[1], pairs)


def median(values: Float[np.ndarray, "models replicas"], seed: int = 0) -> Estimate:
    """The median over models of their medians.

    Medians have no shrinkage correction, so the interval errs on the wide side.
    """
    rows, counts = _compact(values[None])
    pairs, models = int(counts.sum()), len(counts)
    if not pairs:
        return _estimate(None, np.zeros(0), 0, 0)
    rng = np.random.default_rng(seed)
    middle = np.nanmedian(rows[0], axis=1)
    if models < FEWEST:
        return _estimate(float(np.median(middle)), np.zeros(0), models, pairs)
    drawn = np.median(_one_of_each(_redrawn_medians(rows, counts, rng), rng)[0], axis=1)
    return _estimate(float(np.median(middle)), drawn, models, pairs)


def shares_over_time(
    values: Float[np.ndarray, "models times"], seed: int = 0
) -> tuple[Float[np.ndarray, " times"], Float[np.ndarray, " times"]]:
    """A 95 % band of the mean over models of curves, by drawing models; (low, high)."""
    models = len(values)
    if models < FEWEST:
        unknown = np.full(values.shape[1], np.nan)
        return unknown, unknown
    rng = np.random.default_rng(seed)
    drawn = _how_often(rng, DRAWS, models) @ values / models
    low, high = np.quantile(drawn, _levels(models), axis=0)
    return low, high


def over_models(
    statistic: Callable[[Float[np.ndarray, "draws models"]], Float[np.ndarray, " draws"]],
    models: int,
    seed: int = 0,
) -> Estimate:
    """Any statistic of models, by drawing them.

    Args:
      statistic: of how often each model was drawn, a row a draw; NaN where it has no value.
      models: how many there are.
      seed: of the draws.
    """
    value = float(statistic(np.ones((1, models)))[0]) if models else np.nan
    if models < FEWEST or not np.isfinite(value):
        return Estimate(value if np.isfinite(value) else None, None, None, models, models)
    found = statistic(_how_often(np.random.default_rng(seed), DRAWS, models))
    return _estimate(value, found[np.isfinite(found)], models, models)


def _estimate(value: float | None, drawn: np.ndarray, models: int, pairs: int) -> Estimate:
    low = high = None
    if models >= FEWEST and len(drawn):
        low, high = map(float, np.quantile(drawn, _levels(models)))
    return Estimate(value, low, high, models, pairs)


def _levels(models: int) -> tuple[float, float]:
    """Where a 95 % interval ends among the draws of so many models."""
    tail = float(scipy.stats.norm.cdf(scipy.stats.t.ppf(0.025, models - 1)))
    return tail, 1 - tail


def _drawn_means(
    values: Float[np.ndarray, "quantities models replicas"], seed: int
) -> tuple[np.ndarray, np.ndarray, int]:
    """Draws of the means (quantities, draws), the models' means, the number of pairs."""
    rows, counts = _compact(values)
    if not len(counts):
        return np.zeros((len(values), 0)), np.zeros((len(values), 0)), 0
    means = np.nanmean(rows, axis=2)
    models, pairs = len(counts), int(counts.sum())
    if models < FEWEST:
        return np.zeros((len(values), 0)), means, pairs
    rng = np.random.default_rng(seed)
    inner = _redrawn_means(rows, counts, rng) - means[..., None]
    # The second draw's variance of a model's mean, and the spread of the means that holds it too.
    noise = (np.nanvar(rows, axis=2) / counts).mean(axis=1)
    spread = means.var(axis=1, ddof=1)
    left = 1.0 - np.divide(noise, spread, out=np.zeros_like(noise), where=spread > 0)
    factor = np.sqrt(models / (models - 1) * np.maximum(left, 0.0))[:, None]
    centre = means.mean(axis=1, keepdims=True)
    shrunk = centre + factor * (means - centre)
    drawn = _one_of_each(inner + shrunk[..., None], rng)
    return drawn.mean(axis=2), means, pairs


def _compact(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Models that have a complete pair, what counts moved to the front, and how many count."""
    known = np.isfinite(values).all(axis=0)
    counts = known.sum(axis=1)
    order = np.argsort(~known, axis=1, kind="stable")[None]
    rows = np.take_along_axis(np.where(known, values, np.nan), order, axis=2)
    return rows[:, counts > 0], counts[counts > 0]


def _redrawn_means(rows: np.ndarray, counts: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Means of each model's replicas drawn anew: (quantities, models, _INNER).

    Models with equally many replicas share one pool of draws, a matrix of how often each replica
    was drawn, from which :func:`_one_of_each` takes one for every model.
    """
    found = np.empty((*rows.shape[:2], _INNER))
    for count in np.unique(counts):
        share = _how_often(rng, _INNER, int(count)) / count
        same = counts == count
        found[:, same] = rows[:, same, :count] @ share.T
    return found


def _redrawn_medians(rows: np.ndarray, counts: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The same for medians."""
    found = np.empty((*rows.shape[:2], _INNER))
    for count in np.unique(counts):
        drawn = rng.integers(count, size=(_INNER, count))
        same = counts == count
        found[:, same] = np.median(rows[:, same][..., drawn], axis=-1)
    return found


def _how_often(rng: np.random.Generator, draws: int, count: int) -> np.ndarray:
    """How often each of ``count`` things comes when as many are drawn: (draws, count)."""
    drawn = rng.integers(count, size=(draws, count)) + count * np.arange(draws)[:, None]
    return np.bincount(drawn.ravel(), minlength=draws * count).reshape(draws, count).astype(float)


def _one_of_each(inner: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Models drawn anew, each with one of its second draws: (quantities, DRAWS, models)."""
    quantities, models, kept = inner.shape
    drawn = rng.integers(models * kept, size=(DRAWS, models), dtype=np.int32)
    return np.take(inner.reshape(quantities, models * kept), drawn, axis=1)


DEFAULT: Final = "default"
"""The head that training left."""

SMALLEST_DRIFT: Final = 1e-6
"""meV/atom/ps; a smaller drift is taken for this one, so that it has a logarithm."""


@dataclasses.dataclass(frozen=True, order=True)
class Condition:
    """What all heads of a comparison were put through: K and fs."""

    temperature: float
    timestep: float

    def __str__(self) -> str:
        return f"{self.temperature:g} K, {self.timestep:g} fs"

    def of(self, table: pd.DataFrame, head: str | None = None) -> pd.DataFrame:
        """The rows of a table that belong to this condition (and head)."""
        wanted = (table["temperature_K"] == self.temperature).to_numpy(bool)
        wanted &= (table["timestep_fs"] == self.timestep).to_numpy(bool)
        if head is not None:
            wanted &= (table["head"] == head).to_numpy(bool)
        return table.loc[wanted, :]


def conditions(trajectories: pd.DataFrame) -> list[Condition]:
    """The conditions of a study, the coldest first."""
    found = trajectories[["temperature_K", "timestep_fs"]].drop_duplicates().to_numpy(float)
    return sorted(Condition(float(kelvin), float(fs)) for kelvin, fs in found)


def heads(trajectories: pd.DataFrame) -> list[str]:
    """The re-fitted heads, in the order in which they come."""
    return [head for head in trajectories["head"].drop_duplicates() if head != DEFAULT]


@dataclasses.dataclass(frozen=True, eq=False)
class Paired:
    """Two sides of the same pairs; the first side is what the second is held against.

    Attributes:
        units: names of the models.
        lifetime: ps, at most ``horizon``; NaN where a pair is missing.
        died: 1 or 0, NaN where a pair is missing.
        drift: of the total energy, meV/atom/ps; NaN for the dead and the missing.
        horizon: length of the shortest run, ps; what came later in longer ones is left out.
    """

    units: tuple[str, ...]
    lifetime: Float[np.ndarray, "2 units replicas"]
    died: Float[np.ndarray, "2 units replicas"]
    drift: Float[np.ndarray, "2 units replicas"]
    horizon: float

    @property
    def count(self) -> int:
        """Number of pairs."""
        return int(np.isfinite(self.died[0]).sum())

    @property
    def lived_longer(self) -> Float[np.ndarray, "units replicas"]:
        """How much longer the second side lived within the horizon, ps."""
        return self.lifetime[1] - self.lifetime[0]

    @property
    def more_survived(self) -> Float[np.ndarray, "units replicas"]:
        """1 where only the second side survived, −1 where only the first, else 0."""
        return self.died[0] - self.died[1]

    @property
    def drift_difference(self) -> Float[np.ndarray, "units replicas"]:
        """|drift| of the second side minus the first's, where both survive; meV/atom/ps."""
        return np.abs(self.drift[1]) - np.abs(self.drift[0])

    @property
    def log_drift_ratio(self) -> Float[np.ndarray, "units replicas"]:
        """ln |drift| of the second side over the first's, where both survive."""
        size = np.log(np.maximum(np.abs(self.drift), SMALLEST_DRIFT))
        return size[1] - size[0]


@dataclasses.dataclass(frozen=True, eq=False)
class SurvivalData:
    """One head under one condition: a row a model, NaN where a trajectory is missing.

    Attributes:
        units: names of the models.
        lifetime, duration: ps.
        died: 1 or 0.
        drift: meV/atom/ps, NaN for the dead too.
    """

    units: tuple[str, ...]
    lifetime: Float[np.ndarray, "units replicas"]
    died: Float[np.ndarray, "units replicas"]
    drift: Float[np.ndarray, "units replicas"]
    duration: Float[np.ndarray, "units replicas"]


def survival_data(
    rows: pd.DataFrame,
    unit: str = "model",
    units: Sequence[object] | None = None,
    replicas: Sequence[object] | None = None,
) -> SurvivalData:
    """Trajectories of one head and condition as arrays.

    Args:
      rows: of ``trajectories``.
      unit: the column whose values name the models.
      units, replicas: which ones; all that there are if not given.

    Raises:
        InputError: if a trajectory stands there twice.
    """
    columns = ["lifetime_ps", "died", "drift_meV_per_atom_per_ps", "duration_ps"]
    twice = rows.loc[rows.duplicated([unit, "replica"]).to_numpy(bool), :]
    if len(twice):
        raise InputError(
            f"a study holds each trajectory once; model {twice[unit].iloc[0]}, replica "
            f"{twice['replica'].iloc[0]} stands twice under one head, temperature and time step"
        )
    values = rows.set_index([unit, "replica"])[columns].astype(float)
    units = sorted(set(rows[unit])) if units is None else units
    replicas = sorted(set(rows["replica"])) if replicas is None else replicas
    every = pd.MultiIndex.from_product([units, replicas])
    grid = values.reindex(every).to_numpy().reshape(len(units), len(replicas), len(columns))
    return SurvivalData(tuple(map(str, units)), *np.moveaxis(grid, -1, 0))


def pair(first: pd.DataFrame, second: pd.DataFrame, unit: str = "model") -> Paired:
    """Pairs of what both tables of trajectories (of one head and condition each) hold.

    Args: first, second: rows of ``trajectories``; unit: the column whose values name the models.

    Raises:
        InputError: if a trajectory stands twice in a table.
    """
    units = sorted(set(first[unit]) & set(second[unit]))
    replicas = sorted(set(first["replica"]) & set(second["replica"]))
    sides = [survival_data(table, unit, units, replicas) for table in (first, second)]
    lifetime, died, drift, duration = (
        np.stack([getattr(side, name) for side in sides])
        for name in ("lifetime", "died", "drift", "duration")
    )
    horizon = float(np.nanmin(duration)) if np.isfinite(duration).any() else 0.0
    died = np.where(lifetime > horizon, 0.0, died)
    complete = np.isfinite(died).all(axis=0)
    return Paired(
        units=tuple(map(str, units)),
        lifetime=np.where(complete, np.minimum(lifetime, horizon), np.nan),
        died=np.where(complete, died, np.nan),
        drift=np.where(complete, drift, np.nan),
        horizon=horizon,
    )


def against_default(trajectories: pd.DataFrame, head: str, condition: Condition) -> Paired:
    """A re-fitted head of every model against the model's own default head."""
    return pair(condition.of(trajectories, DEFAULT), condition.of(trajectories, head))
