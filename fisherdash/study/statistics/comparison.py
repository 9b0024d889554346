"""One head, or recipe of training, against another: survival first, drift of survivors second.

Trajectories are compared in pairs. A pair is one replica of one unit (a model, or a network trained
by two recipes) from the same initial state on both sides, so that an unlucky initial state counts
on both.

The drift is that of the pairs that survive on both sides. A head whose wild trajectories fail keeps
calm ones, so a smaller drift is no improvement where fewer survive.

Claims about models in general are tested over models, one number each, with the signed-rank test.
The log-rank test, stratified by model (each has its own hazard), is about these models only.
Families of tests are corrected after S. Holm (Scand. J. Stat. 6, 65 (1979)).

Recipes are compared on networks that differ in the recipe alone, with the main recipe's default
head, so that "train longer" and "re-fit" stand side by side.

Power: the models' effects scatter by s around their mean. A test on M models then has the power of
Student's t-test with an effect of size/s (statsmodels); the signed-rank test needs about 5 % more
models where the scatter is normal, and fewer where it has long tails.
"""

import dataclasses
import functools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Literal

import numpy as np
import pandas as pd
from jaxtyping import Float

from fisherdash.errors import InputError
from fisherdash.settings import fields as toml
from fisherdash.statistics import (
    FEWEST,
    SIGNIFICANT,
    Estimate,
    cluster_mean,
    cluster_median,
    signed_rank,
)
from fisherdash.study.spec import parsed

DEFAULT: Final = "default"
"""The head that training left."""

SMALLEST_DRIFT: Final = 1e-6
"""meV/atom/ps; a smaller drift is taken for this one, so that it has a logarithm."""


def to_json(found: Estimate) -> dict[str, float | None]:
    """Numbers or None, never NaN."""
    return found.to_json() | {"models": found.clusters, "pairs": found.n}


@dataclasses.dataclass(frozen=True, order=True)
class Condition:
    """Condition of dynamics: temperature (K) and time step (fs)."""

    temperature: float
    timestep: float

    def __str__(self) -> str:
        return f"{self.temperature:g} K, {self.timestep:g} fs"

    def to_json(self) -> dict[str, float]:
        """With the names of the tables' columns."""
        return {"temperature_K": self.temperature, "timestep_fs": self.timestep}

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
    return sorted(Condition(temperature, timestep) for temperature, timestep in found.tolist())


def heads(trajectories: pd.DataFrame) -> list[str]:
    """The re-fitted heads, in the order in which they come."""
    return [head for head in trajectories["head"].drop_duplicates() if head != DEFAULT]


@dataclasses.dataclass(frozen=True, eq=False)
class Paired:
    """Two sides of the same pairs; the first side is what the second is compared with.

    Attributes:
        units: names of the models.
        time_to_failure: ps, at most ``horizon``; NaN where a pair is missing.
        failed: 1 or 0, NaN where a pair is missing.
        drift: of the total energy, meV/atom/ps; NaN for the failed and the missing.
        horizon: length of the shortest run, ps; what came later in longer ones is left out.
    """

    units: tuple[str, ...]
    time_to_failure: Float[np.ndarray, "2 units replicas"]
    failed: Float[np.ndarray, "2 units replicas"]
    drift: Float[np.ndarray, "2 units replicas"]
    horizon: float

    @property
    def count(self) -> int:
        """Number of pairs."""
        return int(np.isfinite(self.failed[0]).sum())

    @property
    def survived_longer(self) -> Float[np.ndarray, "units replicas"]:
        """How much longer the second side survived within the horizon, ps."""
        return self.time_to_failure[1] - self.time_to_failure[0]

    @property
    def more_survived(self) -> Float[np.ndarray, "units replicas"]:
        """1 where only the second side survived, −1 where only the first, else 0."""
        return self.failed[0] - self.failed[1]

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
        time_to_failure, duration: ps.
        failed: 1 or 0.
        drift: meV/atom/ps, NaN for the failed too.
    """

    units: tuple[str, ...]
    time_to_failure: Float[np.ndarray, "units replicas"]
    failed: Float[np.ndarray, "units replicas"]
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
        InputError: if a trajectory occurs twice.
    """
    columns = ["time_to_failure_ps", "failed", "drift_meV_per_atom_per_ps", "duration_ps"]
    twice = rows.loc[rows.duplicated([unit, "replica"]).to_numpy(bool), :]
    if len(twice):
        raise InputError(
            f"a study holds each trajectory once; model {twice[unit].iloc[0]}, replica "
            f"{twice['replica'].iloc[0]} occurs twice under one head, temperature and time step"
        )
    values = rows.set_index([unit, "replica"])[columns].astype(float)
    units = sorted(set(rows[unit])) if units is None else units
    replicas = sorted(set(rows["replica"])) if replicas is None else replicas
    every = pd.MultiIndex.from_product([units, replicas])
    grid = values.reindex(every).to_numpy().reshape(len(units), len(replicas), len(columns))
    return SurvivalData(tuple(map(str, units)), *np.moveaxis(grid, -1, 0))


def pair(first: pd.DataFrame, second: pd.DataFrame, unit: str = "model") -> Paired:
    """Pairs of what both tables of trajectories (of one head and condition each) hold.

    ``unit`` is the column whose values name the models. InputError if a trajectory occurs twice.
    """
    units = sorted(set(first[unit]) & set(second[unit]))
    replicas = sorted(set(first["replica"]) & set(second["replica"]))
    sides = [survival_data(table, unit, units, replicas) for table in (first, second)]
    time_to_failure, failed, drift, duration = (
        np.stack([getattr(side, name) for side in sides])
        for name in ("time_to_failure", "failed", "drift", "duration")
    )
    horizon = float(np.nanmin(duration)) if np.isfinite(duration).any() else 0.0
    failed = np.where(time_to_failure > horizon, 0.0, failed)
    complete = np.isfinite(failed).all(axis=0)
    return Paired(
        units=tuple(map(str, units)),
        time_to_failure=np.where(complete, np.minimum(time_to_failure, horizon), np.nan),
        failed=np.where(complete, failed, np.nan),
        drift=np.where(complete, drift, np.nan),
        horizon=horizon,
    )


def against_default(trajectories: pd.DataFrame, head: str, condition: Condition) -> Paired:
    """A re-fitted head of every model against the model's own default head."""
    return pair(condition.of(trajectories, DEFAULT), condition.of(trajectories, head))


@dataclasses.dataclass(frozen=True)
class Tested:
    """A p-value as it came (None where it could not be computed) and within its family."""

    raw: float | None
    corrected: float | None = None

    @property
    def significant(self) -> bool:
        """Whether the test rejects after correction (before it, if none was made)."""
        p = self.raw if self.corrected is None else self.corrected
        return p is not None and p < SIGNIFICANT


def model_means(values: Float[np.ndarray, "models replicas"]) -> Float[np.ndarray, " models"]:
    """The mean of each model's pairs; NaN for a model without any."""
    known = np.isfinite(values)
    total = np.where(known, values, 0.0).sum(axis=1)
    return np.divide(total, known.sum(axis=1), out=np.full(len(values), np.nan), where=known.any(1))


def over_models(values: Float[np.ndarray, "models replicas"]) -> float | None:
    """Signed-rank p-value that the models' means lie around zero; None with too few models.

    Models whose two sides are alike say nothing and are left out; with none left, p is 1.
    """
    means = model_means(values)
    return signed_rank(means[np.isfinite(means)])


def logrank(pairs: Paired) -> float | None:
    """Stratified log-rank p-value of equal survival on both sides; None without a failure."""
    from statsmodels.duration.survfunc import survdiff  # slow to import

    known = np.isfinite(pairs.failed[0])
    times, failed = (
        pairs.time_to_failure[:, known].ravel(),
        pairs.failed[:, known].ravel().astype(int),
    )
    if not failed.any():
        return None
    model = np.nonzero(known)[0]
    _, p_value = survdiff(times, failed, np.repeat([0, 1], len(model)), strata=np.tile(model, 2))
    return float(p_value) if np.isfinite(p_value) else None


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Corrected p-values of one family; what could not be tested is no part of it.

    The numbers are those of statsmodels' ``multipletests``, which collects all of Python's garbage
    at every call and so takes longer than the rest of a page.
    """
    known = np.array([p for p in p_values if p is not None])
    order = np.argsort(known)
    steps = np.maximum.accumulate(known[order] * np.arange(len(known), 0, -1))
    found = iter(np.minimum(steps, 1.0)[np.argsort(order)].tolist())
    return [None if p is None else next(found) for p in p_values]


Verdict = Literal[
    "helps",
    "steadier survivors",
    "no effect seen",
    "too few models",
    "mixed",
    "calmer but fewer survive",
    "harms",
]


@dataclasses.dataclass(frozen=True)
class PerModel:
    """Of how many models more trajectories survive on the second side, fewer, or as many.

    Counts, not claims: a few replicas cannot tell one model's change from chance. Of ``silent``
    models no trajectory failed on either side, of ``lost`` ones every one did; neither can show a
    change.
    """

    more: int
    fewer: int
    alike: int
    silent: int
    lost: int


@dataclasses.dataclass(frozen=True)
class Comparison:
    """The second side against the first under one condition.

    Attributes:
        first, second: what was compared, for example "default" and a head.
        condition: temperature and time step.
        horizon: length of the shortest run, ps.
        models, pairs: that count for survival.
        failures: failures of the first and the second side among the pairs.
        time_to_failure: difference of its mean within the horizon (restricted mean survival
            time), ps; positive where the second survives longer.
        survivors: difference of the surviving share; positive where more of the second survive.
        drift_ratio: |drift| of the second over the first's where both survive, geometric mean.
        drift_difference: the same as a difference, meV/atom/ps, median over models of medians.
        survival: signed-rank test of ``survivors`` over models.
        drift: signed-rank test of ln ``drift_ratio`` over models.
        logrank: stratified by model; holds for these models only.
        per_model: of how many models more, fewer or as many survive.
        testable: whether a test over so many models could be significant in its family at all:
            the smallest p-value of M models is 2/2ᴹ.
    """

    first: str
    second: str
    condition: Condition
    horizon: float
    models: int
    pairs: int
    failures: tuple[int, int]
    time_to_failure: Estimate
    survivors: Estimate
    drift_ratio: Estimate
    drift_difference: Estimate
    survival: Tested
    drift: Tested
    logrank: Tested
    per_model: PerModel
    testable: bool = True

    @property
    def survival_sign(self) -> int:
        """1 where significantly more of the second side survive, −1 where fewer, else 0."""
        return self.survivors.sign if self.survival.significant else 0

    @property
    def drift_sign(self) -> int:
        """−1 where surviving pairs drift significantly less on the second side, 1 where more."""
        log = self.drift_ratio.map(np.log) if self.drift_ratio.value else self.drift_ratio
        return log.sign if self.drift.significant else 0

    @property
    def verdict(self) -> Verdict:
        """Survival and drift read together."""
        survival, drift = self.survival_sign, self.drift_sign
        if self.survival.raw is None or not self.testable:
            return "too few models"
        if survival < 0:
            return "calmer but fewer survive" if drift < 0 else "harms"
        if survival > 0:
            return "mixed" if drift > 0 else "helps"
        if drift:
            return "steadier survivors" if drift < 0 else "harms"
        return "no effect seen"

    def to_json(self) -> dict[str, Any]:
        """Everything, with the verdict; None where a number is not known."""
        plain = dataclasses.asdict(self) | {
            "failures": list(self.failures),
            "verdict": self.verdict,
        }
        del plain["condition"]
        for name in ("time_to_failure", "survivors", "drift_ratio", "drift_difference"):
            plain[name] = to_json(getattr(self, name))
        return plain | self.condition.to_json()


def compare(
    pairs: Paired, condition: Condition, first: str, second: str, seed: int = 0
) -> Comparison:
    """All statistics of one comparison; its p-values are not corrected yet."""
    failure_counts = np.nansum(pairs.failed, axis=(1, 2)).astype(int)
    return Comparison(
        first=first,
        second=second,
        condition=condition,
        horizon=pairs.horizon,
        models=int(np.isfinite(pairs.failed[0]).any(axis=1).sum()),
        pairs=pairs.count,
        failures=(int(failure_counts[0]), int(failure_counts[1])),
        time_to_failure=cluster_mean(pairs.survived_longer, seed),
        survivors=more_survivors(pairs, seed),
        drift_ratio=cluster_mean(pairs.log_drift_ratio, seed).map(np.exp),
        drift_difference=cluster_median(pairs.drift_difference, seed),
        survival=Tested(over_models(pairs.more_survived)),
        drift=Tested(over_models(pairs.log_drift_ratio)),
        logrank=Tested(logrank(pairs)),
        per_model=per_model(pairs),
    )


def more_survivors(pairs: Paired, seed: int = 0) -> Estimate:
    """Change of the surviving share, mean over models; no bound leaves what shares can do."""
    found = cluster_mean(pairs.more_survived, seed)
    return found.map(lambda x: min(1.0, max(-1.0, round(x, 12))))  # a zero is no 6e−17


def per_model(pairs: Paired) -> PerModel:
    """Counts of models by what happens to their surviving share."""
    known = np.isfinite(pairs.failed[0]).any(axis=1)
    first, second = (model_means(side[known]) for side in pairs.failed)
    return PerModel(
        more=int((second < first).sum()),
        fewer=int((second > first).sum()),
        alike=int((second == first).sum()),
        silent=int(((first == 0) & (second == 0)).sum()),
        lost=int(((first == 1) & (second == 1)).sum()),
    )


def corrected(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """The same with Holm's correction over everything that is shown together.

    Survival of all comparisons is one family, drift another, the log-rank tests a third.
    """
    families = {
        name: holm([getattr(one, name).raw for one in comparisons])
        for name in ("survival", "drift", "logrank")
    }
    family = sum(p is not None for p in families["survival"])
    return [
        dataclasses.replace(
            one,
            **{name: Tested(getattr(one, name).raw, p[k]) for name, p in families.items()},
            testable=max(1, family) * 2.0 ** (1 - one.models) < SIGNIFICANT,
        )
        for k, one in enumerate(comparisons)
    ]


VERDICTS: Final[Mapping[Verdict, str]] = {
    "helps": "more survive, and they do not drift more",
    "steadier survivors": "drifts less, with no measurable price in survival",
    "no effect seen": "no difference in survival or drift could be shown",
    "too few models": "too few models to tell",
    "mixed": "more survive, but those that survive either way drift more",
    "calmer but fewer survive": "fewer survive; the smaller drift of the others is no improvement",
    "harms": "fewer survive, or they drift more",
}
"""What each verdict says."""


SAME: Final = ("data", "frames", "seed", "features", "max_degree", "iterations", "basis")
"""What two networks of a pair have in common."""


def main_recipe(models: pd.DataFrame) -> str | None:
    """The recipe of most models, the first of these; None without models."""
    counts = models["recipe"].value_counts(sort=False)
    return str(counts.idxmax()) if len(counts) else None


def epoch_factors(specification: str) -> dict[str, float]:
    """By what each recipe of a specification (TOML) multiplies the epochs; 1 if it does not say."""
    found = toml.named_tables(parsed(specification), "recipe")
    return {name: float(recipe.get("epochs_factor", 1.0)) for name, recipe in found.items()}


def networks(models: pd.DataFrame, factors: Mapping[str, float]) -> dict[str, str]:
    """A name for every model that is the same for what differs in the recipe alone."""
    factor = np.array([factors.get(recipe, 1.0) for recipe in models["recipe"]])
    epochs = np.round(models["epochs"].to_numpy(float) / factor).astype(int).astype(str)
    same = models[list(SAME)].astype(str).agg("|".join, axis=1)
    return dict(zip(models["model"], same + "|" + epochs, strict=True))


def recipe_comparisons(
    models: pd.DataFrame,
    trajectories: pd.DataFrame,
    heads: Sequence[str],
    conditions: Iterable[Condition],
    factors: Mapping[str, float],
    seed: int = 0,
) -> list[Comparison]:
    """Every recipe's heads against the main recipe's default head, on the networks both trained.

    A side is named "recipe" for its default head and "recipe + head" for a re-fit on top; the main
    recipe's own re-fits are there too, on the networks that another recipe trained. Empty with one
    recipe only.
    """
    base = main_recipe(models)
    others = [str(way) for way in models["recipe"].drop_duplicates() if way != base]
    if not others:
        return []
    network = networks(models, factors)
    recipe = dict(zip(models["model"], models["recipe"], strict=True))
    rows = trajectories.assign(
        network=[network[name] for name in trajectories["model"]],
        recipe=[recipe[name] for name in trajectories["model"]],
    )
    elsewhere = [network[name] for name, way in recipe.items() if way in others]
    rows = rows.loc[rows["network"].isin(elsewhere).to_numpy(bool), :]
    found = []
    for condition in conditions:
        sides: dict[Any, pd.DataFrame] = dict(
            list(condition.of(rows).groupby(["recipe", "head"], sort=False))
        )
        every = [(way, head) for way in (base, *others) for head in (DEFAULT, *heads)]
        for way, head in [side for side in every[1:] if side in sides and every[0] in sides]:
            pairs = pair(sides[every[0]], sides[way, head], unit="network")
            name = str(way) if head == DEFAULT else f"{way} + {head}"
            if pairs.count:
                found.append(compare(pairs, condition, str(base), name, seed))
    return corrected(found)


POWER: Final = 0.8


@dataclasses.dataclass(frozen=True)
class Power:
    """What a study of so many models can see.

    Attributes:
        models: of the study.
        spread: standard deviation of the models' effects, in the unit of the effect.
        detectable: smallest true mean effect that is found with 80 % probability.
        alpha: significance level that this holds for.
    """

    models: int
    spread: float
    detectable: float
    alpha: float


def power(effects: Float[np.ndarray, " models"], alpha: float = SIGNIFICANT) -> Power | None:
    """What could be seen with these models' effects (NaN: a model without one).

    None with fewer than FEWEST models or where all effects are the same.
    """
    effects = effects[np.isfinite(effects)]
    spread = float(np.std(effects, ddof=1)) if len(effects) >= FEWEST else 0.0
    if spread == 0.0:
        return None
    return Power(len(effects), spread, _detectable(len(effects), alpha) * spread, alpha)


def models_needed(spread: float, sizes: Sequence[float], alpha: float = SIGNIFICANT) -> list[int]:
    """Number of models for 80 % power at each true mean effect, all positive; at least FEWEST."""
    from statsmodels.stats.power import TTestPower  # slow to import

    found = []
    for size in sizes:
        relative = min(size / spread, 2.0)  # more than that is seen by the fewest models anyway
        count = TTestPower().solve_power(effect_size=relative, nobs=None, alpha=alpha, power=POWER)
        found.append(max(FEWEST, math.ceil(float(np.ravel(count)[0]))))
    return found


@functools.cache
def _detectable(models: int, alpha: float) -> float:
    """Effect in standard deviations that so many models show with 80 % probability."""
    from statsmodels.stats.power import TTestPower  # slow to import

    found = TTestPower().solve_power(effect_size=None, nobs=models, alpha=alpha, power=POWER)
    return float(found)
