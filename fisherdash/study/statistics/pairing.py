"""Trajectories in pairs: two heads, or two recipes of training, from the same initial states.

A pair is one replica of one unit (a model, or a network trained by two recipes). Differences are
those of pairs, so that an unlucky initial state counts on both sides.
"""

import dataclasses
from collections.abc import Sequence
from typing import Final

import numpy as np
import pandas as pd
from jaxtyping import Float

from fisherdash.errors import InputError
from fisherdash.statistics import Estimate

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
