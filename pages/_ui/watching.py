"""A run on the screen, while it grows or afterwards: drift with survivors, numbers, molecules."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import streamlit as st

from fisherdash.analyse import Trajectories
from fisherdash.runs import Run
from fisherdash.view import linked, viewer
from fisherdash.view.drift import drift_figure
from fisherdash.view.theme import SeriesStyle, styles
from pages._ui.charts import draw
from pages._ui.progress import plain
from pages._ui.viewer import show_molecules


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
    frames = viewer.thinned(len(run.times))
    timestep = float(run.header.settings["timestep"])
    panes = []
    for head in heads:
        died = int(run.died_step[head, replica])
        late = np.flatnonzero(run.times[frames] >= (died - 0.5) * timestep) if died >= 0 else []
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
        run.times[frames] / 1000.0,
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
    return linked.curves(traj, looks(run), endings, end=end_of(run))


def broken_bond(run: Run, head: int, replica: int) -> tuple[int, int] | None:
    """The atoms whose bond broke; None for the living and for what is not finite."""
    bond = int(run.broken_bond[head, replica])
    if int(run.died_step[head, replica]) < 0 or bond < 0 or not run.header.bonds:
        return None
    return run.header.bonds[bond][:2]


def death(run: Run, head: int, replica: int) -> str:
    """How and when a trajectory died, in words; empty for the living."""
    step, bond = int(run.died_step[head, replica]), broken_bond(run, head, replica)
    if step < 0:
        return ""
    when = f"at {step * float(run.header.settings['timestep']) / 1000.0:.3g} ps"
    if bond is None:
        return f"energy no longer finite {when}"
    first, second = bond
    symbols = run.header.symbols
    return f"{symbols[first]}{first + 1}–{symbols[second]}{second + 1} bond broke {when}"
