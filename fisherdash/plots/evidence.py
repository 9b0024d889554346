"""What a study found, as tables and as one Markdown document; made of its own tables alone.

The same tables give the same bytes. No result is written here: sentences come from
:mod:`fisherdash.study.words`, which chooses them by the numbers.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Final

import numpy as np
import pandas as pd

from fisherdash.plots.study import Effect
from fisherdash.study import words
from fisherdash.study.spec import parsed
from fisherdash.study.statistics import DEFAULT, Comparison, FailureRate, Findings
from fisherdash.study.statistics.comparison import networks
from fisherdash.study.statistics.effects import OUTCOMES, PREDICTORS, Association, Change, Third
from fisherdash.study.statistics.failures import UNKNOWN
from fisherdash.study.words import p_value
from fisherdash.text import joined, number


def comparison_rows(comparisons: Sequence[Comparison]) -> pd.DataFrame:
    """A row a comparison: survival, drift, both tests, the verdict."""
    return pd.DataFrame(
        [
            {
                "head": one.second,
                "condition": str(one.condition),
                "verdict": one.verdict,
                "models": one.models,
                "pairs": one.pairs,
                f"failed, {one.first}": one.failures[0],
                "failed, this head": one.failures[1],
                "survivors, change (points)": one.survivors.scaled(100.0).text(sign=True),
                "mean time to failure, change (ps)": one.time_to_failure.text(sign=True),
                "survival": p_value(one.survival),
                "log-rank": p_value(one.logrank),
                "|drift|, ratio": one.drift_ratio.text(),
                "|drift|, change (meV/atom/ps)": one.drift_difference.text(sign=True),
                "drift": p_value(one.drift),
                "pairs with drift": one.drift_ratio.n,
                "more survive": one.per_model.more,
                "fewer": one.per_model.fewer,
                "as many": one.per_model.alike,
                "no failure": one.per_model.silent,
                "all failed": one.per_model.lost,
            }
            for one in comparisons
        ]
    )


def rate_rows(rates: Sequence[FailureRate]) -> pd.DataFrame:
    """Failures per ns of every head, whole runs and second halves, and in 100 ns."""
    return pd.DataFrame(
        [
            {
                "head": one.head,
                "condition": str(one.condition),
                "failures": one.failures,
                "simulated (ns)": number(one.simulated),
                "failures per ns": one.rate.text(),
                "in the second half of the run": one.late.text(),
                "failures in 100 ns": one.expected.text(),
            }
            for one in rates
        ]
    )


SHORT: Final[Mapping[Effect, str]] = {
    "survivors": "Change of the surviving share (points)",
    "time to failure": "Change of mean time to failure (ps)",
    "drift": "Ratio of |drift|",
}


def third_rows(thirds: Mapping[str, Sequence[Third]], effect: Effect) -> pd.DataFrame:
    """An effect of each head in thirds of the models, a row a head."""
    rows = []
    for head, parts in thirds.items():
        row = {"head": head}
        for one in parts:
            span = f"{number(one.lowest)} to {number(one.highest)} eV/Å"
            row[f"{one.name}, {one.models} models, {span}"] = _of_third(one, effect)
        rows.append(row)
    return pd.DataFrame(rows)


def _of_third(one: Third, effect: Effect) -> str:
    if effect == "survivors":
        return one.survivors.scaled(100.0).text(sign=True)
    if effect == "drift":
        return one.drift_ratio.text()
    return one.time_to_failure.text(sign=True)


def association_rows(found: Sequence[Association]) -> pd.DataFrame:
    """Rank correlations of the effects with what is known of a model."""
    return pd.DataFrame(
        [
            {
                "head": one.head,
                "condition": str(one.condition),
                "effect": OUTCOMES[one.outcome],
                "against": PREDICTORS[one.predictor],
                "rank correlation": one.rank_correlation.text(sign=True),
                "test": p_value(one.test),
                "models": one.rank_correlation.clusters,
            }
            for one in found
        ]
    )


def change_rows(changes: Sequence[Change]) -> pd.DataFrame:
    """Errors, structure and sharpness with a re-fitted head."""
    return pd.DataFrame(
        [
            {
                "quantity": one.quantity,
                "head": one.head,
                "condition": str(one.condition) if one.condition else "",
                "default, median": number(one.default),
                "change": f"{'×' if one.relative else ''}{one.change.text(sign=not one.relative)}",
                "test": p_value(one.test),
                "models": one.change.clusters,
            }
            for one in changes
        ]
    )


_Show = Callable[[str, str], str]
"""From a description and the name of a picture to Markdown, "" where it was not drawn."""


def document(
    found: Findings,
    specification: str,
    command: str,
    folder: str,
    drawn: Collection[str],
    elsewhere: Mapping[str, tuple[Findings, str]] | None = None,
) -> str:
    """The document of a study.

    Args:
      found: its statistics.
      specification: its TOML file.
      command: what makes the document again.
      folder: of the pictures, as the document refers to them.
      drawn: names of the pictures.
      elsewhere: statistics and TOML file of other studies that ask the same question, by the names
        of their folders, whose pictures are "NAME.svg".
    """

    def show(alt: str, name: str) -> str:
        return f"![{alt}]({folder}/{name})" if name in drawn else ""

    title = parsed(specification).get("title", "")
    parts = [
        f"# Evidence: {title}" if title else "# Evidence",
        f"Everything below is made from the tables of the study by `{command}`; do not edit it.",
        "## In short",
        *_in_short(found, show, elsewhere or {}),
        "## The heads",
        "\n".join(
            f"- {name}: {said}." for name, said in words.heads_in_words(specification).items()
        ),
        "## What was run",
        *_what_was_run(found),
        show("How the models learned", "losses.svg"),
        *_effects(found, show),
        *_failures(found),
        *_when(found, show),
        *_rules(found, specification),
        *_remedies(found),
        *_quality(found),
        *_seconds(found),
        *_long_runs(found),
        *_power(found, show),
        *_elsewhere(elsewhere or {}, show),
        "## How to read it",
        _READING,
        "## The specification",
        f"```toml\n{specification.strip()}\n```",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def summary(found: Findings) -> str:
    """The answer in one paragraph, for a README."""
    seen = f" {words.seen_sentence(found)}" if found.comparisons else ""
    return words.headline(found) + seen


def markdown(table: pd.DataFrame) -> str:
    """A table in Markdown; bars in the cells are escaped."""
    rows = [list(table.columns), ["---"] * len(table.columns), *table.to_numpy().tolist()]
    return "\n".join(
        "| " + " | ".join(str(cell).replace("|", "\\|") for cell in row) + " |" for row in rows
    )


def _in_short(
    found: Findings, show: _Show, others: Mapping[str, tuple[Findings, str]]
) -> list[str]:
    """The answer and one figure, then what it rests on."""
    where = found.first_condition
    figure = show(
        f"Failed trajectories of every model at {where}, the default head against each other one",
        "pairs.svg",
    )
    shown = [figure, words.pairs_caption(where)] if figure else []
    if found.primary is None:
        return [words.headline(found), *shown]
    told = [
        words.elsewhere(parsed(text).get("title", name), one)
        for name, (one, text) in others.items()
    ]
    return [
        " ".join(words.in_short(found)),
        " ".join(filter(None, told)),
        *shown,
        " ".join(words.primary_lines(found.primary)[1:]),
        " ".join([words.SECONDARY, words.answer(found), *words.grounds(found)]),
    ]


def _what_was_run(found: Findings) -> list[str]:
    models, whole = found.tables.models, found.whole.models
    if not len(models):
        return ["Nothing is finished yet."]
    error = models["test_force_rmse_eV_per_A"].to_numpy(float)
    data = joined(sorted(set(models["data"].astype(str))))
    extra = len(whole) - len(models)
    size = f"from {models['frames'].min():g} to {models['frames'].max():g} training frames"
    trained = (
        f"{len(models)} models of the recipe “{found.recipe}”, {size} of the data {data}, "
        f"{_range(models['epochs'])} epochs, {_range(models['parameters'])} parameters, "
        f"{int(models['diverged'].sum())} diverged in training. On frames that no model has seen "
        f"the default heads' force RMSE goes from {number(np.nanmin(error))} to "
        f"{number(np.nanmax(error))} eV/Å, median {number(np.nanmedian(error))}."
    )
    others = f" Beside them {extra} models of other recipes, see below." if extra else ""
    runs = found.trajectories
    times = joined(f"{ps:g}" for ps in sorted(set(runs["duration_ps"])))
    replicas = runs.groupby(["model", "head", "temperature_K", "timestep_fs"]).size()
    moved = (
        f"Each with the heads {joined([DEFAULT, *found.heads])}, NVE from the same "
        f"{_range(replicas)} initial states at {joined(map(str, found.conditions))}, for "
        f"{times} ps: {len(runs):,} trajectories, {number(runs['time_to_failure_ps'].sum() / 1e3)} "
        "ns until failure or the end."
        if len(runs)
        else "No dynamics yet."
    )
    kept = found.tables.heads
    same = kept.loc[(kept["kept_default"] == 1).to_numpy(bool), "head"].value_counts()
    chose = [f"{head} for {same[head]}" for head in found.heads if head in same]
    stayed = f"Models whose rule kept the default head: {joined(chose)}." if chose else ""
    return [trained + others, moved, stayed]


def _effects(found: Findings, show: _Show) -> list[str]:
    if not found.comparisons:
        return []
    short = comparison_rows(found.comparisons)
    drift_part = short.loc[
        :, ["head", "condition", "pairs with drift", "|drift|, ratio",
         "|drift|, change (meV/atom/ps)", "drift"]
    ]  # fmt: skip
    models_part = short.loc[
        :, ["head", "condition", "models", "more survive", "fewer", "as many",
         "no failure", "all failed"]
    ]  # fmt: skip
    return [
        "## Does it help, and by how much",
        show("Survivors, with bands over models", "survival.svg"),
        markdown(_survival_part(found)),
        show("Effects with 95 % intervals", "forest.svg"),
        "Drift, on the condition that both of a pair survive:",
        markdown(drift_part),
        "Model by model: of how many more survive than with the default head, fewer, or as many; "
        "where no or all replicas fail with both heads, a model cannot show a change:",
        markdown(models_part),
        show("Every member's change of total energy", "drift.svg"),
    ]


def _survival_part(found: Findings) -> pd.DataFrame:
    return comparison_rows(found.comparisons).loc[
        :, ["head", "condition", "failed, default", "failed, this head",
         "survivors, change (points)", "mean time to failure, change (ps)", "survival", "log-rank",
         "verdict"]
    ]  # fmt: skip


def _failures(found: Findings) -> list[str]:
    if not found.kinds:
        return []
    parts = []
    for condition, kinds in found.kinds.items():
        # What the failures were, unless the study is from before that was written down.
        causes = found.causes[condition]
        known = causes if causes.drop(columns=UNKNOWN, errors="ignore").to_numpy().any() else None
        table = pd.concat([kinds] if known is None else [kinds, known], axis=1)
        parts.append(table.rename_axis("head").reset_index().assign(condition=str(condition)))
    return ["## How trajectories fail", markdown(_joined(parts)), *_survivors(found)]


def _joined(parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    table = pd.concat(parts, ignore_index=True)
    names = ["head", "condition", *[c for c in table.columns if c not in ("head", "condition")]]
    return table.loc[:, names]


def energy_rows(found: Findings) -> pd.DataFrame:
    """Where the survivors are, a row a head and condition; empty where none were judged."""
    parts = [
        table.rename_axis("head").reset_index().assign(condition=str(condition))
        for condition, table in found.survivor_energies.items()
    ]
    if not parts:
        return pd.DataFrame()
    rows = _joined(parts)
    for name in ("median", "90 % below"):
        rows[name] = [number(value, sign=True) for value in rows[name]]
    return rows


def _survivors(found: Findings) -> list[str]:
    rows = energy_rows(found)
    if not len(rows):
        return []
    return [
        "Energy of survivors' last frames by the potential that labelled the data, in standard "
        "deviations of the data from their mean. A head may hold a molecule together in a place "
        "where the reference would never be.",
        markdown(rows),
    ]


def _when(found: Findings, show: _Show) -> list[str]:
    if not found.comparisons:
        return []
    thirds = []
    for condition in found.conditions:
        here = {head: parts for (head, where), parts in found.thirds.items() if where == condition}
        for effect in ("survivors", "drift"):
            thirds.append(f"{SHORT[effect]} at {condition}:")
            thirds.append(markdown(third_rows(here, effect)))
    return [
        "## When does it help, and when does it hurt",
        "\n".join(f"- {one}" for one in words.association_sentences(found.associations)),
        show("Effect of every model against its quality", "quality.svg"),
        "The effect in thirds of the models, ordered by the force error of their default heads:",
        *thirds,
    ]


def _rules(found: Findings, specification: str) -> list[str]:
    if not found.comparisons:
        return []
    heads = parsed(specification).get("heads", {})
    free = [name for name, chosen in heads.items() if chosen.get("method") == "laplacian"]
    said = [f"- {words.sentence(one)}" for one in found.comparisons if one.second in free]
    none = "No re-fit of this study does without forces."
    return [
        "## Which ridge rule is safest",
        words.safest(found),
        "## Without forces, from positions and a temperature alone",
        "\n".join(said) or none,
    ]


def _remedies(found: Findings) -> list[str]:
    if not found.recipes:
        return []
    rows = comparison_rows(found.recipes).assign(remedy=[o.second for o in found.recipes])
    wanted = [
        "remedy", "condition", "models", f"failed, {found.recipe}", "failed, this head",
        "survivors, change (points)", "survival", "|drift|, ratio", "drift", "verdict",
    ]  # fmt: skip
    untestable = sorted({one.models for one in found.recipes if not one.testable})
    few = (
        f" Among so many claims no test over {joined(map(str, untestable))} networks can be "
        "significant, whatever they do: read the counts and the intervals."
        if untestable
        else ""
    )
    return [
        "## Other remedies, and the re-fit on top of them",
        f"Against the default head of the recipe “{found.recipe}”, paired by network.{few} "
        f"Median test force RMSE of the default heads, eV/Å: {_errors_by_recipe(found)}.",
        markdown(rows.loc[:, wanted]),
    ]


def _errors_by_recipe(found: Findings) -> str:
    network = networks(found.whole.models, found.factors)
    models = found.whole.models.assign(network=[network[m] for m in found.whole.models["model"]])
    elsewhere = models.loc[(models["recipe"] != found.recipe).to_numpy(bool), "network"]
    shared = models.loc[models["network"].isin(list(elsewhere)).to_numpy(bool), :]
    middle = shared.groupby("recipe", sort=False)["test_force_rmse_eV_per_A"].median()
    return ", ".join(f"{recipe} {number(float(error))}" for recipe, error in middle.items())


def _quality(found: Findings) -> list[str]:
    changes = [*found.force_errors, *found.structure, *found.sharpness]
    if not changes:
        return []
    sharp = [
        f"- {one.head} at {one.condition.temperature:g} K: rank correlation of sharpness with mean "
        f"time to failure {one.rank_correlation.text(sign=True)} ({words.p_value(one.test)})."
        for one in found.sharpness_and_failure
    ]
    return [
        "## Errors, structure, sharpness",
        "Force errors are those of frames that no model has seen. A ratio is a geometric mean over "
        "models.",
        markdown(change_rows(changes)),
        *(["Do sharper models fail sooner?", "\n".join(sharp)] if sharp else []),
    ]


def _seconds(found: Findings) -> list[str]:
    rows = [{"stage": stage, "median (s)": number(s)} for stage, s in found.seconds.items()]
    if not rows:
        return []
    return [
        "## What it costs",
        "Seconds of a model's training, re-fits and dynamics, medians over models on the machine "
        "that did the study.",
        markdown(pd.DataFrame(rows)),
    ]


def _long_runs(found: Findings) -> list[str]:
    if not found.rates:
        return []
    gpu = any("cpu" not in one.device.lower() for one in found.costs)
    return [
        "## Toward 100 ns",
        "\n".join(f"- {words.cost_sentence(one)}" for one in found.costs),
        "" if gpu else "No GPU was measured, and a CPU's time says nothing about one's.",
        markdown(rate_rows(found.rates)),
        "These failures go on with the rate of the runs' second half as if it never changed, over "
        "four orders of magnitude in time. That is an assumption.",
    ]


def _power(found: Findings, show: _Show) -> list[str]:
    if not found.comparisons:
        return []
    return [
        "## What could have been seen",
        words.seen_sentence(found),
        show("Models needed for 80 % power", "power.svg"),
    ]


def _elsewhere(others: Mapping[str, tuple[Findings, str]], show: _Show) -> list[str]:
    """The answers of other studies, each with its figure and its table."""
    parts = ["## The same question elsewhere"] if others else []
    for name, (found, specification) in others.items():
        title = parsed(specification).get("title", name)
        alt = (
            f"{title}: failed trajectories of every model, the default head against each other one"
        )
        parts += [
            f"### {title}",
            " ".join(words.in_short(found)) or words.headline(found),
            show(alt, f"{name}.svg"),
            *_what_was_run(found),
            " ".join(words.primary_lines(found.primary)[1:]) if found.primary else "",
            markdown(_survival_part(found)),
        ]
    return parts


_READING: Final = """\
- The model is the unit. Intervals (95 %, in brackets) draw models, then replicas, with the
  correction that counts the replicas' noise once; tests are signed-rank over models.
- p-values are corrected after Holm: the surviving share of all heads and conditions is one family,
  drift another. The log-rank test, stratified by model, holds for these models only.
- A pair is one model and one initial state. A failure is a result: survival is read first, and a
  smaller drift of the survivors is no improvement where fewer survive.
- Limits: what was run above is all there is. Another molecule, another network, another temperature
  or a longer run may behave otherwise."""


def _range(values: Iterable[float]) -> str:
    found = np.array(list(values), float)
    found = found[np.isfinite(found)]
    low, high = (f"{found.min():,.0f}", f"{found.max():,.0f}") if len(found) else ("–", "–")
    return low if low == high else f"{low} to {high}"
