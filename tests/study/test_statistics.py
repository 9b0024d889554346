"""Known answers, and the same numbers from other programs."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from lifelines import KaplanMeierFitter
from lifelines.statistics import logrank_test
from lifelines.utils import restricted_mean_survival_time
from scipy import stats
from statsmodels.stats.multitest import multipletests

from fisherdash.errors import InputError
from fisherdash.statistics import cluster_mean
from fisherdash.study.statistics import (
    Condition,
    Findings,
    comparison,
    effects,
    failures,
    survival,
)
from fisherdash.study.statistics.comparison import per_model
from fisherdash.study.statistics.failures import survivor_energies
from fisherdash.study.tables import COLUMNS, Tables, empty
from tests.study import planted

HOT = Condition(1000.0, 0.5)
TABLES = planted.tables(seed=2, models=18, replicas=12)


def hot(head):
    return HOT.of(TABLES.trajectories, head)


def row(
    model="m", replica=0, time_to_failure=10.0, failed=0, drift=0.1, duration=10.0, failure=None
):
    """One trajectory."""
    place = [model, "default", 1000.0, 0.5, replica, duration]
    return [*place, time_to_failure, failed, drift, 0.1, failure, None]


def trajectories(*rows):
    return pd.DataFrame(rows, columns=list(COLUMNS["trajectories"]))


def test_pairs_are_formed_by_model_and_replica_whatever_the_order():
    shuffled = hot("stable").sample(frac=1.0, random_state=1)
    pairs = comparison.pair(hot("default"), shuffled)
    wide = hot("stable").pivot(index="model", columns="replica", values="time_to_failure_ps")
    np.testing.assert_array_equal(pairs.time_to_failure[1], wide.to_numpy())
    assert pairs.units == tuple(sorted(TABLES.models["model"])) and pairs.count == 18 * 12


def test_what_only_one_side_has_is_no_pair():
    pairs = comparison.pair(hot("default").iloc[5:], hot("stable").iloc[:-7])
    assert pairs.count == 18 * 12 - 12
    assert np.isnan(pairs.survived_longer).sum() == 12


def test_a_longer_run_is_cut_where_the_shorter_one_ends():
    short = trajectories(
        row(duration=5.0, time_to_failure=5.0), row("n", time_to_failure=2.0, failed=1)
    )
    longer = trajectories(
        row(time_to_failure=7.0, failed=1), row("n", time_to_failure=4.0, failed=1)
    )
    pairs = comparison.pair(short, longer)
    assert pairs.horizon == 5.0
    assert pairs.time_to_failure[1].ravel().tolist() == [5.0, 4.0]
    assert pairs.failed.reshape(2, 2).tolist() == [[0, 1], [0, 1]]


def test_a_trajectory_that_occurs_twice_is_refused():
    with pytest.raises(InputError, match="model m, replica 0 occurs twice"):
        comparison.pair(trajectories(row(), row()), trajectories(row()))


def test_difference_of_mean_times_to_failure_is_that_of_restricted_mean_survival_times():
    pairs = comparison.pair(hot("default"), hot("stable"))
    areas = []
    for side in (0, 1):
        fitter = KaplanMeierFitter().fit(
            pairs.time_to_failure[side].ravel(), pairs.failed[side].ravel()
        )
        areas.append(restricted_mean_survival_time(fitter, t=pairs.horizon))
    found = cluster_mean(pairs.survived_longer)
    assert found.value == pytest.approx(areas[1] - areas[0], abs=1e-6)


def test_tests_agree_with_the_libraries():
    p_values = np.random.default_rng(3).random(25) ** 3
    np.testing.assert_allclose(
        comparison.holm(p_values.tolist()), multipletests(p_values, method="holm")[1]
    )
    assert comparison.holm([None, 0.01, None, 0.04]) == [None, 0.02, None, 0.04]
    assert comparison.holm([]) == []


def test_logrank_of_one_model_is_the_ordinary_one():
    pairs = comparison.pair(hot("default").head(12), hot("plain").head(12))
    plain = logrank_test(
        pairs.time_to_failure[0].ravel(), pairs.time_to_failure[1].ravel(),
        event_observed_A=pairs.failed[0].ravel(), event_observed_B=pairs.failed[1].ravel(),
    )  # fmt: skip
    assert comparison.logrank(pairs) == pytest.approx(plain.p_value, rel=1e-6)


def test_too_few_models_and_equal_sides_claim_nothing():
    assert comparison.over_models(np.ones((5, 3))) is None
    assert comparison.over_models(np.zeros((9, 3))) == 1.0
    nobody = comparison.pair(trajectories(row()), trajectories(row()))
    assert comparison.logrank(nobody) is None


def test_models_of_which_more_and_fewer_survive_are_counted():
    failed = np.zeros((2, 10, 4))
    failed[0, :2, 1:] = 1.0  # more survive on the second side,
    failed[1, 2] = 1.0  # fewer,
    failed[:, 3] = 1.0  # nobody on either
    failed[:, 4, 0] = 1.0
    failed[:, 9] = np.nan  # a model that was not run
    nothing = np.full_like(failed, np.nan)
    pairs = comparison.Paired(tuple("abcdefghij"), 5.0 + failed, failed, nothing, 10.0)
    found = per_model(pairs)
    assert (found.more, found.fewer, found.alike) == (2, 1, 6)
    assert (found.silent, found.lost) == (4, 1)


def test_kinds_of_failure_and_their_thresholds(monkeypatch):
    models = pd.DataFrame({"model": ["m"], "atoms": [10], "degrees_of_freedom": [20]})
    # 20/10 degrees at 1000 K hold k_B T = 86.2 meV per atom; a tenth over 10 ps is 0.862 a ps.
    rows = trajectories(
        row(time_to_failure=0.05, failed=1, drift=np.nan),
        row(time_to_failure=0.2, failed=1, drift=np.nan),
        row(drift=-0.9),
        row(drift=0.8),
    )
    assert failures.kinds(rows, models).tolist() == list(failures.KINDS)
    counts = failures.count_kinds(failures.kinds(rows, models), rows)
    assert counts.loc["default"].tolist() == [1, 1, 1, 1]
    monkeypatch.setattr(failures, "IMMEDIATE", 1.0)
    monkeypatch.setattr(failures, "DRIFT_SHARE", 0.2)
    loose = failures.kinds(rows, models)
    assert loose.tolist() == [failures.KINDS[k] for k in (0, 0, 3, 3)]


def test_failures_per_nanosecond():
    rows = trajectories(
        *(row(f"m{k}", r, 4.0 if r else 8.0, failed=1) for k in range(8) for r in range(2))
    )
    found = failures.failure_rate(rows, "default", HOT)
    assert found.failures == 16 and found.simulated == pytest.approx(0.096)
    assert found.rate.value == pytest.approx(16 / 0.096)
    # Only the longer lives reach the second half, and die in it after 3 ps.
    assert found.late.value == pytest.approx(1000.0 / 3.0)


def test_causes_are_counted_and_those_of_older_studies_are_not_known():
    causes = ("bond", "clash", "clash", "not_finite", None)
    rows = trajectories(
        row(replica=9),
        *(row(replica=k, failed=1, failure=cause) for k, cause in enumerate(causes)),
    )
    (counts,) = failures.count_causes(rows).to_dict("records")
    assert counts == {
        "broken bond": 1, "clash": 2, "not finite": 1, failures.UNKNOWN: 1
    }  # fmt: skip
    assert sum(counts.values()) == rows["failed"].sum()
    now = failures.count_causes(rows[rows["failure"].notna() | (rows["failed"] == 0)])
    assert failures.UNKNOWN not in now.columns
    (none,) = failures.count_causes(rows.iloc[:1]).to_dict("records")
    assert none == {"broken bond": 0, "clash": 0, "not finite": 0}


def test_nobody_dead_leaves_an_upper_bound():
    rows = trajectories(*(row(f"m{k}", r) for k in range(10) for r in range(10)))
    rate = failures.failure_rate(rows, "default", HOT).rate
    assert (rate.value, rate.low) == (0.0, 0.0)
    assert rate.high == pytest.approx(3.0, rel=0.01)  # three in the nanosecond that was survived


def test_survival_curve_is_lifelines_and_its_band_that_of_models():
    curve = survival(TABLES.trajectories, "plain", HOT)
    rows = hot("plain")
    fitter = KaplanMeierFitter().fit(rows["time_to_failure_ps"], rows["failed"])
    np.testing.assert_allclose(
        curve.fraction, fitter.survival_function_at_times(curve.times).to_numpy()
    )
    assert np.all(curve.low <= curve.fraction + 1e-9) and np.all(
        curve.fraction <= curve.high + 1e-9
    )
    assert curve.failures == rows["failed"].sum() and curve.replicas == len(rows)
    greenwood = fitter.confidence_interval_survival_function_.to_numpy()[-1]
    assert curve.high[-1] - curve.low[-1] > greenwood[1] - greenwood[0]


def test_rank_correlation_and_its_interval():
    rng = np.random.default_rng(4)
    x = rng.normal(size=50)
    found, test = effects.rank_correlation(x, x + rng.normal(size=50))
    assert found.low < found.value < found.high and found.sign == 1 and test.raw < 0.001
    assert effects.rank_correlation(x, np.ones(50))[0].value is None
    assert effects.rank_correlation(x, x**3)[0].value == pytest.approx(1.0)


def test_rank_correlation_of_a_draw_is_that_of_the_drawn_values():
    rng = np.random.default_rng(8)
    x, y = rng.integers(5, size=30) + 0.0, rng.normal(size=30)  # x with many ties
    drawn = rng.multinomial(30, np.full(30, 1 / 30), size=20)
    for row, found in zip(drawn, effects._spearman(drawn.astype(float), x, y), strict=True):
        chosen = np.repeat(np.arange(30), row)
        assert found == pytest.approx(stats.spearmanr(x[chosen], y[chosen]).statistic)


def test_an_effect_that_grows_with_the_error_is_seen_in_the_thirds():
    models = TABLES.models
    pairs = comparison.against_default(TABLES.trajectories, "plain", HOT)
    place = models.set_index("model")["test_force_rmse_eV_per_A"].rank().reindex(list(pairs.units))
    life = pairs.time_to_failure.copy()
    life[1] = life[0] - place.to_numpy()[:, None]
    planted_pairs = dataclasses.replace(pairs, time_to_failure=life)
    known = effects.predictors(models, TABLES.heads, "plain")
    thirds = effects.by_third(planted_pairs, known)
    assert [one.models for one in thirds] == [6, 6, 6]
    assert [one.time_to_failure.value for one in thirds] == pytest.approx([-3.5, -9.5, -15.5])
    assert thirds[0].highest < thirds[1].lowest
    found = effects.associations(effects.by_model(planted_pairs), known, "plain", HOT)
    by_error = next(
        o for o in found if (o.outcome, o.predictor) == ("time to failure", "force error")
    )
    assert by_error.rank_correlation.value == pytest.approx(-1.0)


def test_a_test_that_could_never_be_significant_is_no_verdict():
    """Six models reach p = 0.03 at best, which is nothing among ten claims."""
    life, failed = np.zeros((2, 6, 8)), np.zeros((2, 6, 8))
    life[0], failed[1] = 10.0, 1.0
    pairs = comparison.Paired(tuple("abcdef"), life, failed, np.full_like(life, np.nan), 10.0)
    alone = comparison.compare(pairs, HOT, "default", "head")
    (one,) = comparison.corrected([alone])
    assert one.testable and one.verdict == "harms" and one.survivors.low >= -1.0
    many = comparison.corrected([alone] * 10)
    assert not many[0].testable and many[0].verdict == "too few models"


def test_power_is_what_simulated_studies_have():
    effects = np.random.default_rng(5).normal(size=40)
    found = comparison.power(effects)
    studies = np.random.default_rng(6).normal(found.detectable, found.spread, size=(4000, 40))
    seen = np.mean(stats.ttest_1samp(studies, 0.0, axis=1).pvalue < 0.05)
    assert seen == pytest.approx(comparison.POWER, abs=0.02)
    assert comparison.models_needed(found.spread, [found.detectable]) == [40]
    many, few = comparison.models_needed(1.0, [0.1, 10.0])
    assert many > 700 and few == 6
    assert comparison.power(np.ones(40)) is None and comparison.power(effects[:5]) is None


def test_ratios_of_errors_are_paired_over_models():
    (plain, *_) = effects.force_errors(TABLES.heads, ["plain"])
    assert plain.change.value == pytest.approx(0.95) and plain.relative and plain.test.significant
    assert effects.sharpness(TABLES.heads, ["plain"]) == []  # was not measured
    known = TABLES.heads.assign(sharpness_eV2=np.where(TABLES.heads["head"] == "plain", 2.0, 1.0))
    (sharper,) = effects.sharpness(known, ["plain"])
    assert sharper.change.value == pytest.approx(2.0)


def test_sharper_models_that_die_sooner_are_found():
    life = HOT.of(TABLES.trajectories, "default").groupby("model")["time_to_failure_ps"].mean()
    sharp = TABLES.heads.assign(sharpness_eV2=[1.0 / life[name] for name in TABLES.heads["model"]])
    found = effects.sharpness_and_failure(sharp, TABLES.trajectories, [HOT])
    default = next(one for one in found if one.head == "default")
    assert default.rank_correlation.value == pytest.approx(-1.0)


def with_recipe(tables, name, recipe, **columns):
    """The same networks again under another recipe."""
    renamed = {
        key: table.assign(model=f"{name}-" + table["model"])
        for key in COLUMNS
        for table in [getattr(tables, key)]
    }
    renamed["models"] = renamed["models"].assign(recipe=recipe, **columns)
    both = {key: pd.concat([getattr(tables, key), renamed[key]]) for key in COLUMNS}
    return Tables(**{key: table.reset_index(drop=True) for key, table in both.items()})


def test_recipes_are_paired_by_network():
    whole = with_recipe(TABLES, "b", "sharpness-aware", epochs=30)
    assert comparison.main_recipe(whole.models) == "plain"
    found = Findings(whole, '[recipe."sharpness-aware"]\nepochs_factor = 0.5')
    assert len(found.tables.models) == 18 and len(found.trajectories) == len(TABLES.trajectories)
    alike = {one.second: one for one in found.recipes if one.condition == HOT}
    assert set(alike) == {
        "sharpness-aware", *(f"{way} + {head}" for way in ("plain", "sharpness-aware")
                             for head in planted.HEADS),
    }  # fmt: skip
    assert alike["sharpness-aware"].time_to_failure.value == 0.0  # they are the same trajectories
    assert alike["sharpness-aware + plain"].failures == alike["plain + plain"].failures
    assert all(one.testable for one in found.recipes)
    assert Findings(TABLES).recipes == Findings(whole).recipes == []  # 30 epochs are not 60


def test_seconds_for_a_hundred_nanoseconds():
    cost = next(one for one in Findings(TABLES).costs if one.temperature == 1000.0)
    # 18 models took 20 to 21 s for 5 heads × 12 replicas × 10 ps each.
    assert cost.batch == 60 and 20.0 <= cost.seconds * 600.0 / 1e5 <= 21.0
    assert cost.fastest <= cost.seconds <= cost.slowest
    assert cost.batch_seconds == pytest.approx(60 * cost.seconds)


def test_a_head_that_was_copied_has_cost_nothing():
    kept = TABLES.heads.assign(kept_default=(TABLES.heads["head"] == "plain").astype(int))
    found = Findings(dataclasses.replace(TABLES, heads=kept)).costs
    assert {one.batch for one in found} == {48}


def test_findings_of_nothing_and_of_half_a_study():
    nothing = Findings(empty())
    assert nothing.comparisons == nothing.rates == nothing.recipes == nothing.costs == []
    part = TABLES.trajectories.query("model < 'm004' and head in ('default', 'plain')")
    half = Findings(dataclasses.replace(TABLES, trajectories=part, structure=TABLES.structure[:0]))
    assert [one.models for one in half.comparisons] == [4, 4]
    assert all(one.verdict == "too few models" for one in half.comparisons)
    assert half.seen == {} and half.structure == []


def test_tables_that_speak_of_strangers_are_refused():
    with pytest.raises(InputError, match=r"table heads .* model m000"):
        Findings(dataclasses.replace(TABLES, models=TABLES.models[1:]))


def test_energies_of_survivors_are_counted_and_placed():
    table = TABLES.trajectories.query("head == 'plain'").copy()
    table["reference_energy_sd"] = None
    table.iloc[:10, table.columns.get_loc("reference_energy_sd")] = [*range(9), 50.0]
    (row,) = survivor_energies(table).to_numpy().tolist()
    assert row == [10, 4.5, pytest.approx(np.quantile([*range(9), 50], 0.9)), 1]
    assert not len(survivor_energies(table.tail(3)))
