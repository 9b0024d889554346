"""Study: what a whole population of models says about re-fitted heads; and beginning one."""

import functools
import json
from collections.abc import Callable

import streamlit as st

from fisherdash import submit
from fisherdash.settings import shell_command
from fisherdash.study import results
from fisherdash.study.statistics import Condition, Findings
from fisherdash.workspace import jobs
from pages.ui import library, progress, studies
from pages.ui.charts import download
from pages.ui.progress import attempt, command, door, follow, next_step, plain
from pages.ui.uploads import file_uploader
from pages.ui.widgets import switch


def show(study: results.Kept) -> None:
    """Everything about one study, the answer first."""
    found = studies.findings_of(study)
    if found is None:
        return
    models, failed = len(found.whole.models), int(found.whole.models["diverged"].sum())
    trainings = f"{models} model{'s' if models != 1 else ''}"
    main = len(found.tables.models)
    said = (
        f"{plain(study.title)}: {trainings}, of which {failed} diverged in training; "
        f"{len(found.whole.trajectories):,} trajectories."
    )
    if main < models:
        recipe = f" ({plain(found.recipe)})" if found.recipe else ""
        said += (
            f" The answer is about the {main} of the main recipe{recipe}; the "
            f"other {models - main}, trained in other ways, stand under “Other remedies”."
        )
    st.caption(said)
    studies.head_names(study)
    if not found.comparisons:
        studies.empty(study, found.whole)
        return
    studies.verdict(found)
    condition = studies.choose_condition(found)
    part = st.pills("Part", list(PARTS), default=next(iter(PARTS)), required=True, key="part")
    PARTS[part](found, condition)
    take_away(study, found)


# What is drawn on request; the answer stands above all of it.
PARTS: dict[str, Callable[[Findings, Condition], None]] = {
    "Survival and drift": studies.survival_part,
    "When it helps": studies.when_part,
    "Every member": studies.members_part,
    "Toward 100 ns": studies.cost_part,
    "Other remedies": studies.remedies_part,
    "What could be seen": studies.power_part,
}


def take_away(study: results.Kept, found: Findings) -> None:
    """The tables and the specification, and the statistics."""
    st.subheader("Downloads")
    stem = study.folder.name
    with st.container(horizontal=True):
        download(
            "Tables and specification (zip)",
            lambda: results.as_zip(study, found.whole),
            f"{stem}.zip",
            icon=":material/folder_zip:",
        )
        download(
            "Statistics (JSON)",
            lambda: json.dumps(found.to_json(), indent=1).encode(),
            f"{stem}.json",
            icon=":material/data_object:",
        )
    command(shell_command("study", "study.toml", out=stem))


def at_work(study: results.Kept) -> None:
    """The job that works on a study, or the offer to go on with one that was left."""
    job = submit.job_in(study.folder)
    if job is not None and (job.active or job.error):
        follow(job, every=1.0)
    if study.can_go_on and (job is None or not job.active):
        with door():
            left = submit.models_left(study.folder)
            if left:
                st.caption(f"{left} model{'s are' if left != 1 else ' is'} not finished.")
                st.button(
                    "Go on with it",
                    icon=":material/resume:",
                    on_click=attempt(progress.begin),
                    args=(functools.partial(submit.rest_of_study, study.folder),),
                )


def begin() -> None:
    """A specification to edit or to load, and a button."""
    st.caption(
        "A study is a text: which data, which models, which re-fits, which dynamics. It runs in "
        "the background, can be stopped and resumed, and never does anything twice."
    )
    path = library.choose("Data set", "datasets", "data", "Its name goes into the text below.")
    if path is None:
        next_step("A study needs a data set.", "data", "Load or make one on the Data page")
        return
    loaded = file_uploader("Specification", type="toml", key="specification file")
    text = loaded.getvalue().decode("utf-8", "replace") if loaded else ""
    if not loaded:
        with door():
            data = library.dataset_at(path)
            text = results.example(path, len(data), data.temperature)
    with st.form("study"):
        edited = st.text_area(
            "What to do", value=text, height=420, help="TOML; data sets beside the chosen one."
        )
        submitted = st.form_submit_button("Begin", type="primary", icon=":material/play_arrow:")
    if submitted:
        with door():
            progress.begin(lambda: submit.study(edited, path.parent), _begun)
    job = jobs.get(st.session_state.get("latest study", ""))
    if job is not None:
        follow(job, every=1.0)
        command(job.info["command"])


def _begun(job: jobs.Job) -> None:
    st.session_state["latest study"] = job.id
    library.select("study", job.info["folder"].name)


st.title("Study")
st.caption("One model proves nothing: a population, honest statistics, and an answer.")
if switch("What", ["What it says", "Begin one"]) == "Begin one":
    begin()
elif found := {study.name: study for study in results.kept()}:
    if chosen := library.choose_of("Study", found, "study"):
        with door():
            at_work(chosen)
            show(chosen)
else:
    st.info(
        "There is no study yet: begin one above, or with `fisherdash study` from a shell.",
        icon=":material/info:",
    )
