"""Interrupted runs and trainings, with buttons to resume or dismiss them."""

import functools
from pathlib import Path

import streamlit as st

from fisherdash import submit
from fisherdash.workspace import jobs
from fisherdash.workspace.listing import Work, dismiss, interrupted
from pages.ui.asking import begin
from pages.ui.progress import attempt, plain

_MOST = 5
_FOLDERS = ("run", "training")
_NAMES = {"runs": "Run", "trainings": "Training"}


def unfinished_work(*kinds: Work) -> None:
    """Unfinished runs and trainings, but for those that are queued, with buttons to go on."""
    at_work = {job.info.get(name) for job in jobs.every() if job.active for name in _FOLDERS}
    found = [entry for entry in interrupted(*kinds) if entry.folder not in at_work]
    if not found:
        return
    with st.container(border=True):
        st.markdown("**Unfinished work**")
        for entry in found[:_MOST]:
            with st.container(horizontal=True, vertical_alignment="center"):
                st.markdown(plain(entry.title), width="content")
                st.caption(f"{_NAMES[entry.kind]}, {entry.how_far}", width="stretch")
                go_on_button(entry.folder)
                st.button(
                    "Leave it",
                    key=f"leave {entry.folder}",
                    icon=":material/close:",
                    on_click=attempt(dismiss),
                    args=(entry.folder,),
                    help="Nothing is deleted; it is only not listed here any more.",
                )
        if len(found) > _MOST:
            st.caption(f"And {len(found) - _MOST} more, older ones.")


def go_on_button(folder: Path) -> None:
    """Resumes a run or a training exactly where it was."""
    st.button(
        "Go on",
        key=f"go on {folder}",
        icon=":material/resume:",
        on_click=attempt(begin),
        args=(functools.partial(submit.resumption, folder),),
        help="Continues exactly where it was stopped.",
    )
