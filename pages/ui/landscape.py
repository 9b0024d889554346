"""The loss around models, default beside Fisher: asked for, watched, and shown."""

from collections.abc import Mapping

import streamlit as st

from fisherdash import landscape, tasks
from fisherdash.landscape import Landscape, Settings
from fisherdash.plots import landscape as figures
from fisherdash.plots.figure import styles
from fisherdash.workspace import jobs
from fisherdash.workspace.jobs import Job
from pages.ui import library
from pages.ui.charts import csv_button, draw, show_table
from pages.ui.progress import command, door, follow, plain

_SCOPES = {"Body and head": "all", "Head alone": "head"}


def choose_settings() -> Settings:
    """How to look: a few choices in sight, the rest folded away."""
    left, middle, right = st.columns(3)
    with left:
        scope = st.segmented_control(
            "Weights that move",
            list(_SCOPES),
            default="Body and head",
            required=True,
            help="The head alone: the loss is an exact parabola there, and the re-fit moved "
            "nothing else.",
        )
    with middle:
        radius = st.number_input(
            "Length ρ of the step",
            min_value=0.0,
            value=landscape.RADIUS,
            step=0.01,
            format="%g",
            help="How far up the gradient the weights are moved for the sharpness; usual are "
            "0.005 to 0.5. The head counts in kcal/mol, as in training.",
        )
    with right:
        frames = st.number_input(
            "Frames",
            min_value=1,
            value=landscape.FRAMES,
            step=50,
            help="Evenly spread over the data set; the time grows with them. 50 to 500 are usual.",
        )
    with st.expander("The plane", icon=":material/grid_on:"):
        first, second, third = st.columns(3)
        with first:
            span = st.number_input(
                "Largest step",
                min_value=0.01,
                value=landscape.SPAN,
                step=0.05,
                help="Along each random direction, in parts of the weights: 0.25 moves every "
                "filter by a quarter of its length. 0.05 to 1 are usual.",
            )
        with second:
            points = st.number_input(
                "Points along each",
                min_value=3,
                value=landscape.POINTS,
                step=2,
                help="An odd number, so that the model itself is one; the time grows with its "
                "square. 9 to 31 are usual.",
            )
        with third:
            seed = st.number_input("Seed of the directions", min_value=0, value=0)
    return Settings(
        frames=frames,
        radius=radius,
        scope="head" if _SCOPES[scope or "Body and head"] == "head" else "all",
        span=span,
        points=points,
        seed=seed,
    )


def ask() -> None:
    """Models, frames and the button."""
    paths, data_path = library.choose_models(
        "mapped", "A default head and its re-fit, for example."
    )
    settings = choose_settings()
    if st.button(
        "Map the landscape", type="primary", icon=":material/landscape:", disabled=not paths
    ):
        with door():
            if data_path is None:
                st.error("There are no frames: load or make some on the Data page.")
                return
            data = library.dataset_at(data_path)
            models = library.models_for(paths, data)
            tasks.submit_landscape(paths, data_path, models, data, settings)


def show(job: Job, found: Mapping[str, Landscape]) -> None:
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
            "Choose models to see how sharp the valley is in which each of them lies. Sharp ones "
            "tend to die early in dynamics.",
            icon=":material/info:",
        )
        return
    follow(job)
    if job.status == "finished" and job.result:
        show(job, job.result)
    command(job.info["command"])
