"""Figures, tables, molecules and files to take away, and what a page shows of a run.

A figure comes with its sentence for screen readers and the table of its numbers. The 3D viewer and
the drawing of the Learn page are components that keep their node while their data change.
"""

import contextlib
import functools
import mimetypes
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st
from streamlit.components.v2 import component

from fisherdash import recordings, viewer
from fisherdash.errors import InputError
from fisherdash.plots.chart import Chart, Scheme, SeriesStyle, styles, template
from fisherdash.plots.drift import drift_figure, plain_json
from fisherdash.statistics import Estimate as Number
from fisherdash.statistics import evenly_spaced
from fisherdash.text import cell
from fisherdash.workspace import Run, estimates, limits
from fisherdash.workspace.estimates import Estimate
from fisherdash.workspace.runs import has_models
from pages.ui.progress import computed, door, plain


def scheme() -> Scheme:
    """The colours that the visitor has chosen."""
    return "dark" if st.context.theme.type == "dark" else "light"


CONFIG: dict[str, Any] = {
    "displaylogo": False,
    "modeBarButtonsToRemove": ["select2d", "lasso2d", "autoScale2d"],
    "toImageButtonOptions": {"format": "svg"},
}
"""Of Plotly in the browser: zoom, pan, reset, and a picture to take away."""


def draw(figure: Chart, *, key: str, table: bool = True, **more: Any) -> Any:
    """Show a finished chart in the visitor's colours; the table of its numbers is folded away.

    Each change of data makes a new node, so a live chart is a component that keeps its own.

    Args:
        figure: of :mod:`fisherdash.plots`, perhaps kept for all pages; a copy gets the template.
        key: of the chart on its page.
        table: whether its numbers can be unfolded below.
        more: of ``st.plotly_chart``, for example ``on_select``.
    Returns: what ``st.plotly_chart`` returns.
    """
    shown = figure.copied().update_layout(template=template(scheme()))
    found = st.plotly_chart(shown, theme=None, config=CONFIG, alt=figure.alt, key=key, **more)
    if table and len(figure.table):
        numbers(figure, key)
    return found


def numbers(figure: Chart, name: str) -> None:
    """The numbers of a figure, folded away."""
    with st.expander("The numbers", icon=":material/table:"):
        show_table(figure.table, figure.alt, rounded=False, height=260)
        csv_button(figure.table, name)


MOST_ROWS = 10_000
"""Of a table on a page: every row is sent to the browser, also of one that is folded away."""
_LONG_NAME = 20
"""Letters that a column of names is at least cut to."""


def show_table(
    table: pd.DataFrame,
    alt: str,
    *,
    rounded: bool = True,
    names: Sequence[str] = (),
    **options: Any,
) -> Any:
    """A table without its index, a dash where a value is missing; what ``st.dataframe`` returns.

    Of more than MOST_ROWS rows, evenly spaced ones are shown, and a line below says so.

    Args:
        table: one row a line, units in the names of the columns.
        alt: what it is, for those who cannot see it.
        rounded: numbers with a fraction have three significant digits.
        names: columns whose long names are cut, so that the numbers behind them are in sight; a
            double click shows one whole.
        options: of ``st.dataframe``.
    """
    rows = len(table)
    if rows > MOST_ROWS:
        table = table.iloc[evenly_spaced(rows, MOST_ROWS)]
    broken = table.select_dtypes("float").columns if rounded else ()
    # A browser measures the first rows only: what stands further down would be cut.
    gappy = [name for name in table.select_dtypes("object") if bool(np.any(table[name].isna()))]
    long = [name for name in names if name in table and table[name].str.len().max() > _LONG_NAME]
    shown = st.dataframe(
        table,
        hide_index=True,
        placeholder="–",
        column_config={
            **{name: st.column_config.NumberColumn(format="%.3g") for name in broken},
            **{name: st.column_config.Column(width=150) for name in (*gappy, *long)},
        },
        alt=alt,
        **options,
    )
    if rows > MOST_ROWS:
        st.caption(f"{MOST_ROWS:,} of {rows:,} rows, evenly spaced; the file has all of them.")
    return shown


_making = threading.Lock()
"""Held while a file is made that takes long or much: a visitor may click often."""


def download(
    label: str,
    data: Callable[[], bytes],
    name: str,
    key: str | None = None,
    *,
    icon: str = ":material/download:",
    help: str | None = None,
    disabled: bool = False,
    price: Estimate | None = None,
) -> None:
    """A file to take away, made at the click; its name says what kind it is.

    ``price``: what it takes, where that depends on what somebody has made; one that is too large
    for this server cannot be clicked and says why, and no two are made at a time.
    """
    made = data
    if price is not None:
        try:
            limits.check_page(price, name)
        except InputError as refusal:
            help, disabled = plain(str(refusal)), True

        def made() -> bytes:
            with _making:
                return data()

    mime, _ = mimetypes.guess_type(name)
    st.download_button(label, made, name, mime, key, help, "ignore", icon=icon, disabled=disabled)


def download_file(path: Path, label: str) -> None:
    """A file of the workspace to take away, if it is there."""
    if path.exists():
        download(label, path.read_bytes, path.name, f"download {path.name}")


def csv_button(table: pd.DataFrame, name: str) -> None:
    """Take a table away as CSV."""
    download(
        "Download as CSV",
        lambda: table.map(cell).to_csv(index=False).encode(),
        f"{name.replace(' ', '-')}.csv",
        f"{name} csv",
        price=estimates.table(*table.shape),
    )


# Plotly puts its style sheet into the document: inside an isolated node it would not be seen.
_VIEWER = component(
    "fisherdash_viewer", js=viewer.source(), css=viewer.stylesheet(), isolate_styles=False
)


def show_molecules(
    payload: dict[str, Any],
    *,
    key: str,
    choose: Callable[[int], None] | None = None,
) -> None:
    """Draw the payload of :func:`fisherdash.viewer.payload`.

    ``choose`` is called with the number of the replica whose curve was clicked. Whether forces are
    asked for is kept as ``{key} forces``.
    """

    def chosen() -> None:
        """Another replica was chosen in the viewer."""
        replica = st.session_state[key].replica
        if choose is not None and replica is not None:
            choose(int(replica))

    def asked() -> None:
        """Forces were switched on or off in the viewer."""
        if (wanted := st.session_state[key].forces) is not None:
            st.session_state[f"{key} forces"] = bool(wanted)

    _VIEWER(
        data=payload, key=key, height="content", on_replica_change=chosen, on_forces_change=asked,
    )  # fmt: skip


_LESSON = component("fisherdash_lesson", js=viewer.lesson_source(), css=viewer.stylesheet())


def show_lesson(payload: dict[str, Any], *, key: str) -> None:
    """Draw the payload of :func:`fisherdash.learn.payload`."""
    _LESSON(data=payload, key=key, height="content")


def looks(run: Run) -> tuple[SeriesStyle, ...]:
    """The style of each head of a run."""
    return styles(run.header.roles)


def end_of(run: Run) -> float | None:
    """Time at which a run that goes on will end, ps; None for one that does not."""
    length = run.steps * float(run.header.settings["timestep"]) / 1000.0
    return length if run.status == "running" else None


def linked(
    run: Run,
    heads: Sequence[int],
    replica: int,
    key: str,
    *,
    choose: Callable[[int], None],
    drift: Mapping[str, Number] | None = None,
    playing: bool = False,
    singles: bool = False,
    moment: float | None = None,
) -> None:
    """Drift and survival of a run over time, and one replica of up to four heads in 3D beside it.

    Args:
        run: with at least one frame.
        heads: whose molecules are shown.
        replica: which is shown, from 0.
        key: of the component on its page.
        choose: called with the replica whose curve was clicked.
        drift: slopes of the heads, for the fitted lines.
        playing: start playing at once.
        singles: draw the curve of every replica.
        moment: time to begin with, ps.
    """
    traj = run.trajectories()
    figure = drift_figure(
        traj, looks(run), end=end_of(run), drift=drift, endings=functools.partial(failure, run),
        chosen=replica, singles=singles, scheme=scheme(),
    )  # fmt: skip
    frames = viewer.thinned(len(traj.times))
    can = run.status != "running" and has_models(run)  # while it grows, the processor is its own
    asked = can and st.session_state.get(f"{key} forces", False)
    forces = _forces(run, heads, replica, frames, quiet=True) if asked else None
    known = forces or [(None, None)] * len(heads)
    several = len(run.header.names) > 1
    payload = viewer.payload(
        run.header.atomic_numbers,
        [_pane(run, head, replica, frames, *one) for head, one in zip(heads, known, strict=True)],
        traj.times[frames] / 1000.0,
        key=f"{run.id} {'-'.join(map(str, heads))}",
        live=run.status == "running",
        playing=playing,
        subject=replica,
        figure=plain_json(figure),
        alt=figure.alt,
        moment=moment,
        offers=(("forces", "error") if several else ("forces",)) if can else (),
        judged=_judged(run.header.names),
    )
    show_molecules(payload, key=key, choose=choose)
    if asked and forces is None:
        _forces(run, heads, replica, frames)  # says so down here, where it moves nothing


def _judged(names: Sequence[str]) -> str:
    """What :func:`fisherdash.recordings.by_two_heads` holds forces against."""
    if len(names) < 3:
        return "difference from the other head's forces"
    return f"difference from the forces of {names[0]} (its own: of {names[1]})"


def _forces(
    run: Run, heads: Sequence[int], replica: int, frames: np.ndarray, *, quiet: bool = False
) -> list[tuple[np.ndarray, np.ndarray | None]] | None:
    """Forces of the molecules that are shown; None until they are known."""
    with contextlib.suppress(InputError) if quiet else door():
        return computed(
            "the forces",
            ("forces", run.subject, tuple(heads), replica),
            lambda: recordings.by_two_heads(run, heads, replica, frames),
            len(frames),
            quiet=quiet,
        )
    return None


def _pane(
    run: Run,
    head: int,
    replica: int,
    frames: np.ndarray,
    forces: np.ndarray | None = None,
    against: np.ndarray | None = None,
) -> viewer.Pane:
    late = np.flatnonzero(~run.trajectories().surviving[head, replica, frames])
    return viewer.Pane(
        caption=f"{run.header.names[head]}, replica {replica + 1}",
        style=looks(run)[head],
        positions=run.frames(head, replica, frames),
        failed=int(late[0]) if len(late) else None,
        ending=failure(run, head, replica),
        name=run.header.names[head],
        head=head,
        broken=failed_pair(run, head, replica),
        forces=forces,
        against=against,
    )


def failed_pair(run: Run, head: int, replica: int) -> tuple[int, int] | None:
    """The atoms whose bond broke or which clashed; None for other failures and for survivors."""
    traj = run.trajectories()
    cause = -1 if traj.cause is None else int(traj.cause[head, replica])
    if cause < 0 or not run.header.bonds:
        return traj.clash(head, replica)
    return run.header.bonds[cause][:2]


def failure(run: Run, head: int, replica: int) -> str:
    """How and when a trajectory failed, in words; empty for a survivor."""
    traj = run.trajectories()
    step, pair = int(traj.failed_step[head, replica]), failed_pair(run, head, replica)
    if step < 0:
        return ""
    when = f"at {step * float(run.header.settings['timestep']) / 1000.0:.3g} ps"
    if pair is None:
        return f"energy no longer finite {when}"
    one, other = (f"{run.header.symbols[atom]}{atom + 1}" for atom in pair)
    if traj.clash(head, replica):
        return f"{one} and {other} clashed {when}"
    return f"{one}–{other} bond broke {when}"
