"""Importing a model that only its own library can evaluate, in the background."""

import streamlit as st

from fisherdash import place, submit
from fisherdash.errors import InputError
from fisherdash.settings import ImportSettings, OutsideSettings
from fisherdash.workspace import jobs
from fisherdash.workspace.jobs import Job
from pages.ui import asking
from pages.ui.progress import command, complaint, door, follow, kept_as, plain
from pages.ui.widgets import in_words_of_the_page, widgets

_LATEST = "latest import"


NAME = "MACE, SO3LR"


def form() -> None:
    """The file, its library's Python and the user's word; not on a server that many share."""
    if place.is_shared():
        st.caption(
            "Models of MACE and so3krates-torch have to be opened by their own library, which runs "
            "whatever is written in the file: on one's own machine only, not on this shared server."
        )
        return
    st.caption(
        "A model of MACE or so3krates-torch (SO3LR): a file on this machine that its own library "
        "opens and evaluates, in a Python of yours."
    )
    with st.form("outside", border=False):
        path = st.text_input(
            "File of the model", placeholder="/home/me/model.model", key="outside file"
        )
        chosen = widgets(OutsideSettings, columns=3, key="outside", without=("trusted",))
        facts = widgets(ImportSettings, columns=3, key="outside facts")
        st.caption(
            "To open the file is to run whatever is written in it, as you. *Trust this file* only "
            "if it comes from somebody whose programs you would run."
        )
        chosen |= widgets(OutsideSettings, columns=0, key="outside", only=("trusted",))
        pressed = st.form_submit_button("Import", icon=":material/input:")
    if pressed:
        with door("outside"):
            _begin(path, OutsideSettings(**chosen), ImportSettings(**facts))
    complaint("outside")


def _begin(path: str, outside: OutsideSettings, settings: ImportSettings) -> None:
    if not path.strip():
        raise InputError("no file is named; write the path of the model's own file")
    file = place.file_named(path.strip())
    if file is None:
        raise InputError(f"{path.strip()!r:.200} is no file; give the file of the model itself")
    try:
        asking.begin(lambda: submit.import_model(file, settings, outside), _begun)
    except InputError as error:
        raise InputError(in_words_of_the_page(str(error), OutsideSettings)) from error


def _begun(job: Job) -> None:
    st.session_state[_LATEST] = job.id


def latest() -> None:
    """The latest import of this session: its progress, then what was found."""
    job = jobs.get(st.session_state.get(_LATEST, ""))
    if job is None:
        return
    follow(job)
    if job.result is not None and job.status == "finished":
        st.info(plain(" ".join(job.result.sentences)), icon=":material/info:")
        st.caption(f"{kept_as(job.info['out'])}.")
    command(job.info["command"])
