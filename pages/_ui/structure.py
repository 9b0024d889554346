"""The shape of the molecule beside its energy: distances, bonds and angles, vibrations."""

import streamlit as st

from fisherdash.analyse.spectrum import folding_warning
from fisherdash.dataset import Dataset
from fisherdash.errors import InputError
from fisherdash.runs import Run
from fisherdash.view.geometry import kind_figure, kinds_table
from fisherdash.view.structure import structure_figure, structure_sentence
from fisherdash.view.theme import SeriesStyle
from fisherdash.view.vibrations import spectrum_figure, spectrum_sentence
from pages._ui import library
from pages._ui.charts import csv_button, draw, show_table
from pages._ui.doors import door
from pages._ui.progress import plain
from pages._ui.watching import looks

_PARTS = ["Distances", "Bonds and angles", "Vibrations"]


def section(run: Run) -> None:
    """Structure and vibrations of a run, each computed when it is asked for."""
    if not st.toggle(
        "Structure and vibrations",
        key="structure",
        help="A head may keep its energy and yet give the molecule another shape, or bonds that "
        "swing at another frequency.",
    ):
        return
    part = st.segmented_control(
        "Look at",
        _PARTS,
        default=_PARTS[0],
        required=True,
        key="structure part",
        label_visibility="collapsed",
    )
    with door():
        styles = dict(zip(run.header.names, looks(run), strict=True))
        if part == "Vibrations":
            vibrations(run, styles)
        elif (data := _data_for(run)) is not None:
            if part == "Distances":
                distances(run, data, styles)
            else:
                bonds_and_angles(run, data, styles)
            heat = "unknown" if data.temperature is None else f"{data.temperature:g} K"
            st.caption(
                f"Data at {heat}; the run began with momenta of "
                f"{run.header.settings['temperature']:g} K. Only like temperatures compare the "
                "models."
            )


def _data_for(run: Run) -> Dataset | None:
    """The data set that the run is held against; InputError for another molecule."""
    path = library.choose("Held against", "datasets", "data")
    if path is None:
        return None
    data = library.dataset_at(path)
    if tuple(data.atomic_numbers.tolist()) != run.header.atomic_numbers:
        raise InputError(f"{path.stem} holds another molecule, or its atoms in another order")
    return data


def distances(run: Run, data: Dataset, styles: dict[str, SeriesStyle]) -> None:
    """h(r) of each head beside that of the data."""
    found = library.structure_of(run, data)
    draw(structure_figure(found, styles), key="distances")
    st.caption(plain(structure_sentence(found)))


def bonds_and_angles(run: Run, data: Dataset, styles: dict[str, SeriesStyle]) -> None:
    """A table of all kinds, and the distributions of the chosen one."""
    kinds = {f"{kind.name} ({kind.unit})": kind for kind in library.geometry_of(run, data)}
    if not kinds:
        st.info("This run watches no bonds.", icon=":material/info:")
        return
    name = st.selectbox("Bond or angle", list(kinds), key="kind")
    draw(kind_figure(kinds[name], styles), key="kind chart")
    table = kinds_table(list(kinds.values()))
    show_table(table, "Bonds and angles")
    csv_button(table, f"{run.id} bonds and angles")
    st.caption(
        "Mean ± standard deviation over the living. Away from data: how far the values have to be "
        "moved on average to be distributed like the data, in Å or degrees; beside it the same "
        "between two halves of the data, which is chance alone."
    )


def vibrations(run: Run, styles: dict[str, SeriesStyle]) -> None:
    """The spectrum from velocities; a data set has none, so only heads are compared."""
    settings, hydrogen = run.header.settings, 1 in run.header.atomic_numbers
    spacing = float(settings["record_every"]) * float(settings["timestep"])
    if words := folding_warning(spacing, float(settings["timestep"]), hydrogen):
        st.warning(words, icon=":material/warning:")
    found = library.spectrum_of(run)
    if not any(power is not None for power in found.heads.values()):
        st.info("No replica lives to the end of this run.", icon=":material/info:")
        return
    draw(spectrum_figure(found, styles), key="spectrum")
    st.caption(plain(spectrum_sentence(found)))
