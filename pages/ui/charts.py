"""Drawing a figure: the chart, its sentence for screen readers, and the table of its numbers.

The 3D viewer on a page: a component that keeps its node while its frames change.

The drawing of the Learn page: a component that evaluates everything in the browser.

A run on the screen, while it grows or afterwards: drift with survivors, numbers, molecules.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st
from streamlit.components.v2 import component

from fisherdash import viewer
from fisherdash.analysis import Trajectories
from fisherdash.plots.drift import drift_figure
from fisherdash.plots.figure import Figure, SeriesStyle, styles
from fisherdash.workspace import Run
from pages.ui.progress import plain


def draw(figure: Figure, *, key: str, table: bool = True) -> None:
    """Draw a figure of :mod:`fisherdash.plots`; the table of its numbers is folded away."""
    st.echarts_chart(figure.option, alt=figure.alt, height=figure.height, key=key)
    if table and len(figure.table):
        numbers(figure, key)


def numbers(figure: Figure, name: str) -> None:
    """The numbers of a figure, folded away."""
    with st.expander("The numbers", icon=":material/table:"):
        show_table(figure.table, figure.alt, rounded=False, height=260)
        csv_button(figure.table, name)


def show_table(table: pd.DataFrame, alt: str, *, rounded: bool = True, **options: Any) -> Any:
    """A table without its index, a dash where a value is missing; what ``st.dataframe`` returns.

    Args:
        table: one row a line, units in the names of the columns.
        alt: what it is, for those who cannot see it.
        rounded: numbers with a fraction have three significant digits.
        options: of ``st.dataframe``.
    """
    broken = table.select_dtypes("float").columns if rounded else ()
    return st.dataframe(
        table,
        hide_index=True,
        placeholder="–",
        column_config={name: st.column_config.NumberColumn(format="%.3g") for name in broken},
        alt=alt,
        **options,
    )


def csv_button(table: pd.DataFrame, name: str) -> None:
    """Take a table away as CSV; the text is made at the click."""
    st.download_button(
        "Download as CSV",
        data=lambda: table.to_csv(index=False).encode(),
        file_name=f"{name.replace(' ', '-')}.csv",
        mime="text/csv",
        icon=":material/download:",
        on_click="ignore",
        key=f"{name} csv",
    )


_VIEWER = component("fisherdash_viewer", js=viewer.source(), css=viewer.stylesheet())


def show_molecules(
    payload: dict[str, Any], *, key: str, choose: Callable[[int], None] | None = None
) -> None:
    """Draw the payload of :func:`fisherdash.viewer.payload`.

    ``choose`` is called with the number of the replica whose curve was clicked.
    """

    def chosen() -> None:
        replica = st.session_state[key].replica
        if choose is not None and replica is not None:
            choose(int(replica))

    _VIEWER(data=payload, key=key, height="content", on_replica_change=chosen)


_LESSON = component("fisherdash_lesson", js=viewer.lesson_source(), css=viewer.stylesheet())


def show_lesson(payload: dict[str, Any], *, key: str) -> None:
    """Draw the payload of :func:`fisherdash.plots.lesson.payload`."""
    _LESSON(data=payload, key=key, height="content")


def looks(run: Run) -> tuple[SeriesStyle, ...]:
    """The style of each head of a run."""
    return styles(run.header.roles)


def end_of(run: Run) -> float | None:
    """Time at which a run that goes on will end, ps; None for one that does not."""
    length = run.steps * float(run.header.settings["timestep"]) / 1000.0
    return length if run.status == "running" else None


def drift_chart(run: Run, traj: Trajectories, key: str, *, table: bool = True) -> None:
    """ΔE_tot(t) and who is alive, with the number alive beside it."""
    chart, beside = st.columns([5, 1])
    with chart:
        figure = drift_figure(traj, looks(run), end=end_of(run))
        draw(figure, key=key, table=table)
    with beside:
        alive_metrics(traj)
        st.caption(f"{len(traj.times):,} points, {traj.duration:.3g} ps")


def alive_metrics(traj: Trajectories) -> None:
    """The number alive of each head."""
    for name, alive in zip(traj.names, traj.survivors.sum(axis=1), strict=True):
        with st.container(border=True, gap="xsmall"):
            st.caption(f"{plain(name)}: alive")
            count = f"{alive} of {traj.replicas}"
            st.metric(f"{plain(name)}: alive", count, label_visibility="collapsed")


def molecules(
    run: Run,
    heads: Sequence[int],
    replica: int,
    key: str,
    *,
    playing: bool = False,
    choose: Callable[[int], None] | None = None,
) -> None:
    """The same replica of each head, in step; with ``choose``, under the curves of the run.

    ``choose`` is called with the replica whose curve was clicked.
    """
    traj = run.trajectories()
    frames = viewer.thinned(len(traj.times))
    panes = []
    for head in heads:
        late = np.flatnonzero(~traj.surviving[head, replica, frames])
        panes.append(
            viewer.Pane(
                caption=f"{run.header.names[head]}, replica {replica + 1}",
                style=looks(run)[head],
                positions=run.frames(head, replica, frames),
                died=int(late[0]) if len(late) else None,
                ending=death(run, head, replica),
                name=run.header.names[head],
                head=head,
                broken=broken_bond(run, head, replica),
            )
        )
    shown = "-".join(str(head) for head in heads)
    payload = viewer.payload(
        run.header.atomic_numbers,
        panes,
        traj.times[frames] / 1000.0,
        key=f"{run.id} {shown}",
        live=run.status == "running",
        playing=playing,
        subject=replica,
        curves=None if choose is None else run_curves(run),
    )
    show_molecules(payload, key=key, choose=choose)


def run_curves(run: Run) -> dict[str, Any]:
    """Drift, survival and temperature of a run for the viewer."""
    traj = run.trajectories()
    heads, replicas = run.header.shape
    endings = [[death(run, head, r) for r in range(replicas)] for head in range(heads)]
    return viewer.curves(traj, looks(run), endings, end=end_of(run))


def broken_bond(run: Run, head: int, replica: int) -> tuple[int, int] | None:
    """The atoms whose bond broke; None for the living and for what is not finite."""
    bonds = run.trajectories().broken_bond
    bond = -1 if bonds is None else int(bonds[head, replica])
    if bond < 0 or not run.header.bonds:
        return None
    return run.header.bonds[bond][:2]


def death(run: Run, head: int, replica: int) -> str:
    """How and when a trajectory died, in words; empty for the living."""
    step = int(run.trajectories().failed_step[head, replica])
    bond = broken_bond(run, head, replica)
    if step < 0:
        return ""
    when = f"at {step * float(run.header.settings['timestep']) / 1000.0:.3g} ps"
    if bond is None:
        return f"energy no longer finite {when}"
    first, second = bond
    symbols = run.header.symbols
    return f"{symbols[first]}{first + 1}–{symbols[second]}{second + 1} bond broke {when}"
