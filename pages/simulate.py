"""Simulate: any number of models of one molecule, all from the same positions and velocities."""

from pathlib import Path

import streamlit as st

from fisherdash import submit
from fisherdash.dataset import Dataset
from fisherdash.dataset.timestep import timestep_warning
from fisherdash.settings import MDSettings
from fisherdash.workspace import estimates, jobs
from fisherdash.workspace import paths as places
from fisherdash.workspace.estimates import Network
from pages.ui import library
from pages.ui.progress import (
    begin,
    begun,
    command,
    door,
    job_list,
    look_here,
    next_step,
    onward,
    watch,
)
from pages.ui.widgets import in_words_of_the_page, widgets

USUAL = MDSettings()


def pair() -> list[str]:
    """To begin with: the latest re-fit and what it came from, or the user's newest model."""
    paths = library.options("checkpoints")
    for name, path in reversed(paths.items()):
        with door():
            parent = library.checkpoint_at(path).provenance.get("parent_fingerprint")
            for other, candidate in paths.items():
                if parent and library.checkpoint_at(candidate).fingerprint == parent:
                    return [other, name]
    own = [path for path in paths.values() if places.is_mine(path) and path.is_file()]
    newest = [library.name_of(max(own, key=lambda path: path.stat().st_mtime))] if own else []
    return newest or list(paths)[:1]


def settings(data: Dataset) -> MDSettings:
    """What the user chooses about the run; to begin with, what was chosen last for these data."""
    before: tuple[str, MDSettings] = st.session_state.get("simulated", ("", USUAL))
    fingerprint, last = before
    known = last.temperature if fingerprint == data.fingerprint else data.temperature
    temperature = float(known or USUAL.temperature)
    return MDSettings(**widgets(MDSettings, last, temperature={"value": temperature}))


def launch(paths: list[Path], data_path: Path, data: Dataset) -> None:
    """The settings, what they will cost, and the button."""
    from fisherdash.md import TOLERANCE

    models = {path.stem: library.checkpoint_at(path) for path in paths}  # as the shell names them
    for model in models.values():
        model.check_elements(data.atomic_numbers)
    if len(models) < len(paths):
        st.error(
            "Two of these models have the same name; rename your own one on the Compare page, "
            "under Models."
        )
        return
    chosen = settings(data)
    networks = [Network.of(model) for model in models.values()]
    price = estimates.simulate(networks, data.num_atoms, chosen)
    length = chosen.steps * chosen.timestep / 1000
    st.caption(
        f"{len(models)} × {chosen.replicas} trajectories of {length:g} ps. {price.sentence} "
        f"A replica has failed when a bond is more than {TOLERANCE:g} Å off its reference "
        "length, two atoms without a bond come far nearer than any in the data, or its energy is "
        "not finite; the others go on."
    )
    if words := chosen.settling(data.temperature):
        st.caption(words)
    if words := timestep_warning(chosen.timestep, data.atomic_numbers):
        said = in_words_of_the_page(words, MDSettings)
        st.warning(f"{said[:1].upper()}{said[1:]}.", icon=":material/warning:")
    if st.button("Simulate", type="primary", icon=":material/play_arrow:"):
        files = dict(zip(models, paths, strict=True))

        def then(job: jobs.Job) -> None:
            """Show the run that has begun."""
            begun(job)
            library.select("run", job.info["run"].name)
            st.session_state["simulated"] = data.fingerprint, chosen

        begin(lambda: submit.simulation(files, data_path, models, data, chosen), then)


st.title("Simulate")
st.caption("Energy-conserving (NVE) dynamics of every model from the same initial states.")
where, which = st.columns([1, 2.4])
with where:
    data_path = library.choose(
        "Starting frames", "datasets", "data", help="The initial positions are drawn from them."
    )
if not library.options("checkpoints"):
    next_step("Dynamics need a trained model.", "train", "Train one on the Train page")
elif data_path is None:
    next_step("Dynamics need starting frames.", "data", "Load or make some")
else:
    with which:
        paths = library.choose_many(
            "models",
            pair(),
            "In this order: the others are compared with the first. All must know the molecule's "
            "elements.",
        )
        with door():
            library.reference_beside("models", library.dataset_at(data_path))
    library.own_model("models", several=True)
    if paths:
        with door():
            launch(paths, data_path, library.dataset_at(data_path))
    else:
        st.info("Choose at least one model; two make a comparison.")

simulations = jobs.every("simulate")
if simulations:
    look_here(simulations[0])
st.subheader("Simulations")
if simulations:
    active = next((job for job in simulations if job.active), None)
    watch(active, lambda: job_list("simulate"))
    onward("drift", "Watch the drift and the molecules")
    command(simulations[0].info["command"])
else:
    st.caption("None was started here yet; earlier runs are on the page Drift and 3D.")
