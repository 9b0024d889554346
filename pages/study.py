"""Study: what a whole population of models says about re-fitted heads; and beginning one."""

import functools
import json
from collections.abc import Callable

import streamlit as st

from fisherdash import submit
from fisherdash.plots import evidence
from fisherdash.plots import study as figures
from fisherdash.plots.study import looks
from fisherdash.settings import shell_command
from fisherdash.study import Tables, results, words
from fisherdash.study.spec import registered
from fisherdash.study.statistics import Condition, Findings
from fisherdash.workspace import estimates, jobs, limits
from pages.ui import library, progress
from pages.ui.charts import csv_button, download, draw, show_table
from pages.ui.progress import attempt, command, computed, door, follow, next_step, plain
from pages.ui.uploads import file_uploader
from pages.ui.widgets import switch

EFFECTS: dict[str, figures.Effect] = {
    "Survival": "survivors",
    "Time to failure": "time to failure",
    "Drift": "drift",
}


def findings_of(study: results.Kept) -> Findings | None:
    """The statistics of a study as far as it has come; None until they are known."""

    def findings() -> Findings:
        asked, tables = registered(study.folder), study.tables()
        runs = tables.trajectories
        compared = runs.drop_duplicates(["head", "temperature_K", "timestep_fs"])
        price = estimates.study_statistics(len(compared), len(tables.models), len(runs))
        limits.check_page(price, "what the study says")
        return Findings(tables, study.specification, asked=asked).complete()

    return computed("what the study says", ("study", study.folder), findings, study.state)


def head_names(study: results.Kept) -> None:
    """What the heads of a study are, from its specification; folded away."""
    heads = words.heads_in_words(study.specification)
    with st.expander("What the heads are", icon=":material/info:"):
        st.markdown("\n".join(f"- **{plain(name)}**: {said}." for name, said in heads.items()))


def choose_condition(found: Findings) -> Condition:
    """Which temperature and time step the figures show, at first those of the primary question."""
    names = {str(condition): condition for condition in found.conditions}
    first = str(found.primary.condition) if found.primary else list(names)[-1]
    chosen = st.segmented_control(
        "Condition", list(names), default=first, required=True, key="condition"
    )
    return names[chosen]


def verdict(found: Findings) -> None:
    """The answer in plain words, the primary question first."""
    if found.primary is None:
        st.markdown(f"### Does a re-fit help? {words.answer(found)}")
        st.markdown("\n".join(f"- {ground}" for ground in words.grounds(found)))
        return
    first, *others = words.in_short(found)
    with st.container(border=True):
        st.markdown(f"**{plain(first)}**")
        st.markdown(plain(" ".join(others)))
        pairs_of(found, found.primary.condition)
        st.caption(plain(" ".join(words.primary_lines(found.primary)[1:])))
    with st.expander("All comparisons in sentences", icon=":material/notes:"):
        st.markdown(f"{words.SECONDARY}\n" + "\n".join(f"- {o}" for o in words.grounds(found)))


def pairs_of(found: Findings, condition: Condition) -> None:
    """Failures of every model, the default head against each other one."""
    drawn = figures.paired_figures(found.pairs_at(condition), looks(found.heads))
    with st.grid(4, min_column_width=160):
        for number, figure in enumerate(drawn):
            draw(figure, key=f"pairs {condition} {number}", table=False)
    st.caption(words.pairs_caption(condition))


def survival_part(found: Findings, condition: Condition) -> None:
    """Survival over time, kinds of failure, and the numbers."""
    st.subheader("Survival and drift, read together")
    styles = looks(found.heads)
    if found.primary is None or found.primary.condition != condition:
        pairs_of(found, condition)
    left, right = st.columns([3, 2])
    with left:
        figure = figures.survival_figure(found.survivals[condition], styles)
        draw(figure, key="survival", table=False)
    with right:
        draw(figures.kinds_figure(found.kinds[condition]), key="kinds", table=False)
    st.caption(
        "All trajectories of all models. Bands are 95 % over models. An immediate explosion comes "
        "within 0.1 ps; a slow drift survives, but its total energy moves by more than a tenth of "
        "the mean kinetic energy."
    )
    rows = evidence.comparison_rows(found.of(condition))
    show_table(rows, "Every re-fitted head against the default one")
    st.caption(
        "Brackets are 95 % intervals that draw models, then replicas. Survival and drift are "
        "signed-rank tests over models, each corrected after Holm for all heads and conditions; "
        "the log-rank test, stratified by model, speaks of these models only. Drift is that of "
        "pairs that both survive."
    )
    csv_button(evidence.comparison_rows(found.comparisons), "comparisons")
    for column, effect in zip(st.columns(2), ("survivors", "drift"), strict=True):
        with column:
            figure = figures.forest_figure(found.comparisons, effect, styles)
            draw(figure, key=f"forest {effect}", table=False)


def when_part(found: Findings, condition: Condition) -> None:
    """What the effect goes with."""
    st.subheader("When it helps, and when it does not")
    effect = EFFECTS[
        st.segmented_control(
            "Effect", list(EFFECTS), default="Survival", required=True, key="effect"
        )
    ]
    shown = found.effects_at(condition)
    figure = figures.quality_figure(shown, found.default_errors, effect, looks(found.heads))
    draw(figure, key="quality")
    if len(shown) > 1:
        st.caption("The dots of one model stand side by side.")
    thirds = {head: found.thirds[head, condition] for head in shown}
    show_table(evidence.third_rows(thirds, effect), "Effects in thirds of the models")
    st.caption(
        f"{evidence.SHORT[effect]} in thirds of the models, by the default head's force error."
    )
    here = [one for one in found.associations if one.condition == condition]
    for sentence in words.association_sentences(here):
        st.markdown(f"- {sentence}")
    with st.expander("All rank correlations", icon=":material/table:"):
        show_table(evidence.association_rows(here), "Rank correlations")


def members_part(found: Findings, condition: Condition) -> None:
    """Every member: its drift with each head, and how it learned."""
    st.subheader("Every member")
    drifts = figures.drift_figures(
        found.tables.curves, found.trajectories, condition, looks(found.heads)
    )
    with st.grid(3, min_column_width=300):
        for number, figure in enumerate(drifts):
            draw(figure, key=f"member drift {number}", table=False)
    st.caption(
        "Change of the total energy: one line a model, the median over its surviving replicas, "
        "ending in a cross where the last one failed; the same energies everywhere. Below, how "
        "many of all trajectories survive."
    )
    with st.grid(3, min_column_width=300):
        losses = figures.losses_figures(found.whole.losses, found.tables.models)
        for number, figure in enumerate(losses):
            draw(figure, key=f"losses {number}", table=False)
    st.caption("How the models learned, by the number of training frames; red ones diverged.")


def power_part(found: Findings, condition: Condition) -> None:
    """The smallest effects that the study could have shown."""
    st.subheader("What this study could have seen")
    if known := found.seen_at(condition):
        draw(figures.power_figure(known, looks(found.heads)), key="power")
    st.caption(words.seen_sentence(found))


def cost_part(found: Findings, condition: Condition) -> None:
    """Toward 100 ns."""
    st.subheader("Toward 100 ns")
    for one in found.costs:
        if one.temperature == condition.temperature:
            st.markdown(words.cost_sentence(one))
    rates = [one for one in found.rates if one.condition == condition]
    show_table(evidence.rate_rows(rates), "Failures per ns")
    st.caption(
        "Failures in 100 ns go on with the rate of the runs' second half, as if it never changed: "
        "an assumption over four orders of magnitude in time. Times are measured, on the device "
        "named; nothing is converted to another."
    )


def remedies_part(found: Findings, condition: Condition) -> None:
    """Other ways to train, and what else a re-fit changes."""
    st.subheader("Other remedies")
    here = [one for one in found.recipes if one.condition == condition]
    if here:
        rows = evidence.comparison_rows(here).rename(columns={"head": "remedy"})
        show_table(rows, "Other ways to train, against the main recipe")
        st.caption("Paired by network: the same data, frames, seed and architecture.")
    else:
        st.caption("All models of this study were trained in one way.")
    st.subheader("Errors, structure, sharpness")
    changes = [*found.force_errors, *found.structure, *found.sharpness]
    show_table(evidence.change_rows(changes), "Errors with each head")


def empty(study: results.Kept, data: Tables) -> None:
    """A study without dynamics yet."""
    trained = len(data.models)
    st.info(
        f"{trained} model{'s' if trained != 1 else ''} trained, no dynamics yet: "
        f"{study.title} has nothing to say so far.",
        icon=":material/hourglass_empty:",
    )


def show(study: results.Kept) -> None:
    """Everything about one study, the answer first."""
    found = findings_of(study)
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
    head_names(study)
    if not found.comparisons:
        empty(study, found.whole)
        return
    verdict(found)
    condition = choose_condition(found)
    part = st.pills("Part", list(PARTS), default=next(iter(PARTS)), required=True, key="part")
    PARTS[part](found, condition)
    take_away(study, found)


# What is drawn on request; the answer stands above all of it.
PARTS: dict[str, Callable[[Findings, Condition], None]] = {
    "Survival and drift": survival_part,
    "When it helps": when_part,
    "Every member": members_part,
    "Toward 100 ns": cost_part,
    "Other remedies": remedies_part,
    "What could be seen": power_part,
}


def take_away(study: results.Kept, found: Findings) -> None:
    """The tables and the specification, and the statistics."""
    st.subheader("Downloads")
    stem = study.folder.name
    rows = estimates.table(*found.whole.trajectories.shape)
    with st.container(horizontal=True):
        download(
            "Tables and specification (zip)",
            lambda: results.as_zip(study, found.whole),
            f"{stem}.zip",
            icon=":material/folder_zip:",
            price=rows,
        )
        download(
            "Statistics (JSON)",
            lambda: json.dumps(found.to_json(), indent=1).encode(),
            f"{stem}.json",
            icon=":material/data_object:",
            price=rows,
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
