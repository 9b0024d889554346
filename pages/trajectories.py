"""Trajectories: the same start under two heads, side by side and in step."""

import functools

import numpy as np
import streamlit as st

from fisherdash.runs import Run, jobs
from fisherdash.runs.commands import shell_command
from pages._ui import library
from pages._ui.doors import command, door, next_step
from pages._ui.progress import watch
from pages._ui.watching import death, molecules


def heads(run: Run) -> tuple[int, ...]:
    """The two heads to look at."""
    names = run.header.names
    if len(names) <= 2:
        return tuple(range(len(names)))
    chosen = st.multiselect(
        "Heads", list(names), default=list(names[:2]), max_selections=2, help="One or two."
    )
    return tuple(names.index(name) for name in chosen) or (0,)


def replica(run: Run) -> int:
    """Which start to look at; those in which somebody died say so."""
    dead = np.any(run.died_step >= 0, axis=0)

    def shown(index: int) -> str:
        return f"{index + 1} (dies)" if dead[index] else str(index + 1)

    count = run.header.shape[1]
    return st.selectbox(
        "Replica",
        range(count),
        index=int(np.argmax(dead)) if dead.any() else 0,
        format_func=shown,
        key=f"replica of {run.id}",
        help="Each replica is one start, the same for all heads.",
    )


def views(run: Run, chosen: tuple[int, ...], index: int) -> None:
    """The molecules as far as the run has come."""
    with door():
        run.refresh()
        if not len(run.times):
            st.caption("No frames yet: the first comes when compilation is done.")
            return
        molecules(run, chosen, index, "molecules")
        for head in chosen:
            if words := death(run, head, index):
                st.caption(f"{run.header.names[head]}: {words}.")


st.title("Trajectories")
st.caption("The same start under each head. Drag to turn, scroll to zoom; both turn together.")
with door():
    run = library.choose_run()
    if run is None:
        next_step("There is no run yet.", "simulate", "Start one on the Simulate page")
    else:
        index, chosen = replica(run), heads(run)
        writing = (job for job in jobs.every() if job.info.get("run") == run.folder)
        watch(next(writing, None), functools.partial(views, run, chosen, index), every=3.0)
        command(run.header.command, shell_command("compare", run.folder))
