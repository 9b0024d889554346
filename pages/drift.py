"""The comparison of a run on one screen: results, drift and survival, and the molecules.

The address holds the run, the heads, the replica and the time, so that a link shows the same.
"""

import functools
import math
from collections.abc import Callable

import streamlit as st

from fisherdash import submit
from fisherdash.plots import chart
from fisherdash.plots.drift import temperature_figure
from fisherdash.plots.report import comparison_numbers, run_picture, run_report
from fisherdash.recordings import extended_xyz
from fisherdash.tasks import commands_of
from fisherdash.workspace import Run, estimates, paths
from pages.ui import library, run_panels
from pages.ui.charts import csv_button, download, draw, end_of, failure, linked, looks
from pages.ui.progress import begin, command, door, heading, job_line, next_step, plain, watch

MOST_HEADS = 4


def heads(run: Run) -> tuple[int, ...]:
    """The heads to look at in 3D, at most four."""
    names = run.header.names
    if len(names) <= 1:
        return (0,)
    if not set(st.session_state.get("heads", ())) <= set(names):
        del st.session_state["heads"]
    chosen = st.multiselect(
        "Shown in 3D",
        list(names),
        default=list(names[:3]),
        max_selections=MOST_HEADS,
        key="heads",
        bind="query-params",
    )
    return tuple(names.index(name) for name in chosen) or (0,)


def field() -> str:
    """Key of the replica's field.

    A click on a curve makes another one: messages that were on their way then, from parts of the
    page that look for themselves, carry what the older field said.
    """
    return f"replica {st.session_state.get('clicks', 0)}"


def replica(run: Run) -> int:
    """Which replica to look at, counted from 0; kept in the address."""
    count, key = run.header.shape[1], field()
    library.only_a_number("replica")
    asked = st.query_params.get("replica", "1")
    if not 1 <= st.session_state.setdefault(key, int(asked)) <= count:
        st.session_state[key] = 1
    number = st.number_input(
        "Replica",
        min_value=1,
        max_value=count,
        key=key,
        help="Each replica has one initial state, the same for all heads. A click on its curve "
        "chooses it, too; a cross marks a failure.",
    )
    if str(number) != asked:
        st.query_params["replica"] = str(number)
    return int(number) - 1


def choose(index: int) -> None:
    """Show the replica whose curve was clicked."""
    st.session_state["clicks"] = st.session_state.get("clicks", 0) + 1
    st.session_state[field()] = index + 1


def moment() -> float | None:
    """Time of the address, ps; None where it is no number, or one that no browser reads."""
    try:
        found = float(st.query_params.get("time", ""))
    except ValueError:
        return None
    return found if math.isfinite(found) else None


def begin_anew(run: Run) -> None:
    """Another run begins at its first frame, not at the time of the one before."""
    before = st.session_state.get("shown run")
    if before not in (None, run.id) and "time" in st.query_params:
        del st.query_params["time"]
    st.session_state["shown run"] = run.id


@door()
def board(run: Run, chosen: tuple[int, ...], index: int, singles: bool) -> None:
    """Results, curves and molecules as the run stands."""
    if st.session_state.get(field(), index + 1) != index + 1:
        st.rerun()  # a click on a curve runs this part alone; the field stands outside of it
    job = submit.job_in(run.folder)
    live = job is not None and job.active
    if job is not None and live:
        job_line(job)
    run.refresh()
    if not len(run.times):
        st.caption("No points yet: the first frame comes when compilation is done.")
        return
    found = library.comparison_of(run, quiet=True, patient=not live)
    run_panels.cards(run, found)
    linked(
        run, chosen, index, "linked", choose=choose, singles=singles, moment=moment(),
        drift=found and found.drift,
    )  # fmt: skip
    if found is None and not live:
        library.comparison_of(run)  # says so down here: the viewer would be mounted anew otherwise


def unfinished(run: Run) -> None:
    """A run that has stopped says so, and can go on."""
    job = submit.job_in(run.folder)
    if run.status == "finished" or (job is not None and job.active):
        return
    if job is not None:
        job_line(job)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(f"This run is {run.status} after step {run.step:,} of {run.steps:,}.")
        if st.button("Go on", icon=":material/resume:", help="From the last step on disk."):
            with door():
                begin(functools.partial(submit.resumption, run.folder))
                st.rerun()


def take_away(run: Run, chosen: tuple[int, ...], index: int) -> None:
    """The comparison as a report, a picture and tables; the replica for other programs."""
    traj, commands = run.trajectories(), commands_of(run)
    heads, replicas = run.header.shape
    frames, atoms = len(run.times), run.header.num_atoms
    drawn = estimates.run_statistics(heads, replicas, frames)
    # Of molecules a report shows some frames.
    report = drawn.together("page", estimates.exported(0, atoms, heads * replicas, heads))
    with st.container(horizontal=True, vertical_alignment="center"):
        download(
            "Report (HTML)",
            lambda: run_report(run, commands).encode(),
            f"{run.id}.html",
            icon=":material/description:",
            help="One file with the numbers, the curves, molecules to turn, the settings and the "
            "commands; it needs no network to be read.",
            price=report,
        )
        download(
            "Figure (SVG)",
            lambda: run_picture(traj, run.header.roles).encode(),
            f"{run.id}.svg",
            icon=":material/image:",
            help="Drawn by a Chromium on the computer that FisherDash runs on"
            + ("." if chart.available() else ", where there is none."),
            disabled=not chart.available(),
            price=drawn,
        )
        if found := library.comparison_of(run, quiet=True):
            csv_button(comparison_numbers(found), f"{run.id} comparison")
        for head in chosen:
            name = run.header.names[head]
            download(
                f"{plain(name)}, replica {index + 1} (extended XYZ)",
                lambda head=head: b"".join(extended_xyz(run, head, index)),
                f"{run.id}-{paths.safe_stem(name + '.x')}-{index + 1}.xyz",
                f"xyz {head}",
                help="Recorded frames until a failure, with time, energies (eV), positions (Å) "
                "and velocities (Å/fs).",
                price=estimates.exported(frames, atoms, 1, 1),
            )
    command(*commands)


def about(run: Run) -> None:
    """What was simulated, on what, with which versions."""
    header, chosen = run.header, run.header.settings
    words = (
        f"{chosen['replicas']} replicas of each head, {chosen['steps']:,} steps of "
        f"{chosen['timestep']:g} fs at {chosen['temperature']:g} K, seed {chosen['seed']}, "
        f"network in {chosen.get('precision', 'float32')}, on {header.device or 'no device'}."
    )
    st.markdown(plain(words))
    for note in header.notes:
        st.caption(plain(note))
    versions = ", ".join(f"{name} {number}" for name, number in header.versions.items())
    st.caption(plain(f"{header.title}, {header.created}; {versions}"))
    library.own_run(run)


def numbers(run: Run, chosen: tuple[int, ...], index: int) -> None:
    """Statistics of all heads, and what is known of the replica that is looked at."""
    if found := library.comparison_of(run):
        run_panels.statistics(run, found)
    for head in chosen:
        if said := failure(run, head, index):
            st.caption(f"{plain(run.header.names[head])}, replica {index + 1}: {said}.")
    run_panels.error_bars(run, chosen, index)


def temperature(run: Run) -> None:
    """Kinetic temperature of each head over time."""
    draw(temperature_figure(run.trajectories(), looks(run), end=end_of(run)), key="temperature")


def tabs(run: Run, chosen: tuple[int, ...], index: int) -> None:
    """Everything beside the one screen; only the tab that is open is made."""
    library.note_line(run.folder)
    parts: dict[str, Callable[[], None]] = {
        "Statistics": lambda: numbers(run, chosen, index),
        "Temperature": lambda: temperature(run),
        "Structure": lambda: run_panels.structure_section(run),
        "Origin of the drift": lambda: run_panels.origin_section(run),
        "Download": lambda: take_away(run, chosen, index),
        "About": lambda: about(run),
    }
    if not len(run.times):
        parts = {"About": parts["About"]}
    shown = st.tabs(list(parts), key="part", on_change="rerun", bind="query-params")
    for make, tab in zip(parts.values(), shown, strict=True):
        if tab.open:
            with tab, door():
                make()


with door():
    selector, which, number, every = st.columns([1.3, 4.0, 0.9, 1.3], vertical_alignment="bottom")
    with selector, st.container(gap=None):
        st.html(heading("Drift and 3D"))
        run = library.choose_run()
    if run is None:
        next_step(
            "There is no run yet. A run is shown here with its energy drift, its survivors and its "
            "molecules in 3D.",
            "simulate",
            "Start one on the Simulate page",
        )
    else:
        begin_anew(run)
        with which:
            chosen = heads(run)
        with number:
            index = replica(run)
        with every:
            singles = st.toggle("All replicas", key="singles", help="The curve of every replica.")
        unfinished(run)
        watch(submit.job_in(run.folder), functools.partial(board, run, chosen, index, singles))
        tabs(run, chosen, index)
