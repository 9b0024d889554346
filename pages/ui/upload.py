"""A file of frames from this computer: read as soon as it is there, shown, and kept on request.

What was inferred and what speaks against it stands on the page before anything is kept, and every
change of what the user says of the file shows at once.
"""

from typing import Any

import numpy as np
import streamlit as st

from fisherdash import dataset as datasets
from fisherdash.dataset import Dataset, Keys
from fisherdash.errors import InputError
from fisherdash.settings import LoadSettings, shown
from fisherdash.workspace import estimates, limits, paths
from pages.ui import library
from pages.ui.progress import complain, complaint, door, plain
from pages.ui.uploads import file_uploader
from pages.ui.widgets import in_words_of_the_page, widgets

_HELP = (
    "npz, (extended) XYZ, ASE traj and db, HDF5 of ANI or SPICE, outputs of programs, a zipped "
    "DeePMD folder, also packed with gz, bz2, xz, zip or tar; any other name once a format is "
    "chosen. At most 50 MB. Nothing in the file is ever executed."
)


def upload_form() -> bool:
    """The file, what it holds, and what the user says of it; whether it waits to be kept."""
    upload = file_uploader(
        "File with positions, energies and forces of one molecule", key="upload", help=_HELP
    )
    keys = _keys(upload)
    found = {"energy_key": keys.energies, "forces_key": keys.forces, "molecule": keys.molecules}
    chosen: Any = {name: {"options": list(words)} for name, words in found.items()}
    widgets(LoadSettings, columns=4, key="upload", **chosen)
    above = st.container()  # a long summary does not push the button out of sight
    waits = upload is not None and _inspect(upload)
    with above:
        look = "primary" if waits else "secondary"
        st.button("Load", icon=":material/upload_file:", on_click=_keep, type=look)
        complaint("load")
    return waits


def _said() -> dict[str, Any]:
    """What the widgets say."""
    asked = {one.name: st.session_state.get(f"upload {one.name}") for one in shown(LoadSettings)}
    return {name: value for name, value in asked.items() if value}


def _keys(upload: Any) -> Keys:
    """The keys in the file that was chosen, none if it cannot be opened."""
    if upload is None:
        return Keys()
    before = st.session_state.get("keys of", ((None,),))[0]
    if before[0] != upload.file_id:  # what was chosen is of another file
        for name in ("energy_key", "forces_key", "molecule"):
            st.session_state[f"upload {name}"] = None
    said = _said()
    wanted = (upload.file_id, said.get("format"), said.get("molecule"))
    if before != wanted:
        try:
            content = upload.getvalue()
            found = datasets.keys_of(upload.name, content, format=wanted[1], molecule=wanted[2])
        except InputError:
            found = Keys()  # why, is said where it is read
        st.session_state["keys of"] = (wanted, found)
    return st.session_state["keys of"][1]


def _read(upload: Any) -> Dataset | InputError:
    """The frames of the file as the widgets say, or why there are none; read once."""
    said = _said()
    wanted = (upload.file_id, said)
    if st.session_state.get("inspected", (None,))[0] != wanted:
        try:
            settings = LoadSettings(**said).to_json()
            found = datasets.load_bytes(upload.name, upload.getvalue(), **settings)
        except InputError as refusal:
            found = refusal
        st.session_state["inspected"] = (wanted, found)
    return st.session_state["inspected"][1]


def _inspect(upload: Any) -> bool:
    """What is in the file, unless it has been kept and is shown below; whether it was shown."""
    found = _read(upload)
    if isinstance(found, InputError):
        complain(in_words_of_the_page(str(found), LoadSettings))
        return False
    if st.session_state.get("kept upload") == st.session_state["inspected"][0]:
        return False
    with st.container(border=True):
        st.markdown(f"**{plain(upload.name)}**, before it is kept:")
        summary(found)
    return True


def _keep() -> None:
    """Keep the file in the workspace; on a mistake nothing changes."""
    upload = st.session_state["upload"]
    with door("load"):
        if upload is None:
            raise InputError("Choose a file first.")
        data = _read(upload)
        if isinstance(data, InputError):
            return  # told beside the file
        limits.admit(estimates.reading(upload.size))
        stem = paths.safe_stem(upload.name)
        path = paths.save_new("datasets", stem, ".npz", lambda part: datasets.save(data, part))
        name = library.name_of(path)
        library.select("data", name)
        st.session_state["loaded"] = (name, data)
        st.session_state["kept upload"] = st.session_state["inspected"][0]
        if name != stem:
            st.toast(f"Kept as {plain(name)}.", icon=":material/dataset:")


def summary(data: Dataset) -> None:
    """What is in the data set, what was inferred, and what speaks against it."""
    temperature = "unknown" if data.temperature is None else f"{data.temperature:g} K"
    with st.grid(4, min_column_width=140):
        st.metric("Molecule", data.formula, border=True)
        st.metric("Frames", f"{len(data):,}", border=True)
        st.metric("Temperature", temperature, border=True)
        rms = float(np.sqrt(np.mean(data.forces**2)))
        st.metric("Force RMS (eV/Å)", f"{rms:.3g}", border=True)
    if data.source:
        st.caption(f"From {plain(data.source)}")
    for warning in data.warnings:
        st.warning(plain(in_words_of_the_page(warning, LoadSettings)), icon=":material/warning:")
    for note in data.left_out:
        st.warning(f"Left out: {plain(note)}", icon=":material/filter_alt:")
    for note in data.notes:
        st.caption(f":material/info: {plain(in_words_of_the_page(note, LoadSettings))}")
