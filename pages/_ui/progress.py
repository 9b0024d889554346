"""Jobs on the screen: stage, progress, speed, time left, device, cancel; watched, never owned.

A page draws a job by asking the list of jobs; closing, refreshing or opening the page twice
changes nothing for the job.
"""

import re
from collections.abc import Callable
from typing import Literal

import streamlit as st

from fisherdash.runs import jobs
from fisherdash.runs.jobs import Job

Colour = Literal["gray", "blue", "violet", "orange", "green", "red"]

_BADGES: dict[str, tuple[Colour, str]] = {
    "queued": ("gray", ":material/schedule:"),
    "loading": ("blue", ":material/folder_open:"),
    "compiling": ("violet", ":material/build:"),
    "solving": ("orange", ":material/calculate:"),
    "finished": ("green", ":material/check_circle:"),
    "cancelled": ("gray", ":material/cancel:"),
    "failed": ("red", ":material/error:"),
}
_SPECIAL = "\\`*_{}[]()<>#+!|~:$&@^"
# An address becomes a link whatever is escaped in it, unless something invisible divides it.
_LINK = re.compile(r"https?:(?=//)|www(?=\.)|@", re.I)
_LIST = re.compile(r"^(\d{0,9})([-.=])")

_AT_WORK: tuple[Colour, str] = ("blue", ":material/play_circle:")


def watch(job: Job | None, draw: Callable[[], None], every: float = 1.0) -> None:
    """Call ``draw`` now and, while the job is active, again every so many seconds.

    When the job ends the whole page runs once more, so that what comes after the job appears.
    """
    active = job is not None and job.active

    @st.fragment(run_every=every if active else None)
    def part() -> None:
        draw()
        if active and job is not None and not job.active:
            st.rerun()

    # A part that runs again takes its unsent elements out of the queue, also its own place among
    # those of the page; what the page wrote after it would then come to a place that has no
    # predecessor, which a browser refuses. The place belongs to the page instead.
    with st.container():
        part()


def job_line(job: Job) -> None:
    """One job: a badge, a bar and what is known."""
    colour, icon = _BADGES.get(job.stage, _AT_WORK)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.badge(job.stage, icon=icon, color=colour)
        st.markdown(f"**{plain(job.title)}**")
        st.caption(plain(facts(job)))
        if job.active:
            st.button(
                "Cancelling" if job.cancelling else "Cancel",
                key=f"cancel {job.id}",
                icon=":material/stop_circle:",
                disabled=job.cancelling,
                on_click=job.cancel,
            )
    if job.active:
        st.progress(job.progress.fraction)
    if job.error:
        st.error(plain(job.error), icon=":material/error:")


def job_list(kind: str | None = None, most: int = 6) -> None:
    """The latest jobs of one kind."""
    found = jobs.every(kind)[:most]
    if not found:
        st.caption("No jobs yet.")
    for job in found:
        with st.container(border=True):
            job_line(job)


def facts(job: Job) -> str:
    """What is known of a job in a few words: work done, speed, time, device, place in the queue."""
    progress, words = job.progress, []
    if job.status == "queued":
        ahead = jobs.place_in_queue(job)
        words = f"waits for {ahead} job{'s' if ahead != 1 else ''} before it"
        return words if ahead else "starting"
    if progress.detail:
        words.append(progress.detail)
    if progress.rate:
        words.append(f"{progress.rate:,.3g} {progress.rate_unit}")
    if job.active and progress.stage == "compiling":
        words.append("compiling takes 5 to 30 s, once for each kind of network")
    left = job.seconds_left
    if job.active and left is not None and progress.stage not in ("loading", "solving"):
        words.append(f"{clock(left)} left")
    words.append(f"{clock(job.seconds)} so far" if job.active else f"took {clock(job.seconds)}")
    if progress.device:
        words.append(progress.device)
    return ", ".join(words)


def clock(seconds: float) -> str:
    """A duration as people say it."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 100:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def plain(text: str) -> str:
    """What people typed or sent in a file, with nothing in it that Markdown would interpret."""
    line = _LINK.sub(lambda found: f"{found[0]}\u2060", " ".join(text.split()))
    escaped = "".join(f"\\{letter}" if letter in _SPECIAL else letter for letter in line)
    return _LIST.sub(r"\1\\\2", escaped)
