"""Data: load frames or make a sample, and look at what is in them."""

from pathlib import Path

import streamlit as st

from fisherdash import dataset as datasets
from fisherdash import reference, submit, viewer
from fisherdash.dataset import Dataset
from fisherdash.plots.chart import NEUTRAL, SeriesStyle
from fisherdash.plots.training import histogram_figure
from fisherdash.settings import SampleSettings
from fisherdash.workspace import belongings, jobs, paths
from pages.ui import library
from pages.ui.asking import begin
from pages.ui.charts import download_file, draw, show_molecules
from pages.ui.library import own_file, share_button
from pages.ui.progress import command, complaint, door, job_list, onward, watch
from pages.ui.upload import summary, upload_form
from pages.ui.widgets import widgets


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
        figure = histogram_figure(data.forces.ravel(), "force component (eV/Å)")
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
        summary(fresh if fresh is not None and name == library.name_of(path) else data)
        correct_temperature(path, data)
        draw_frames(data)
        with st.container(horizontal=True, vertical_alignment="center"):
            download_file(path, "Download as npz")
            share_button(path)
            onward("train", "Train a model on it")
            onward("refit", "Re-fit a model on it")
if path is not None:
    own_file(path, "data")  # also of a file that cannot be read
