"""Renaming and deleting the data set or the model that is chosen, where it is one's own."""

from pathlib import Path

import streamlit as st

from fisherdash.errors import InputError
from fisherdash.runs import own, workspace
from pages._ui import library
from pages._ui.doors import complain
from pages._ui.progress import plain


def own_file(path: Path, key: str) -> None:
    """A menu beside one of the user's own files; nothing for any other file.

    Args: the file, and the key of the selector that it was chosen with.
    """
    problem = st.session_state.pop("own error", None)
    if workspace.is_mine(path):
        name = f"new name of {path.name}"
        with st.popover("Rename or delete", icon=":material/edit:"):
            st.text_input("Name", value=path.stem, max_chars=80, key=name)
            st.button("Rename", icon=":material/edit:", on_click=_rename, args=(path, key, name))
            st.caption(
                "Deleting is for good. Runs and models that were made with it stay, "
                "and remember what it was."
            )
            st.button(
                f"Delete {plain(path.stem)}",
                icon=":material/delete:",
                on_click=_delete,
                args=(path,),
            )
    if problem:
        complain(problem)


def _rename(path: Path, key: str, name: str) -> None:
    st.session_state.pop("loaded", None)  # what the Data page remembers of an upload, by its name
    try:
        library.select(key, library.name_of(own.rename(path, st.session_state[name])))
    except InputError as error:
        st.session_state["own error"] = str(error)


def _delete(path: Path) -> None:
    st.session_state.pop("loaded", None)
    try:
        own.delete(path)
    except InputError as error:
        st.session_state["own error"] = str(error)
