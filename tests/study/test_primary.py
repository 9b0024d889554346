"""The primary question: written down before the answer, one number, an interval and tests of it."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import scipy
from scipy.stats import binom

from fisherdash import dataset
from fisherdash.errors import InputError
from fisherdash.statistics import SIGNIFICANT
from fisherdash.study import prepare_study, read_spec, results, words
from fisherdash.study.spec import QUESTIONS, Primary, Registered, registered
from fisherdash.study.statistics import Condition, Findings
from fisherdash.study.statistics.comparison import Paired
from fisherdash.study.statistics.findings import answer_of, planned_power, sign_flips
from tests.randomised import planted_dataset, random_checkpoint
from tests.study import planted
from tests.study.planted import Effect
from tests.study.test_planted import REPETITIONS, population, truth
from tests.study.test_spec import WHOLE

QUESTION = Primary("plain", temperature=500.0)
COLD = Condition(500.0, 0.5)
ASKED = '[primary]\nhead = "plain"\ntemperature = 300\ntimestep = 1.0\n'


def pairs_of(failed: np.ndarray) -> Paired:
    """Of failures (2, models, replicas); each at 1 ps of 10."""
    times = np.where(failed == 1, 1.0, 10.0)
    names = tuple(f"m{k}" for k in range(failed.shape[1]))
    return Paired(names, times, failed.astype(float), np.where(failed == 1, np.nan, 0.1), 10.0)


def test_a_question_is_read_and_its_settings_are_checked(tmp_path: Path) -> None:
    found = read_spec(WHOLE + ASKED + "smallest = 10\nmodels = 60\nspread = 22\n", tmp_path)
    assert found.primary == Primary("plain", "default", 300, 1.0, 10, 60, 22)
    assert read_spec(WHOLE, tmp_path).primary is None


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        ("temperature = 300", 'needs "head"'),
        ('head = "other"\ntemperature = 300\ntimestep = 1.0', "'other'; there are default, plain"),
        ('head = "plain"\nagainst = "plain"', "compares two heads; both are 'plain'"),
        ('head = "plain"\ntemperature = 300', "2 of those in .dynamics. fit; name one of 300 K"),
        ('head = "plain"\ntemperature = 77\ntimestep = 1.0', "0 of those"),
        ("head = 3", "must be text in quotes, received 3"),
        ('head = "plain"\nsmallest = 0', "smallest must be above 0"),
        ('head = "plain"\nsize = 3', "received 'size'"),
    ],
)
def test_a_question_that_cannot_be_is_one_sentence(tmp_path: Path, table, sentence) -> None:
    with pytest.raises(InputError, match=sentence):
        read_spec(f"{WHOLE}[primary]\n{table}\n", tmp_path)


def test_the_answer_of_a_population_that_was_counted_by_hand() -> None:
    failed = np.zeros((2, 7, 4))
    failed[:, 0] = 1  # lost on both sides
    failed[0, 2:, :2] = 1  # five models: half of the first side fails, a quarter of the second
    failed[1, 2:, :1] = 1
    found = answer_of(pairs_of(failed), QUESTION, COLD)
    assert (found.models, found.pairs, found.informative) == (7, 28, 5)
    assert (found.silent, found.lost) == (1, 1)
    np.testing.assert_allclose(found.surviving, [(1 + 2.5) / 7, (1 + 3.75) / 7])
    assert found.change.value == pytest.approx(0.25 * 5 / 7)
    effects = np.array([0, 0, *[0.25] * 5])
    assert found.signed_rank == scipy.stats.wilcoxon(effects).pvalue
    assert found.sign_flips == 2 / 2**5  # only all pluses and all minuses are as large
    assert found.spread == pytest.approx(np.std(effects, ddof=1))
    again = answer_of(pairs_of(failed[::-1]), QUESTION, COLD)
    assert found.change.value == pytest.approx(-(again.change.value or 0.0))
    assert again.sign_flips == found.sign_flips


def test_sign_flips_are_all_patterns_or_a_sample_of_them() -> None:
    effects = np.random.default_rng(0).normal(0.3, 1.0, 14)
    sums = [np.dot(signs, effects) for signs in itertools.product([-1, 1], repeat=14)]
    exact = np.mean(np.abs(sums) >= abs(effects.sum()) - 1e-9)
    assert sign_flips(effects) == exact
    assert sign_flips(np.append(effects, 0.0)) == exact  # what is zero has no sign
    many = np.concatenate([effects, [1e-9]])  # fifteen: drawn, and nearly the same
    assert sign_flips(many) == pytest.approx(exact, abs=4 * np.sqrt(exact / 20_000))
    assert sign_flips(np.zeros(9)) == 1.0 and sign_flips(effects[:3]) is None


def test_power_is_that_of_a_planned_population() -> None:
    question = Primary("plain", smallest=10.0, models=40, spread=22.0)
    rng = np.random.default_rng(1)
    drawn = rng.normal(10.0, 22.0, (4000, 40))
    seen = np.mean(scipy.stats.ttest_1samp(drawn, 0.0, axis=1).pvalue < SIGNIFICANT)
    assert planned_power(question) == pytest.approx(seen, abs=0.03)
    assert planned_power(QUESTION) is None


@pytest.mark.slow
def test_the_interval_covers_and_the_tests_claim_nothing_where_nothing_is() -> None:
    effect = Effect(hazard=0.5, hazard_spread=0.6)
    change, covered = truth(effect)["survivors"], 0
    for seed in range(REPETITIONS):
        found = answer_of(population(seed, effect)[0], QUESTION, COLD, seed=seed).change
        assert found.low is not None and found.high is not None
        covered += found.low <= change <= found.high
    false, alike = np.zeros(2, int), [Effect(hazard_spread=0.6)] * 2
    for seed in range(REPETITIONS):
        found = answer_of(population(seed, *alike, first=1)[0], QUESTION, COLD, seed=seed)
        assert found.signed_rank is not None and found.sign_flips is not None
        false += [found.signed_rank < SIGNIFICANT, found.sign_flips < SIGNIFICANT]
    print(f"of {REPETITIONS}: covered {covered}, false claims {false.tolist()}")
    low, high = binom.ppf([0.001, 0.9995], REPETITIONS, 0.95)
    assert low <= covered <= high
    assert false.max() <= binom.ppf(0.999, REPETITIONS, SIGNIFICANT)


def test_what_is_said_first_is_the_primary_question() -> None:
    tables = planted.tables(seed=2, effects={"plain": Effect(hazard=-1.0)}, models=30, epochs=5)
    text = '[primary]\nhead = "plain"\ntemperature = 500\nsmallest = 5\nmodels = 30\nspread = 20\n'
    early = Registered("2026-01-02T03:04:05+00:00", "0123456789abcdef", 0, None)
    found = Findings(tables, text, asked=[early])
    assert found.primary is not None and found.primary.verdict == "more survive"
    said = words.headline(found)
    assert said.startswith("Primary question: do more trajectories survive 10 ps at 500 K with")
    assert "Yes: more survive" in said and "uncorrected" in said
    assert "since 2026-01-02 (SHA-256 01234567…), before the first run was finished" in said
    assert "a power of" in said and words.SECONDARY in said
    told = found.to_json()["primary"]
    assert told["models"] == 30 and told["asked"][0]["runs"] == 0
    json.dumps(told, allow_nan=False)
    late = early.__class__(early.date, early.digest, 12, None)
    assert "may have been chosen after a look" in words.headline(
        Findings(tables, text, asked=[late])
    )
    assert "changed after 2026-01-02" in words.headline(Findings(tables, text, asked=[early, late]))
    assert Findings(tables).primary is None and "Primary" not in words.headline(Findings(tables))


def test_a_folder_keeps_every_wording_and_what_was_known_then(tmp_path: Path) -> None:
    dataset.save(planted_dataset(random_checkpoint(), 100), tmp_path / "ethanol.npz")
    whole = WHOLE.replace("frames = [30, 60]", "frames = 30").replace("test = 40", "test = 30")
    folder = tmp_path / "study"

    def prepare(text: str) -> tuple[Registered, ...]:
        prepare_study(read_spec(text, tmp_path), folder)
        return registered(folder)

    assert prepare(whole) == () and not (folder / QUESTIONS).exists()
    (first,) = prepare(whole + ASKED)
    assert first.runs == 0 and first.question is not None
    assert Primary.from_json(dict(first.question)) == Primary("plain", "default", 300, 1.0)
    assert prepare(whole + ASKED) == (first,)  # the same words are no other question
    (folder / "members" / "m").mkdir(parents=True)
    (folder / "members" / "m" / "run-1.json").write_text("{}")
    again, changed = prepare(whole + ASKED.replace("300", "600"))
    assert again == first and changed.runs == 1 and changed.digest != first.digest
    assert prepare(whole)[-1].question is None  # taken back: that is told too
    tables = planted.tables(models=6, epochs=2)
    assert QUESTIONS.encode() in results.as_zip(results.Kept("study", folder), tables)
    (folder / QUESTIONS).write_text("no list")
    with pytest.raises(InputError, match="is damaged"):
        registered(folder)
