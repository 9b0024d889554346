"""The statistics of a population in sentences, each chosen and filled by the numbers alone."""

import contextlib
from collections.abc import Sequence
from typing import Final

from fisherdash.errors import InputError
from fisherdash.settings import Options
from fisherdash.study.spec import Registered, parsed, read_heads
from fisherdash.study.statistics import VERDICTS, Comparison, Condition, Findings, Tested
from fisherdash.study.statistics.effects import OUTCOMES, PREDICTORS, Association
from fisherdash.study.statistics.failures import FAR, TARGET, DynamicsCost
from fisherdash.study.statistics.findings import Answer
from fisherdash.text import duration, joined, number

_GOOD: Final = ("helps", "steadier survivors")
_BAD: Final = ("harms", "calmer but fewer survive")
SECONDARY: Final = "Everything else is secondary, corrected within its family:"


def p_value(test: Tested) -> str:
    """The corrected p-value, and beside it the raw one where that differs.

    >>> p_value(Tested(0.01, 0.04)), p_value(Tested(1e-9, 2e-8)), p_value(Tested(None))
    ('p = 0.04, raw 0.01', 'p < 0.0001', 'not tested')
    """
    if test.raw is None:
        return "not tested"
    p = test.raw if test.corrected is None else test.corrected
    if p < 1e-4:
        return "p < 0.0001"
    shown, raw = f"{p:.2g}", "< 0.0001" if test.raw < 1e-4 else f"{test.raw:.2g}"
    return f"p = {shown}" if raw == shown else f"p = {shown}, raw {raw}"


def sentence(one: Comparison) -> str:
    """One comparison: the verdict and what it rests on."""
    drift = (
        f"where both survive ({one.drift_ratio.n:,} pairs of {one.drift_ratio.clusters} models) "
        f"|drift| is ×{one.drift_ratio.text()} ({p_value(one.drift)})"
        if one.drift_ratio.value is not None
        else "no pair survives on both sides, so there is no drift to compare"
    )
    share = one.survivors.scaled(100.0).text(sign=True, unit="points")
    time = one.time_to_failure.text(sign=True, unit="ps")
    return (
        f"{one.second} at {one.condition.temperature:g} K: {VERDICTS[one.verdict]}. Against "
        f"{one.first}, over {one.models} models and {one.pairs:,} pairs, {one.failures[1]:,} "
        f"trajectories fail instead of {one.failures[0]:,}; the share of survivors after "
        f"{one.horizon:g} ps changes by {share} ({p_value(one.survival)}), the mean time to "
        f"failure by {time}; {drift}."
    )


_SAID: Final = {
    "too few models": "Too few models to tell",
    "more survive": "Yes: more survive",
    "fewer survive": "No: fewer survive",
    "no difference shown": "No difference could be shown",
}


def primary_lines(found: Answer) -> list[str]:
    """The primary question, its answer with what it rests on, and when it was asked."""
    question, first, second = found.question, *(100.0 * one for one in found.surviving)
    said = (
        f"Primary question: do more trajectories survive {found.horizon:g} ps at "
        f"{found.condition.temperature:g} K with “{question.head}” than with “{question.against}”? "
        f"{_SAID[found.verdict]}. {number(second)} instead of {number(first)} %, a change of "
        f"{found.change.scaled(100.0).text(sign=True, unit='points')}, mean over {found.models} "
        f"models; {p_value(Tested(found.signed_rank))} (signed-rank test over models, "
        f"uncorrected), by sign flips {p_value(Tested(found.sign_flips))}."
    )
    lines = [said, _informative(found)]
    if question.models is not None and found.models < question.models:
        lines.append(
            f"So far {found.models} of {question.models:,} models that were planned are finished, "
            "so the answer may change."
        )
    if found.too_small_to_matter:
        lines.append(f"A change of {question.smallest:g} points or more is excluded.")
    if found.power is not None:
        lines.append(
            f"Planned: {question.models} models, with a spread of {question.spread:g} points a "
            f"power of {100 * found.power:.0f} % for {question.smallest:g} points."
        )
    return [*lines, *_asked(found.asked)]


def _informative(found: Answer) -> str:
    spread = 100.0 * (found.spread or 0.0)
    return (
        f"Of the {found.models} models {found.informative} can show a difference: of "
        f"{found.silent} nothing fails on either side, of {found.lost} everything does. All are "
        f"counted; their effects differ by {spread:.2g} points (standard deviation)."
    )


def _asked(asked: Sequence[Registered]) -> list[str]:
    """When the question was asked, and that it was changed."""
    if not asked:
        return ["When the question was asked is not known."]
    *before, last = asked
    when = "before the first run was finished"
    if last.runs:
        when = f"when {last.runs:,} runs were finished, so it may have been chosen after a look"
    said = f"Asked in these words since {last.date[:10]} (SHA-256 {last.digest[:8]}…), {when}."
    if not before:
        return [said]
    dates = joined(one.date[:10] for one in before)
    return [said, f"It was another question before that: changed after {dates}."]


def heads_in_words(specification: str) -> dict[str, str]:
    """What each head of a study is, the default one first; of a specification that can be read."""
    said = {"default": "the head as it was trained"}
    with contextlib.suppress(InputError):
        heads = read_heads(parsed(specification))
        said |= {name: _in_words(options) for name, options in heads.items()}
    return said


_WEIGHTS: Final = {
    "shared": "one vector of weights for all atoms",
    "by element": "a vector of weights for each element",
    "quadratic": "weights of the features and of their products for each element",
}
_FIT: Final = {
    "forces": "fitted to the forces",
    "laplacian": "fitted to positions and the temperature alone, without forces",
    "gradient": "fitted to the forces by gradient descent",
    "kl": "fitted by relative entropy, with samples of its own dynamics",
}
_RULES: Final = {
    "auto": "the largest ridge within one standard error of the lowest held-out error",
    "evidence": "the ridge of the largest evidence",
    "gcv": "the ridge of the lowest generalised cross-validation",
    "stable": "the ridge that was chosen in short dynamics",
}


def _in_words(options: Options) -> str:
    parts = [_WEIGHTS[options.head], _FIT[options.method]]
    if options.noisy:
        parts.append(
            "a ridge keeps its forces on displaced frames, which need no labels, near the default's"
        )
        if options.ridge_metric == "weighted noise":
            parts.append("frames with large forces count less there")
    elif options.ridge == 0:
        parts.append("without a ridge")
    else:
        rule = options.ridge if isinstance(options.ridge, str) else ""
        parts.append(_RULES.get(rule, f"a ridge of {options.ridge} of the largest eigenvalue"))
    if options.label_displaced:
        parts.append(f"with labels of {options.label_displaced} displaced frames")
    if options.label_dynamics:
        parts.append(f"with labels of {options.label_dynamics} frames of its own dynamics")
    return "; ".join(parts)


def in_short(found: Findings) -> list[str]:
    """The answer to the primary question, what the other heads do, what it costs; a sentence each.

    Empty without a primary question that has an answer.
    """
    if found.primary is None:
        return []
    question, condition = found.primary.question, found.primary.condition
    others = [one for one in found.of(condition) if one.second != question.head]
    said = [primary_lines(found.primary)[0], _others(others)]
    return [one for one in (*said, _price(found, question.head, condition)) if one]


def elsewhere(title: str, found: Findings) -> str:
    """The answer of another study to its primary question, in a sentence; "" without one."""
    one = found.primary
    if one is None:
        return ""
    others = [
        f"{other.second} {other.survivors.scaled(100.0).text(sign=True)}"
        for other in found.of(one.condition)
        if other.second != one.question.head and other.survival_sign
    ]
    rest = f"; significant there too: {', '.join(others)}" if others else ""
    return (
        f"The same asked elsewhere ({title}): “{one.question.head}” changes the share of survivors "
        f"by {one.change.scaled(100.0).text(sign=True, unit='points')}, mean over {one.models} "
        f"models ({p_value(Tested(one.signed_rank))}){rest}."
    )


def _others(others: Sequence[Comparison]) -> str:
    """How many of the others' trajectories survive, the most helpful head first."""
    ranked = sorted(others, key=lambda one: -(one.survivors.value or 0.0))
    parts = [
        f"{one.second} {one.survivors.scaled(100.0).text(sign=True)}"
        f"{'' if one.survival_sign else ' (not significant)'}"
        for one in ranked
    ]
    if not parts:
        return ""
    return (
        f"Of the other heads, by the same measure against {others[0].first} and corrected for one "
        f"another: {'; '.join(parts)} points."
    )


def _price(found: Findings, head: str, condition: Condition) -> str:
    """Force error, seconds and where the survivors are, of one head."""
    parts = [
        f"the force RMSE on frames that no model has seen is ×{one.change.text()} that of default"
        for one in found.force_errors
        if one.head == head
    ]
    seconds = found.seconds
    if {"training", f"re-fit {head}"} <= set(seconds):
        parts.append(
            f"the re-fit takes {duration(seconds[f're-fit {head}'])} beside "
            f"{duration(seconds['training'])} of training (medians)"
        )
    energies = found.survivor_energies.get(condition)
    if energies is not None and head in energies.index:
        judged, middle, most, far = energies.loc[head]
        parts.append(
            f"by the potential that labelled the data the last frames of {judged:,.0f} survivors "
            f"lie {number(middle, '.2g', sign=True)} standard deviations from its mean there (nine "
            f"in ten below {number(most, '.2g', sign=True)}, {far:,.0f} beyond +{FAR:g})"
        )
    return f"With “{head}” {'; '.join(parts)}." if parts else ""


def answer(found: Findings) -> str:
    """Does the re-fit help? In one sentence."""
    if not found.comparisons:
        return "Nothing can be said yet: no model has dynamics of the default and a re-fitted head."
    if all(one.verdict == "too few models" for one in found.comparisons):
        return "Too few models to tell."
    good = {one.second for one in found.comparisons if one.verdict in _GOOD}
    bad = {one.second for one in found.comparisons if one.verdict in (*_BAD, "mixed")}
    if good - bad:
        return f"Yes, with {joined(head for head in found.heads if head in good - bad)}."
    if good:
        return "It depends: what helps under one condition does harm under another."
    if bad:
        return "No: no re-fit was found to help, and some do harm."
    return "No effect could be shown, neither good nor bad."


def grounds(found: Findings) -> list[str]:
    """What the answer rests on: which head did what, and on how much."""
    if not found.comparisons:
        return []
    models = max(one.models for one in found.comparisons)
    pairs = sum(one.pairs for one in found.comparisons)
    said = []
    for verdict, words in VERDICTS.items():
        which = [one for one in found.comparisons if one.verdict == verdict]
        if which:
            every = len(which) == len(found.comparisons)
            names = "all re-fits, everywhere" if every else _named(which)
            said.append(f"{words[0].upper()}{words[1:]}: {names}.")
    return [
        *said,
        *_bounds(found.comparisons),
        *_leanings(found.comparisons),
        *_these_models(found.comparisons),
        f"This rests on {models} models and {pairs:,} pairs of trajectories; every claim is tested "
        "over models and corrected for the others.",
    ]


def headline(found: Findings) -> str:
    """The answer and its grounds in one paragraph, the good and the bad alike."""
    first = (
        [*in_short(found), *primary_lines(found.primary)[1:], SECONDARY] if found.primary else []
    )
    return " ".join([*first, answer(found), *grounds(found)])


def _bounds(comparisons: Sequence[Comparison]) -> list[str]:
    """Which effects the intervals do not exclude."""
    known = [one for one in comparisons if one.survivors.low is not None]
    if not known:
        return []
    least = min(known, key=lambda one: one.survivors.low or 0.0)
    most = max(known, key=lambda one: one.survivors.high or 0.0)
    low, high = (100.0 * (x or 0.0) for x in (least.survivors.low, most.survivors.high))
    return [
        "The 95 % intervals of the change in the share of survivors reach from "
        f"{number(low, sign=True)} points ({least.second}, {least.condition.temperature:g} K) to "
        f"{number(high, sign=True)} "
        f"({most.second}, {most.condition.temperature:g} K)."
    ]


def _leanings(comparisons: Sequence[Comparison]) -> list[str]:
    """Where an interval excludes zero and the corrected test does not agree."""
    found = []
    for sign, words in ((1, "more"), (-1, "fewer")):
        which = [one for one in comparisons if not one.survival_sign and one.survivors.sign == sign]
        if which:
            found.append(
                f"Leaning: {words} survivors by an interval that excludes zero, but not by the "
                f"corrected test: {_named(which)}."
            )
    return found


def _these_models(comparisons: Sequence[Comparison]) -> list[str]:
    """What the log-rank test says, which holds for these models only."""
    found = []
    for longer in (True, False):
        which = [
            one
            for one in comparisons
            if one.logrank.significant
            and not one.survival_sign
            and ((one.time_to_failure.value or 0.0) > 0) == longer
        ]
        if which:
            found.append(
                f"These very models, which is no claim about others, survive "
                f"{'longer' if longer else 'shorter'} with {_named(which)} (log-rank test "
                "stratified by model, corrected)."
            )
    return found


def _named(comparisons: Sequence[Comparison]) -> str:
    """The heads of comparisons, each with its temperatures."""
    where: dict[str, list[str]] = {}
    for one in comparisons:
        where.setdefault(one.second, []).append(f"{one.condition.temperature:g} K")
    return "; ".join(f"{head} ({joined(temperatures)})" for head, temperatures in where.items())


def pairs_caption(condition: Condition | None) -> str:
    """What the figures of failures in pairs show."""
    return (
        f"At {condition}, the share of every model's trajectories that fail with the default head "
        "and with the other. A line stands for the models with these two shares, the wider the "
        "more; red ones rise. Diamonds are means over models."
    )


def association_sentences(found: Sequence[Association]) -> list[str]:
    """The associations that remain after correction; one sentence if there are none."""
    clear = [one for one in found if one.test.significant]
    if not clear:
        asked = sum(one.test.raw is not None for one in found)
        if not asked:
            return ["Too few models to say what the effects go with."]
        return [
            f"None of {asked} rank correlations between the effects and what is known of a model "
            "beforehand remains after correction."
        ]
    return [
        f"{one.head}, {one.condition.temperature:g} K: the {OUTCOMES[one.outcome]} "
        f"{'rises' if (one.rank_correlation.value or 0) > 0 else 'falls'} with the "
        f"{PREDICTORS[one.predictor]} (rank correlation {one.rank_correlation.text()}, "
        f"{p_value(one.test)}, {one.rank_correlation.clusters} models)."
        for one in clear
    ]


def cost_sentence(one: DynamicsCost) -> str:
    """What TARGET ns take on a device."""
    return (
        f"At {one.temperature:g} K on {one.device}, {TARGET:g} ns of one trajectory take "
        f"{duration(one.seconds)} as its share of a batch of {one.batch} (from "
        f"{duration(one.fastest)} for the fastest of {one.models} models to "
        f"{duration(one.slowest)} for the slowest); the whole batch comes to {TARGET:g} ns in "
        f"{duration(one.batch_seconds)}."
    )


def seen_sentence(found: Findings) -> str:
    """The smallest effect on survival that the study could have seen."""
    if not found.seen:
        return "There are too few models to say what effect could have been seen."
    parts = [
        f"{head} at {condition.temperature:g} K {number(100.0 * one.detectable)}"
        for (head, condition), one in found.seen.items()
    ]
    alpha = next(iter(found.seen.values())).alpha
    return (
        "True differences of the share of survivors that this study would have found with 80 % "
        f"probability at p < {alpha:.2g} (0.05 shared among all claims about survival), in points: "
        f"{'; '.join(parts)}. Smaller ones may exist unseen."
    )
