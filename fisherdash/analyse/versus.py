"""One head against another: drift in pairs, survival on all replicas, read together.

Drift is compared in pairs: both heads start from the same states, so |slope| of the second minus
|slope| of the first is formed for every start from which both survive. Survival is compared on all
replicas. A head that sheds its bad trajectories by exploding has quiet survivors, so a smaller
drift is never called an improvement where significantly fewer survive.
"""

import dataclasses

import numpy as np
from jaxtyping import Float

from fisherdash.analyse.intervals import FEWEST, SIGNIFICANT, PairedDifference, paired
from fisherdash.analyse.survival import lifetimes, logrank_p_value
from fisherdash.analyse.trajectories import Trajectories


@dataclasses.dataclass(frozen=True)
class Versus:
    """The second head against the first.

    Attributes:
        first, second: names of the heads.
        replicas: of either head.
        duration: of the run, ps.
        survivors: number of living replicas of either head.
        pairs: initial states from which both survive.
        difference: of |slope| in pairs, second minus first, meV/atom/ps; negative where the
            second drifts less. None without pairs.
        logrank_p_value: of equal survival; None without a death.
        lives_longer: name of the head with the longer mean life within the run; None if equal.
        level: p value below which a difference counts as significant.
    """

    first: str
    second: str
    replicas: int
    duration: float
    survivors: tuple[int, int]
    pairs: int
    difference: PairedDifference | None
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
        alive = dict(zip((self.first, self.second), self.survivors, strict=True))
        if calmer and not better and alive[calmer] < max(self.survivors):
            return f"{survival} {drift} Read it with care: fewer trajectories of {calmer} survive."
        return f"{survival} {drift}"

    def _survival(self) -> tuple[str, str | None]:
        counts = ", ".join(
            alive_words(name, alive, self.replicas)
            for name, alive in zip((self.first, self.second), self.survivors, strict=True)
        )
        p = self.logrank_p_value
        if p is None:
            return f"Nobody died in {self.duration:.3g} ps: {counts}.", None
        if p >= self.level or self.lives_longer is None:
            return f"Survival does not differ significantly: {counts} (p = {p:.2g}).", None
        return f"{self.lives_longer} survives significantly longer: {counts} (p = {p:.2g}).", (
            self.lives_longer
        )

    def _drift(self) -> tuple[str, str | None]:
        # n pairs that all point one way have p = 2 / 2ⁿ in the signed-rank test.
        least = 2.0 ** (1 - self.pairs)
        if self.pairs < FEWEST or least >= self.level or self.difference is None:
            return f"Too few pairs of survivors ({self.pairs}) to compare their drift.", None
        by = self.difference
        numbers = (
            f"by {abs(by.median):.2g} meV/atom/ps in the median over {self.pairs} pairs "
            f"of survivors (p = {by.p_value:.2g})"
        )
        sign = by.sign_at(self.level)
        if sign == 0:
            return (
                f"Drift does not differ significantly over {self.pairs} pairs of survivors "
                f"(p = {by.p_value:.2g}).",
                None,
            )
        calmer, other = (self.second, self.first) if sign < 0 else (self.first, self.second)
        return f"{calmer} drifts less than {other} {numbers}.", calmer


def versus(
    traj: Trajectories, slopes: Float[np.ndarray, "heads replicas"], seed: int
) -> tuple[Versus, ...]:
    """Every later head against the first, the level of the tests divided among them (Bonferroni).

    Args:
        traj: of any number of heads.
        slopes: drift of every survivor, meV/atom/ps; NaN for the dead.
        seed: of the bootstrap.
    """
    lives = lifetimes(traj)[0].mean(axis=1)
    others = range(1, len(traj.names))
    found = []
    for other in others:
        heads = [0, other]
        longer = traj.names[max(heads, key=lambda head: lives[head])]
        found.append(
            Versus(
                first=traj.names[0],
                second=traj.names[other],
                replicas=traj.replicas,
                duration=traj.duration,
                survivors=(int(traj.survivors[0].sum()), int(traj.survivors[other].sum())),
                pairs=int(np.sum(traj.survivors[0] & traj.survivors[other])),
                difference=paired(np.abs(slopes[other]) - np.abs(slopes[0]), seed),
                logrank_p_value=logrank_p_value(traj, *heads),
                lives_longer=longer if lives[0] != lives[other] else None,
                level=SIGNIFICANT / len(others),
            )
        )
    return tuple(found)


def alive_words(name: str, alive: int, replicas: int) -> str:
    """How many of a head's replicas live."""
    return f"{name}: {alive} of {replicas} alive"
