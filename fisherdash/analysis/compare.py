"""Drift and survival of every head of a run, and each later head against the first.

Drift is compared in pairs: |slope| of the second head minus |slope| of the first for every initial
state from which both survive. Survival is compared on all replicas. A head whose wild trajectories
fail has quiet survivors, so a smaller drift is never called an improvement where significantly
fewer survive.

A replica that survives to the end of the run is censored there. E. L. Kaplan and P. Meier, J. Am.
Stat. Assoc. 53, 457 (1958). The log-rank test (lifelines) takes the heads' replicas as independent;
they start from the same states in pairs, which if anything makes the test conservative.
"""

import dataclasses
from typing import Any, Final

import numpy as np
from jaxtyping import Bool, Float

from fisherdash.analysis.drift import fluctuations, head_drift, slopes
from fisherdash.statistics import FEWEST, SIGNIFICANT, Estimate, median, paired
from fisherdash.trajectories import Trajectories


@dataclasses.dataclass(frozen=True)
class Versus:
    """The second head against the first.

    Attributes:
        first, second: names of the heads.
        replicas: of either head.
        duration: of the run, ps.
        survivors: number of surviving replicas of either head.
        pairs: initial states from which both survive.
        difference: of |slope| in pairs, second minus first, meV/atom/ps; negative where the
            second drifts less.
        logrank_p_value: of equal survival; None without a failure.
        lives_longer: name of the head with the longer mean time to failure; None if equal.
        level: p value below which a difference counts as significant.
    """

    first: str
    second: str
    replicas: int
    duration: float
    survivors: tuple[int, int]
    pairs: int
    difference: Estimate
    logrank_p_value: float | None
    lives_longer: str | None
    level: float = SIGNIFICANT

    @property
    def sentence(self) -> str:
        """What the numbers say, in plain words."""
        survival, better = self._survival()
        drift, calmer = self._drift()
        if calmer and better and calmer != better:
            return (
                f"{survival} {drift} That is no improvement: the drift is that of the survivors, "
                f"and {calmer} loses significantly more trajectories."
            )
        if calmer and not better and self.survivors[calmer == self.second] < max(self.survivors):
            return f"{survival} {drift} Read it with care: fewer trajectories of {calmer} survive."
        return f"{survival} {drift}"

    def _survival(self) -> tuple[str, str | None]:
        counts = ", ".join(
            _survivor_words(name, count, self.replicas)
            for name, count in zip((self.first, self.second), self.survivors, strict=True)
        )
        p = self.logrank_p_value
        if p is None:
            return f"No failure in {self.duration:.3g} ps: {counts}.", None
        longer = self.lives_longer if p < self.level else None
        said = f"{longer} survives significantly longer" if longer else _NO_DIFFERENCE
        return f"{said} ({counts}; p = {p:.2g}).", longer

    def _drift(self) -> tuple[str, str | None]:
        # n pairs that all point one way have p = 2 / 2ⁿ in the signed-rank test.
        least = 2.0 ** (1 - self.pairs)
        if self.difference.n < FEWEST or least >= self.level:
            return f"Too few pairs of survivors ({self.pairs}) to compare their drift.", None
        by = self.difference
        basis = f"over {self.pairs} pairs of survivors (p = {by.p_value:.2g})"
        sign = by.sign_at(self.level)
        if sign == 0:
            return f"Drift does not differ significantly {basis}.", None
        calmer, other = (self.second, self.first) if sign < 0 else (self.first, self.second)
        size = f"{abs(by.value or 0.0):.2g} meV/atom/ps in the median {basis}"
        return f"{calmer} drifts less than {other} by {size}.", calmer


_NO_DIFFERENCE: Final = "Survival does not differ significantly"


def _survivor_words(name: str, survivors: int, replicas: int) -> str:
    """How many of a head's replicas survive."""
    return f"{name}: {survivors} of {replicas} survive"


SHORT: Final = 1.0
"""Picoseconds below which a slope of the energy says little of the drift of a long run."""
STILL: Final = 1e-3
"""Change of the potential, in parts of the kinetic energy, below which a surface is flat."""


FAR: Final = 8.0
"""Standard deviations of the data's energies above their mean that heat alone does not explain:
momenta of 1000 K on frames of 500 K raise ethanol's by 1.6."""


@dataclasses.dataclass(frozen=True)
class RunStatistics:
    """Statistics of a run.

    Attributes:
        names: of the heads.
        replicas: of every head.
        duration: of the run, ps.
        survivors: number of surviving replicas by name.
        failures: number of failed replicas by name and kind of failure.
        drift: median slope over the survivors, meV/atom/ps, by name.
        fluctuation: median standard deviation about the drift, meV/atom, by name.
        time_to_failure: median over the replicas, ps, by name; None if more than half survive.
        against: every later head against the first; empty with one head.
        flat: heads whose potential hardly changes while their atoms move.
        reference_energy: median over the survivors' last frames of the energy by the potential that
            labelled the data, in standard deviations of the data from their mean, by name; empty
            where no frame was judged.
    """

    names: tuple[str, ...]
    replicas: int
    duration: float
    survivors: dict[str, int]
    failures: dict[str, dict[str, int]]
    drift: dict[str, Estimate]
    fluctuation: dict[str, float | None]
    time_to_failure: dict[str, float | None]
    against: tuple[Versus, ...]
    flat: tuple[str, ...] = ()
    reference_energy: dict[str, Estimate] = dataclasses.field(default_factory=dict)

    @property
    def pairs(self) -> int:
        """Initial states from which both of the first two heads survive; 0 with one head."""
        return self.against[0].pairs if self.against else 0

    @property
    def difference(self) -> Estimate:
        """Paired difference of |slope|, the second head minus the first."""
        return self.against[0].difference if self.against else Estimate(None)

    @property
    def logrank_p_value(self) -> float | None:
        """p-value of equal survival of the first two heads; None with one or without a failure."""
        return self.against[0].logrank_p_value if self.against else None

    def to_json(self) -> dict[str, Any]:
        """Numbers or null, never NaN.

        ``pairs``, ``paired_difference`` and ``logrank_p_value`` are of the first two heads; with
        more than two, ``every_pair`` has them for each later head under the names of its pair.
        """
        found = {
            "pairs": self.pairs,
            "survivors": self.survivors,
            "exploded": {name: sum(kinds.values()) for name, kinds in self.failures.items()},
            "failures": self.failures,
            "drift_meV_per_atom_per_ps": {name: _median(x) for name, x in self.drift.items()},
            "paired_difference": _paired(self.difference),
            "logrank_p_value": self.logrank_p_value,
            "time_to_failure_ps": self.time_to_failure,
            "reference_energy_sd": {
                name: _median(x) | {"survivors": x.n} for name, x in self.reference_energy.items()
            }
            or None,
        }
        if len(self.against) > 1:
            found["every_pair"] = {
                f"{one.second} against {one.first}": {
                    "pairs": one.pairs,
                    "paired_difference": _paired(one.difference),
                    "logrank_p_value": one.logrank_p_value,
                }
                for one in self.against
            }
        return found

    @property
    def sentence(self) -> str:
        """What the numbers say, in plain words."""
        return " ".join(self.sentences)

    @property
    def sentences(self) -> tuple[str, ...]:
        """The same, for each later head by itself."""
        if not self.against:
            (name,) = self.names
            count = _survivor_words(name, self.survivors[name], self.replicas)
            return (f"{count}; there is no second head to compare with.",)
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
        found += [
            f"The survivors of {name} end {value.text('.2g', sign=True)} standard deviations of "
            "the data's energies above their mean (median, by the potential that labelled the "
            "data): they survive in shapes that this potential would not visit."
            for name, value in self.reference_energy.items()
            if (value.value or 0.0) > FAR
        ]
        if not any(self.survivors.values()):
            after = max((time or 0.0) for time in self.time_to_failure.values())
            found.append(
                f"No surviving replica; the median time to failure is {after:.2g} ps at most. "
                "These models do not hold this molecule together at this temperature and timestep: "
                "train longer or on more frames before comparing heads."
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


def compare(traj: Trajectories, seed: int = 0) -> RunStatistics:
    """All statistics of a run, whole or unfinished; ``seed`` is that of the bootstrap.

    Every later head is held against the first, the level of the tests divided among them
    (Bonferroni).
    """
    names, found = traj.names, slopes(traj)
    survivors, times = traj.survivors.sum(axis=1).tolist(), times_to_failure(traj)[0].mean(axis=1)
    spread = [row[np.isfinite(row)] for row in fluctuations(traj, found)]
    against = tuple(
        Versus(
            first=names[0],
            second=names[other],
            replicas=traj.replicas,
            duration=traj.duration,
            survivors=(survivors[0], survivors[other]),
            pairs=int(np.sum(traj.survivors[0] & traj.survivors[other])),
            difference=paired(np.abs(found[other]) - np.abs(found[0]), seed),
            logrank_p_value=logrank_p_value(traj, 0, other),
            lives_longer=(
                names[other if times[other] > times[0] else 0] if times[0] != times[other] else None
            ),
            level=SIGNIFICANT / (len(names) - 1),
        )
        for other in range(1, len(names))
    )
    return RunStatistics(
        names=names,
        replicas=traj.replicas,
        duration=traj.duration,
        survivors=dict(zip(names, survivors, strict=True)),
        failures=traj.failure_counts(),
        drift=head_drift(traj, found, seed),
        fluctuation={
            name: float(np.median(row)) if len(row) else None
            for name, row in zip(names, spread, strict=True)
        },
        time_to_failure=time_to_failure(traj),
        against=against,
        flat=tuple(name for head, name in enumerate(names) if _is_flat(traj, head)),
        reference_energy={}
        if traj.reference_energy is None
        else {
            name: median(row, seed) for name, row in zip(names, traj.reference_energy, strict=True)
        },
    )


def _median(found: Estimate) -> dict[str, float | None]:
    return {"median": found.value, "low": found.low, "high": found.high}


def _paired(found: Estimate) -> dict[str, float | None]:
    return _median(found) | {"p_value": found.p_value}


def _is_flat(traj: Trajectories, head: int) -> bool:
    """Whether the potential of the survivors stands still while they move."""
    survivors = traj.survivors[head]
    if not survivors.any() or len(traj.times) < 3:
        return False
    potential, kinetic = traj.potential[head, survivors], traj.kinetic[head, survivors]
    change, motion = np.median(np.ptp(potential, axis=-1)), np.median(kinetic)
    return bool(motion > 0 and change < STILL * motion)


def times_to_failure(
    traj: Trajectories,
) -> tuple[Float[np.ndarray, "heads replicas"], Bool[np.ndarray, "heads replicas"]]:
    """Time of the failure or of the end of the run in ps, and whether it was a failure."""
    failed = ~traj.survivors
    return np.where(failed, traj.failed_step * traj.timestep * 1e-3, traj.duration), failed


def time_to_failure(traj: Trajectories) -> dict[str, float | None]:
    """Median time to failure of every head, ps; None if more than half of its replicas survive."""
    times, failed = times_to_failure(traj)
    # With one common time of censoring, the Kaplan–Meier median is the middle order statistic.
    middle = np.sort(np.where(failed, times, np.inf), axis=1)[:, (traj.replicas - 1) // 2]
    known = [time if np.isfinite(time) else None for time in middle.tolist()]
    return dict(zip(traj.names, known, strict=True))


def logrank_p_value(traj: Trajectories, first: int = 0, second: int = 1) -> float | None:
    """p-value of equal survival of two heads; None with one head or without any failure."""
    heads = [first, second]
    if len(traj.names) < 2 or traj.survivors[heads].all():
        return None
    from lifelines.statistics import logrank_test

    times, failed = (both[heads] for both in times_to_failure(traj))
    test = logrank_test(*times, event_observed_A=failed[0], event_observed_B=failed[1])
    return float(test.p_value) if np.isfinite(test.p_value) else None
