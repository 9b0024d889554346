"""Where a run's drift comes from: the same starts once more, finer, at one click."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import streamlit as st

from fisherdash.analyse.origin import Cause, told_apart
from fisherdash.runs import Run, describe_run, files, record, workspace
from fisherdash.runs import jobs as running
from fisherdash.runs.jobs import Job, Progress
from fisherdash.runs.relatives import finer_run
from fisherdash.runs.resuming import kept_models
from fisherdash.simulate import MDSettings, simulate
from fisherdash.view.origin import origin_sentences, origin_table
from pages._ui import library
from pages._ui.as_commands import simulate_command
from pages._ui.charts import csv_button, show_table
from pages._ui.doors import door
from pages._ui.progress import job_line, plain, watch
from pages._ui.tasks import describe_chunk

_BUTTONS: dict[Cause, tuple[str, str, str]] = {
    "time step": (
        "Run at half the time step",
        ":material/timer:",
        "The same starts, times and frames with twice the steps: what falls to a quarter is the "
        "error of the time step, what stays is the model's.",
    ),
    "round-off": (
        "Run in double precision",
        ":material/exposure:",
        "The same starts and steps, at most 4,000 of them, with every number in double precision: "
        "the difference is round-off of the network.",
    ),
}
_FOLDER: dict[Cause, Literal["half-step", "float64"]] = {
    "time step": "half-step",
    "round-off": "float64",
}


def submit_finer(run: Run, data_path: Path, cause: Cause) -> Job:
    """Run the heads of ``run`` from the same states, finer; the new run is in the workspace.

    Args:
        run: which is left as it is.
        data_path: the data set that it started from.
        cause: what the new run is to have less of.
    """
    data = library.dataset_at(data_path)
    before = MDSettings.from_json(run.header.settings)
    settings = before.halved() if cause == "time step" else before.in_double()
    models = kept_models(run.folder, run.header)
    folder = workspace.new_path("runs", f"{run.id}-{_FOLDER[cause]}", "")
    paths = [run.folder / files.MODEL.format(number) for number in range(len(models))]
    command = simulate_command(paths, data_path, folder, settings)
    roles = dict(zip(run.header.names, run.header.roles, strict=True))
    title = f"{run.header.title}, {_BUTTONS[cause][0].removeprefix('Run ')}"
    header = describe_run(models, data, settings, title=title, command=command, roles=roles)

    def work(cancel: threading.Event) -> Iterator[Progress]:
        chunks = simulate(models, data, settings, cancel=cancel)
        yield from map(describe_chunk, record(chunks, folder, header, models))
        return folder

    info = {"run": folder, "command": command}
    return running.submit("simulate", title, work, info=info)


def section(run: Run) -> None:
    """Time step and round-off, each with its button or its answer."""
    if not st.toggle(
        "Where does the drift come from?",
        key="origin",
        help="Part of a drift is the time step's, part round-off, and only the rest the model's.",
    ):
        return
    for cause in _BUTTONS:
        with door(), st.container(border=True):
            _cause(run, cause)


def _cause(run: Run, cause: Cause) -> None:
    label, icon, help = _BUTTONS[cause]
    st.markdown(f"**{cause.capitalize()}**")
    if cause == "round-off" and run.header.settings.get("precision") == "float64":
        st.caption("This run is in double precision already.")
        return
    folder = finer_run(run, cause)
    if folder is None:
        st.caption(help)
        if st.button(label, icon=icon):
            submit_finer(run, library.data_of(run), cause)
            st.rerun()
        return
    job = next((one for one in running.every() if one.info.get("run") == folder), None)
    if job is not None and job.active:
        watch(job, lambda: job_line(job))
    finer = library.run_at(folder)
    if finer.status not in ("running", "finished"):
        words = f"{finer.id} is {finer.status} after step {finer.step:,} of {finer.steps:,}"
        st.caption(plain(f"{words}; choose it above to go on with it."))
    _answer(run, finer, cause)


def _answer(run: Run, finer: Run, cause: Cause) -> None:
    if min(len(run.times), len(finer.times)) < 3:
        st.caption("No answer yet: both runs need at least three frames.")
        return
    found = told_apart(run.trajectories(), finer.trajectories(), cause)
    for sentence in origin_sentences(found):
        st.markdown(f"- {plain(sentence)}")
    table = origin_table(found)
    show_table(table, f"Drift told apart from what is due to the {cause}")
    words = (
        f"Over the first {found.duration:.3g} ps of {run.id} and {finer.id}, replicas that survive "
        "both. Intervals are 95 %, bootstrapped over replicas."
    )
    st.caption(plain(words))
    csv_button(table, f"{run.id} {cause}")
