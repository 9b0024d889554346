"""Train: a small equivariant network on a data set, live, with the best weights kept."""

import functools
from pathlib import Path
from typing import Literal

import streamlit as st

from fisherdash.dataset import Dataset
from fisherdash.model import ModelConfig
from fisherdash.runs import jobs, workspace
from fisherdash.train import EpochReport, TrainSettings
from fisherdash.view import curves
from pages._ui import library
from pages._ui.charts import draw
from pages._ui.doors import command, door, kept_as, next_step, onward
from pages._ui.progress import clock, job_line, plain, watch
from pages._ui.stopped import go_on_button, stopped_work
from pages._ui.training_tasks import TrainingPlan, submit_training

REPORT = ModelConfig()
USUAL = TrainSettings()


def network() -> ModelConfig:
    """The network's hyperparameters."""
    with st.grid(5, min_column_width=140):
        features = st.number_input(
            "Features",
            value=REPORT.features,
            min_value=1,
            help="Numbers per atom, and of descriptors in the last layer; usually 16 to 64.",
        )
        degree = st.number_input(
            "Highest degree",
            value=REPORT.max_degree,
            min_value=0,
            max_value=3,
            help="Of the equivariant features: 0 knows distances only, 1 adds directions, 2 the "
            "shape of neighbourhoods; more is slower.",
        )
        iterations = st.number_input(
            "Iterations",
            value=REPORT.iterations,
            min_value=1,
            max_value=8,
            help="Rounds of messages between neighbours, usually 2 to 4.",
        )
        basis = st.number_input(
            "Radial basis",
            value=REPORT.basis,
            min_value=2,
            help="Functions that resolve a distance, usually 8 to 32.",
        )
        cutoff = st.number_input(
            "Cutoff (Å)",
            value=REPORT.cutoff,
            min_value=1.0,
            step=0.5,
            help="Distance at which two atoms stop seeing each other, usually 3 to 6 Å.",
        )
    return ModelConfig(int(features), int(degree), int(iterations), int(basis), float(cutoff))


def schedule() -> TrainSettings:
    """How to train."""
    with st.grid(5, min_column_width=140):
        epochs = st.number_input(
            "Epochs", value=USUAL.epochs, min_value=1, help="Passes over the training frames."
        )
        batch = st.number_input(
            "Batch size",
            value=USUAL.batch_size,
            min_value=1,
            help="Frames for one step of the optimiser, usually 5 to 50.",
        )
        rate = st.number_input(
            "Learning rate",
            value=USUAL.learning_rate,
            min_value=0.0,
            format="%.4f",
            step=0.001,
            help="Of Adam, usually 0.001 to 0.01; too high a rate diverges.",
        )
        weight = st.number_input(
            "Weight of forces",
            value=USUAL.forces_weight,
            min_value=0.0,
            help="Of the force error (eV/Å)² against the energy error (eV)² in the loss; "
            "usually 1 to 100.",
        )
        seed = st.number_input(
            "Seed", value=0, min_value=0, help="Of the split, the first weights and the order."
        )
        form: Literal["anneal", "constant"] = st.selectbox(
            "Learning rate over time",
            ("anneal", "constant"),
            help="Anneal holds it for 60 % of the epochs, then lowers it to a hundredth.",
        )
        patience = st.number_input(
            "Patience (epochs)",
            value=None,
            min_value=1,
            placeholder="never",
            help="Stop early, after so many epochs without a better validation loss; usually "
            "20 to 100.",
        )
    return TrainSettings(
        epochs=int(epochs),
        batch_size=int(batch),
        learning_rate=float(rate),
        forces_weight=float(weight),
        schedule=form,
        patience=None if patience is None else int(patience),
        seed=int(seed),
    )


def form(path: Path, data: Dataset) -> None:
    """Everything a training needs; the defaults are the published report's."""
    with st.form("train"):
        with st.grid(3, min_column_width=140):
            usual = max(1, len(data) // 10)
            frames = st.number_input(
                "Training frames",
                value=max(1, min(900, len(data) - usual)),
                min_value=1,
                help=f"Of the {len(data)} in the data set; drawn at random.",
            )
            valid = st.number_input(
                "Validation frames",
                value=min(usual, 200),
                min_value=1,
                help="Never learned from: they decide which weights are kept. About a tenth.",
            )
            name = st.text_input("Name", value=f"{path.stem}-model", max_chars=60)
        st.markdown("**Network**")
        config = network()
        st.markdown("**Schedule**")
        settings = schedule()
        submitted = st.form_submit_button("Train", type="primary", icon=":material/play_arrow:")
    if submitted:
        plan = TrainingPlan(path, data, int(frames), int(valid), config, settings, name)
        job = submit_training(plan)
        kept = job.info["training"].name
        taken = kept != workspace.safe_stem(name + ".x")
        also = f" Its name is {plain(kept)}." if taken else ""
        st.toast(f"The training has begun; its curves are below.{also}", icon=":material/school:")


def curve(job: jobs.Job) -> None:
    """The learning curves of a training so far."""
    job_line(job)
    report = job.latest
    if not isinstance(report, EpochReport) or not report.history:
        st.caption("The curves begin after the first epoch.")
        return
    rows = report.history
    figure = curves.training_figure(
        [int(row["epoch"]) for row in rows],
        [row["train_force_rmse"] for row in rows],
        [row["valid_force_rmse"] for row in rows],
        report.best_epoch or None,
    )
    draw(figure, key="learning", table=not job.active)
    left = report.seconds_left
    with st.grid(4, min_column_width=140):
        best = report.best_errors.get("valid_force_rmse")
        kept = f"{best:.3g}" if best is not None else "none yet"
        st.metric("Best RMSE (eV/Å)", kept, border=True, help="Of forces, validation.")
        st.metric("Seconds per epoch", f"{report.seconds:.3g}", border=True)
        st.metric("Compilation", clock(report.compile_seconds), border=True)
        st.metric("Time left", clock(left) if left and job.active else "none", border=True)


def ending(job: jobs.Job) -> None:
    """How a training ended, and what can be done now."""
    report = job.latest
    if isinstance(report, EpochReport) and report.status == "diverged" and job.result:
        st.warning(
            f"The training diverged in epoch {report.epoch}; the best weights, of epoch "
            f"{report.best_epoch}, were kept. A lower learning rate may help."
        )
    if job.result is not None:
        st.success(
            f"{kept_as(job.result)}: the weights of epoch {report.best_epoch}."
            if report
            else f"{kept_as(job.result)}."
        )
        if isinstance(report, EpochReport) and report.nothing_learned:
            st.warning(report.nothing_learned, icon=":material/warning:")
        if st.session_state.get("trained") != job.id:  # once: another choice may follow
            st.session_state["trained"] = job.id
            library.select("model", library.name_of(job.result))
        onward("refit", "Re-fit its last layer")
    if job.status == "cancelled" and job.info["training"].exists():
        go_on_button(job.info["training"], "trainings")


st.title("Train")
st.caption("An E3x network that learns energies and forces; the last layer is the default head.")
stopped_work("trainings")
path = library.choose("Data set", "datasets", "data")
if path is None:
    next_step("Training needs a data set.", "data", "Load or make one on the Data page")
else:
    with door():
        form(path, library.dataset_at(path))

latest = next(iter(jobs.every("train")), None)
if latest is None:
    st.caption("Nothing has been trained yet. The defaults are those of the published report.")
else:
    st.subheader("Latest training")
    watch(latest, functools.partial(curve, latest), every=1.0)
    if not latest.active:
        ending(latest)
    command(latest.info["command"])
