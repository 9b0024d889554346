"""Train: a small equivariant network on a data set, live, with the best weights kept."""

import functools
import math
from pathlib import Path

import streamlit as st

from fisherdash import submit
from fisherdash.dataset import Dataset
from fisherdash.plots.training import training_figure
from fisherdash.settings import ModelConfig, SplitSettings, TrainSettings
from fisherdash.text import duration
from fisherdash.workspace import jobs, paths
from pages.ui import library
from pages.ui.charts import draw
from pages.ui.progress import (
    begin,
    begun,
    command,
    door,
    go_on_button,
    job_line,
    kept_as,
    look_here,
    next_step,
    onward,
    plain,
    unfinished_work,
    watch,
)
from pages.ui.widgets import widgets


def form(path: Path, data: Dataset) -> None:
    """Everything a training needs; the defaults are the published report's."""
    with st.form("train"):
        with st.grid(3, min_column_width=140):
            usual = max(1, len(data) // 10)
            split = SplitSettings(max(1, min(900, len(data) - usual)), min(usual, 200))
            frames = widgets(SplitSettings, split, columns=0)
            name = st.text_input("Name", value=f"{path.stem}-model", max_chars=60)
        st.markdown("**Network**")
        network = widgets(ModelConfig, columns=5)
        st.markdown("**Training**")
        training = widgets(TrainSettings, columns=5)
        submitted = st.form_submit_button("Train", type="primary", icon=":material/play_arrow:")
    if not submitted:
        return
    config, settings, split = (
        ModelConfig(**network),
        TrainSettings(**training),
        SplitSettings(**frames),
    )

    def train() -> jobs.Job:
        """Submit the training."""
        return submit.training(path, data, config, settings, split=split, name=name)

    def then(job: jobs.Job) -> None:
        """Say what the training is called."""
        kept = job.info["training"].name
        begun(job)
        also = "" if kept == paths.safe_stem(name + ".x") else f" Its name is {plain(kept)}."
        st.toast(f"The training has begun; its curves are below.{also}", icon=":material/school:")

    begin(train, then)


def curve(job: jobs.Job) -> None:
    """The learning curves of a training so far."""
    report = job.latest
    look_here(job, "drawn" if job.active and report and report.history else "")
    st.subheader("Latest training")
    job_line(job)
    if report is None or not report.history:
        st.caption("The curves begin after the first epoch.")
        return
    rows = report.history
    figure = training_figure(
        [int(row["epoch"]) for row in rows],
        [row["train_force_rmse"] for row in rows],
        [row["valid_force_rmse"] for row in rows],
        report.best_epoch or None,
        [row.get("valid_energy_rmse", math.nan) for row in rows],
    )
    draw(figure, key="learning", table=not job.active)
    left = report.seconds_left
    with st.grid(5, min_column_width=140):
        for quantity, unit in (("force", "eV/Å"), ("energy", "eV")):
            best = report.best_errors.get(f"valid_{quantity}_rmse")
            kept = f"{best:.3g}" if best is not None else "none yet"
            label = f"{quantity.capitalize()} RMSE ({unit})"
            help = "On the validation frames, in the epoch whose weights are kept."
            st.metric(label, kept, border=True, help=help)
        st.metric("Seconds per epoch", f"{report.seconds:.3g}", border=True)
        st.metric("Compilation", duration(report.compile_seconds, exact=True), border=True)
        if left and job.active:
            st.metric("Time left", duration(left, exact=True), border=True)


def ending(job: jobs.Job) -> None:
    """How a training ended, and what can be done now."""
    report = job.latest
    if report is not None and report.status == "diverged" and job.result:
        st.warning(
            f"The training diverged in epoch {report.epoch}; the best weights, of epoch "
            f"{report.best_epoch}, were kept. A lower learning rate may help."
        )
    if job.result is not None:
        which = f": the weights of epoch {report.best_epoch}" if report else ""
        st.success(f"{kept_as(job.result)}{which}.")
        if report is not None and report.nothing_learned:
            st.warning(report.nothing_learned, icon=":material/warning:")
        if st.session_state.get("trained") != job.id:  # once: another choice may follow
            st.session_state["trained"] = job.id
            library.select("model", library.name_of(job.result))
        onward("refit", "Re-fit its last layer")
    if job.status == "cancelled" and job.info["training"].exists():
        go_on_button(job.info["training"])


st.title("Train")
st.caption("An E3x network that learns energies and forces; the last layer is the default head.")
unfinished_work("trainings")
path = library.choose("Data set", "datasets", "data")
if path is None:
    next_step("Training needs a data set.", "data", "Load or make one on the Data page")
else:
    with door():
        form(path, library.dataset_at(path))

latest = jobs.latest("train")
if latest is None:
    st.caption("Nothing has been trained yet. The defaults are those of the published report.")
else:
    watch(latest, functools.partial(curve, latest))
    if not latest.active:
        ending(latest)
    command(latest.info["command"])
