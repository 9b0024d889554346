"""A study as a background job; it knows nothing of Streamlit."""

import threading
from collections.abc import Iterator
from pathlib import Path

from fisherdash.runs import jobs, workspace
from fisherdash.runs.commands import shell_command
from fisherdash.runs.progress import Progress
from fisherdash.study import Progress as StudyProgress
from fisherdash.study import (
    Spec,
    open_plan,
    prepare_study,
    read_begun,
    read_progress,
    read_spec,
    run_study,
)
from fisherdash.study.plan import SPEC_FILE


def submit_study(text: str, data_folder: Path) -> jobs.Job:
    """Begin a study of data in a folder; it grows in the workspace.

    Raises:
        InputError: what is wrong with the specification or its data.
    """
    spec = read_spec(text, data_folder, inside=data_folder)
    folder = workspace.new_path("studies", spec.title, "")
    prepare_study(spec, folder)
    return _submit(spec, folder)


def go_on(folder: Path) -> jobs.Job:
    """Do what is left of a study of the workspace, on its own copies of the data."""
    return _submit(read_begun(folder), folder)


def models_left(folder: Path) -> int:
    """How many models of a study still have something to be done."""
    state = read_progress(folder, open_plan(folder))
    return state.models - state.done - state.failed


def study_job(folder: Path) -> jobs.Job | None:
    """The latest job that works on a study."""
    return next((job for job in jobs.every("study") if job.info["folder"] == folder), None)


def _submit(spec: Spec, folder: Path) -> jobs.Job:
    def work(cancel: threading.Event) -> Iterator[StudyProgress]:
        # In this process: it has the device, and its queue keeps jobs from getting in their way.
        yield from run_study(spec, folder, workers=0, cancel=cancel)
        return folder

    command = shell_command("study", folder / SPEC_FILE, out=folder)
    info = {"folder": folder, "command": command}
    return jobs.submit("study", spec.title, work, describe=_describe, info=info)


def _describe(item: StudyProgress) -> Progress:
    over = item.done + item.failed
    words = f"{item.done} of {item.models} models"
    if item.failed:
        words += f", {item.failed} failed"
    if not item.ended:
        words += f", {item.stage}"
    return Progress(over / max(1, item.models), "running", words)
