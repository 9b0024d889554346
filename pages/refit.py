"""Re-fit: the last layer in closed form, before and after on frames that it has not seen."""

import dataclasses
import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import streamlit as st

from fisherdash import submit
from fisherdash.dataset import Dataset
from fisherdash.plots import refit as figures
from fisherdash.plots.refit import temperature_figure
from fisherdash.settings import Options, StabilitySettings
from fisherdash.workspace import jobs
from fisherdash.workspace.jobs import Job
from pages.ui import library
from pages.ui.charts import csv_button, download_file, draw, numbers, show_table
from pages.ui.library import own_model
from pages.ui.progress import (
    begin,
    command,
    computed,
    door,
    follow,
    kept_as,
    look_here,
    next_step,
    onward,
    plain,
)
from pages.ui.widgets import widgets

if TYPE_CHECKING:
    from fisherdash.fisher import Candidate, Refit
    from fisherdash.fisher.curve import LearningCurve
    from fisherdash.potentials.checkpoint import Checkpoint


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


def path_part(refit: "Refit", key: str) -> float | None:
    """The ridge path; the λ of the point that was chosen there, if one was."""
    ridges = figures.shown_ridges(refit.path)
    slider = f"{key} point"

    def take() -> None:
        """Move the slider to the point that was clicked."""
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


def boltzmann_part(refit: "Refit", key: str) -> None:
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


def stability_part(refit: "Refit") -> None:
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


def curve_part(found: "LearningCurve") -> None:
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


def descent_part(refit: "Refit", key: str) -> None:
    """Gradient descent on its way."""
    if refit.descent is None:
        return
    draw(figures.descent_figure(refit.descent), key=f"{key} descent")
    st.caption(
        f"{refit.descent.steps[-1]:,} steps with momentum end {refit.descent.distance[-1]:.1e} of "
        "|θ*| away from what the closed form gives in one."
    )


def facts(model: "Checkpoint") -> None:
    """What is known of a checkpoint."""
    provenance = model.provenance
    words = [f"{model.num_parameters:,} parameters", f"cutoff {model.potential.cutoff:g} Å"]
    if "frames" in provenance:
        words.append(f"trained on {provenance['frames']} frames")
    if "epochs" in provenance:
        words.append(f"{provenance['epochs']} epochs")
    error = (provenance.get("errors") or {}).get("valid_force_rmse")
    if isinstance(error, float):
        words.append(f"validation force RMSE {error:.3g} eV/Å")
    if "parent" in provenance:
        words.append(f"already a re-fit of {provenance['parent']}")
    st.caption(plain(", ".join(words)))


def other_head(job: Job, refit: "Refit", ridge: float) -> None:
    """The head of another point of the path, and a way to keep it."""
    with st.container(border=True):
        other = computed("that head", (job.id, ridge), lambda: refit.at(ridge))
        if other is None:
            return
        before_and_after(other)
        if st.button("Keep this head too", icon=":material/save:"):
            st.session_state["kept head"] = submit.keep_head(other)
    kept = st.session_state.get("kept head")
    if kept is not None and kept.exists():
        st.success(f"Kept as {plain(kept.stem)}.", icon=":material/check_circle:")
        download_file(kept, "Download that checkpoint")


def stability_check(job: Job, refit: "Refit") -> None:
    """The runs that were made, or the button that makes them."""
    if refit.stability is not None:
        stability_part(refit)
        return
    st.markdown(
        "A lower force error is no promise of stable dynamics. The check runs heads along the "
        "path beside the default one and keeps the best that is no less stable."
    )
    settings = stability_settings("check")
    if st.button("Run the stability check", icon=":material/labs:"):
        info, prepared = job.info, refit.prepared
        options = dataclasses.replace(
            prepared.options, ridge="stable", test_boltzmann=False, stability=settings
        )
        begin(
            lambda: submit.refit(
                info["checkpoint"], info["data"], prepared.checkpoint, prepared.dataset, options
            )
        )
        st.rerun()


def learning_curve(job: Job, refit: "Refit") -> None:
    """The error against the number of frames, or the button that computes it."""
    st.markdown(
        "How few labelled frames move the model, and whether more of them would help: re-fits with "
        "the settings above to 10, 20, 40, … frames, three draws of each, tested on a fifth of the "
        "frames that is never fitted."
    )
    info, prepared = job.info, refit.prepared
    options = dataclasses.replace(
        prepared.options, label_displaced=0, label_dynamics=0, test_boltzmann=False
    )
    if st.button("Compute the learning curve", icon=":material/show_chart:"):
        begin(
            lambda: submit.curve(
                info["checkpoint"], info["data"], prepared.checkpoint, prepared.dataset, options
            )
        )
        st.rerun()
    mine = (one for one in jobs.every("curve") if one.info["checkpoint"] == info["checkpoint"])
    made = next((one for one in mine if one.info["data"] == info["data"]), None)
    if made is None:
        return
    follow(made)
    if made.result is not None and made.status == "finished":
        curve_part(made.result)
    command(made.info["command"])


def report(job: Job, refit: "Refit") -> None:
    """Everything about the latest re-fit."""
    before_and_after(refit)
    with st.container(horizontal=True, vertical_alignment="center"):
        download_file(job.info["out"], "Download the re-fitted checkpoint")
        onward("simulate", "Simulate both heads")
    st.caption(f"{kept_as(job.info['out'])}.")
    names = ["Ridge path", "Spectrum and head", "Boltzmann test", "Stability", "Learning curve"]
    if refit.descent is not None:
        names.append("Descent")
    key = f"refit {job.id}"
    tabs = st.tabs(names, key=f"{key} part")
    with tabs[0]:
        ridge = path_part(refit, key)
        if ridge is not None:
            other_head(job, refit, ridge)
    with tabs[1]:
        spectrum_and_head(refit, key)
    with tabs[2]:
        boltzmann_part(refit, key)
    with tabs[3]:
        stability_check(job, refit)
    with tabs[4]:
        learning_curve(job, refit)
    if refit.descent is not None:
        with tabs[5]:
            descent_part(refit, key)


def files(job: Job) -> tuple[Path, Path]:
    """The checkpoints that a re-fit began with and that it writes."""
    return job.info["checkpoint"], job.info["out"]


st.title("Re-fit")
st.caption("The last layer in closed form: the head whose forces match the data best.")
left, right = st.columns(2)
with left:
    model_path = library.choose("Checkpoint", "checkpoints", "model")
with right:
    data_path = library.choose("Data set", "datasets", "data")
own_model()
if model_path is None:
    next_step("A re-fit needs a trained model.", "train", "Train one on the Train page")
elif data_path is None:
    next_step("A re-fit needs data.", "data", "Load or make some on the Data page")
else:
    with door():
        model, data = library.checkpoint_at(model_path), library.dataset_at(data_path)
        model.check_head()
        facts(model)
        options = choose_options(data)
        if options and st.button("Re-fit", type="primary", icon=":material/tune:"):
            model.check_elements(data.atomic_numbers)
            begin(partial(submit.refit, model_path, data_path, model, data, options))
every = jobs.every("refit")
for other in every:  # a re-fit of another model that is at work or waits
    if other.active and model_path not in files(other):
        follow(other)
if job := next((job for job in every if model_path in files(job)), None):
    look_here(job)
    st.subheader("Latest re-fit of this model")
    follow(job)
    if job.result is not None and job.status == "finished":
        with door():
            report(job, job.result)
    command(job.info["command"])
