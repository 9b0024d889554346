"""Re-fit: the last layer in closed form, before and after on frames that it has not seen."""

import dataclasses
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from fisherdash import submit
from fisherdash.workspace import jobs
from fisherdash.workspace.jobs import Job
from pages.ui import library
from pages.ui import refit as refit_report
from pages.ui.charts import download_file
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
from pages.ui.refit import choose_options, stability_settings

if TYPE_CHECKING:
    from fisherdash.fisher import Refit
    from fisherdash.potentials.checkpoint import Checkpoint


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
        refit_report.before_and_after(other)
        if st.button("Keep this head too", icon=":material/save:"):
            st.session_state["kept head"] = submit.keep_head(other)
    kept = st.session_state.get("kept head")
    if kept is not None and kept.exists():
        st.success(f"Kept as {plain(kept.stem)}.", icon=":material/check_circle:")
        download_file(kept, "Download that checkpoint")


def stability_check(job: Job, refit: "Refit") -> None:
    """The runs that were made, or the button that makes them."""
    if refit.stability is not None:
        refit_report.stability(refit)
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
        refit_report.learning_curve(made.result)
    command(made.info["command"])


def report(job: Job, refit: "Refit") -> None:
    """Everything about the latest re-fit."""
    refit_report.before_and_after(refit)
    with st.container(horizontal=True, vertical_alignment="center"):
        download_file(job.info["out"], "Download the re-fitted checkpoint")
        onward("simulate", "Simulate both heads")
    st.caption(f"{kept_as(job.info['out'])}.")
    names = ["Ridge path", "Spectrum and head", "Boltzmann test", "Stability", "Learning curve"]
    if refit.descent is not None:
        names.append("Descent")
    key = f"refit {job.id}"
    tabs = st.tabs(names, key=f"{key} part", on_change="rerun")  # else a button leads to the first
    with tabs[0]:
        ridge = refit_report.path(refit, key)
        if ridge is not None:
            other_head(job, refit, ridge)
    with tabs[1]:
        refit_report.spectrum_and_head(refit, key)
    with tabs[2]:
        refit_report.boltzmann(refit, key)
    with tabs[3]:
        stability_check(job, refit)
    with tabs[4]:
        learning_curve(job, refit)
    if refit.descent is not None:
        with tabs[5]:
            refit_report.descent(refit, key)


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
