"""The jobs at work, in the sidebar of every page."""

import streamlit as st

from fisherdash.runs import jobs
from pages._ui.progress import clock, watch


def running_jobs() -> None:
    """Active jobs with their stage and progress; nothing at all when there are none."""
    active = [job for job in jobs.every() if job.active]
    if not active:
        return
    st.caption("At work")
    watch(active[0], _lines, every=2.0)


def _lines() -> None:
    for job in jobs.every():
        if not job.active:
            continue
        left = job.seconds_left if job.stage not in ("solving", "loading") else None
        words = job.stage if left is None else f"{job.stage}, {clock(left)} left"
        st.progress(job.progress.fraction, text=f"{job.kind}: {words}")
