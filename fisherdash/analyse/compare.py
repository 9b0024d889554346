"""Two heads compared, drift and survival read together.

Drift is compared in pairs: both heads start from the same states, so |slope| of the second minus
|slope| of the first is formed for every start from which both survive. Survival is compared on all
replicas. A head that sheds its bad trajectories by exploding has quiet survivors, so a smaller
drift is never called an improvement where significantly fewer survive.
"""

import dataclasses
from typing import Any, Final

import numpy as np

from fisherdash.analyse.drift import fluctuations, head_drift, slopes
from fisherdash.analyse.intervals import FEWEST, Interval, PairedDifference, paired
from fisherdash.analyse.survival import lifetimes, logrank_p_value, time_to_failure
from fisherdash.analyse.trajectories import Trajectories

SIGNIFICANT: Final = 0.05
SHORT: Final = 1.0
"""Picoseconds below which a slope of the energy says little of the drift of a long run."""
STILL: Final = 1e-3
"""Change of the potential, in parts of the kinetic energy, below which a surface is flat."""


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Statistics of a run; the second head against the first where two are compared.

    Attributes:
        names: of the heads.
        replicas: of every head.
        duration: of the run, ps.
        pairs: initial states from which both of the first two heads survive.
        survivors: number of living replicas by name.
        drift: median slope over the survivors, meV/atom/ps, by name; None without survivors.
        fluctuation: median standard deviation about the drift, meV/atom, by name.
        difference: of |slope| in pairs, second minus first, meV/atom/ps; negative where the
            second drifts less. None without pairs.
        logrank_p_value: of equal survival; None with one head or without a death.
        time_to_failure: time by which half are dead, ps, by name; None if more than half live.
        lives_longer: of the first two heads, the name of the one with the longer mean life within
            the run; None if they are equal or there is one head.
        flat: heads whose potential hardly changes while their atoms move.
    """

    names: tuple[str, ...]
    replicas: int
    duration: float
    pairs: int
    survivors: dict[str, int]
    drift: dict[str, Interval | None]
    fluctuation: dict[str, float | None]
    difference: PairedDifference | None
    logrank_p_value: float | None
    time_to_failure: dict[str, float | None]
    lives_longer: str | None
    flat: tuple[str, ...] = ()

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
        if len(self.names) == 1:
            return f"{self._alive(self.names[0])}; there is no second head to compare with."
        survival, better = self._survival()
        drift, calmer = self._drift()
        if calmer and better and calmer != better:
            return (
                f"{survival} {drift} That is no improvement: the drift is that of the survivors, "
                f"and {calmer} loses significantly more trajectories."
            )
        if calmer and not better and self.survivors[calmer] < max(self.survivors.values()):
            return f"{survival} {drift} Read it with care: fewer trajectories of {calmer} survive."
        return f"{survival} {drift}"

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
        if len(self.names) > 2:
            found.append(
                f"The sentence compares {self.names[0]} and {self.names[1]} alone; the table has "
                "all."
            )
        return tuple(found)

    def _survival(self) -> tuple[str, str | None]:
        first, second = self.names[:2]
        counts = f"{self._alive(first)}, {self._alive(second)}"
        p = self.logrank_p_value
        if p is None:
            return f"Nobody died in {self.duration:.3g} ps: {counts}.", None
        if p >= SIGNIFICANT or self.lives_longer is None:
            return f"Survival does not differ significantly: {counts} (p = {p:.2g}).", None
        return f"{self.lives_longer} survives significantly longer: {counts} (p = {p:.2g}).", (
            self.lives_longer
        )

    def _drift(self) -> tuple[str, str | None]:
        first, second = self.names[:2]
        if self.pairs < FEWEST or self.difference is None:
            return f"Too few pairs of survivors ({self.pairs}) to compare their drift.", None
        by = self.difference
        numbers = (
            f"by {abs(by.median):.2g} meV/atom/ps in the median over {self.pairs} pairs "
            f"of survivors (p = {by.p_value:.2g})"
        )
        if by.sign == 0:
            return (
                f"Drift does not differ significantly over {self.pairs} pairs of survivors "
                f"(p = {by.p_value:.2g}).",
                None,
            )
        calmer, other = (second, first) if by.sign < 0 else (first, second)
        return f"{calmer} drifts less than {other} {numbers}.", calmer

    def _alive(self, name: str) -> str:
        return f"{name}: {self.survivors[name]} of {self.replicas} alive"


def compare(traj: Trajectories, seed: int = 0) -> Comparison:
    """All statistics of a run, whole or unfinished; ``seed`` is that of the bootstrap."""
    found = slopes(traj)
    spread = [row[np.isfinite(row)] for row in fluctuations(traj, found)]
    two = len(traj.names) > 1
    both = np.abs(found[1]) - np.abs(found[0]) if two else np.zeros(0)
    lives = lifetimes(traj)[0].mean(axis=1)
    longer = None
    if two and lives[0] != lives[1]:
        longer = traj.names[int(np.argmax(lives[:2]))]
    return Comparison(
        names=traj.names,
        replicas=traj.replicas,
        duration=traj.duration,
        pairs=int(np.sum(traj.survivors[0] & traj.survivors[1])) if two else 0,
        survivors=dict(zip(traj.names, traj.survivors.sum(axis=1).tolist(), strict=True)),
        drift=head_drift(traj, found, seed),
        fluctuation={
            name: float(np.median(row)) if len(row) else None
            for name, row in zip(traj.names, spread, strict=True)
        },
        difference=paired(both, seed),
        logrank_p_value=logrank_p_value(traj),
        time_to_failure=time_to_failure(traj),
        lives_longer=longer,
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
