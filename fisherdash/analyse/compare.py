"""A run in numbers: drift and survival of every head, and each later head against the first."""

import dataclasses
from typing import Any, Final

import numpy as np

from fisherdash.analyse.drift import fluctuations, head_drift, slopes
from fisherdash.analyse.intervals import Interval, PairedDifference
from fisherdash.analyse.survival import time_to_failure
from fisherdash.analyse.trajectories import Trajectories
from fisherdash.analyse.versus import Versus, alive_words, versus

SHORT: Final = 1.0
"""Picoseconds below which a slope of the energy says little of the drift of a long run."""
STILL: Final = 1e-3
"""Change of the potential, in parts of the kinetic energy, below which a surface is flat."""


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Statistics of a run.

    Attributes:
        names: of the heads.
        replicas: of every head.
        duration: of the run, ps.
        survivors: number of living replicas by name.
        drift: median slope over the survivors, meV/atom/ps, by name; None without survivors.
        fluctuation: median standard deviation about the drift, meV/atom, by name.
        time_to_failure: time by which half are dead, ps, by name; None if more than half live.
        against: every later head against the first; empty with one head.
        flat: heads whose potential hardly changes while their atoms move.
    """

    names: tuple[str, ...]
    replicas: int
    duration: float
    survivors: dict[str, int]
    drift: dict[str, Interval | None]
    fluctuation: dict[str, float | None]
    time_to_failure: dict[str, float | None]
    against: tuple[Versus, ...]
    flat: tuple[str, ...] = ()

    @property
    def pairs(self) -> int:
        """Initial states from which both of the first two heads survive; 0 with one head."""
        return self.against[0].pairs if self.against else 0

    @property
    def difference(self) -> PairedDifference | None:
        """Of |slope| in pairs, the second head minus the first; None without pairs."""
        return self.against[0].difference if self.against else None

    @property
    def logrank_p_value(self) -> float | None:
        """Of equal survival of the first two heads; None with one head or without a death."""
        return self.against[0].logrank_p_value if self.against else None

    def to_json(self) -> dict[str, Any]:
        """Numbers or null, never NaN."""
        nothing = Interval(np.nan, None, None, 0).to_json() | {"median": None}
        drift = {name: item.to_json() if item else nothing for name, item in self.drift.items()}
        difference = self.difference.to_json() if self.difference else nothing | {"p_value": None}
        return {
            "pairs": self.pairs,
            "survivors": self.survivors,
            "drift_meV_per_atom_per_ps": drift,
            "paired_difference": difference,
            "logrank_p_value": self.logrank_p_value,
            "time_to_failure_ps": self.time_to_failure,
        }

    @property
    def sentence(self) -> str:
        """What the numbers say, in plain words."""
        return " ".join(self.sentences)

    @property
    def sentences(self) -> tuple[str, ...]:
        """The same, for each later head by itself."""
        if not self.against:
            (name,) = self.names
            alive = alive_words(name, self.survivors[name], self.replicas)
            return (f"{alive}; there is no second head to compare with.",)
        if len(self.against) == 1:
            return (self.against[0].sentence,)
        return tuple(f"{one.second} against {one.first}: {one.sentence}" for one in self.against)

    @property
    def cautions(self) -> tuple[str, ...]:
        """What keeps the numbers from meaning what they seem to, a sentence each."""
        found = [
            f"The potential of {name} hardly changes while the atoms move: its drift is small for "
            "want of forces, as an untrained model's is."
            for name in self.flat
        ]
        if not any(self.survivors.values()):
            after = max((time or 0.0) for time in self.time_to_failure.values())
            found.append(
                f"Nobody is alive at the end; half are dead after {after:.2g} ps at the latest. "
                "These models do not hold this molecule together at this temperature: train longer "
                "or on more frames before comparing heads."
            )
        elif self.duration < SHORT:
            found.append(
                f"{self.duration:.3g} ps are short: slopes over less than {SHORT:g} ps are mostly "
                "vibrations, whatever the p value, and rare explosions take longer to come."
            )
        if len(self.against) > 1:
            found.append(
                f"Every other head is compared with {self.names[0]}; of the {len(self.against)} "
                f"tests of drift, and as many of survival, one counts as significant below "
                f"p = {self.against[0].level:.2g}."
            )
        return tuple(found)


def compare(traj: Trajectories, seed: int = 0) -> Comparison:
    """All statistics of a run, whole or unfinished; ``seed`` is that of the bootstrap."""
    found = slopes(traj)
    spread = [row[np.isfinite(row)] for row in fluctuations(traj, found)]
    return Comparison(
        names=traj.names,
        replicas=traj.replicas,
        duration=traj.duration,
        survivors=dict(zip(traj.names, traj.survivors.sum(axis=1).tolist(), strict=True)),
        drift=head_drift(traj, found, seed),
        fluctuation={
            name: float(np.median(row)) if len(row) else None
            for name, row in zip(traj.names, spread, strict=True)
        },
        time_to_failure=time_to_failure(traj),
        against=versus(traj, found, seed),
        flat=tuple(name for head, name in enumerate(traj.names) if _is_flat(traj, head)),
    )


def _is_flat(traj: Trajectories, head: int) -> bool:
    """Whether the potential of those alive stands still while they move."""
    alive = traj.survivors[head]
    if not alive.any() or len(traj.times) < 3:
        return False
    potential, kinetic = traj.potential[head, alive], traj.kinetic[head, alive]
    change, motion = np.median(np.ptp(potential, axis=-1)), np.median(kinetic)
    return bool(motion > 0 and change < STILL * motion)
