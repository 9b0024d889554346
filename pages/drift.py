"""Drift: how far total energy moves away and how many replicas survive, read together."""

import functools

import streamlit as st

from fisherdash import tasks
from fisherdash.analysis import RunStatistics
from fisherdash.plots.drift import temperature_figure
from fisherdash.plots.report import (
    comparison_numbers,
    comparison_table,
    html_report,
    run_picture,
    tests_in_words,
)
from fisherdash.tasks import commands_of
from fisherdash.workspace import Run
from pages.ui import library, run_panels
from pages.ui.charts import csv_button, download, draw, drift_chart, end_of, looks, show_table
from pages.ui.progress import command, door, job_line, next_step, onward, plain, watch


def statistics(found: RunStatistics) -> None:
    """What the run says, and the table behind it."""
    mark = "- " if len(found.sentences) > 1 else ""
    st.markdown("\n".join(f"{mark}**{plain(sentence)}**" for sentence in found.sentences))
    for caution in found.cautions:
        st.caption(f":material/info: {plain(caution)}")
    show_table(comparison_table(found), "Drift and survival of each head")
    if words := tests_in_words(found):
        st.caption(plain(words))
    st.caption(
        "Drift is that of the survivors only, so it is read together with their number. Slopes "
        "are Theil–Sen; intervals are bootstrapped over replicas."
    )


def take_away(run: Run) -> None:
    """The comparison as a report, a picture and a table."""
    traj, commands = run.trajectories(), commands_of(run)
    if not len(traj.times):
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        download(
            "Report (HTML)",
            lambda: html_report(run.header, traj, commands).encode(),
            f"{run.id}.html",
            icon=":material/description:",
            help="One file with the numbers, the curves, the settings and the commands; it needs "
            "no network to be read.",
        )
        download(
            "Figure (SVG)",
            lambda: run_picture(traj, run.header.roles).encode(),
            f"{run.id}.svg",
            icon=":material/image:",
        )
        if found := library.comparison_of(run, quiet=True):
            csv_button(comparison_numbers(found), f"{run.id} comparison")
        onward("trajectories", "See curves and molecules together")


@door()
def board(run: Run) -> None:
    """Everything about the run as it stands."""
    job = tasks.job_in(run.folder)
    if job is not None:
        job_line(job)
    elif run.status != "finished":
        st.caption(f"This run is {run.status} after step {run.step:,} of {run.steps:,}.")
        if st.button("Go on", icon=":material/resume:", help="From the last step on disk."):
            with door():
                tasks.submit_resume(run.folder)
                st.rerun()
    run.refresh()
    traj = run.trajectories()
    if not len(traj.times):
        st.caption("No points yet: the first frame comes when compilation is done.")
        return
    drift_chart(run, traj, "drift", table=run.status != "running")
    if found := library.comparison_of(run, quiet=job is not None and job.active):
        statistics(found)
    draw(temperature_figure(traj, looks(run), end=end_of(run)), key="temperature", table=False)


@st.dialog("Delete this run?")
def confirm(run: Run) -> None:
    """Ask before a run's files are deleted."""
    st.write(f"The files of {plain(run.id)} are deleted for good.")
    if st.button("Delete", type="primary", icon=":material/delete:"):
        with door():
            library.forget_run(run.folder)
            st.rerun()


def about(run: Run) -> None:
    """What was simulated, on what, with which versions."""
    header, chosen = run.header, run.header.settings
    with st.expander("About this run", icon=":material/info:"):
        words = (
            f"{chosen['replicas']} replicas of each head, {chosen['steps']:,} steps of "
            f"{chosen['timestep']:g} fs at {chosen['temperature']:g} K, seed {chosen['seed']}, "
            f"network in {chosen.get('precision', 'float32')}, on {header.device or 'no device'}."
        )
        st.markdown(plain(words))
        for note in header.notes:
            st.caption(plain(note))
        versions = ", ".join(f"{name} {number}" for name, number in header.versions.items())
        st.caption(plain(f"{header.created}; {versions}"))
        if st.button("Delete this run", icon=":material/delete:"):
            confirm(run)


st.title("Drift")
st.caption("Total energy should be conserved: its drift, and how many replicas survive.")
with door():
    run = library.choose_run()
    if run is None:
        next_step("There is no run yet.", "simulate", "Start one on the Simulate page")
    else:
        watch(tasks.job_in(run.folder), functools.partial(board, run))
        run_panels.origin_section(run)
        run_panels.structure_section(run)
        take_away(run)
        about(run)
        command(*commands_of(run))
