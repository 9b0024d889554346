"""The comparison: keys, pairs, and what its sentence may and may not claim."""

import dataclasses
import json

import numpy as np
import pytest
from scipy import stats

from fisherdash import analysis
from tests.analysis import planted

NAMES = ("default", "fisher")


def _slopes(first, second, replicas=24, seed=0):
    rng = np.random.default_rng(seed)
    signs = rng.choice([-1, 1], (2, replicas))
    return signs * np.array([[first], [second]]) * rng.uniform(0.8, 1.2, (2, replicas))


def _failures(first, second, replicas=24):
    failed = np.full((2, replicas), -1)
    failed[0, :first] = 40 * (1 + np.arange(first))
    failed[1, replicas - second :] = 40 * (1 + np.arange(second))
    return failed


def _compare(slopes, failed=None, **options):
    return analysis.compare(
        planted.trajectories(slopes, failed_step=failed, names=NAMES, **options)
    )


def test_exactly_the_promised_keys_and_no_nan():
    for failed in (None, _failures(3, 20), np.zeros((2, 24), int)):
        found = _compare(_slopes(1.0, 0.5), failed).to_json()
        assert list(found) == [
            "pairs",
            "survivors",
            "exploded",
            "failures",
            "drift_meV_per_atom_per_ps",
            "paired_difference",
            "logrank_p_value",
            "time_to_failure_ps",
            "reference_energy_sd",
        ]
        for name in NAMES:
            assert list(found["failures"][name]) == ["bond", "clash", "not_finite"]
            assert sum(found["failures"][name].values()) == found["exploded"][name]
            assert found["exploded"][name] + found["survivors"][name] == 24
        assert set(found["paired_difference"]) == {"median", "low", "high", "p_value"}
        for name in NAMES:
            assert set(found["drift_meV_per_atom_per_ps"][name]) == {"median", "low", "high"}
        json.dumps(found, allow_nan=False)


def test_survivors_in_nonsense_are_told_by_their_reference_energy():
    energies = np.stack([np.linspace(-1.0, 1.0, 24), np.linspace(20.0, 28.0, 24)])
    energies[1, 3] = np.nan  # failed, or not judged
    run = planted.trajectories(_slopes(1.0, 0.5), names=NAMES)
    found = analysis.compare(dataclasses.replace(run, reference_energy=energies))
    told = found.to_json()["reference_energy_sd"]
    assert told[NAMES[0]]["median"] == pytest.approx(0.0)
    assert told[NAMES[1]]["median"] == pytest.approx(np.nanmedian(energies[1]))
    assert [one["survivors"] for one in told.values()] == [24, 23]
    (caution,) = (one for one in found.cautions if "standard deviations" in one)
    assert NAMES[1] in caution and "+24" in caution
    assert _compare(_slopes(1.0, 0.5)).to_json()["reference_energy_sd"] is None


def test_the_difference_is_that_of_absolute_slopes_in_pairs():
    """Drifts of random sign cancel in a mean of slopes; their sizes do not."""
    found = _compare(_slopes(1.0, 0.5))
    difference = found.difference
    assert difference is not None and difference.p_value is not None
    assert difference.value == pytest.approx(-0.5, abs=0.15)
    assert difference.low < difference.value < difference.high < 0
    assert difference.p_value < 1e-4
    assert found.pairs == difference.n == 24


def test_pairs_are_starts_from_which_both_survive():
    found = _compare(_slopes(1.0, 0.5), _failures(5, 7))
    assert found.pairs == 24 - 5 - 7
    assert found.survivors == {"default": 19, "fisher": 17}


def test_a_real_improvement_is_said():
    sentence = _compare(_slopes(1.0, 0.5), _failures(12, 1)).sentence
    assert "fisher survives significantly longer" in sentence
    assert "fisher drifts less than default" in sentence
    assert "no improvement" not in sentence


def test_quiet_survivors_of_a_deadly_head_are_no_improvement():
    found = _compare(_slopes(1.0, 0.5, replicas=48), _failures(2, 18, replicas=48))
    assert found.difference is not None and found.difference.sign == -1
    assert "default survives significantly longer" in found.sentence
    assert "no improvement" in found.sentence
    assert "fisher loses significantly more trajectories" in found.sentence


def test_the_same_in_mirror_image():
    found = _compare(_slopes(0.5, 1.0, replicas=48), _failures(18, 2, replicas=48))
    assert "fisher survives significantly longer" in found.sentence
    assert "no improvement" in found.sentence
    assert "default loses significantly more trajectories" in found.sentence


def test_too_few_pairs_claim_nothing_about_drift():
    found = _compare(_slopes(1.0, 0.1, replicas=5))
    assert "Too few pairs of survivors (5)" in found.sentence
    assert "drifts less" not in found.sentence
    assert found.difference.value is not None and found.difference.p_value is None


def test_no_difference_is_no_difference():
    claims = [
        "drifts less" in _compare(_slopes(1.0, 1.0, seed=seed), noise=0.1, frames=40).sentence
        for seed in range(60)
    ]
    assert sum(claims) <= 8  # 5 % of 60 are expected


def test_slightly_fewer_survivors_are_mentioned():
    found = _compare(_slopes(1.0, 0.5), _failures(1, 3))
    assert found.logrank_p_value is not None and found.logrank_p_value > 0.05
    assert "fewer trajectories of fisher survive" in found.sentence


def test_one_head_and_three_heads():
    one = analysis.compare(planted.trajectories(np.ones((1, 8))))
    assert one.pairs == 0 and one.difference.value is None and "no second head" in one.sentence
    three = analysis.compare(planted.trajectories(np.ones((3, 8)) * [[1.0], [2.0], [3.0]]))
    assert three.difference.value == pytest.approx(1.0)
    assert set(three.to_json()["survivors"]) == {"head 0", "head 1", "head 2"}


def test_every_later_head_is_compared_with_the_first_at_a_divided_level():
    quiet = np.ones(24)
    found = analysis.compare(planted.trajectories(np.stack([quiet, 0.5 * quiet, 2.0 * quiet])))
    assert [(one.first, one.second) for one in found.against] == [
        ("head 0", "head 1"), ("head 0", "head 2"),
    ]  # fmt: skip
    assert "head 1 drifts less than head 0" in found.sentence
    assert "head 0 drifts less than head 2" in found.sentence
    assert [one.level for one in found.against] == [0.025, 0.025]
    assert any("below p = 0.025" in caution for caution in found.cautions)


def test_pairs_that_could_not_be_significant_are_too_few():
    heads = np.stack([np.ones(6), 100 * np.ones(6), 1e4 * np.ones(6)])
    found = analysis.compare(planted.trajectories(heads))
    assert found.against[0].difference.p_value == pytest.approx(2**-5)  # the least there is
    assert (
        "Too few pairs" in found.sentence
        and "does not differ significantly" not in (found.against[0].sentence.split("survive.")[-1])
    )
    two = analysis.compare(planted.trajectories(heads[:2]))
    assert "drifts less" in two.sentence


def test_one_of_many_heads_is_not_called_different_by_chance():
    rng = np.random.default_rng(7)
    claims = 0
    for _ in range(40):
        alike = rng.normal(1.0, 0.5, size=(6, 24))
        claims += "drifts less" in analysis.compare(planted.trajectories(alike)).sentence
    assert claims <= 3  # 2 of 40 families are expected; 5 of these at an undivided level


@pytest.mark.parametrize("frames", [0, 1, 2, 3])
def test_an_unfinished_run_can_be_compared(frames):
    found = analysis.compare(planted.trajectories(np.ones((2, 8)), frames=frames))
    assert found.pairs == 8
    json.dumps(found.to_json(), allow_nan=False)
    assert found.sentence


def test_cautions_say_what_the_numbers_cannot():
    long = _compare(_slopes(1.0, 0.5), frames=201)
    assert long.duration == 2.0 and long.cautions == () and long.flat == ()
    (short,) = _compare(_slopes(1.0, 0.5), frames=51).cautions
    assert short.startswith("0.5 ps are short")
    (none_left,) = _compare(_slopes(1.0, 0.5), np.full((2, 24), 40)).cautions
    assert none_left.startswith("No surviving replica; the median time to failure is 0.02 ps")


def test_a_head_without_forces_is_called_that():
    traj = planted.trajectories(_slopes(1.0, 0.5), frames=201, names=NAMES)
    still = traj.potential.copy()
    still[1] = still[1, :, :1] + 1e-5 * np.sin(traj.times)
    flat = dataclasses.replace(traj, potential=still, kinetic=0 * still + traj.kinetic[:, :, :1])
    found = analysis.compare(flat)
    assert found.flat == ("fisher",)
    assert found.cautions[0].startswith("The potential of fisher hardly changes")


END = 2000  # steps of the planted runs: 101 frames of 20 steps


def _with_failures(*failed):
    return planted.trajectories(
        np.zeros((len(failed), len(failed[0]))), failed_step=np.array(failed)
    )


def _random_failures(hazards, replicas, seed):
    """Exponential times to failure in steps, −1 beyond the end."""
    rng = np.random.default_rng(seed)
    times = [rng.exponential(END / hazard, replicas) for hazard in hazards]
    return [np.where(time < END, np.ceil(time), -1).astype(int) for time in times]


@pytest.mark.parametrize(
    ("failed", "median"),
    [
        ([200, 400, -1, -1], 0.2),
        ([200, -1, -1, -1], None),
        ([200, 400, 600, -1, -1], 0.3),
        ([-1], None),
        ([0, 0, 0], 0.0),
    ],
)
def test_time_to_failure_is_the_kaplan_meier_median(failed, median):
    from lifelines import KaplanMeierFitter

    traj = _with_failures(failed)
    assert analysis.time_to_failure(traj) == {"head 0": pytest.approx(median) if median else median}
    times = np.where(np.array(failed) >= 0, np.array(failed) * 5e-4, 1.0)
    theirs = KaplanMeierFitter().fit(times, np.array(failed) >= 0).median_survival_time_
    assert theirs == pytest.approx(np.inf if median is None else median)


def test_a_planted_hazard_ratio_is_found():
    traj = _with_failures(*_random_failures((0.3, 3.0), 48, seed=1))
    p = analysis.logrank_p_value(traj)
    assert p is not None and p < 1e-6


def test_equal_hazards_give_uniform_p_values():
    found = [
        analysis.logrank_p_value(_with_failures(*_random_failures((1.0, 1.0), 40, seed)))
        for seed in range(150)
    ]
    assert stats.kstest(np.array(found, float), "uniform").pvalue > 0.01


def test_no_failures_or_no_second_head_give_no_p_value():
    assert analysis.logrank_p_value(_with_failures([-1, -1], [-1, -1])) is None
    assert analysis.logrank_p_value(_with_failures([5, -1])) is None


def test_everybody_dead_at_the_start():
    traj = _with_failures([0, 0, 0], [0, 0, 0])
    comparison = analysis.compare(traj)
    assert comparison.survivors == {"head 0": 0, "head 1": 0}
    assert comparison.against[0].lives_longer is None
