"""What 100 ns of dynamics cost: measured seconds, and the failures to expect on the way.

Seconds come from the study's own dynamics on the device they ran on; nothing is converted from one
device to another. Failures come from a rate times a time. That a rate stays as it was in the second
half of a few picoseconds for ten thousand times as long is an assumption, not a measurement.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pandas as pd

from fisherdash.study.statistics.bootstrap import Estimate
from fisherdash.study.statistics.failures import FailureRate
from fisherdash.study.statistics.pairing import Condition

TARGET: Final = 100.0
"""ns"""
_STAGE: Final = r"^dynamics ([\d.]+) K\b"
_PS_PER_NS: Final = 1000.0


@dataclasses.dataclass(frozen=True)
class Cost:
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


def costs(timings: pd.DataFrame, trajectories: pd.DataFrame, heads: pd.DataFrame) -> list[Cost]:
    """One entry for every device and temperature with measured dynamics, the coldest first.

    A head that kept the default one (as ``heads`` says) has trajectories without having been run.
    """
    if not len(trajectories):
        return []
    kelvin = timings["stage"].astype(str).str.extract(_STAGE, expand=False).astype(float)
    spent = timings.assign(temperature_K=kelvin).dropna(subset=["temperature_K"])
    spent = spent.groupby(["temperature_K", "device", "model"])["seconds"].sum().reset_index()
    kept = heads.loc[(heads["kept_default"] == 1).to_numpy(bool), ["model", "head"]]
    copies = {(model, head) for model, head in kept.itertuples(index=False)}
    whose = zip(trajectories["model"], trajectories["head"], strict=True)
    ran = trajectories.loc[[one not in copies for one in whose], :].groupby(
        ["model", "temperature_K"]
    )["duration_ps"]
    sizes = pd.DataFrame({"batch": ran.size(), "ps": ran.sum()}).reset_index()
    joined = spent.merge(sizes, on=["model", "temperature_K"])
    kinds = joined[["temperature_K", "device"]].drop_duplicates().itertuples(index=False)
    return [_cost(joined, float(temperature), str(device)) for temperature, device in kinds]


def _cost(joined: pd.DataFrame, temperature: float, device: str) -> Cost:
    same = (joined["temperature_K"] == temperature) & (joined["device"] == device)
    rows = joined.loc[same.to_numpy(bool), :]
    per_ps = rows["seconds"].to_numpy(float) / rows["ps"].to_numpy(float)
    share, batch = per_ps * TARGET * _PS_PER_NS, rows["batch"].to_numpy(float)
    return Cost(
        device=device,
        temperature=temperature,
        batch=int(np.median(batch)),
        seconds=float(np.median(share)),
        fastest=float(share.min()),
        slowest=float(share.max()),
        batch_seconds=float(np.median(share * batch)),
        models=len(rows),
    )


@dataclasses.dataclass(frozen=True)
class Expected:
    """Failures to expect in TARGET ns, if the rate of the runs' second half goes on."""

    head: str
    condition: Condition
    failures: Estimate


def expected_failures(rates: Sequence[FailureRate]) -> list[Expected]:
    """One entry for every rate."""
    return [
        Expected(one.head, one.condition, one.late.map(lambda rate: rate * TARGET)) for one in rates
    ]
