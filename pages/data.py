"""Data: load frames or make a sample, and look at what is in them."""

from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st

from fisherdash import dataset as datasets
from fisherdash import reference, submit, viewer
from fisherdash.dataset import Dataset, Keys
from fisherdash.errors import InputError
from fisherdash.plots.chart import NEUTRAL, SeriesStyle
from fisherdash.plots.training import histogram_figure
from fisherdash.settings import LoadSettings, SampleSettings, shown
from fisherdash.workspace import belongings, estimates, jobs, limits, paths, users
from pages.ui import library
from pages.ui.charts import download_file, draw, show_molecules
from pages.ui.library import own_file, share_button
from pages.ui.progress import (
    begin,
    command,
    complain,
    complaint,
    computed,
    door,
    job_list,
    onward,
    plain,
    watch,
)
from pages.ui.uploads import file_uploader, shelf
from pages.ui.widgets import in_words_of_the_page, widgets

_HELP = (
    "npz, (extended) XYZ, ASE traj and db, HDF5 of ANI or SPICE, outputs of programs, a zipped "
    "DeePMD folder, also packed with gz, bz2, xz, zip or tar; any other name once a format is "
    "chosen. At most 50 MB. Nothing in the file is ever executed."
)


def upload_form() -> bool:
    """The file, what it holds, and what the user says of it; whether it waits to be kept."""
    upload = file_uploader(
        "File with positions, energies and forces of one molecule",
        key="upload",
        help=_HELP,
        on_change=_arrived,
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


def _arrived() -> None:
    """Keep a file that nothing speaks against; one with a choice of labels is shown first."""
    upload = st.session_state["upload"]
    if upload is None:
        return
    keys, found = _keys(upload), _read(upload)
    if isinstance(found, InputError) or found.warnings or found.left_out:
        return
    if max(len(keys.energies), len(keys.forces)) < 2:
        _keep()


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
    wanted = (upload.file_id, *sorted(said.items()))
    before, refusal = st.session_state.get("inspected", (None, None))
    if before == wanted and refusal is not None:
        return refusal
    try:
        settings = LoadSettings(**said).to_json()
        found = shelf.get(
            wanted,
            lambda: datasets.load_bytes(upload.name, upload.getvalue(), **settings),
            upload.size,
        )
    except InputError as refusal:
        found = refusal
    st.session_state["inspected"] = (wanted, found if isinstance(found, InputError) else None)
    return found


def _inspect(upload: Any) -> bool:
    """What is in the file, unless it has been kept and is shown below; whether it was shown."""
    found = _read(upload)
    if isinstance(found, InputError):
        complain(in_words_of_the_page(str(found), LoadSettings))
        return False
    if _is_kept():
        return False
    with st.container(border=True):
        st.markdown(f"**{plain(upload.name)}**, before it is kept:")
        summary(found, found)
    return True


def _is_kept() -> bool:
    """Whether the file was kept as the widgets say now."""
    return st.session_state.get("kept upload") == st.session_state["inspected"][0]


def _keep() -> None:
    """Keep the file in the workspace; on a mistake nothing changes."""
    upload = st.session_state["upload"]
    with door("load"):
        if upload is None:
            raise InputError("Choose a file first.")
        data = _read(upload)
        if isinstance(data, InputError):
            return  # told beside the file
        before = st.session_state.get("loaded", ("", None))[0]
        if _is_kept() and before in library.options("datasets"):  # it may have been deleted
            library.select("data", before)
            return
        limits.admit(estimates.reading(upload.size))
        limits.check_room(estimates.frames_on_disk(len(data), data.num_atoms), users.current())
        stem = paths.safe_stem(upload.name)
        path = paths.save_new("datasets", stem, ".npz", lambda part: datasets.save(data, part))
        name = library.name_of(path)
        library.select("data", name)
        st.session_state["loaded"] = (name, data.subset([0]))  # for what it says of itself
        st.session_state["kept upload"] = st.session_state["inspected"][0]
        if name != stem:
            st.toast(f"Kept as {plain(name)}.", icon=":material/dataset:")


def summary(data: Dataset, told: Dataset) -> None:
    """What is in the data set; what was inferred and what speaks against it, as ``told`` says."""
    temperature = "unknown" if data.temperature is None else f"{data.temperature:g} K"
    with st.grid(4, min_column_width=140):
        st.metric("Molecule", data.formula, border=True)
        st.metric("Frames", f"{len(data):,}", border=True)
        st.metric("Temperature", temperature, border=True)
        rms = float(np.sqrt(np.mean(data.forces**2)))
        st.metric("Force RMS (eV/Å)", f"{rms:.3g}", border=True)
    if told.source:
        st.caption(f"From {plain(told.source)}")
    for warning in told.warnings:
        st.warning(plain(in_words_of_the_page(warning, LoadSettings)), icon=":material/warning:")
    for note in told.left_out:
        st.warning(f"Left out: {plain(note)}", icon=":material/filter_alt:")
    for note in told.notes:
        st.caption(f":material/info: {plain(in_words_of_the_page(note, LoadSettings))}")


def sample_form() -> None:
    """A Boltzmann sample of any small molecule."""
    with st.form("sample"):
        with st.grid(3, min_column_width=140):
            names = reference.molecule_names()
            name = st.selectbox(
                "Molecule",
                names,
                index=names.index("CH3CH2OH"),
                help="A molecule of the G2 set, by its formula. Larger ones take longer: about "
                "1 ms for each atom and step.",
            )
            settings = widgets(SampleSettings, columns=0)
        if st.form_submit_button("Make the sample", icon=":material/science:"):
            with door():
                chosen = SampleSettings(**settings)
                begin(lambda: submit.sample(name, chosen))
    if made := jobs.every("sample"):
        running = next((job for job in made if job.active), None)
        watch(running, lambda: job_list("sample", 3))
        command(made[0].info["command"])


def correct_temperature(path: Path, data: Dataset) -> None:
    """Set the temperature of one's own frames; nothing for samples and shared ones."""
    if not paths.is_mine(path):
        return
    key = f"temperature of {path.name}, {data.temperature}"  # another value, another field
    st.session_state.setdefault(key, data.temperature)
    with st.popover("Set the temperature", icon=":material/thermostat:"):
        st.number_input(
            "Temperature of the sample (K)",
            value=None,
            min_value=0.0,
            placeholder="unknown",
            key=key,
            help="Of the thermostat that the frames were sampled with. Empty: unknown.",
        )
        st.button("Keep it", on_click=_keep_temperature, args=(path, key))
    complaint("temperature")


@door("temperature")
def _keep_temperature(path: Path, key: str) -> None:
    with belongings.as_before(path):
        datasets.save(datasets.at_temperature(datasets.load(path), st.session_state[key]), path)
    st.session_state.pop("loaded", None)


def draw_frames(data: Dataset) -> None:
    """The frames themselves, and how energies and forces are spread."""
    frames = viewer.thinned(len(data), 200)
    pane = viewer.Pane(
        f"{data.formula}: frames of the data set",
        SeriesStyle(NEUTRAL, "solid"),
        data.positions[frames],
        forces=data.forces[frames],
    )
    payload = viewer.payload(
        data.atomic_numbers.tolist(), [pane], frames + 1.0, key=data.fingerprint, unit=""
    )
    left, right = st.columns([1.25, 1])
    with left:
        show_molecules(payload, key="look")
    with right:
        relative = data.energies - data.energies.mean()
        draw(histogram_figure(relative, "energy − mean (eV)"), key="energies", table=False)
        figure = computed(
            "how forces are spread",
            ("spread of forces", data.fingerprint),
            lambda: histogram_figure(data.forces.ravel(), "force component (eV/Å)"),
        )
        if figure is not None:
            draw(figure, key="forces", table=False)


st.title("Data")
st.caption("Frames of one molecule with energies and forces: what a model learns from.")
chosen, added = st.columns([2, 1])
with added:
    choice = st.segmented_control(
        "Add data", ["Load a file", "Make a sample"], key="add data", default=None
    )
waits = choice == "Load a file" and upload_form()
if choice == "Make a sample":
    sample_form()

with chosen:
    path = library.choose(
        "Data set", "datasets", "data", help="The sample that comes with FisherDash, and your own."
    )
if path is None:
    st.info("There is no data yet: load a file or make a sample above.")
elif not waits:  # a file that was just chosen is shown above, alone
    library.note_line(path)
    with door():
        data = library.dataset_at(path)
        name, fresh = st.session_state.get("loaded", ("", None))
        # The upload knows what was inferred from it; its copy in the workspace is in eV and Å.
        summary(data, fresh if fresh is not None and name == library.name_of(path) else data)
        correct_temperature(path, data)
        draw_frames(data)
        with st.container(horizontal=True, vertical_alignment="center"):
            download_file(path, "Download as npz")
            share_button(path)
            onward("train", "Train a model on it")
            onward("refit", "Re-fit a model on it")
if path is not None:
    own_file(path, "data")  # also of a file that cannot be read
