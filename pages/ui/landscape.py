"""The loss around models, default beside Fisher: asked for, watched, and shown."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import streamlit as st

from fisherdash import submit
from fisherdash.plots import landscape as figures
from fisherdash.plots.chart import styles
from fisherdash.settings import LandscapeSettings
from fisherdash.workspace import jobs
from fisherdash.workspace.jobs import Job
from pages.ui import library
from pages.ui.asking import begin
from pages.ui.charts import csv_button, draw, show_table
from pages.ui.progress import command, door, follow, plain
from pages.ui.widgets import widgets

if TYPE_CHECKING:
    from fisherdash.landscape import Landscape


def ask() -> None:
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


def show(job: Job, found: "Mapping[str, Landscape]") -> None:
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


def section() -> None:
    """Everything about the loss around models."""
    ask()
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
        show(job, job.result)
    command(job.info["command"])
