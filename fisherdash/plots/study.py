"""A population of models: losses, drift, survival, kinds of failure, effects and power.

The published report's figures 5 to 9, with what they leave out: trainings that diverged are marked,
and every trajectory is accounted for, the failed ones too. For documents they are drawn as SVG.
"""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import pandas as pd

from fisherdash.plots.chart import DEFAULT as DEFAULT_LOOK
from fisherdash.plots.chart import (
    FAILED,
    FISHER,
    NEUTRAL,
    OTHERS,
    Chart,
    SeriesStyle,
    axis,
    chart,
    curves,
    described,
    guide,
    limits,
    line,
    panels,
    see_through,
)
from fisherdash.plots.training import TRAIN, VALID
from fisherdash.statistics import Estimate
from fisherdash.study.statistics import DEFAULT, KINDS, Comparison, Condition
from fisherdash.study.statistics.comparison import Paired, Power, model_means, models_needed
from fisherdash.study.statistics.failures import SurvivalCurve

KIND_COLOURS = (FAILED, "#c4650f", "#a68a00", NEUTRAL)
"""Of the kinds of failure, the worst first; the last one is steady."""

_APART = (0, 1, 3, 4, 5, 2)
"""Which of the other styles come first: ochre, beside the orange of the first re-fit, last."""


def looks(heads: Sequence[str]) -> dict[str, SeriesStyle]:
    """A style for the default head and every re-fit, in their order."""
    order = [DEFAULT_LOOK, FISHER, *(OTHERS[k] for k in _APART)]
    return {head: order[k % len(order)] for k, head in enumerate([DEFAULT, *heads])}


LOSSES = (
    ("train_loss_eV2", "training", TRAIN),
    ("valid_loss_eV2", "validation", VALID),
)


def losses_figures(losses: pd.DataFrame, models: pd.DataFrame) -> list[Chart]:
    """Training and validation losses, a figure for each number of training frames.

    Base-ten logarithms of eV², the same limits everywhere. A training that diverged is red.
    """
    values = losses[["train_loss_eV2", "valid_loss_eV2"]].to_numpy(float)
    positive = np.log10(values[values > 0])
    reach = limits(positive, robust=True) or (-1.0, 1.0)
    found = []
    for frames, group in models.groupby("frames", sort=True):
        rows = losses.loc[losses["model"].isin(list(group["model"])).to_numpy(bool), :]
        if len(rows):
            found.append(_losses(int(float(str(frames))), group, rows, reach))
    return found


def drift_figures(
    curves: pd.DataFrame,
    trajectories: pd.DataFrame,
    condition: Condition,
    looks: Mapping[str, SeriesStyle],
) -> list[Chart]:
    """Change of total energy of every member, a figure a head, all with the same axes.

    A line is the median over a member's surviving replicas and ends in a cross where the last
    one failed. Below, the share of all trajectories that survive.
    """
    here = condition.of(curves)
    middle = here["median_meV_per_atom"].to_numpy(float)
    reach = limits(np.append(middle, 0.0), robust=True) or (-1.0, 1.0)
    runs = condition.of(trajectories)
    return [
        _drift(head, condition.of(curves, head), condition.of(runs, head), reach, style)
        for head, style in looks.items()
        if len(condition.of(curves, head))
    ]


MOST_DRAWN = 4000
"""Points of all curves of a head together; with more, every second or third is left out."""


def _losses(
    frames: int, models: pd.DataFrame, rows: pd.DataFrame, reach: tuple[float, float]
) -> Chart:
    diverged = set(models.loc[(models["diverged"] == 1).to_numpy(bool), "model"])
    traces = []
    for column, name, style in LOSSES:
        wide = rows.pivot(index="epoch", columns="model", values=column).astype(float)
        logs = wide.where(wide > 0).transform("log10")
        bad = logs.columns.isin(list(diverged))
        for label, look, members in (
            (name, style, logs.loc[:, ~bad]),
            ("diverged", SeriesStyle(FAILED, "dot"), logs.loc[:, bad]),
        ):
            if len(members.columns):
                traces.append(_bundle(label, members.dropna(how="all"), look))
    count = len(models)
    title = f"{frames:,} training frames: {count} model{'s' if count != 1 else ''}"
    return chart(
        _named_once(traces),
        f"Losses of {title}, {len(diverged)} diverged",
        x=axis("epoch", rangemode="tozero", tickformat="d"),
        y=axis("log₁₀ loss (eV²)", reach),
        height=280,
        title=f"{title}, {len(diverged)} diverged" if diverged else title,
        hovermode=False,
        margin={"t": 58},
    )


def _bundle(name: str, wide: pd.DataFrame, look: SeriesStyle) -> dict:
    """The columns of a table as one trace of thin lines with gaps between them.

    A row that a column knows nothing of is left out there: models differ in the epochs they kept.
    """
    x, y = [], []
    for values in wide.to_numpy(float).T:
        known = np.isfinite(values)
        x += [*wide.index[known], None]
        y += [*values[known], None]
    # Many dashed lines over each other are blots.
    thin = {
        "line": look.line | {"width": 1.1, "dash": "solid"}, "opacity": 0.6, "hoverinfo": "skip",
    }  # fmt: skip
    return line(name, np.array(x, object), np.array(y, object), look, **thin)


def _named_once(traces: Sequence[dict]) -> list[dict]:
    """Traces of which each name stands in the legend once."""
    seen: set[str] = set()
    found = []
    for one in traces:
        found.append(one | {"legendgroup": one["name"], "showlegend": one["name"] not in seen})
        seen.add(one["name"])
    return found


def _drift(
    head: str,
    curves: pd.DataFrame,
    runs: pd.DataFrame,
    reach: tuple[float, float],
    style: SeriesStyle,
) -> Chart:
    wide = curves.pivot(index="time_ps", columns="model", values="median_meV_per_atom").astype(
        float
    )
    times, values = np.array(wide.index, float), wide.to_numpy()
    ends = _ends(times, values, reach)
    beyond = (values < reach[0]) | (values > reach[1])
    failed, outside = int(runs["failed"].sum()), int(beyond.any(axis=0).sum())
    words = f"{head}: {len(wide.columns)} models, {len(runs) - failed:,} of {len(runs):,} survive"
    made = panels(2, 1, height=340, shared_xaxes=True, row_heights=[0.78, 0.22],
                  vertical_spacing=0.06)  # fmt: skip
    thinned = wide.iloc[:: max(1, wide.size // MOST_DRAWN)]  # of many models no one sees each point
    made.add_trace(_bundle("median", thinned, style), 1, 1)
    crosses = line("all failed", ends[:, 0], ends[:, 1], style, mode="markers", hoverinfo="skip",
                   marker={"symbol": "x-thin-open", "color": NEUTRAL, "size": 8})  # fmt: skip
    made.add_trace(crosses, 1, 1)
    made.add_trace(line("survivors", times, surviving_share(runs, times), style), 2, 1)
    made.update_yaxes(axis("ΔE (meV/atom)", reach), row=1, col=1)
    made.update_yaxes(axis("survivors (%)", (0, 105), dtick=100), row=2, col=1)
    made.update_xaxes(range=[0, float(times[-1]) or 1.0])
    made.update_xaxes(title_text="time (ps)", row=2, col=1)
    made.update_layout(title=words, showlegend=False, hovermode=False)
    lost = f"{outside} members leave the frame, {len(ends)} have no survivor"
    return described(made, f"{words}, {failed:,} failed; {lost}")


def _ends(times: np.ndarray, values: np.ndarray, reach: tuple[float, float]) -> np.ndarray:
    """Where the curves (T, M) end before the last time: time and value within ``reach``, (E, 2)."""
    last = [np.flatnonzero(np.isfinite(one))[-1:] for one in values.T]
    ends = [
        (times[place[0]], np.clip(one[place[0]], *reach))
        for one, place in zip(values.T, last, strict=True)
        if len(place) and place[0] < len(one) - 1
    ]
    return np.array(ends, float).reshape(-1, 2)


def surviving_share(runs: pd.DataFrame, times: np.ndarray) -> np.ndarray:
    """Per cent of trajectories that survive at these times (ps)."""
    failed = runs["failed"].to_numpy(float) == 1
    ends = np.where(failed, runs["time_to_failure_ps"].to_numpy(float), np.inf)
    return 100.0 * (ends[:, None] > times).mean(axis=0) if len(ends) else np.zeros(len(times))


def paired_figures(pairs: Mapping[str, Paired], looks: Mapping[str, SeriesStyle]) -> list[Chart]:
    """Failures of every model with the default head and with another, a figure a head.

    Models with the same two shares are one line, the wider the more they are; a line that falls has
    the colour of the head, one that rises that of failures, a level one has dots. The diamonds are
    means over models.

    Args: pairs: of each head with the default one, under one condition; looks: of the heads.
    """
    return [_paired(head, of_head, looks[head]) for head, of_head in pairs.items()]


def _paired(head: str, pairs: Paired, style: SeriesStyle) -> Chart:
    known = np.isfinite(pairs.failed[0]).any(axis=1)
    share = np.stack([100.0 * model_means(side[known]) for side in pairs.failed], axis=1)
    kinds, counts = np.unique(np.round(share, 6), axis=0, return_counts=True)
    sides = np.array([DEFAULT, "re-fit"], object)
    lines = [
        line(
            "models", sides, ends, style, mode="lines", opacity=0.55,
            line=_of_change(ends, style) | {"width": 0.7 + 9.0 * count / counts.max()},
            hovertemplate=f"{count} model{'s' if count != 1 else ''}: {ends[0]:.3g} → "
            f"{ends[1]:.3g} % failed<extra></extra>",
        )
        for ends, count in zip(kinds, counts, strict=True)
    ]  # fmt: skip
    mean = share.mean(axis=0)
    marked = line(
        "mean", sides, mean, DEFAULT_LOOK, mode="markers", hovertemplate="mean %{y:.3g} %",
        marker={"symbol": "diamond", "size": 10, "color": [DEFAULT_LOOK.colour, style.colour]},
    )  # fmt: skip
    failed = np.nansum(pairs.failed, axis=(1, 2)).astype(int)
    words = f"{failed[0]:,} → {failed[1]:,} of {pairs.count:,}"
    better, worse = int((share[:, 1] < share[:, 0]).sum()), int((share[:, 1] > share[:, 0]).sum())
    return chart(
        [*lines, marked],
        f"Failed trajectories, {DEFAULT} against {head}: {words}; fewer in {better} models, more "
        f"in {worse}, as many in {len(share) - better - worse}",
        pd.DataFrame({"models": counts, f"{DEFAULT} (%)": kinds[:, 0], f"{head} (%)": kinds[:, 1]}),
        x=axis(range=[-0.25, 1.25]),
        y=axis("failed (%)", (-4, 104), dtick=25),
        height=290,
        title={"text": f"{head}<br>{words}", "pad": {"t": 22}},
        showlegend=False,
        hovermode="closest",
        margin={"t": 64, "l": 56, "r": 8},
    )


def _of_change(ends: np.ndarray, style: SeriesStyle) -> dict[str, str]:
    if ends[0] == ends[1]:
        return {"color": NEUTRAL, "dash": "dot"}
    return {"color": style.colour if ends[1] < ends[0] else FAILED}


POINTS = 201


def on_grid(curve: SurvivalCurve, times: np.ndarray) -> np.ndarray:
    """Share of survivors, its lower and its upper bound in per cent at these times: (3, times)."""
    place = np.searchsorted(curve.times, times, side="right") - 1
    return 100.0 * np.stack([curve.fraction, curve.low, curve.high])[:, np.maximum(place, 0)]


def survival_figure(found: Sequence[SurvivalCurve], looks: Mapping[str, SeriesStyle]) -> Chart:
    """Share of all trajectories that survive, one curve a head with its 95 % band over models."""
    end = max((float(curve.times[-1]) for curve in found), default=0.0) or 1.0
    times = np.linspace(0.0, end, POINTS)
    table, traces = {"time (ps)": times}, []
    for curve in found:
        share, low, high = on_grid(curve, times)
        name, style = curve.name, looks[curve.name]
        table |= {f"{name} (%)": share, f"{name}, low": low, f"{name}, high": high}
        if np.isfinite(low).all():
            traces += band(name, times, low, high, style)
        traces.append(line(name, times, share, style, hovertemplate="%{y:.3g} %"))
    words = "; ".join(f"{c.name}: {c.replicas - c.failures} of {c.replicas}" for c in found)
    return chart(
        traces,
        f"Survivors at the end. {words}.",
        pd.DataFrame(table),
        x=axis("time (ps)", (0, end)),
        y=axis("survivors (%)", (0, 102)),
    )


def band(
    name: str, x: np.ndarray, low: np.ndarray, high: np.ndarray, style: SeriesStyle
) -> list[dict]:
    """What lies between two curves, in the colour of the head and not in the legend."""
    unseen = {"line": {"width": 0}, "showlegend": False, "hoverinfo": "skip", "legendgroup": name}
    fill = {"fill": "tonexty", "fillcolor": see_through(style.colour, 0.14)}
    return [line(name, x, low, style, **unseen), line(name, x, high, style, **unseen, **fill)]


def kinds_figure(counts: pd.DataFrame) -> Chart:
    """How the trajectories of each head ended, in per cent; all of them.

    Args: counts: heads × kinds, of :func:`fisherdash.study.statistics.failures.count_kinds`.
    """
    share = 100.0 * counts.div(counts.sum(axis=1), axis=0)
    bars = [
        {
            "type": "bar",
            "orientation": "h",
            "name": kind,
            "x": share[kind].to_numpy(),
            "y": list(counts.index),
            "marker": {"color": colour},
            "hovertemplate": "%{x:.3g} %",
        }
        for kind, colour in zip(KINDS, KIND_COLOURS, strict=True)
    ]
    return chart(
        bars,
        "How trajectories ended, by head",
        counts.reset_index().rename(columns={"index": "head"}),
        x=axis("share of all trajectories (%)", (0, 100)),
        y=axis(autorange="reversed"),
        height=140 + 40 * len(counts),
        barmode="stack",
        hovermode="y unified",
    )


Effect = Literal["survivors", "time to failure", "drift"]

EFFECT_NAMES: Mapping[Effect, str] = {
    "survivors": "difference of the surviving share (percentage points)",
    "time to failure": "difference of mean time to failure in the run (ps)",
    "drift": "log₂ of the ratio of |drift|, pairs that both survive",
}
BETTER: Mapping[Effect, str] = {
    "survivors": "more survive →",
    "time to failure": "fails later →",
    "drift": "← drifts less",
}


def shown(one: Comparison, effect: Effect) -> Estimate:
    """The estimate of an effect on the scale on which it is drawn."""
    if effect == "survivors":
        return one.survivors.scaled(100.0)
    return one.time_to_failure if effect == "time to failure" else one.drift_ratio.map(np.log2)


def _folded(*words: str) -> str:
    """The name of an axis in lines that a phone has room for."""
    return "<br>".join(line for one in words for line in textwrap.wrap(one, 36))


def forest_figure(
    comparisons: Sequence[Comparison], effect: Effect, looks: Mapping[str, SeriesStyle]
) -> Chart:
    """Every comparison's effect as a point with its 95 % interval, zero marked."""
    labels = [f"{one.second}, {one.condition.temperature:g} K" for one in comparisons]
    found = [shown(one, effect) for one in comparisons]
    spread = [x for one in found for x in (one.value, one.low, one.high) if x is not None]
    table = pd.DataFrame(
        {
            "head": [one.second for one in comparisons],
            "condition": [str(one.condition) for one in comparisons],
            EFFECT_NAMES[effect]: [one.value for one in found],
            "low": [one.low for one in found],
            "high": [one.high for one in found],
            "models": [one.clusters for one in found],
            "pairs": [one.n for one in found],
        }
    )
    made = chart(
        [
            _interval(row, one, estimate, looks)
            for row, (one, estimate) in enumerate(zip(comparisons, found, strict=True))
        ],
        f"Effect of each re-fitted head with its 95 % interval: {EFFECT_NAMES[effect]}",
        table,
        x=axis(_folded(EFFECT_NAMES[effect], BETTER[effect]), limits(np.array([*spread, 0.0]))),
        y={"tickvals": list(range(len(labels))), "ticktext": labels,
           "range": [len(labels) - 0.5, -0.5]},
        height=126 + 32 * len(labels),
        showlegend=False,
        hovermode="closest",
        margin={"t": 12},
    )  # fmt: skip
    guide(made, x=0.0)
    return made


def _interval(row: int, one: Comparison, found: Estimate, looks: Mapping[str, SeriesStyle]) -> dict:
    """A point with its interval, where there are any."""
    colour = looks[one.second].colour if one.second in looks else NEUTRAL
    known = found.value is not None
    bars = {}
    if found.value is not None and found.low is not None and found.high is not None:
        bars = {"error_x": {"array": [found.high - found.value], "color": colour,
                            "arrayminus": [found.value - found.low]}}  # fmt: skip
    return {
        "type": "scatter",
        "mode": "markers",
        "name": one.second,
        "x": [found.value] if known else [],
        "y": [row] if known else [],
        "marker": {"color": colour, "size": 9},
        "hovertemplate": found.text(sign=True),
        **bars,
    }


_STEP_ASIDE = 7
"""Pixels between the dots of one model, which have the same error and often the same effect."""


def quality_figure(
    effects: Mapping[str, pd.DataFrame],
    errors: Mapping[str, float],
    effect: Effect,
    looks: Mapping[str, SeriesStyle],
) -> Chart:
    """The effect on each model against the force error of its default head; the heads of a model
    stand side by side.

    Args:
      effects: of :func:`fisherdash.study.statistics.effects.by_model`, by head.
      errors: test force RMSE in eV/Å by model.
      effect: which one.
      looks: of the heads.
    """
    scale = {"survivors": 100.0, "time to failure": 1.0, "drift": 1.0 / np.log(2.0)}[effect]
    force, name = "force RMSE (eV/Å)", EFFECT_NAMES[effect]
    parts = {
        head: pd.DataFrame(
            {
                "model": found["model"],
                "head": head,
                force: [errors.get(model, np.nan) for model in found["model"]],
                name: scale * found[effect].to_numpy(float),
            }
        )
        for head, found in effects.items()
    }
    dots = [
        line(
            head, part[force].to_numpy(), part[name].to_numpy(), looks[head], mode="markers",
            marker={"color": looks[head].colour, "size": 6, **_beside(number, len(parts))},
            opacity=0.75, text=part["model"], hovertemplate="%{text}: %{x:.3g} eV/Å, %{y:.3g}",
        )
        for number, (head, part) in enumerate(parts.items())
    ]  # fmt: skip
    made = chart(
        dots,
        "Effect of the re-fit on each model against its quality",
        pd.concat(parts.values(), ignore_index=True) if parts else None,
        x="test force RMSE of the default head (eV/Å)",
        y=name,
        height=380,
        hovermode="closest",
    )
    guide(made, y=0.0)
    return made


def _beside(number: int, count: int) -> dict[str, float]:
    """Where a marker stands beside its point as one of several."""
    right = _STEP_ASIDE * (number - (count - 1) / 2)
    return {"angle": 90 if right > 0 else -90, "standoff": abs(right)}


def power_figure(found: Mapping[str, Power], looks: Mapping[str, SeriesStyle]) -> Chart:
    """How many models it takes to see a difference of the surviving share, one curve a head.

    Args: found: of the surviving share, by head.
    """
    sizes = np.array([1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 24.0])
    needed = {
        head: np.array(models_needed(one.spread, (sizes / 100.0).tolist(), one.alpha))
        for head, one in found.items()
    }
    models = max((one.models for one in found.values()), default=0)
    columns = {f"models, {head}": values for head, values in needed.items()}
    made = chart(
        curves(sizes, list(needed), needed.values(), map(looks.__getitem__, needed)),
        "Number of models needed against the size of the effect",
        pd.DataFrame({"difference (percentage points)": sizes, **columns}),
        x=axis("true difference of the surviving share (points)", type="log"),
        y=axis("models for 80 % power", type="log"),
        height=340,
    )
    if models:
        guide(made, f"this study: {models}", y=models)
    return made
