"""Models & files: everything that takes room, read or not, with its size; and all jobs."""

import dataclasses
import datetime

import pandas as pd
import streamlit as st

from fisherdash.study import results
from fisherdash.text import duration, in_bytes
from fisherdash.workspace import belongings, jobs, limits, users
from fisherdash.workspace.belongings import Belonging
from pages.ui.charts import show_table
from pages.ui.progress import complaint, door, job_line, plain, watch

_LINES = 20
"""Jobs that have ended and are listed."""
_REASONS = 10


def total(found: list[Belonging]) -> None:
    """How much room is taken, and of how much."""
    most = limits.value(limits.USER_GB, users.current()) * limits.GB
    words = f"{in_bytes(sum(one.bytes for one in found))} in {len(found)} files and folders"
    words += f", of {in_bytes(most)} that this server allows" if most < float("inf") else ""
    st.caption(f"{words}.")
    if user := users.current():
        st.caption(
            f"Your number on this server is {user}. Whoever runs it can name it in "
            f"{limits.ADMINS}: then you may cancel everybody's jobs."
        )


def with_reason(one: Belonging) -> Belonging:
    """With why it cannot be read, also where that is a study."""
    if one.sort != "study" or one.problem:
        return one
    return dataclasses.replace(one, problem=results.problem(one.path))


def table(found: list[Belonging]) -> list[Belonging]:
    """A row for each; those that were chosen."""
    rows = [
        {
            "name": one.name,
            "what": one.sort,
            "size (MB)": one.bytes / 1e6,
            "changed": f"{datetime.datetime.fromtimestamp(one.changed):%Y-%m-%d %H:%M}",
            "state": "cannot be read" if one.problem else "being written" if one.busy else "",
            "note": "" if one.sort == "leftover" else belongings.note(one.path),
        }
        for one in found
    ]
    picked = show_table(
        pd.DataFrame(rows),
        "Everything that takes room, the largest first",
        on_select="rerun",
        selection_mode="multi-row",
        key=f"files {st.session_state.get('files shown', 0)}",
    )
    for one in [one for one in found if one.problem][:_REASONS]:
        st.caption(f":material/error: {plain(one.name)}: {plain(one.problem)}")
    return [found[row] for row in picked.selection.rows if row < len(found)]


def delete_button(chosen: list[Belonging]) -> None:
    """Deletes what was chosen, after a second click."""
    size = in_bytes(sum(one.bytes for one in chosen))
    label = f"Delete {len(chosen)}, {size}" if chosen else "Choose rows to delete them"
    with st.popover(label, icon=":material/delete:", disabled=not chosen):
        st.markdown("\n".join(f"- {one.sort} {plain(one.name)}" for one in chosen[:30]))
        st.caption(
            "Deleting is for good. What was made from it stays; what you share of it goes for "
            "everybody."
        )
        st.button("Delete for good", icon=":material/delete:", on_click=_delete, args=(chosen,))
    complaint("files")


def _delete(chosen: list[Belonging]) -> None:
    st.session_state["files shown"] = st.session_state.get("files shown", 0) + 1
    for one in chosen:
        with door("files"):
            belongings.delete(one)


def job_rows(found: list[jobs.Job]) -> pd.DataFrame:
    """A row for each job."""
    mine = users.current()
    return pd.DataFrame(
        [
            {
                "job": job.title,
                "kind": job.kind,
                "of": "you" if job.owner == mine else job.owner,
                "state": job.stage,
                "estimated": duration(job.expected),
                "so far": duration(job.seconds, exact=True) if job.started else "",
                "memory": in_bytes(job.estimate.memory) if job.estimate else "",
                "disk": in_bytes(job.estimate.disk) if job.estimate else "",
            }
            for job in found
        ]
    )


def all_jobs() -> None:
    """The jobs that wait or are at work, with a button to cancel each, and those that ended."""
    found = jobs.table()
    active = [job for job in found if job.active]

    def lines() -> None:
        """The jobs that wait or are at work."""
        for job in active:
            job_line(job)

    if active:
        watch(active[0], lines, every=2.0)
    shown = active + [job for job in found if not job.active][:_LINES]
    if shown:
        show_table(job_rows(shown), "Jobs, those that wait or are at work first")
    else:
        st.caption("There is no job.")


st.title("Models & files")
st.caption("Everything of yours that takes room, whether it can be read or not, and your jobs.")
with door():
    everything = [with_reason(one) for one in belongings.everything()]
    total(everything)
    if everything:
        delete_button(table(everything))
    else:
        st.caption("There is nothing yet.")
st.subheader("Jobs")
with door():
    all_jobs()
