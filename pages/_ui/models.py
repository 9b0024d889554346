"""Bringing a model from this computer: a checkpoint, or the parameters of the E3x tutorial."""

from collections.abc import Callable

import streamlit as st

from fisherdash import checkpoint as checkpoints
from fisherdash import tutorial
from fisherdash.checkpoint import Checkpoint
from fisherdash.errors import InputError
from fisherdash.runs import limits, people, workspace
from pages._ui import library
from pages._ui.doors import complain


def own_model() -> None:
    """Two doors; on a mistake one sentence, and what was loaded stays."""
    with st.expander("Bring your own checkpoint", icon=":material/upload_file:"):
        st.file_uploader(
            "FisherDash checkpoint (.safetensors)",
            type=["safetensors"],
            key="own model",
            on_change=_bring_checkpoint,
            help="One file as written by the Train page or the train command. Nothing in it is "
            "ever executed.",
        )
        st.markdown("or the parameters that the public E3x tutorial saves, which say nothing of:")
        cutoff, unit = st.columns(2)
        with cutoff:
            st.number_input(
                "Cutoff (Å)",
                min_value=0.5,
                max_value=50.0,
                value=5.0,
                key="tutorial cutoff",
                help="Of the network in training; the tutorial's is 5 Å.",
            )
        with unit:
            st.selectbox(
                "Energies in training",
                list(tutorial.ENERGY_UNITS),
                key="tutorial unit",
                help="The unit of the energies that the network was trained on.",
            )
        st.file_uploader(
            "E3x tutorial parameters (flax.serialization.to_bytes)",
            key="tutorial model",
            on_change=_bring_tutorial,
            help="All other hyperparameters are read off the shapes of the arrays.",
        )
    if problem := st.session_state.pop("model error", None):
        complain(problem)


def _bring_checkpoint() -> None:
    _bring("own model", lambda data, name: checkpoints.load_bytes(data, name))


def _bring_tutorial() -> None:
    _bring(
        "tutorial model",
        lambda data, name: tutorial.load_bytes(
            data,
            cutoff=float(st.session_state["tutorial cutoff"]),
            energy_unit=st.session_state["tutorial unit"],
            name=name,
        ),
    )


def _bring(key: str, read: Callable[[bytes, str], Checkpoint]) -> None:
    """Check an upload and keep it in the workspace; on a mistake nothing changes."""
    upload = st.session_state[key]
    if upload is None:
        return
    try:
        limits.check_room(upload.size, people.current())
        found = read(upload.getvalue(), upload.name)
        stem = workspace.safe_stem(upload.name)
        path = workspace.save_new(
            "checkpoints", stem, ".safetensors", lambda part: checkpoints.save(found, part)
        )
    except InputError as error:
        st.session_state["model error"] = str(error)
        return
    library.select("model", library.name_of(path))
