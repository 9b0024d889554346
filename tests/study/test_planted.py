"""A planted population is found again: intervals cover, nothing is claimed where nothing is."""

import numpy as np
import pytest
from scipy.stats import binom

from fisherdash.statistics import SIGNIFICANT, cluster_mean, cluster_ratio
from fisherdash.study.statistics import Condition, Findings, comparison
from fisherdash.study.statistics.comparison import Paired, compare, corrected
from tests.study import planted
from tests.study.planted import Effect

REPETITIONS = 200
HOT = Condition(1000.0, 0.5)


def population(seed, *effects, models=48, first=0):
    """Pairs of every effect's head with the default one (0), or with that of another effect."""
    found = planted.survival_data(np.random.default_rng(seed), effects, models=models)
    names = tuple(f"m{k}" for k in range(models))
    return [
        Paired(
            names,
            *(
                values[[first, side + 1]]
                for values in (found.time_to_failure, 1.0 * found.failed, found.drift)
            ),
            horizon=10.0,
        )
        for side in range(first, len(effects))
    ]


def truth(effect):
    """Of an endless population: differences of time to failure and survivors, rate of the head."""
    found = planted.survival_data(
        np.random.default_rng(10**6), [effect], models=200_000, replicas=1
    )
    times, failed = (x.mean(axis=(1, 2)) for x in (found.time_to_failure, found.failed))
    return {
        "time to failure": times[1] - times[0],
        "survivors": failed[0] - failed[1],
        "drift": effect.drift,
        "rate": 1000.0 * failed[1] / times[1],
    }


def intervals(pairs, seed):
    """The four estimates whose truth is known."""
    return {
        "time to failure": cluster_mean(pairs.survived_longer, seed),
        "survivors": cluster_mean(pairs.more_survived, seed),
        "drift": cluster_mean(pairs.log_drift_ratio, seed),
        "rate": cluster_ratio(pairs.failed[1], pairs.time_to_failure[1] / 1000.0, seed),
    }


@pytest.mark.parametrize(
    ("effect", "models"),
    [
        (Effect(hazard=0.5, drift=-0.3), 48),
        (Effect(hazard=-0.4, drift=0.2, hazard_spread=0.8, drift_spread=0.8), 48),
        (Effect(hazard_spread=0.0, drift_spread=0.0), 48),
        (Effect(hazard=0.5, drift=-0.3), 12),
    ],
    ids=["an effect", "models that differ much", "models that do not differ", "twelve models"],
)
def test_intervals_cover_what_was_planted_at_their_nominal_rate(effect, models):
    planted_values, hits = truth(effect), dict.fromkeys(truth(effect), 0)
    for seed in range(REPETITIONS):
        for name, found in intervals(population(seed, effect, models=models)[0], seed).items():
            hits[name] += found.low <= planted_values[name] <= found.high
    print({name: f"{count / REPETITIONS:.3f}" for name, count in hits.items()})
    # What 200 draws of 95 % leave between; one name in four hundred would fall out by chance.
    low, high = binom.ppf([0.001, 0.9995], REPETITIONS, 0.95)
    assert all(low <= count <= high for count in hits.values()), hits


@pytest.mark.slow
def test_nothing_is_claimed_where_nothing_was_planted():
    """A family of four heads and two temperatures: models differ, but no head is better."""
    claims, alike = np.zeros(2, int), [Effect(hazard_spread=0.6, drift_spread=0.6)] * 5
    for seed in range(REPETITIONS):
        pairs = population(seed, *alike, first=1) + population(10**4 + seed, *alike, first=1)
        families = (
            [comparison.over_models(one.more_survived) for one in pairs],
            [comparison.over_models(one.log_drift_ratio) for one in pairs],
        )
        claims += [any(p < SIGNIFICANT for p in comparison.holm(tests)) for tests in families]
    print(f"families (survival, drift) with a false claim: {claims} of {REPETITIONS}")
    assert np.all(claims <= binom.ppf(0.999, REPETITIONS, SIGNIFICANT))


def test_the_stratified_logrank_test_alone_would_claim_too_much():
    """Why it is not what a verdict rests on: it takes these models for all there are."""
    false = [0, 0]
    for seed in range(REPETITIONS):
        alike = [Effect(hazard_spread=0.6)] * 2
        (pairs,) = population(seed, *alike, models=24, first=1)
        false[0] += comparison.logrank(pairs) < 0.05
        false[1] += comparison.over_models(pairs.more_survived) < 0.05
    print(f"false claims of {REPETITIONS}: log-rank {false[0]}, signed-rank {false[1]}")
    assert false[0] > 2 * false[1]


@pytest.mark.parametrize(
    ("effect", "verdict"),
    [
        (Effect(hazard=-0.8, drift=-0.4), "helps"),
        (Effect(hazard=-0.8, drift=0.4), "mixed"),
        (Effect(hazard=0.8, drift=-0.4), "calmer but fewer survive"),
        (Effect(hazard=0.8, drift=0.4), "harms"),
        (Effect(hazard_spread=0.0, drift=-0.4), "steadier survivors"),
        (Effect(hazard_spread=0.0, drift=0.4), "harms"),
        (Effect(hazard_spread=0.0, drift_spread=0.0), "no effect seen"),
    ],
)
def test_survival_and_drift_are_read_together(effect, verdict):
    (pairs,) = population(3, effect)
    (found,) = corrected([compare(pairs, HOT, "default", "head", seed=0)])
    assert found.verdict == verdict


def test_planted_tables_are_found_again_from_their_rows():
    found = Findings(planted.tables(seed=1))
    verdicts = {(one.second, one.condition.temperature): one.verdict for one in found.comparisons}
    assert verdicts["plain", 1000.0] == "calmer but fewer survive"
    assert verdicts["stable", 1000.0] == verdicts["held-out", 1000.0] == "helps"
    assert verdicts["force-free", 1000.0] == "no effect seen"
    hot = {one.second: one for one in found.of(HOT)}
    assert abs(np.log(hot["stable"].drift_ratio.value) - planted.HEADS["stable"].drift) < 0.15
    assert all(one.models == 48 and one.pairs == 48 * 24 for one in found.comparisons)
