"""Begins jobs from pages; a large one on one's own machine is asked about first.

The question stands above the page until it is answered, whatever page is open.
"""

import time
from collections.abc import Callable
from typing import NamedTuple

import streamlit as st

from fisherdash.workspace import limits
from fisherdash.workspace.jobs import Job
from pages.ui.progress import begun, complaint, door, into_view, plain

_PENDING = "question"


class _Asked(NamedTuple):
    at: float
    words: str
    submit: Callable[[], Job]
    then: Callable[[Job], object]


def begin(submit: Callable[[], Job], then: Callable[[Job], object] = begun) -> None:
    """Begin a job, or ask first where it is large.

    Args:
        submit: puts the job into the queue.
        then: called with the job once it is there.

    Raises:
        InputError: what ``submit`` refuses.
    """
    st.session_state.pop(_PENDING, None)
    try:
        job = submit()
    except limits.Question as question:
        st.session_state[_PENDING] = _Asked(time.time(), str(question), submit, then)
    else:
        then(job)


def question() -> None:
    """The question that waits for an answer, with the answers; nothing without one."""
    complaint("asked")
    asked: _Asked | None = st.session_state.get(_PENDING)
    if asked is None:
        return
    into_view(f"question {asked.at}", "look at the question")
    with st.container(border=True):
        words = f"{asked.words[0].upper()}{asked.words[1:]}"
        st.warning(f"{plain(words)}. Begin all the same?", icon=":material/help:")
        with st.container(horizontal=True):
            st.button("Begin it", icon=":material/play_arrow:", type="primary", on_click=_begin)
            st.button("Leave it", icon=":material/close:", on_click=_leave)


@door("asked")
def _begin() -> None:
    asked: _Asked = st.session_state.pop(_PENDING)
    with limits.agreed():
        asked.then(asked.submit())


def _leave() -> None:
    st.session_state.pop(_PENDING, None)
