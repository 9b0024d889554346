"""Re-fit: the last layer in closed form, before and after on frames that it has not seen."""

import math

import pandas as pd
import streamlit as st

from fisherdash.checkpoint import Checkpoint
from fisherdash.dataset import Dataset
from fisherdash.fisher import METHODS, Method, Refit
from fisherdash.runs import jobs
from fisherdash.view import curves
from pages._ui import library, tasks
from pages._ui.charts import draw
from pages._ui.doors import command, door, next_step, onward
from pages._ui.models import own_model
from pages._ui.progress import job_line, watch


def facts(model: Checkpoint) -> None:
    """What the checkpoint says of itself."""
    provenance = model.provenance
    words = [f"{model.num_parameters:,} parameters", f"cutoff {model.config.cutoff:g} Å"]
    if "frames" in provenance:
        words.append(f"trained on {provenance['frames']} frames")
    if "epochs" in provenance:
        words.append(f"{provenance['epochs']} epochs")
    error = (provenance.get("errors") or {}).get("valid_force_rmse")
    if isinstance(error, float):
        words.append(f"validation force RMSE {error:.3g} eV/Å")
    if "parent" in provenance:
        words.append(f"already a re-fit of {provenance['parent']}")
    st.caption(", ".join(words))


def settings() -> float | str:
    """The ridge, chosen by held-out frames or by hand."""
    way = st.segmented_control(
        "Ridge λ",
        ["automatic", "by hand"],
        default="automatic",
        required=True,
        help="Pulls the new head towards the default one. Automatic takes the value with the "
        "lowest Fisher divergence on frames that were not fitted.",
    )
    if way == "automatic":
        return "auto"
    power = st.slider(
        "λ as a power of ten of the largest eigenvalue",
        min_value=-14.0,
        max_value=2.0,
        value=-6.0,
        step=0.5,
        help="Usually −8 to −2. Small values fit the forces best but let the head grow, which "
        "has made dynamics less stable.",
    )
    return 10.0**power


def way_to_fit(data: Dataset) -> Method | None:
    """Which right-hand side the head comes from; None where it cannot be used."""
    names: dict[Method, str] = {
        "forces": "from forces",
        "laplacian": "from positions and the temperature alone",
        "gradient": "by gradient descent",
    }
    method = st.selectbox(
        "Fit",
        METHODS,
        format_func=lambda name: names[name],
        help="Forces give the head in one step. Without them it follows from the second "
        "derivatives of the descriptors, if the frames are a Boltzmann sample. Descent arrives at "
        "the same head as the forces, step by step.",
    )
    if method == "laplacian" and data.temperature is None:
        st.info(
            "These data do not say at which temperature they were sampled, which the fit without "
            "forces needs. Give it on the Data page.",
            icon=":material/thermostat:",
        )
        return None
    return method


def diagnostics(refit: Refit) -> None:
    """Whether the data are what the fit takes them for, and how far both heads are from them."""
    if refit.boltzmann is not None:
        st.markdown(f"**Boltzmann test.** {refit.boltzmann.verdict}")
    if refit.kl is not None:
        default, fitted = refit.kl["default"], refit.kl["fisher"]
        st.caption(
            f"Excess free energy kT·D(data‖model): default {1000 * default.value:.3g}, Fisher "
            f"{1000 * fitted.value:.3g} meV per molecule, from {fitted.frames} frames of which "
            f"{default.effective_frames:.0f} and {fitted.effective_frames:.0f} carry the average."
        )
    if refit.descent is not None:
        st.caption(
            f"Gradient descent took {refit.descent.steps[-1]:,} steps and ended "
            f"{refit.descent.distance[-1]:.1e} of |θ*| away from the closed form."
        )


def report(refit: Refit) -> None:
    """What the re-fit says of itself."""
    st.markdown(f"**{refit.verdict}**")
    for warning in refit.warnings:
        st.warning(warning, icon=":material/warning:")
    rows = {
        "force RMSE (eV/Å)": refit.force_rmse,
        "energy RMSE (eV)": refit.energy_rmse,
        "Fisher divergence (eV²/Å²)": refit.fisher_divergence,
        "head norm (eV)": refit.head_norm,
    }
    table = pd.DataFrame(
        [
            {
                "quantity": name,
                "default head": f"{values['default']:.4g}",
                "Fisher head": f"{values['fisher']:.4g}",
            }
            for name, values in rows.items()
        ]
    )
    left, right = st.columns([2, 3])
    with left:
        st.dataframe(table, hide_index=True, alt="Errors before and after the re-fit")
        st.caption(
            f"On {refit.frames_report} frames that neither the fit ({refit.frames_fit}) nor the "
            f"choice of the ridge ({refit.frames_ridge}) has seen. The divergence is given "
            "without its factor β²."
        )
        condition = refit.condition_number
        number = f"{condition:.2g}" if math.isfinite(condition) else "infinite (singular)"
        st.markdown(
            f"Condition number **{number}**, ridge λ **{refit.ridge:.2g}** of the largest "
            f"eigenvalue, effective rank **{refit.effective_rank:.3g}** of "
            f"{len(refit.eigenvalues)}."
        )
    with right:
        draw(
            curves.path_figure(
                [point.ridge for point in refit.path],
                [point.force_rmse for point in refit.path],
                [point.divergence for point in refit.path],
                refit.path[-1].force_rmse,  # the largest ridge: the default head, same frames
                refit.ridge,
            ),
            key="path",
        )
        st.caption("Measured on the frames that choose the ridge.")
    diagnostics(refit)


def latest_refit() -> None:
    """The latest re-fit, while it goes on and afterwards."""
    job = next(iter(jobs.every("refit")), None)
    if job is None:
        return
    st.subheader("Latest re-fit")
    watch(job, lambda: job_line(job), every=0.5)
    if isinstance(job.result, Refit) and job.status == "finished":
        report(job.result)
        out = job.info["out"]
        with st.container(horizontal=True, vertical_alignment="center"):
            if out.exists():
                st.download_button(
                    "Download the re-fitted checkpoint",
                    data=out.read_bytes,
                    file_name=out.name,
                    icon=":material/download:",
                    on_click="ignore",
                )
            onward("simulate", "Simulate both heads")
    command(job.info["command"])


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
        facts(model)
        method, ridge = way_to_fit(data), settings()
        if method and st.button("Re-fit", type="primary", icon=":material/tune:"):
            model.check_elements(data.atomic_numbers)
            tasks.submit_refit(model_path, data_path, model, data, ridge, method)
latest_refit()
