"""Panels of the Re-fit page: the options that it asks for, and the result."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd
import streamlit as st

from fisherdash.dataset import Dataset
from fisherdash.plots import refit as figures
from fisherdash.plots.refit import temperature_figure
from fisherdash.settings import Options, StabilitySettings
from pages.ui.charts import csv_button, draw, numbers, show_table
from pages.ui.progress import plain
from pages.ui.widgets import widgets

if TYPE_CHECKING:
    from fisherdash.fisher import Candidate, Refit
    from fisherdash.fisher.curve import LearningCurve


def choose_options(data: Dataset) -> Options | None:
    """The widgets; None where what was chosen cannot be done with these data."""
    found = widgets(Options, only=("method", "head", "metric"), columns=3)
    found |= widgets(Options, only=("ridge",), columns=0)
    if found["ridge"] == "stable":
        found["stability"] = stability_settings("choose")
    positions_only = found["method"] == "laplacian"
    found |= widgets(
        Options,
        without=tuple(found),
        energy_weight={"disabled": positions_only},
        reduce={"disabled": found["head"] != "quadratic"},
        temperature={"value": data.temperature},
    )
    if found["temperature"] == data.temperature:
        found["temperature"] = None
    if found["head"] != "quadratic":
        found["reduce"] = None
    if positions_only:
        found["energy_weight"] = 0.0
        if data.temperature is None and found["temperature"] is None:
            st.info(
                "These data do not say at which temperature they were sampled, which the fit "
                "without forces needs. Give it under “More settings”.",
                icon=":material/thermostat:",
            )
            return None
    return Options(**found)


def stability_settings(key: str) -> StabilitySettings:
    """How the candidates are tried; to begin with, at the temperature of the data."""
    found = widgets(StabilitySettings, without=("seed",), columns=3, key=key)
    return StabilitySettings(**found)


NUMBER = "%.4g"


def before_and_after(refit: "Refit") -> None:
    """The verdict, its warnings, and the numbers behind it."""
    st.markdown(f"**{plain(refit.verdict)}**")
    for sentence in refit.labelled:
        st.caption(plain(sentence))
    for warning in refit.warnings:
        st.warning(plain(warning), icon=":material/warning:")
    rows = {
        "force RMSE (eV/Å)": refit.beside("force_rmse"),
        "energy RMSE (eV)": refit.beside("energy_rmse"),
        "Fisher divergence (eV²/Å²)": refit.beside("fisher_divergence"),
        "head norm (eV)": refit.beside("head_norm"),
    }
    if refit.kl is not None:
        rows["KL divergence kT·D(data‖model) (meV)"] = {
            name: 1000 * found.value for name, found in refit.beside("kl").items()
        }
    titles = {"default": "default head", "report": "report's head", "fisher": "Fisher head"}
    table = pd.DataFrame(
        [
            {"quantity": name}
            | {title: f"{values[key]:.4g}" for key, title in titles.items() if key in values}
            for name, values in rows.items()
        ]
    )
    left, right = st.columns([len(table.columns), 2])  # room for every head
    with left:
        show_table(table, "Errors before and after the re-fit")
        fitted, chose, reported = refit.frames
        st.caption(
            f"On {reported} frames that neither the fit ({fitted}) nor the choice of the ridge "
            f"({chose}) has seen. The divergence is given without its factor β²."
        )
    with right:
        for line in _facts(refit):
            st.markdown(f"- {line}")


def _facts(refit: "Refit") -> list[str]:
    condition, choice, spread = refit.condition_number, refit.choice, refit.posterior
    number = f"{condition:.2g}" if math.isfinite(condition) else "infinite (singular)"
    ridge = f"ridge λ **{figures.ridge_label(choice.ridge)}** ({choice.words}"
    if choice.low is not None and choice.high is not None:
        low, high = map(figures.ridge_label, (choice.low, choice.high))
        ridge += f"; other held-out frames would choose {low} to {high}"
    lines = [
        f"{ridge})",
        f"condition number **{number}**, effective rank **{refit.effective_rank:.3g}** of "
        f"{len(refit.eigenvalues)}",
    ]
    if spread is not None:
        lines.append(
            f"typical error bar of a force from the head alone **{spread.force_stderr:.2g} eV/Å**; "
            f"two halves of the frames give forces {spread.half_difference:.2g} eV/Å apart "
            f"(cosine of their changes {spread.half_cosine:.2f})"
        )
    if refit.kl is not None:
        default, fitted = refit.kl["default"], refit.kl["fisher"]
        lines.append(
            f"KL divergence from {fitted.frames} frames; effective sample size "
            f"{default.effective_frames:.0f} (default) and {fitted.effective_frames:.0f} (Fisher)"
        )
    return lines


def path(refit: "Refit", key: str) -> float | None:
    """The ridge path; the λ of the point that was chosen there, if one was."""
    ridges = figures.shown_ridges(refit.path)
    slider = f"{key} point"

    def take() -> None:
        selected = st.session_state[f"{key} path"].selection.point_indices
        if selected:
            st.session_state[slider] = ridges[selected[0]]

    figure = figures.path_figure(refit.path, refit.ridge)
    draw(figure, key=f"{key} path", table=False, on_select=take, selection_mode="points")
    st.caption(
        "Measured on the frames that choose the ridge. Click a point, or move the slider, to see "
        "that head."
    )
    numbers(figure, f"{key} path")
    nearest = min(ridges, key=lambda ridge: abs(ridge - min(refit.ridge, ridges[0])))
    st.session_state.setdefault(slider, nearest)
    chosen = st.select_slider(
        "Ridge λ of the head below", ridges, format_func=figures.ridge_label, key=slider
    )
    return None if chosen == nearest else float(chosen)


def spectrum_and_head(refit: "Refit", key: str) -> None:
    """Which directions the data decide, and what the head looks like."""
    left, right = st.columns(2)
    with left:
        st.markdown("**Spectrum of T**")
        draw(
            figures.spectrum_figure(refit.eigenvalues, refit.relative_ridge), key=f"{key} spectrum"
        )
        st.caption(
            "Directions below the ridge keep their default value: forces hardly depend on them, "
            "so the data cannot decide them."
        )
    with right:
        st.markdown("**Weights of the head**")
        draw(
            figures.head_figure(refit.prepared.start.head, refit.checkpoint.head),
            key=f"{key} head",
        )


def boltzmann(refit: "Refit", key: str) -> None:
    """Whether the data are what the fit takes them for."""
    if refit.boltzmann is None:
        st.caption(
            "The test could not be made: it needs 25 groups of frames and a head that is not zero."
        )
        return
    st.markdown(f"**{refit.boltzmann.verdict}**")
    draw(temperature_figure(refit.boltzmann), key=f"{key} temperatures")
    st.caption(
        "For Boltzmann samples the mean of ∇U·∇D over that of ΔD is kT for every descriptor D. "
        "Bars are one standard error, bootstrapped over groups of consecutive frames."
    )


def stability(refit: "Refit") -> None:
    """The runs behind a stability-aware choice."""
    check = refit.stability
    if check is None:
        return
    show_table(_tried(check.tried), "Survival of the candidates")
    st.caption(
        f"NVE over {check.picoseconds:g} ps at {check.temperature:g} K, all heads from the same "
        "initial states. Chosen: the lowest held-out divergence among those that lost no more "
        "replicas than the default."
    )
    if check.confirmation:
        st.markdown("**Confirmation from new initial states**")
        show_table(
            _tried(check.confirmation),
            "Survival of the default and the chosen head from new initial states",
        )


def learning_curve(found: "LearningCurve") -> None:
    """The error against the number of frames, as a chart and a table."""
    figure = figures.curve_figure(found)
    draw(figure, key="learning curve", table=False)
    show_table(figure.table, "Learning curve")
    csv_button(figure.table, "learning curve")
    words = (
        f"Tested on {found.test_frames} frames that were not fitted. Bars reach from the lowest to "
        "the highest of the draws; the largest set is all there is, so it has no bar."
    )
    if found.seen:
        words += f" The network was trained on {found.seen} of the test frames."
    st.caption(words)


def _tried(heads: "Sequence[Candidate]") -> pd.DataFrame:
    """A row a head, without what is known of none."""
    return pd.DataFrame([_row(one) for one in heads]).dropna(axis="columns", how="all")


def _row(one: "Candidate") -> dict[str, str | None]:
    default = math.isinf(one.ridge)
    return {
        "head": "default head" if default else f"λ = {figures.ridge_label(one.ridge)}",
        "survivors": f"{one.survivors} of {one.replicas}",
        "mean time to failure (ps)": f"{one.mean_time_to_failure:.3g}",
        "against default (points)": (
            None if default else one.difference.scaled(100.0).text(".0f", sign=True)
        ),
        "divergence (eV²/Å²)": None if one.divergence is None else f"{one.divergence:.4g}",
    }


def descent(refit: "Refit", key: str) -> None:
    """Gradient descent on its way."""
    if refit.descent is None:
        return
    draw(figures.descent_figure(refit.descent), key=f"{key} descent")
    st.caption(
        f"{refit.descent.steps[-1]:,} steps with momentum end {refit.descent.distance[-1]:.1e} of "
        "|θ*| away from what the closed form gives in one."
    )
