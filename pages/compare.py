"""Compare: any number of runs and models in tables to sort, with small charts of their drift."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import streamlit as st
from ase.data import chemical_symbols

from fisherdash import submit, viewer
from fisherdash.plots import overview
from fisherdash.plots import training as figures
from fisherdash.plots.chart import SeriesStyle, styles
from fisherdash.settings import LandscapeSettings, shell_command
from fisherdash.text import number
from fisherdash.workspace import Run, belongings, entries, jobs
from fisherdash.workspace.jobs import Job
from pages.ui import library
from pages.ui.charts import csv_button, download_file, draw, show_molecules, show_table
from pages.ui.library import own_file, share_button
from pages.ui.progress import (
    begin,
    command,
    computed,
    door,
    follow,
    into_view,
    look_here,
    next_step,
    onward,
    plain,
)
from pages.ui.widgets import switch, widgets

if TYPE_CHECKING:
    from fisherdash.landscape import Landscape
    from fisherdash.potentials.evaluate import Predicted


def landscape_form() -> None:
    """Models, frames and the button."""
    paths, data_path = library.choose_models(
        "mapped", "A default head and its re-fit, for example."
    )
    settings = widgets(LandscapeSettings, columns=3)
    if st.button(
        "Map the landscape", type="primary", icon=":material/landscape:", disabled=not paths
    ):
        with door():
            if data_path is None:
                st.error("There are no frames: load or make some on the Data page.")
                return
            data = library.dataset_at(data_path)
            models = library.models_for(paths, data)
            chosen = LandscapeSettings(**settings)
            begin(lambda: submit.landscape(paths, data_path, models, data, chosen))


def show_landscape(job: Job, found: "Mapping[str, Landscape]") -> None:
    """Numbers first, then the maps and the cut."""
    st.markdown(f"**{plain(figures.sharpness_sentence(found))}**")
    table = figures.sharpness_table(found)
    show_table(table, "Sharpness of each model")
    csv_button(table, "sharpness")
    st.caption(
        "Sharpness is the loss after one step of length ρ up its own gradient, less the loss here. "
        "The loss is that of training: half the mean squared error of the energy in kcal/mol plus "
        "that of the forces in kcal/mol/Å."
    )
    surfaces = {name: one.surface for name, one in found.items() if one.surface is not None}
    with st.grid(2, min_column_width=340):
        for name, figure in figures.surface_figures(surfaces).items():
            with st.container():
                draw(figure, key=f"{job.id} {name}", table=False)
    st.caption(
        "The middle is the model itself; each direction is random and moves every filter in parts "
        "of its own length. Heads of one body are looked at along the same directions, with the "
        "same colours."
    )
    looks = dict(zip(found, styles(job.info["roles"]), strict=True))
    draw(figures.cut_figure(surfaces, looks), key=f"{job.id} cut")


def landscape_section() -> None:
    """Everything about the loss around models."""
    landscape_form()
    job = jobs.latest("landscape")
    if job is None:
        st.info(
            "Choose models to see how sharp the minimum is in which each of them lies. Sharp ones "
            "tend to fail early in dynamics.",
            icon=":material/info:",
        )
        return
    follow(job)
    if job.status == "finished" and job.result:
        show_landscape(job, job.result)
    command(job.info["command"])


def chosen_runs() -> list[Run]:
    """The runs to compare, the newest eight to begin with."""
    folders = {one.folder.name: one.folder for one in entries("runs") if not one.problem}
    chosen = st.multiselect(
        "Runs",
        list(folders),
        default=list(folders)[:8],
        help="Heads of one run start from the same states; runs may differ in everything.",
    )
    found = []
    for name, folder in folders.items():
        if name in chosen:
            with door():
                found.append(library.run_at(folder))
    return [run for run in found if len(run.times)]


def show(runs: list[Run]) -> None:
    """A row a head, sortable, and small charts of drift, all with the same scale of energy."""
    models = {one.fingerprint: one for one in library.readable_checkpoints().values()}
    found = library.comparisons_of(runs)
    if found is None:
        return
    rows = []
    for run, comparison in zip(runs, found, strict=True):
        mine = overview.run_rows(run.id, run.header, comparison, run.typical_speed, models)
        rows += [row | {"note": belongings.note(run.folder)} for row in mine]
    table = library.with_notes(pd.DataFrame(rows), after="head")
    if (table["model"].isna() | (table["model"] == table["head"])).all():
        del table["model"]  # heads are called after their models in most runs
    picked = show_table(
        table,
        "Drift, survival and speed of every head of every run",
        names=("run", "model", "head"),
        on_select="rerun",
        selection_mode="single-row",
        key="runs table",
    )
    st.caption(
        "Drift is the median over the survivors with its 95 % interval, so read it together with "
        "their share. Click a column to sort, a row to choose its run; the paired test of the "
        "heads of one run is on the page Drift and 3D."
    )
    with st.container(horizontal=True, vertical_alignment="center"):
        csv_button(table, "runs")
        if rows_picked := picked.selection.rows:
            name = rows[rows_picked[0]]["run"]
            library.select("run", name)
            onward("drift", f"{name} in detail and in 3D")
            library.own_run(next(run for run in runs if run.id == name))
    charts(runs)
    command(*(shell_command("compare", run.folder, json=True) for run in runs))


def charts(runs: list[Run]) -> None:
    """Drift of all runs in one chart, with their survivors, or in a small chart each."""
    drawn = [(run.id, run.header, run.trajectories()) for run in runs]
    if len(runs) == 1 or switch("Charts", ["In one chart", "Side by side"]) == "In one chart":
        draw(overview.overlaid(drawn), key="overlaid", table=False)
        looks = "; a colour for each run, a dash for each of its heads" if len(runs) > 1 else ""
        st.caption(
            f"Running mean of the median over the survivors, and their share{looks}. A click in "
            "the legend hides a curve, a double click all others."
        )
        return
    with st.grid(3, min_column_width=300):
        for run, figure in zip(runs, overview.small_multiples(drawn), strict=True):
            with st.container():
                draw(figure, key=f"small {run.id}", table=False)
    st.caption("Median of the survivors, whose number is beside the name; the same scale each.")


def evaluation() -> None:
    """Errors of several models on the same frames."""
    paths, data_path = library.choose_models("evaluated", "All are held against the same frames.")
    library.own_model("evaluated", several=True)
    if st.button("Evaluate", icon=":material/rule:", disabled=not (paths and data_path)):
        with door():
            assert data_path is not None
            frames, data = data_path, library.dataset_at(data_path)
            models = library.models_for(paths, data)
            begin(lambda: submit.evaluation(paths, frames, models, data))
    job = jobs.latest("evaluate")
    if job is None:
        return
    look_here(job)
    follow(job)
    if job.status == "finished" and job.result:
        errors(job, job.result)
    command(job.info["command"])


def errors(job: Job, found: "dict[str, Predicted]") -> None:
    """Errors in a table, by element, by size of force, and point by point."""
    looks = dict(zip(found, styles(job.info["roles"]), strict=True))
    # Of millions of atoms they take seconds, at every click.
    told = computed(
        "the errors",
        ("errors", job.owner, job.id),
        lambda: (
            overview.error_rows(found),
            overview.element_rows(found),
            overview.magnitude_figure(found, looks),
        ),
    )
    if told is None:
        return
    table, elements, magnitudes = told
    show_table(table, "Errors")
    csv_button(table, "errors")
    cautions = {name: one.caution for name, one in found.items() if one.caution}
    if len(cautions) > 1:
        st.warning(
            f"{len(cautions)} of these models were trained on or re-fitted to some of these "
            "frames; their errors on frames that they have not seen are in the last column.",
            icon=":material/warning:",
        )
    for name, one in found.items():
        if name in cautions and len(cautions) == 1:
            st.warning(plain(f"{name}: {cautions[name]}."), icon=":material/warning:")
        if one.offset is not None:
            st.warning(
                plain(
                    f"{name}: its energies are off by {number(one.offset, sign=True)} eV on "
                    "average, more than ten times their spread: the data are of another level of "
                    "theory or have another zero of energy, and its energy errors say nothing."
                ),
                icon=":material/warning:",
            )
    by_element, by_size = st.columns(2)
    with by_element:
        st.markdown("**Force RMSE by element**")
        show_table(elements, "Force RMSE by element")
    with by_size:
        draw(magnitudes, key="by size", table=False)
    point_by_point(job, found, looks)


def point_by_point(job: Job, found: "dict[str, Predicted]", looks: dict[str, SeriesStyle]) -> None:
    """Every force and energy of one model against the data, and the frame of a clicked point."""
    name = st.selectbox("Point by point", list(found), key="parity of")
    one, look = found[name], looks[name]
    parity = computed(
        "the points",
        ("parity", job.owner, job.id, name),
        lambda: (overview.force_parity(one), overview.energy_parity(one)),
    )
    if parity is None:
        return
    left, right = st.columns(2)
    with left:
        forces = draw(parity[0], key="force parity", table=False, on_select="rerun")
    with right:
        energies = draw(parity[1], key="energy parity", table=False, on_select="rerun")
    picked = [*forces.selection.points, *energies.selection.points]
    if not picked:
        st.caption("Click a point to see its frame.")
        return
    frame, atom = map(int, picked[-1]["customdata"][:2])
    picked_frame(name, one, look, frame, atom)


def picked_frame(name: str, one: "Predicted", look: SeriesStyle, frame: int, atom: int) -> None:
    """A frame with its forces and those of the model; ``atom`` is −1 for a point of energy."""
    data = one.data
    where = f"Frame {frame + 1:,} of {len(data):,}"
    if atom >= 0:
        off = np.linalg.norm(one.forces[frame, atom] - data.forces[frame, atom])
        symbol = chemical_symbols[data.atomic_numbers[atom]]
        where += f", atom {symbol}{atom + 1}: the force is off by {off:.3g} eV/Å"
    rows = slice(frame, frame + 1)
    pane = viewer.Pane(
        where, look, data.positions[rows], forces=one.forces[rows], against=data.forces[rows],
        labelled=True,
    )  # fmt: skip
    key = f"{name} {data.fingerprint} {frame} {atom}"
    numbers = data.atomic_numbers.tolist()
    payload = viewer.payload(numbers, [pane], np.array([frame + 1.0]), key=key, unit="")
    show_molecules(payload, key="parity frame")
    into_view(key, "picked point", "end")  # and above it as much of the charts as there is room for


def models_table() -> None:
    """What is known of each model, their errors, and the file of the one that is chosen."""
    models = {}
    for name, path in library.options("checkpoints").items():
        with door():
            models[name] = library.checkpoint_at(path)
    table = overview.model_rows(models)
    own = library.options("checkpoints")
    table = library.with_notes(
        table.assign(note=[belongings.note(own[name]) for name in models]), after="model"
    )
    short = {"fingerprint": table["fingerprint"].str[:8]} if len(table) else {}
    show_table(table.assign(**short), "The models")
    st.caption(
        "Frames that each was trained or re-fitted on, and the RMSE of the forces on its "
        "validation frames. The CSV has whole fingerprints."
    )
    csv_button(table, "models")
    st.subheader("Errors on the same frames")
    evaluation()
    st.subheader("Use a model elsewhere")
    from fisherdash.potentials.calculator import snippet

    path = library.choose("Checkpoint", "checkpoints", "model")
    if path is not None:
        download_file(path, "Download the checkpoint")
        share_button(path)
        own_file(path, "model")
        st.markdown("Energies, forces and dynamics in ASE:")
        st.code(snippet(path.name), language="python")


st.title("Compare")
st.caption("Runs and models next to each other, in numbers that can be sorted and downloaded.")
kind = switch("What", ["Runs", "Models", "Loss landscape"])
if kind != "Runs":
    with door():
        if not library.options("checkpoints"):
            next_step("There is no model yet.", "train", "Train one on the Train page")
        elif kind == "Models":
            models_table()
        else:
            landscape_section()
elif not entries("runs"):
    next_step("There is no run yet.", "simulate", "Start one on the Simulate page")
elif runs := chosen_runs():
    with door():
        show(runs)
else:
    st.info("Choose runs that have frames already.", icon=":material/info:")
