"""Letting everybody on a server see a data set or a model, and taking it back."""

from pathlib import Path

import streamlit as st

from fisherdash.errors import InputError
from fisherdash.runs import sharing
from pages._ui.doors import complain


def share_button(path: Path) -> None:
    """The button beside one of the user's own files; nothing for any other file."""
    if not sharing.is_own(path):
        return
    shared = sharing.shared_as(path) is not None
    st.button(
        "Stop sharing" if shared else "Share with everyone here",
        key=f"share {path.name}",
        icon=":material/lock:" if shared else ":material/group:",
        on_click=_turn,
        args=(path, shared),
        help="Everyone on this server sees it and can work on it; nobody can change it."
        if not shared
        else "Others no longer see it. What they have made from it stays theirs.",
    )
    if problem := st.session_state.pop("share error", None):
        complain(problem)


def _turn(path: Path, shared: bool) -> None:
    try:
        if shared:
            sharing.stop_sharing(path)
        else:
            sharing.share(path)
    except InputError as error:
        st.session_state["share error"] = str(error)
