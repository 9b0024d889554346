"""The figures of a population as SVG pictures for documents."""

from collections.abc import Sequence
from itertools import chain

from fisherdash.plots.chart import Chart, layout_of
from fisherdash.plots.static import one_browser, picture
from fisherdash.plots.study import (
    drift_figures,
    forest_figure,
    looks,
    losses_figures,
    paired_figures,
    power_figure,
    quality_figure,
    survival_figure,
)
from fisherdash.study.statistics import Condition, Findings


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
            words = f"{head}, {condition.temperature:g} K<br>{rest}"
            made.update_layout(title={"text": words, "pad": {"t": 22}}, margin_t=60)
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
    where = found.primary.condition if found.primary else found.conditions[0]
    paired = paired_figures(found.pairs_at(where), looks(found.heads))
    return picture(paired, min(4, len(paired)))


def _named(charts: Sequence[Chart], conditions: Sequence[Condition]) -> Sequence[Chart]:
    """The charts, each under the name of its condition."""
    for made, condition in zip(charts, conditions, strict=True):
        made.update_layout(title=str(condition), margin_t=70)
    return charts
