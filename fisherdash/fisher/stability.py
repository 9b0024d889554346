"""The stability-aware ridge: short dynamics of chosen points of the path, all in one batch.

A lower divergence is no promise of stable dynamics: the head that fits forces best may be so large
that molecules leave the data and explode. So candidates along the path run NVE from the same
initial states as the default head, and the rule is:

    the lowest held-out divergence among the candidates that lose the fewest replicas, and no more
    than the default.

Beside a default head that loses nearly all, losing no more than it would say little.

A few replicas cannot prove safety. The difference in survival has a paired bootstrap interval, and
because the winner of a competition looks better than it is, it runs once more against the default
from new initial states; that confirmation chooses nothing and is the number to quote.
"""

import dataclasses
import functools
import math
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float

from fisherdash.dataset import Dataset
from fisherdash.errors import InputError
from fisherdash.fisher.ridge import RidgePoint
from fisherdash.md import simulate
from fisherdash.monitor import UNWATCHED, Monitor
from fisherdash.potentials.checkpoint import Checkpoint
from fisherdash.settings import MDSettings, StabilitySettings
from fisherdash.statistics import Estimate, bootstrap, evenly_spaced
from fisherdash.text import number

DEFAULT = "default"


@dataclasses.dataclass(frozen=True)
class Candidate:
    """What dynamics with one head did, next to the default head from the same initial states.

    Attributes:
        ridge: λ of the candidate; infinite for the default head.
        survivors, replicas: how many survive to the end, of how many.
        mean_time_to_failure: within the run (restricted mean survival time), ps.
        difference: survivors of this head less those of the default, as a share of the replicas;
            the interval resamples initial states.
        divergence: held-out, eV²/Å²; None for a confirmation.
    """

    ridge: float
    survivors: int
    replicas: int
    mean_time_to_failure: float
    difference: Estimate
    divergence: float | None = None

    @property
    def kept(self) -> bool:
        """Whether no more replicas were lost than with the default head."""
        return (self.difference.value or 0.0) >= 0

    def to_json(self) -> dict[str, float | None]:
        """The fields, the ends of the interval among them."""
        ends = {"low": self.difference.low, "high": self.difference.high}
        return vars(self) | {"difference": self.difference.value} | ends


@dataclasses.dataclass(frozen=True)
class StabilityCheck:
    """The competition and its confirmation.

    Attributes:
        tried: the default head first, then the candidates, λ rising.
        ridge: of the winner; infinite if no candidate did as well as the default.
        confirmation: default and winner from new initial states; empty if the default was kept.
        picoseconds, temperature: of the runs.
    """

    tried: tuple[Candidate, ...]
    ridge: float
    confirmation: tuple[Candidate, ...]
    picoseconds: float
    temperature: float

    @property
    def confirmed(self) -> bool:
        """Whether the winner lost no more replicas than the default the second time either."""
        return bool(self.confirmation) and self.confirmation[1].kept

    @property
    def sentence(self) -> str:
        """What came out, with its uncertainty, in plain words."""
        where = f"{self.picoseconds:g} ps at {self.temperature:g} K"
        if not self.confirmation:
            default = self.tried[0]
            return (
                f"At no point of the path did as many of {default.replicas} replicas survive "
                f"{where} as with the default head ({default.survivors}): the default head is kept"
            )
        default, winner = self.confirmation
        points = winner.difference.scaled(100.0)
        outcome = "" if self.confirmed else "it did not hold from new initial states: "
        return (
            f"survival over {where}, {outcome}{winner.survivors} of {winner.replicas} replicas "
            f"against {default.survivors} with the default head (difference "
            f"{number(points.value, '.0f', sign=True)} points, {points.span('.0f', sign=True)})"
        )


def candidates(path: Sequence[RidgePoint], best: float, points: int) -> tuple[RidgePoint, ...]:
    """Points of the path from ``best`` on to where the head hardly moves.

    That is the held-out choice, below which heads are larger and fit worse, or the usual ridge of
    the noise metric, below which they leave the data. Spread evenly over the logarithm of λ.
    """
    from_best = [point for point in path if point.ridge >= best]
    furthest = max(point.head_change for point in path)
    worth = [point for point in from_best if point.head_change > 1e-3 * furthest] or from_best[:1]
    if not worth[0].ridge and len(worth) > 1:
        # From zero the logarithm is endless: go on where the head begins to differ from T⁻¹c.
        differ = [p for p in worth[1:] if p.head_change < 0.9 * worth[0].head_change]
        worth = [worth[0], *(differ or worth[1:])]
    return tuple(worth[index] for index in evenly_spaced(len(worth), points))


def check_stability(
    heads: Mapping[float, Checkpoint],
    divergences: Mapping[float, float],
    default: Checkpoint,
    dataset: Dataset,
    settings: StabilitySettings,
    *,
    monitor: Monitor = UNWATCHED,
) -> StabilityCheck:
    """Runs all candidates beside the default head, picks by the rule, and confirms the pick.

    Args:
        heads: candidates by their λ.
        divergences: held-out, by λ, eV²/Å².
        default: the head they are compared with.
        dataset: gives starting frames and reference bond lengths.
        settings: of the runs.
        monitor: told the share done; stops the runs.

    Raises:
        InputError: when cancelled.
    """
    temperature = settings.temperature or dataset.temperature or MDSettings.temperature
    share = (len(heads) + 1) / (len(heads) + 3)  # of the work that is in the competition
    run = functools.partial(_times_to_failure, dataset, settings, temperature)
    models = {DEFAULT: default} | {f"{ridge:g}": head for ridge, head in heads.items()}
    times = run(models, settings.seed, monitor.part(0.0, share))
    tried = [_compare(math.inf, times[0], times[0], settings, settings.seed)]
    for ridge, row in zip(heads, times[1:], strict=True):
        result = _compare(ridge, row, times[0], settings, settings.seed)
        tried.append(dataclasses.replace(result, divergence=divergences[ridge]))
    most = max(one.survivors for one in tried)
    passed = [one for one in tried[1:] if one.survivors == most]
    if not passed:
        return StabilityCheck(tuple(tried), math.inf, (), settings.picoseconds, temperature)
    winner = min(passed, key=lambda one: divergences[one.ridge])
    again = {DEFAULT: default, "winner": heads[winner.ridge]}
    seed = settings.seed + 1_000_003
    times = run(again, seed, monitor.part(share, 1.0))
    confirmation = tuple(
        _compare(ridge, row, times[0], settings, seed)
        for ridge, row in zip((math.inf, winner.ridge), times, strict=True)
    )
    return StabilityCheck(
        tuple(tried), winner.ridge, confirmation, settings.picoseconds, temperature
    )


def _times_to_failure(
    dataset: Dataset,
    settings: StabilitySettings,
    temperature: float,
    models: Mapping[str, Checkpoint],
    seed: int,
    monitor: Monitor,
) -> Float[np.ndarray, "heads replicas"]:
    """Times to failure in ps; infinite for survivors."""
    plan = MDSettings(
        replicas=settings.replicas,
        steps=settings.steps,
        timestep=settings.timestep,
        temperature=temperature,
        seed=seed,
        record_every=max(1, settings.steps // 100),  # for progress; failures are seen at every step
    )
    failed, step = np.full((len(models), settings.replicas), -1), 0
    for chunk in simulate(models, dataset, plan, cancel=monitor.cancel):
        failed, step = np.asarray(chunk.failed_step), max(chunk.step, 0)
        monitor.tell(step / plan.steps)
    if step < plan.steps:
        raise InputError(f"the stability check was cancelled after {step} of {plan.steps} steps")
    return np.where(failed >= 0, failed * settings.timestep * 1e-3, np.inf)


def _compare(
    ridge: float,
    times: Float[np.ndarray, " replicas"],
    default: Float[np.ndarray, " replicas"],
    settings: StabilitySettings,
    seed: int,
) -> Candidate:
    survived, before = np.isinf(times), np.isinf(default)
    pairs = survived.astype(float) - before
    return Candidate(
        ridge=ridge,
        survivors=int(survived.sum()),
        replicas=len(survived),
        mean_time_to_failure=float(np.minimum(times, settings.picoseconds).mean()),
        difference=bootstrap(lambda often: often @ pairs / len(pairs), len(pairs), seed),
    )
