"""Compare: any number of runs and models in tables to sort, with small charts of their drift."""

import pandas as pd
import streamlit as st

from fisherdash import tasks
from fisherdash.plots import overview
from fisherdash.settings import shell_command
from fisherdash.workspace import Run, entries, jobs
from pages.ui import landscape, library
from pages.ui.charts import csv_button, draw, show_table
from pages.ui.library import own_file, share_button
from pages.ui.progress import command, door, follow, next_step, onward


def chosen_runs() -> list[Run]:
    """The runs to compare, the newest eight to begin with."""
    names = [entry.folder.name for entry in entries("runs") if not entry.problem]
    chosen = st.multiselect(
        "Runs",
        names,
        default=names[:8],
        help="Heads of one run start from the same states; runs may differ in everything.",
    )
    found = []
    for entry in entries("runs"):
        if entry.folder.name in chosen:
            with door():
                found.append(library.run_at(entry.folder))
    return [run for run in found if len(run.times)]


def runs_table(runs: list[Run]) -> None:
    """A row a head, sortable; a chosen row leads to its run."""
    models, found = library.checkpoints_by_fingerprint(), library.comparisons_of(runs)
    if found is None:
        return
    rows = []
    for run, comparison in zip(runs, found, strict=True):
        rows += overview.run_rows(run.id, run.header, comparison, run.typical_speed, models)
    table = pd.DataFrame(rows)
    picked = show_table(
        table,
        "Drift, survival and speed of every head of every run",
        on_select="rerun",
        selection_mode="single-row",
        key="runs table",
    )
    st.caption(
        "Drift is the median over the survivors with its 95 % interval, so read it together with "
        "their share. Click a column to sort, a row to choose its run; the paired test of the "
        "heads of one run is on the Drift page."
    )
    with st.container(horizontal=True, vertical_alignment="center"):
        csv_button(table, "runs")
        if rows_picked := picked.selection.rows:
            name = rows[rows_picked[0]]["run"]
            library.select("run", name)
            onward("drift", f"{name} in detail")
            onward("trajectories", f"{name} in 3D")


def multiples(runs: list[Run]) -> None:
    """Small charts of drift, all with the same scale of energy."""
    figures = overview.small_multiples([(run.id, run.header, run.trajectories()) for run in runs])
    with st.grid(3, min_column_width=300):
        for run, figure in zip(runs, figures, strict=True):
            with st.container():
                draw(figure, key=f"small {run.id}", table=False)
    st.caption("Median of the living; the same energies on every chart. Beside the name: alive.")


def evaluation() -> None:
    """Errors of several models on the same frames."""
    paths, data_path = library.choose_models("evaluated", "All are held against the same frames.")
    if st.button("Evaluate", icon=":material/rule:", disabled=not (paths and data_path)):
        with door():
            assert data_path is not None
            data = library.dataset_at(data_path)
            models = library.models_for(paths, data)
            tasks.submit_evaluation(paths, data_path, models, data)
    job = jobs.latest("evaluate")
    if job is None:
        return
    follow(job)
    if job.status == "finished" and job.result:
        table = overview.error_rows(job.result)
        show_table(table, "Errors")
        csv_button(table, "errors")
    command(job.info["command"])


def models_table() -> None:
    """What is known of each model, and a door out for the one that is chosen."""
    models = {}
    for name, path in library.options("checkpoints").items():
        with door():
            models[name] = library.checkpoint_at(path)
    table = overview.model_rows(models)
    show_table(table, "The models")
    csv_button(table, "models")
    st.subheader("Errors on the same frames")
    evaluation()
    st.subheader("Take a model with you")
    from fisherdash.potentials.calculator import snippet

    path = library.choose("Checkpoint", "checkpoints", "model")
    if path is not None:
        library.download(path, "Download the checkpoint")
        share_button(path)
        own_file(path, "model")
        st.markdown("Energies, forces and dynamics in ASE:")
        st.code(snippet(path.name), language="python")


st.title("Compare")
st.caption("Runs and models next to each other, in numbers that can be sorted and taken away.")
kind = st.segmented_control(
    "What",
    ["Runs", "Models", "Loss landscape"],
    default="Runs",
    required=True,
    label_visibility="collapsed",
)
if kind == "Models":
    with door():
        if library.options("checkpoints"):
            models_table()
        else:
            next_step("There is no model yet.", "train", "Train one on the Train page")
elif kind == "Loss landscape":
    with door():
        if library.options("checkpoints"):
            landscape.section()
        else:
            next_step("There is no model yet.", "train", "Train one on the Train page")
elif not entries("runs"):
    next_step("There is no run yet.", "simulate", "Start one on the Simulate page")
else:
    runs = chosen_runs()
    if runs:
        runs_table(runs)
        multiples(runs)
        command(*(shell_command("compare", run.folder, json=True) for run in runs))
    else:
        st.info("Choose runs that have frames already.", icon=":material/info:")
