"""What the statistics of a population say, in sentences that follow from the numbers.

No result stands in this file: every sentence is chosen and filled by what was found, and says so
where nothing was.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from fisherdash.study.statistics import VERDICTS, Comparison, Estimate, Findings, Tested
from fisherdash.study.statistics.quality import TARGET, Cost, Expected
from fisherdash.study.statistics.when import OUTCOMES, PREDICTORS, Association

_GOOD: Final = ("helps", "steadier survivors")
_BAD: Final = ("harms", "calmer but fewer live")
_DAY: Final = 86_400.0


def digits(value: float | None, sign: bool = False) -> str:
    """Three significant digits, a dash for nothing.

    >>> digits(0.12345), digits(-2.0, sign=True), digits(None), digits(1234.5)
    ('0.123', '−2', '–', '1230')
    """
    if value is None:
        return "–"
    plain = f"{value:.3g}"
    if "e" in plain and abs(value) >= 1:
        plain = f"{float(plain):.0f}"
    plain = plain.replace("-", "−")
    return f"+{plain}" if sign and value > 0 else plain


def interval(found: Estimate, sign: bool = False) -> str:
    """A number with its 95 % interval.

    >>> interval(Estimate(1.5, 1.0, 2.25, 9, 90), sign=True)
    '+1.5 [+1, +2.25]'
    """
    if found.low is None or found.high is None:
        return digits(found.value, sign)
    return f"{digits(found.value, sign)} [{digits(found.low, sign)}, {digits(found.high, sign)}]"


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


def joined(names: Iterable[str]) -> str:
    """Names as people list them.

    >>> joined(["a", "b", "c"]), joined(["a"]), joined([])
    ('a, b and c', 'a', 'none')
    """
    words = list(names)
    if len(words) < 2:
        return words[0] if words else "none"
    return f"{', '.join(words[:-1])} and {words[-1]}"


def sentence(one: Comparison) -> str:
    """One comparison: the verdict and what it rests on."""
    points = one.survivors.map(lambda share: 100.0 * share)
    drift = (
        f"where both survive ({one.drift_ratio.pairs:,} pairs of {one.drift_ratio.models} models) "
        f"|drift| is ×{interval(one.drift_ratio)} ({p_value(one.drift)})"
        if one.drift_ratio.value is not None
        else "no pair survives on both sides, so there is no drift to compare"
    )
    return (
        f"{one.second} at {one.condition.temperature:g} K: {VERDICTS[one.verdict]}. Against "
        f"{one.first}, over {one.models} models and {one.pairs:,} pairs, {one.deaths[1]:,} "
        f"trajectories die instead of {one.deaths[0]:,}; the share alive after "
        f"{one.horizon:g} ps changes by {interval(points, sign=True)} points, the mean lifetime by "
        f"{interval(one.life, sign=True)} ps ({p_value(one.survival)}); {drift}."
    )


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
    return [
        *_groups(found.comparisons),
        *_bounds(found.comparisons),
        *_leanings(found.comparisons),
        *_these_models(found.comparisons),
        f"This rests on {models} models and {pairs:,} pairs of trajectories; every claim is tested "
        "over models and corrected for the others.",
    ]


def headline(found: Findings) -> str:
    """The answer and its grounds in one paragraph, the good and the bad alike."""
    return " ".join([answer(found), *grounds(found)])


def _groups(comparisons: Sequence[Comparison]) -> list[str]:
    """What is said of which heads, the conditions named."""
    found = []
    for verdict, words in VERDICTS.items():
        which = [one for one in comparisons if one.verdict == verdict]
        if which:
            names = _named(which) if len(which) < len(comparisons) else "all re-fits, everywhere"
            found.append(f"{words[0].upper()}{words[1:]}: {names}.")
    return found


def _bounds(comparisons: Sequence[Comparison]) -> list[str]:
    """What the intervals leave room for."""
    known = [one for one in comparisons if one.survivors.low is not None]
    if not known:
        return []
    least = min(known, key=lambda one: one.survivors.low or 0.0)
    most = max(known, key=lambda one: one.survivors.high or 0.0)
    low, high = (100.0 * (x or 0.0) for x in (least.survivors.low, most.survivors.high))
    return [
        f"The 95 % intervals of the change in the share alive reach from {digits(low, sign=True)} "
        f"points ({least.second}, {least.condition.temperature:g} K) to {digits(high, sign=True)} "
        f"({most.second}, {most.condition.temperature:g} K)."
    ]


def _leanings(comparisons: Sequence[Comparison]) -> list[str]:
    """Where an interval excludes zero and the corrected test does not agree."""
    found = []
    for sign, words in ((1, "more"), (-1, "fewer")):
        which = [one for one in comparisons if not one.survival_sign and one.survivors.sign == sign]
        if which:
            found.append(
                f"Leaning: {words} alive by an interval that excludes zero, but not by the "
                f"corrected test: {_named(which)}."
            )
    return found


def _these_models(comparisons: Sequence[Comparison]) -> list[str]:
    """What the log-rank test adds, which does not speak of other models."""
    found = []
    for longer in (True, False):
        which = [
            one
            for one in comparisons
            if one.logrank.significant
            and not one.survival_sign
            and ((one.life.value or 0.0) > 0) == longer
        ]
        if which:
            found.append(
                f"These very models, which is no claim about others, live "
                f"{'longer' if longer else 'shorter'} with {_named(which)} (log-rank test "
                "stratified by model, corrected)."
            )
    return found


def _named(comparisons: Sequence[Comparison]) -> str:
    """The heads of comparisons, each with its temperatures."""
    where: dict[str, list[str]] = {}
    for one in comparisons:
        where.setdefault(one.second, []).append(f"{one.condition.temperature:g} K")
    return "; ".join(f"{head} ({joined(kelvins)})" for head, kelvins in where.items())


def safest(found: Findings) -> str:
    """Which re-fit promises the least harm to survival: the best lower end of an interval."""
    worst: dict[str, float] = {}
    for one in found.comparisons:
        if one.survivors.low is not None:
            worst[one.second] = min(worst.get(one.second, 1.0), one.survivors.low)
    if not worst:
        return "Too few models to say which rule is safest."
    ranked = sorted(worst, key=lambda head: -worst[head])
    listed = "; ".join(f"{head} {digits(100.0 * worst[head], sign=True)}" for head in ranked)
    return (
        f"Safest is {ranked[0]}: of all re-fits it has the best worst case. Lower end of the 95 % "
        f"interval of the change in the share alive, in points, under its worst condition: "
        f"{listed}. The default head, by definition, has 0."
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
        f"{PREDICTORS[one.predictor]} (rank correlation {interval(one.rank_correlation)}, "
        f"{p_value(one.test)}, {one.rank_correlation.models} models)."
        for one in clear
    ]


def duration(seconds: float) -> str:
    """Seconds as people say them.

    >>> duration(30), duration(7200), duration(200_000), duration(1e8)
    ('30 s', '2 h', '2.3 days', '3.2 years')
    """
    for unit, length in (("years", 365.25 * _DAY), ("days", _DAY), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 1.5 * length:
            return f"{seconds / length:.2g} {unit}"
    return f"{seconds:.2g} s"


def cost_sentence(one: Cost) -> str:
    """What TARGET ns take on a device."""
    return (
        f"At {one.temperature:g} K on {one.device}, {TARGET:g} ns of one trajectory take "
        f"{duration(one.seconds)} as its share of a batch of {one.batch} (from "
        f"{duration(one.fastest)} for the fastest of {one.models} models to "
        f"{duration(one.slowest)} for the slowest); the whole batch comes to {TARGET:g} ns in "
        f"{duration(one.batch_seconds)}."
    )


def expected_sentence(one: Expected) -> str:
    """How often a head would fail on the way."""
    where = f"{one.head} at {one.condition.temperature:g} K"
    if one.failures.value is None:
        return f"{where}: nobody lived to the second half of a run, so there is no rate to go on."
    if one.failures.value == 0:
        return (
            f"{where}: nobody died in the second half of a run, which leaves up to "
            f"{digits(one.failures.high)} failures in {TARGET:g} ns (95 %)."
        )
    return f"{where}: {interval(one.failures)} failures in {TARGET:g} ns."


def seen_sentence(found: Findings) -> str:
    """The smallest effect on survival that the study could have seen."""
    known = [one for one in found.seen if one.survivors is not None]
    if not known:
        return "There are too few models to say what effect could have been seen."
    parts = [
        f"{one.head} at {one.condition.temperature:g} K {digits(100.0 * one.survivors.detectable)}"
        for one in known
        if one.survivors is not None
    ]
    alpha = known[0].survivors.alpha if known[0].survivors else 0.0
    return (
        "True differences of the share alive that this study would have found with 80 % "
        f"probability at p < {alpha:.2g} (0.05 shared among all claims), in points: "
        f"{'; '.join(parts)}. Smaller ones may exist unseen."
    )
