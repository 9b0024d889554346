"""The evidence document of studies, from their stored tables: the same bytes every time.

python tools/evidence.py STUDY [OTHER ...]                   docs/evidence.md and its pictures
python tools/evidence.py STUDY [OTHER ...] --out FILE        another document
python tools/evidence.py STUDY --summary                     the paragraph for the README

The first study is told in full, the others, which ask the same question, by their answers. The same
tables give the same bytes. No result is written here: sentences come from
:mod:`fisherdash.study.words`, which chooses them by the numbers.
"""

import argparse
import shlex
import sys
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Final

MAIN = "evidence.md"
ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402

from fisherdash.plots.chart import Chart, layout_of, one_browser, picture  # noqa: E402
from fisherdash.plots.evidence import (  # noqa: E402
    SHORT,
    change_rows,
    comparison_rows,
    rate_rows,
    third_rows,
)
from fisherdash.plots.study import (  # noqa: E402
    drift_figures,
    forest_figure,
    looks,
    losses_figures,
    paired_figures,
    power_figure,
    quality_figure,
    survival_figure,
)
from fisherdash.study import words  # noqa: E402
from fisherdash.study.spec import parsed, registered  # noqa: E402
from fisherdash.study.statistics import DEFAULT, Condition, Findings  # noqa: E402
from fisherdash.study.statistics.comparison import networks  # noqa: E402
from fisherdash.study.statistics.failures import UNKNOWN  # noqa: E402
from fisherdash.study.tables import read_tables  # noqa: E402
from fisherdash.text import joined, number  # noqa: E402

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
    return ["## How trajectories fail", markdown(_stacked(parts)), *_survivors(found)]


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
        safest(found),
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


@one_browser()
def all_pictures(found: Findings) -> dict[str, str]:
    """Every picture that the findings have something for, by file name."""
    drawn: dict[str, str] = {}
    if len(found.whole.losses):
        losses = losses_figures(found.whole.losses, found.tables.models)
        drawn["losses.svg"] = picture(losses, min(3, len(losses)))
    if not found.comparisons:
        return drawn
    styles, conditions = looks(found.heads), found.conditions
    curves, runs = found.tables.curves, found.trajectories
    drawn["pairs.svg"] = pairs_picture(found)
    survivals = [survival_figure(found.survivals[one], styles) for one in conditions]
    drawn["survival.svg"] = picture(_named(survivals, conditions), len(conditions))
    forests = [forest_figure(found.comparisons, one, styles) for one in ("survivors", "drift")]
    drawn["forest.svg"] = picture(forests)
    drifts = [drift_figures(curves, runs, one, styles) for one in conditions]
    for condition, row in zip(conditions, drifts, strict=True):
        for made in row:
            head, rest = layout_of(made)["title"]["text"].split(": ", 1)
            said = f"{head}, {condition.temperature:g} K<br>{rest}"
            made.update_layout(title={"text": said, "pad": {"t": 22}}, margin_t=60)
    drawn["drift.svg"] = picture([*chain(*drifts)], len(drifts[0]), width=260 * len(drifts[0]))
    qualities = [
        quality_figure(found.effects_at(one), found.default_errors, "survivors", styles)
        for one in conditions
    ]
    drawn["quality.svg"] = picture(_named(qualities, conditions), len(conditions))
    if hottest := found.seen_at(conditions[-1]):
        drawn["power.svg"] = picture([power_figure(hottest, styles)], width=560)
    return drawn


def pairs_picture(found: Findings) -> str:
    """Failures of every model in pairs, under the condition of the primary question."""
    where = found.first_condition
    paired = paired_figures(found.pairs_at(where), looks(found.heads)) if where else []
    return picture(paired, min(4, len(paired)))


def _named(charts: Sequence[Chart], conditions: Sequence[Condition]) -> Sequence[Chart]:
    """The charts, each under the name of its condition."""
    for made, condition in zip(charts, conditions, strict=True):
        made.update_layout(title=str(condition), margin_t=70)
    return charts


def safest(found: Findings) -> str:
    """Which re-fit promises the least harm to survival: the best lower end of an interval."""
    worst: dict[str, float] = {}
    for one in found.comparisons:
        if one.survivors.low is not None:
            worst[one.second] = min(worst.get(one.second, 1.0), one.survivors.low)
    if not worst:
        return "Too few models to say which rule is safest."
    ranked = sorted(worst, key=lambda head: -worst[head])
    listed = "; ".join(f"{head} {number(100.0 * worst[head], sign=True)}" for head in ranked)
    return (
        f"Safest is {ranked[0]}: of all re-fits it has the best worst case. Lower end of the 95 % "
        f"interval of the change in the share of survivors, in points, under its worst condition: "
        f"{listed}. The default head, by definition, has 0."
    )


def _stacked(parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
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
    rows = _stacked(parts)
    for name in ("median", "90 % below"):
        rows[name] = [number(value, sign=True) for value in rows[name]]
    return rows


def findings_of(study: Path) -> tuple[Findings, str]:
    """The statistics of a study's stored tables, and its specification."""
    specification = (study / "study.toml").read_text(encoding="utf-8")
    tables = read_tables(study / "tables")
    return Findings(tables, specification, asked=registered(study)), specification


def write(studies: Sequence[Path], out: Path) -> None:
    """The document and, in a folder of its name beside it, the pictures."""
    pictures = out.with_suffix("")
    command = shlex.join(["python", "tools/evidence.py", *(f"studies/{s.name}" for s in studies)])
    if out.name != MAIN:
        command += f" --out docs/{out.name}"
    (found, specification), *others = map(findings_of, studies)
    elsewhere = dict(zip((study.name for study in studies[1:]), others, strict=True))
    with one_browser():
        drawn = all_pictures(found)
        drawn |= {f"{name}.svg": pairs_picture(one) for name, (one, _) in elsewhere.items()}
    text = document(found, specification, command, pictures.name, drawn, elsewhere)
    pictures.mkdir(parents=True, exist_ok=True)
    for old in pictures.glob("*.svg"):
        old.unlink()
    for name, drawing in drawn.items():
        (pictures / name).write_text(drawing, encoding="utf-8", newline="\n")
    out.write_text(text, encoding="utf-8", newline="\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the tables, write the document."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "studies", nargs="+", type=Path, help="folders with study.toml and tables/, the main first"
    )
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / MAIN)
    parser.add_argument("--summary", action="store_true", help="print a paragraph, write nothing")
    options = parser.parse_args(arguments)
    studies = [study.resolve() for study in options.studies]
    if options.summary:
        print(summary(findings_of(studies[0])[0]))
    else:
        write(studies, options.out)
        print(f"{options.out} and {options.out.with_suffix('')}/*.svg")
    return 0


if __name__ == "__main__":
    sys.exit(main())
