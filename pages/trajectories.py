"""Trajectories: linked curves and molecules of one run; a click on a curve moves them all."""

import functools

import streamlit as st

from fisherdash import tasks
from fisherdash.settings import shell_command
from fisherdash.workspace import Run, paths
from fisherdash.workspace.runs import extended_xyz
from pages.ui import library
from pages.ui.charts import download, failure, molecules
from pages.ui.progress import command, door, next_step, plain, watch
from pages.ui.run_panels import error_bars


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
    """Which replica to look at, counted from 0; it is in the address of the page."""
    count = run.header.shape[1]
    library.only_a_number("replica")
    if not 1 <= st.session_state.get("replica", 1) <= count:
        st.session_state["replica"] = 1
    number = st.number_input(
        "Replica",
        min_value=1,
        max_value=count,
        key="replica",
        bind="query-params",
        help="Each replica has one initial state, the same for all heads. A click on its curve "
        "chooses it, too; a cross marks a failure.",
    )
    return int(number) - 1


def choose(index: int) -> None:
    """Show the replica whose curve was clicked."""
    st.session_state["replica"] = index + 1


@door()
def views(run: Run, chosen: tuple[int, ...]) -> None:
    """Curves and molecules as far as the run has come."""
    run.refresh()
    index = replica(run)
    if not len(run.times):
        st.caption("No frames yet: the first comes when compilation is done.")
        return
    molecules(run, chosen, index, "molecules", choose=choose)
    for head in chosen:
        if words := failure(run, head, index):
            st.caption(f"{plain(run.header.names[head])}, replica {index + 1}: {words}.")
    take_away(run, chosen, index)
    error_bars(run, chosen, index)


def take_away(run: Run, chosen: tuple[int, ...], index: int) -> None:
    """The replica that is shown, as a file for any other program."""
    with st.container(horizontal=True):
        for head in chosen:
            name = run.header.names[head]
            download(
                f"{plain(name)}, replica {index + 1} (extended XYZ)",
                lambda head=head: b"".join(extended_xyz(run, head, index)),
                f"{run.id}-{paths.safe_stem(name + '.x')}-{index + 1}.xyz",
                f"xyz {head}",
                help="Every recorded frame with its time, energies (eV), positions (Å) and "
                "velocities (Å/fs).",
            )


st.title("Trajectories")
st.caption(
    "The same initial state under each head. Drag to turn, scroll to zoom; both turn together."
)
with door():
    run = library.choose_run()
    if run is None:
        next_step("There is no run yet.", "simulate", "Start one on the Simulate page")
    else:
        chosen = heads(run)
        watch(tasks.job_in(run.folder), functools.partial(views, run, chosen), every=2.0)
        command(run.header.command, shell_command("compare", run.folder))
