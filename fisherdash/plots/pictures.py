"""The figures of a population as SVG pictures for documents."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from fisherdash.plots.study import (
    BETTER,
    EFFECT_NAMES,
    LOSSES,
    Effect,
    on_grid,
    shown,
    surviving_share,
)
from fisherdash.plots.study import looks as looks_of
from fisherdash.plots.svg import picture, round_logs
from fisherdash.plots.theme import FAILED, NEUTRAL, SeriesStyle
from fisherdash.study.statistics import Comparison, Condition, Findings
from fisherdash.study.statistics.comparison import Power, models_needed
from fisherdash.study.statistics.failures import SurvivalCurve

POINTS = 121
"""Times of a survival curve."""
SHARED: Any = {"sharex": True, "sharey": True}


def all_pictures(found: Findings) -> dict[str, str]:
    """Every picture that the findings have something for, by file name."""
    drawn = {}
    styles = looks_of(found.heads)
    if len(found.whole.losses):
        drawn["losses.svg"] = losses_picture(found.whole.losses, found.tables.models)
    if not found.comparisons:
        return drawn
    runs = found.trajectories
    drawn["survival.svg"] = survival_picture(found.survivals, styles)
    drawn["forest.svg"] = forest_picture(found.comparisons, styles)
    drawn["drift.svg"] = drift_picture(found.tables.curves, runs, found.conditions, styles)
    effects = {condition: found.effects_at(condition) for condition in found.conditions}
    drawn["quality.svg"] = quality_picture(effects, found.default_errors, styles)
    hottest = found.seen_at(found.conditions[-1])
    if hottest:
        drawn["power.svg"] = power_picture(hottest, styles)
    return drawn


def survival_picture(
    curves: Mapping[Condition, Sequence[SurvivalCurve]], looks: Mapping[str, SeriesStyle]
) -> str:
    """Kaplan–Meier curves of every head with their bands over models, a panel a condition."""

    def draw(axes: list[Axes]) -> None:
        for axis, (condition, found) in zip(axes, curves.items(), strict=True):
            for curve in found:
                style = looks[curve.name]
                times = np.linspace(0.0, float(curve.times[-1]), POINTS)
                share, low, high = on_grid(curve, times)
                axis.plot(
                    times, share, color=style.colour, linestyle=style.border, label=curve.name
                )
                axis.fill_between(times, low, high, color=style.colour, alpha=0.12, linewidth=0)
            axis.set(title=str(condition), xlabel="time (ps)", ylim=(0, 102), xlim=(0, None))
        axes[0].set_ylabel("survivors (%)")
        axes[0].legend(loc="lower left")

    return picture(draw, len(curves), height=3.4, **SHARED)


def forest_picture(comparisons: Sequence[Comparison], looks: Mapping[str, SeriesStyle]) -> str:
    """Effects on survival and drift with their intervals, zero marked."""
    effects: tuple[Effect, ...] = ("survivors", "drift")

    def draw(axes: list[Axes]) -> None:
        for axis, effect in zip(axes, effects, strict=True):
            axis.axvline(0.0, color=NEUTRAL, linestyle="dashed", linewidth=1)
            for row, one in enumerate(comparisons):
                found, colour = shown(one, effect), looks[one.second].colour
                if found.value is not None:
                    axis.plot([found.value], [row], "o", color=colour, markersize=5)
                if found.low is not None and found.high is not None:
                    axis.plot([found.low, found.high], [row, row], color=colour, linewidth=1.8)
            axis.set_xlabel(f"{EFFECT_NAMES[effect]}\n{BETTER[effect]}")
            axis.set_ylim(len(comparisons) - 0.5, -0.5)
        labels = [f"{one.second}, {one.condition.temperature:g} K" for one in comparisons]
        axes[0].set_yticks(range(len(labels)), labels)
        axes[1].set_yticks(range(len(labels)), [""] * len(labels))

    return picture(draw, 2, height=0.9 + 0.27 * len(comparisons))


def quality_picture(
    effects: Mapping[Condition, Mapping[str, pd.DataFrame]],
    errors: Mapping[str, float],
    looks: Mapping[str, SeriesStyle],
) -> str:
    """Change of the surviving share of every model against its force error, a panel a condition."""

    def draw(axes: list[Axes]) -> None:
        for axis, (condition, heads) in zip(axes, effects.items(), strict=True):
            axis.axhline(0.0, color=NEUTRAL, linestyle="dashed", linewidth=1)
            for head, found in heads.items():
                x = [errors.get(name, np.nan) for name in found["model"]]
                y = 100 * found["survivors"].to_numpy(float)
                axis.plot(x, y, "o", color=looks[head].colour, markersize=4, alpha=0.7, label=head)
            axis.set(title=str(condition), xlabel="test force RMSE, default head (eV/Å)")
            round_logs(axis, "x")
        axes[0].set_ylabel("change of the surviving share (points)")
        axes[0].legend()

    return picture(draw, len(effects), height=3.4, **SHARED)


def drift_picture(
    curves: pd.DataFrame,
    trajectories: pd.DataFrame,
    conditions: Sequence[Condition],
    looks: Mapping[str, SeriesStyle],
) -> str:
    """Change of total energy of every member: a row a condition, a column a head, equal axes.

    A line is the median over a member's surviving replicas; a cross is where the last one failed.
    """
    figure_rows = [(condition, head, style) for condition in conditions
                   for head, style in looks.items()]  # fmt: skip

    def draw(axes: list[Axes]) -> None:
        for axis, (condition, head, style) in zip(axes, figure_rows, strict=True):
            wide = condition.of(curves, head).pivot(
                index="time_ps", columns="model", values="median_meV_per_atom"
            )
            times = np.array(wide.index, float)
            values = wide.to_numpy(float)
            axis.plot(times, values, color=style.colour, linewidth=0.8, alpha=0.55)
            for one in values.T:
                last = np.flatnonzero(np.isfinite(one))
                if len(last) and last[-1] < len(one) - 1:
                    axis.plot(times[last[-1]], one[last[-1]], "x", color=NEUTRAL, markersize=4)
            runs = condition.of(trajectories, head)
            survivors = len(runs) - int(runs["failed"].sum())
            share = surviving_share(runs, times)[-1] if len(times) else 0.0
            axis.set_title(
                f"{head}, {condition.temperature:g} K\n"
                f"{survivors:,} of {len(runs):,} survive ({share:.0f} %)",
                fontsize=8,
            )
        every = curves["median_meV_per_atom"].to_numpy(float)
        reach = float(np.nanquantile(np.abs(every), 0.99)) if np.isfinite(every).any() else 1.0
        axes[0].set_ylim(-1.1 * reach or -1.0, 1.1 * reach or 1.0)
        for axis in axes[-len(looks) :]:
            axis.set_xlabel("time (ps)")
        for axis in axes[:: len(looks)]:
            axis.set_ylabel("ΔE (meV/atom)")

    return picture(draw, len(looks), height=2.3 * len(conditions), rows=len(conditions), **SHARED)


def losses_picture(losses: pd.DataFrame, models: pd.DataFrame) -> str:
    """Training and validation losses by the number of training frames; diverged ones in red."""
    groups = sorted(set(models["frames"]))

    def draw(axes: list[Axes]) -> None:
        for axis, frames in zip(axes, groups, strict=True):
            group = models.loc[(models["frames"] == frames).to_numpy(bool), :]
            bad = set(group.loc[(group["diverged"] == 1).to_numpy(bool), "model"])
            for model in group["model"]:
                rows = losses.loc[(losses["model"] == model).to_numpy(bool), :]
                for column, _, style in LOSSES:
                    value = rows[column].to_numpy(float)
                    look = FAILED if model in bad else style.colour
                    axis.plot(rows["epoch"], value, color=look, linewidth=0.8, alpha=0.6)
            axis.set(title=f"{int(frames):,} frames: {len(group)} models, {len(bad)} diverged",
                     xlabel="epoch", yscale="log")  # fmt: skip
            axis.title.set_fontsize(8)
        axes[0].set_ylabel("loss (eV²)")
        for _, name, style in LOSSES:
            axes[0].plot([], [], color=style.colour, label=name)
        axes[0].legend()

    return picture(draw, len(groups), height=2.8, **SHARED)


def power_picture(found: Mapping[str, Power], looks: Mapping[str, SeriesStyle]) -> str:
    """Models needed against the true change of the surviving share."""
    sizes = np.geomspace(1.0, 24.0, 40)

    def draw(axes: list[Axes]) -> None:
        for head, one in found.items():
            needed = models_needed(one.spread, (sizes / 100).tolist(), one.alpha)
            style = looks[head]
            axes[0].plot(sizes, needed, color=style.colour, linestyle=style.border, label=head)
        models = max((one.models for one in found.values()), default=0)
        axes[0].axhline(models, color=NEUTRAL, linestyle="dashed", linewidth=1)
        round_logs(axes[0], "xy")
        axes[0].set(
            xlabel="true change of the surviving share (points)",
            ylabel="models for 80 % power", title=f"dashed: this study, {models} models",
        )  # fmt: skip
        axes[0].legend()

    return picture(draw, height=3.2, width=5.5)
