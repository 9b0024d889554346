"""The stability-aware rule on heads whose fate is known."""

import functools
import math
import threading

import numpy as np
import pytest

from fisherdash import fisher
from fisherdash.errors import InputError
from fisherdash.monitor import Monitor
from fisherdash.potentials.checkpoint import Checkpoint
from tests import networks

good = functools.partial(networks.checkpoint, 0)
"""A function, so that reading this file computes nothing."""
SHORT = fisher.StabilitySettings(replicas=6, picoseconds=0.05, temperature=300.0, points=3)


def head(factor: float) -> Checkpoint:
    """The good body with a scaled head; a negative one turns every bond into a hill."""
    start = good()
    return start.with_head(factor * start.head, start.element_bias, f"{factor:g}", {})


@pytest.mark.slow
def test_the_best_head_that_loses_no_replica_wins_and_is_confirmed() -> None:
    heads = {0.0: head(-1.0), 1e-4: head(1.05), 1e-2: head(1.0)}
    divergences = {0.0: 0.1, 1e-4: 0.2, 1e-2: 0.3}
    check = fisher.check_stability(heads, divergences, good(), networks.water(), SHORT)
    default, wild, chosen, calm = check.tried
    assert default.ridge == math.inf and default.survivors == 6 == calm.survivors
    assert wild.survivors == 0 and wild.difference.value == -1.0 == wild.difference.high
    assert wild.mean_time_to_failure < 0.05 == pytest.approx(default.mean_time_to_failure)
    assert check.ridge == 1e-4 == chosen.ridge
    assert check.confirmed and [one.ridge for one in check.confirmation] == [math.inf, 1e-4]
    assert "6 of 6 replicas against 6" in check.sentence


def test_beside_a_default_head_that_loses_all_the_fewest_losses_win() -> None:
    heads = {0.0: head(-0.5), 1e-4: head(1.0)}  # the first fits best, and loses no more either
    check = fisher.check_stability(
        heads, {0.0: 0.1, 1e-4: 0.2}, head(-1.0), networks.water(), SHORT
    )
    default, wild, chosen = check.tried
    assert default.survivors == wild.survivors == 0 and wild.kept and chosen.survivors == 6
    assert check.ridge == 1e-4 and check.confirmed


def test_the_default_head_is_kept_where_no_other_does_as_well() -> None:
    check = fisher.check_stability({0.0: head(-1.0)}, {0.0: 0.1}, good(), networks.water(), SHORT)
    assert check.ridge == math.inf and not check.confirmation and not check.confirmed
    assert "the default head is kept" in check.sentence


@pytest.mark.slow
def test_a_stability_aware_re_fit_keeps_what_it_says() -> None:
    options = fisher.Options(head="shared", ridge="stable", test_boltzmann=False, stability=SHORT)
    told: list[tuple[str, float]] = []
    monitor = Monitor(report=lambda *said: told.append(said))
    refit = fisher.solve(good(), networks.water(), options, monitor=monitor)
    assert refit.stability is not None and refit.ridge == refit.stability.ridge
    assert refit.choice.rule == "stable" and refit.stability.sentence in refit.verdict
    assert {stage for stage, _ in told} == {"solving", "checking stability"}
    assert max(share for _, share in told) == pytest.approx(1.0)
    shares = [share for stage, share in told if stage == "checking stability"]
    assert shares == sorted(shares)


def test_a_cancelled_check_says_so() -> None:
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(InputError, match="cancelled after 0 of 100 steps"):
        fisher.check_stability(
            {0.0: good()}, {0.0: 0.1}, good(), networks.water(), SHORT, monitor=Monitor(cancel)
        )


def point(ridge: float, change: float) -> fisher.RidgePoint:
    """A point of a path with so large a change of the head."""
    return fisher.RidgePoint(ridge, 1.0, 1.0, 1.0, 1.0, change, 1.0, None, None)


def test_candidates_go_from_the_minimum_to_where_nothing_changes() -> None:
    path = [point(0.0, 100.0)] + [
        point(10.0**power, 100.0 / (1 + 10.0 ** (power + 6))) for power in range(-14, 3)
    ]
    chosen = fisher.candidates(path, 1e-8, 5)
    ridges = [one.ridge for one in chosen]
    assert ridges[0] == 1e-8 and ridges == sorted(ridges) and len(ridges) <= 5
    assert chosen[-1].head_change > 0.1
    from_zero = [one.ridge for one in fisher.candidates(path, 0.0, 5)]
    assert from_zero[0] == 0.0 and from_zero[1] >= 1e-7
    assert [one.ridge for one in fisher.candidates(path, 1e2, 5)] == [1e2]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [({"replicas": 1}, "replicas must be"), ({"picoseconds": 0.0}, "picoseconds must be above 0")],
)
def test_unusable_settings_are_refused(wrong: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        fisher.StabilitySettings(**wrong)


def test_steps_follow_from_the_length() -> None:
    assert fisher.StabilitySettings(picoseconds=1.0, timestep=0.5).steps == 2000
    assert np.isfinite(fisher.StabilitySettings().steps)
