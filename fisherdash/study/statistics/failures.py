"""Failures and cost of dynamics: survival curves, kinds and rates of failure, 100 ns ahead.

A trajectory that explodes at once began where the model is wrong, one that explodes late has moved
there, and one that drifts survives but no longer samples its energy; they call for different
remedies. Survival curves are those of Kaplan and Meier over all models; their band draws models,
not trajectories.

Seconds come from the study's own dynamics on the device they ran on. Failures ahead are a rate
times a time. That the rate of the second half of a few picoseconds stays the same for ten thousand
times as long is an assumption, not a measurement.
"""

import dataclasses
from typing import Any, Final

import numpy as np
import pandas as pd
from jaxtyping import Float

from fisherdash import units
from fisherdash.statistics import Estimate, cluster_band, cluster_ratio, evenly_spaced
from fisherdash.study.statistics.comparison import Condition, survival_data, to_json
from fisherdash.trajectories import KIND_WORDS

KINDS: Final = ("immediate explosion", "late explosion", "slow drift", "steady")
IMMEDIATE: Final = 0.1
"""ps; a failure before it is an immediate explosion. About ten periods of a stretching C–H bond."""
DRIFT_SHARE: Final = 0.1
"""A survivor whose total energy drifts by more than this share of the mean kinetic energy at the
run's temperature (½ k_B T for each degree of freedom) is a slow drift: a temperature that is off by
a fifth, once the energy has spread."""
TARGET: Final = 100.0
"""ns of dynamics that costs and expected failures are given for."""
_PS_PER_NS: Final = 1000.0
_MEV: Final = 1000.0


def kinds(trajectories: pd.DataFrame, models: pd.DataFrame) -> pd.Series:
    """One of KINDS for every trajectory of the tables of a study."""
    per_atom = models["degrees_of_freedom"].astype(float) / models["atoms"].astype(float)
    known = dict(zip(models["model"], per_atom, strict=True))
    freedom = np.array([known[name] for name in trajectories["model"]])
    temperature = trajectories["temperature_K"].astype(float)
    kinetic = 0.5 * _MEV * units.BOLTZMANN * temperature * freedom
    drift = trajectories["drift_meV_per_atom_per_ps"].astype(float).abs()
    moved = drift * trajectories["duration_ps"]
    failed = trajectories["failed"].astype(bool)
    early = trajectories["time_to_failure_ps"] < IMMEDIATE
    choices = [failed & early, failed, moved > DRIFT_SHARE * kinetic]
    return pd.Series(
        np.select(choices, KINDS[:3], default=KINDS[3]), index=trajectories.index, name="kind"
    )


def count_kinds(found: pd.Series, trajectories: pd.DataFrame) -> pd.DataFrame:
    """How many trajectories of each head ended how: heads as they come, a column a kind."""
    counts = pd.crosstab(trajectories["head"], found)
    order = trajectories["head"].drop_duplicates()
    return counts.reindex(index=order, columns=list(KINDS), fill_value=0)


def count_causes(trajectories: pd.DataFrame) -> pd.DataFrame:
    """What the failures of each head were: heads as they come, a column a cause that is known."""
    failed = trajectories.loc[trajectories["failed"].astype(bool).to_numpy(), :]
    words = failed["failure"].map(KIND_WORDS).fillna(UNKNOWN)
    counts = pd.crosstab(failed["head"], words)
    columns = [*KIND_WORDS.values(), *([UNKNOWN] if UNKNOWN in counts.columns else [])]
    order = trajectories["head"].drop_duplicates()
    return counts.reindex(index=order, columns=columns, fill_value=0)


UNKNOWN: Final = "cause not recorded"
"""Of failures in studies from before their causes were."""


FAR: Final = 10.0
"""Standard deviations of the data above their mean, beyond which a survivor is where no molecule of
the data's temperature or twice of it would be."""


def survivor_energies(trajectories: pd.DataFrame) -> pd.DataFrame:
    """Energies of survivors' last frames by the potential of the data, a row a head.

    In standard deviations of the data from their mean: how many survivors were judged, the median,
    what nine in ten stay below, and how many lie beyond :data:`FAR`. A head may hold a molecule
    together in a place where the reference would never be.
    """
    known = trajectories.assign(sd=trajectories["reference_energy_sd"].astype(float))
    groups = known.dropna(subset=["sd"]).groupby("head", sort=False)["sd"]
    rows = {
        str(head): (len(one), one.median(), one.quantile(0.9), int((one > FAR).sum()))
        for head, one in groups
    }
    order = trajectories["head"].drop_duplicates()
    names = pd.Index(["survivors judged", "median", "90 % below", f"beyond {FAR:g}"])
    table = pd.DataFrame(rows.values(), index=pd.Index(rows), columns=names)
    return table.reindex([head for head in order if head in rows])


@dataclasses.dataclass(frozen=True)
class FailureRate:
    """Failures per nanosecond of a head.

    Attributes:
        failures: failures in ``simulated`` ns of all trajectories together, up to their failure.
        rate: per ns; without a failure its interval goes from 0 to the rate that would have shown
            one with 95 % (−ln 0.05 ≈ 3 in the time survived).
        late: the same in the second half of the run only. Where explosions come early, this and
            not ``rate`` says what a longer run would see.
    """

    head: str
    condition: Condition
    failures: int
    simulated: float
    rate: Estimate
    late: Estimate

    @property
    def expected(self) -> Estimate:
        """Failures in TARGET ns, at the rate of the second half."""
        return self.late.scaled(TARGET)

    def to_json(self) -> dict[str, Any]:
        """Rates per ns."""
        return {
            "head": self.head,
            **self.condition.to_json(),
            "failures": self.failures,
            "simulated_ns": self.simulated,
            "rate_per_ns": to_json(self.rate),
            "late_rate_per_ns": to_json(self.late),
        }


def failure_rate(
    trajectories: pd.DataFrame, head: str, condition: Condition, seed: int = 0
) -> FailureRate:
    """Failures over the time survived, of all models; the interval draws models, then replicas."""
    found = survival_data(condition.of(trajectories, head))
    half = 0.5 * found.duration
    failed_late = np.where(found.time_to_failure > half, found.failed, 0.0 * found.failed)
    return FailureRate(
        head=head,
        condition=condition,
        failures=int(np.nansum(found.failed)),
        simulated=float(np.nansum(found.time_to_failure)) / _PS_PER_NS,
        rate=_rate_of(found.failed, found.time_to_failure, seed),
        late=_rate_of(failed_late, np.maximum(found.time_to_failure - half, 0.0), seed),
    )


def _rate_of(
    failed: Float[np.ndarray, "models replicas"],
    survived: Float[np.ndarray, "models replicas"],
    seed: int = 0,
) -> Estimate:
    """Failures per ns of ``survived`` (ps); NaN marks what is missing."""
    time = float(np.nansum(survived)) / _PS_PER_NS
    pairs = int(np.isfinite(failed).sum())
    models = int(np.isfinite(failed).any(axis=1).sum())
    if time <= 0.0:
        return Estimate(None, n=pairs, clusters=models)
    if not np.nansum(failed):
        return Estimate(0.0, 0.0, -float(np.log(0.05)) / time, pairs, models)
    return cluster_ratio(failed, survived / _PS_PER_NS, seed)


MOST_POINTS = 240
"""Points of a curve; no eye sees a step between them."""


@dataclasses.dataclass(frozen=True, eq=False)
class SurvivalCurve:
    """Surviving share of a head's trajectories: a step function that falls at ``times``.

    Attributes:
        name: of the head.
        times: ps, starting at 0 and ending at the end of the run.
        fraction: of survivors from that time on.
        low, high: 95 % interval of ``fraction``.
        failures, replicas: failures and trajectories of all models together.
    """

    name: str
    times: Float[np.ndarray, " points"]
    fraction: Float[np.ndarray, " points"]
    low: Float[np.ndarray, " points"]
    high: Float[np.ndarray, " points"]
    failures: int
    replicas: int


def survival(
    trajectories: pd.DataFrame, head: str, condition: Condition, seed: int = 0
) -> SurvivalCurve:
    """The surviving share of a head's trajectories of all models (lifelines), at least one.

    The 95 % band is that of drawing models: Greenwood's formula would take replicas of one model
    for independent and be too narrow.
    """
    from lifelines import KaplanMeierFitter  # slow to import

    found = survival_data(condition.of(trajectories, head))
    known = np.isfinite(found.failed)
    fitter = KaplanMeierFitter().fit(
        found.time_to_failure[known], event_observed=found.failed[known]
    )
    times = fitter.survival_function_.index.to_numpy(float)
    fraction = fitter.survival_function_.to_numpy()[:, 0]
    kept = evenly_spaced(len(times), MOST_POINTS)
    times, fraction = times[kept], fraction[kept]
    failure = np.where(found.failed == 1, found.time_to_failure, np.inf)
    survivors = (failure[:, :, None] > times) & known[:, :, None]
    low, high = cluster_band(survivors.sum(axis=1) / known.sum(axis=1)[:, None], seed)
    return SurvivalCurve(
        name=head,
        times=times,
        fraction=fraction,
        low=low,
        high=high,
        failures=int(found.failed[known].sum()),
        replicas=int(known.sum()),
    )


_STAGE: Final = r"^dynamics ([\d.]+) K\b"


@dataclasses.dataclass(frozen=True)
class DynamicsCost:
    """Seconds of a device for TARGET ns under one condition.

    Attributes:
        device: as JAX names it.
        batch: trajectories of one model that ran together, median over the models.
        seconds: for one trajectory's share of TARGET ns in such a batch; median over the models.
        fastest, slowest: the same for the fastest and the slowest model.
        batch_seconds: until all trajectories of the batch have come to TARGET ns.
        models: measured.
    """

    device: str
    temperature: float
    batch: int
    seconds: float
    fastest: float
    slowest: float
    batch_seconds: float
    models: int

    def to_json(self) -> dict[str, Any]:
        """The numbers as they are."""
        return dataclasses.asdict(self)


def costs(
    timings: pd.DataFrame, trajectories: pd.DataFrame, heads: pd.DataFrame
) -> list[DynamicsCost]:
    """One entry for every device and temperature with measured dynamics, the coldest first.

    A head that kept the default one (as ``heads`` says) has trajectories without having been run.
    """
    if not len(trajectories):
        return []
    temperature = timings["stage"].astype(str).str.extract(_STAGE, expand=False).astype(float)
    spent = timings.assign(temperature_K=temperature).dropna(subset=["temperature_K"])
    spent = spent.groupby(["temperature_K", "device", "model"])["seconds"].sum().reset_index()
    kept = heads.loc[(heads["kept_default"] == 1).to_numpy(bool), ["model", "head"]]
    copies = {(model, head) for model, head in kept.itertuples(index=False)}
    whose = zip(trajectories["model"], trajectories["head"], strict=True)
    ran = trajectories.loc[[one not in copies for one in whose], :].groupby(
        ["model", "temperature_K"]
    )["duration_ps"]
    sizes = pd.DataFrame({"batch": ran.size(), "ps": ran.sum()}).reset_index()
    joined = spent.merge(sizes, on=["model", "temperature_K"])
    joined["share"] = joined["seconds"] / joined["ps"] * TARGET * _PS_PER_NS
    found = []
    for _, rows in joined.groupby(["temperature_K", "device"], sort=False):
        share, batch = rows["share"].to_numpy(float), rows["batch"].to_numpy(float)
        found.append(
            DynamicsCost(
                device=str(rows["device"].iloc[0]),
                temperature=float(rows["temperature_K"].iloc[0]),
                batch=int(np.median(batch)),
                seconds=float(np.median(share)),
                fastest=float(share.min()),
                slowest=float(share.max()),
                batch_seconds=float(np.median(share * batch)),
                models=len(rows),
            )
        )
    return found
