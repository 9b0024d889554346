"""Drift: how far total energy moves away and who survives, read together."""

import functools

import pandas as pd
import streamlit as st

from fisherdash.analyse import Comparison, Interval, compare
from fisherdash.errors import InputError
from fisherdash.runs import Run, jobs
from fisherdash.runs.commands import shell_command
from fisherdash.view.drift import temperature_figure
from pages._ui import library
from pages._ui.charts import draw
from pages._ui.doors import command, door, next_step
from pages._ui.progress import job_line, watch
from pages._ui.watching import drift_chart, end_of, looks


def job_of(run: Run) -> jobs.Job | None:
    """The job that writes this run, if there is one."""
    return next((job for job in jobs.every() if job.info.get("run") == run.folder), None)


def spread(value: Interval | None) -> str:
    """A median with its 95 % interval."""
    if value is None:
        return "no survivors"
    if value.low is None or value.high is None:
        return f"{value.median:+.3g}"
    return f"{value.median:+.3g}  [{value.low:+.3g}, {value.high:+.3g}]"


def numbers(found: Comparison) -> None:
    """The table behind the sentence."""
    rows = []
    for name in found.names:
        half, jitter = found.time_to_failure[name], found.fluctuation[name]
        rows.append(
            {
                "head": name,
                "alive": f"{found.survivors[name]} of {found.replicas}",
                "drift (meV/atom/ps), median [95 %]": spread(found.drift[name]),
                "fluctuation (meV/atom)": "–" if jitter is None else f"{jitter:.3g}",
                "half are dead after (ps)": "more than half live"
                if half is None
                else f"{half:.3g}",
            }
        )
    st.dataframe(pd.DataFrame(rows), hide_index=True, alt="Drift and survival of each head")
    words = []
    if found.difference is not None:
        p_value = found.difference.p_value
        words.append(
            f"Paired difference of |drift|, second minus first, over {found.pairs} pairs of "
            f"survivors: {spread(found.difference)} meV/atom/ps"
            + (f" (signed-rank p = {p_value:.2g})" if p_value is not None else "")
        )
    if found.logrank_p_value is not None:
        words.append(f"equal survival: log-rank p = {found.logrank_p_value:.2g}")
    if words:
        st.caption("; ".join(words) + ".")
    st.caption(
        "Drift is that of the survivors only, so it is read together with their number. Slopes "
        "are Theil–Sen; intervals are bootstrapped over replicas."
    )


def board(run: Run) -> None:
    """Everything about the run as it stands."""
    if job := job_of(run):
        job_line(job)
    elif run.status != "finished":
        st.caption(f"This run is {run.status} after step {run.step:,} of {run.steps:,}.")
    try:
        run.refresh()
        traj = run.trajectories()
    except InputError as error:
        st.error(str(error), icon=":material/error:")
        return
    if not len(traj.times):
        st.caption("No points yet: the first frame comes when compilation is done.")
        return
    drift_chart(run, traj, "drift", table=run.status != "running")
    found = compare(traj)
    st.markdown(f"**{found.sentence}**")
    numbers(found)
    draw(temperature_figure(traj, looks(run), end=end_of(run)), key="temperature", table=False)


@st.dialog("Delete this run?")
def confirm(run: Run) -> None:
    """Ask before a run's files are deleted."""
    st.write(f"The files of {run.id} are deleted for good.")
    if st.button("Delete", type="primary", icon=":material/delete:"):
        try:
            library.forget_run(run.folder)
        except InputError as error:
            st.error(str(error), icon=":material/error:")
        else:
            st.rerun()


def about(run: Run) -> None:
    """What was simulated, on what, with which versions."""
    header, chosen = run.header, run.header.settings
    with st.expander("About this run", icon=":material/info:"):
        st.markdown(
            f"{chosen['replicas']} replicas of each head, {chosen['steps']:,} steps of "
            f"{chosen['timestep']:g} fs at {chosen['temperature']:g} K, seed {chosen['seed']}, "
            f"network in {chosen.get('precision', 'float32')}, on {header.device or 'no device'}."
        )
        for note in header.notes:
            st.caption(note)
        versions = ", ".join(f"{name} {number}" for name, number in header.versions.items())
        st.caption(f"{header.created}; {versions}")
        if st.button("Delete this run", icon=":material/delete:"):
            confirm(run)


st.title("Drift")
st.caption("Total energy should stay where it is; how far it moves, and who survives, is below.")
with door():
    run = library.choose_run()
    if run is None:
        next_step("There is no run yet.", "simulate", "Start one on the Simulate page")
    else:
        watch(job_of(run), functools.partial(board, run), every=1.0)
        about(run)
        command(run.header.command, shell_command("compare", run.folder))
