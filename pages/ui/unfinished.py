"""Interrupted runs and trainings, with buttons to resume or dismiss them."""

from pathlib import Path

import streamlit as st

from fisherdash import tasks
from fisherdash.workspace import jobs
from fisherdash.workspace.listing import Entry, Work, dismiss, interrupted
from pages.ui.progress import door, plain

_MOST = 5


def unfinished_work(*kinds: Work) -> None:
    """The unfinished runs and trainings, each with a button to go on; nothing when there are none.

    Work that is already waiting to go on is not named.
    """
    at_work = {job.info.get(name) for job in jobs.every() if job.active for name in _FOLDERS}
    found = [entry for entry in interrupted(*kinds) if entry.folder not in at_work]
    if not found:
        return
    with st.container(border=True):
        st.markdown("**Unfinished work**")
        for entry in found[:_MOST]:
            _line(entry)
        if len(found) > _MOST:
            st.caption(f"And {len(found) - _MOST} more, older ones.")


_FOLDERS = ("run", "training")


def _line(entry: Entry) -> None:
    folder = entry.folder
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(plain(entry.title), width="content")
        st.caption(f"{_NAMES[entry.kind]}, {entry.how_far}", width="stretch")
        go_on_button(folder)
        st.button(
            "Leave it",
            key=f"leave {folder}",
            icon=":material/close:",
            on_click=_leave,
            args=(folder,),
            help="Nothing is deleted; it is only not named here any more.",
        )


_NAMES = {"runs": "Run", "trainings": "Training"}


def go_on_button(folder: Path) -> None:
    """Goes on with a run or a training exactly where it was."""
    st.button(
        "Go on",
        key=f"go on {folder}",
        icon=":material/resume:",
        on_click=_go_on,
        args=(folder,),
        help="Continues exactly where it was stopped.",
    )


def _go_on(folder: Path) -> None:
    with door():
        tasks.submit_resume(folder)


def _leave(folder: Path) -> None:
    with door():
        dismiss(folder)
