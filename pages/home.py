"""Home: what this is, and one button that shows all of it live on the sample model."""

import functools

import streamlit as st

from fisherdash import submit
from fisherdash.settings import MDSettings
from fisherdash.workspace import Run, jobs, paths
from pages.ui import library, run_panels
from pages.ui.charts import linked
from pages.ui.progress import (
    begin,
    command,
    door,
    heading,
    job_line,
    onward,
    plain,
    unfinished_work,
    watch,
)

# At the temperature of the sample data; the weak model fails within a picosecond there.
DEMO = MDSettings(replicas=16, steps=2000, timestep=0.5, temperature=500.0, record_every=10)

IDEA = (
    "A machine-learned force field whose energy is linear in its last layer can have that "
    "layer re-fitted in closed form, so that its forces match the data as well as they can. "
    "FisherDash does this re-fit on your model and your data. "
    "Then it runs molecular dynamics with the default and with the re-fitted head from the "
    "same starting positions and velocities. "
    "You see side by side, with honest statistics, whether the dynamics became more stable."
)


@door()
def start() -> None:
    """Start the demo on the least trained sample model."""
    data, models = paths.files("datasets"), paths.files("checkpoints")
    weak = [path for path in models if "weak" in path.stem] or models
    if not data or not weak:
        st.session_state["no samples"] = True
        return
    st.session_state["demo replica"] = 0
    begin(lambda: submit.demo(weak[0], data[0], DEMO))


def demo_run(job: jobs.Job) -> Run | None:
    """The demo's run once it has frames."""
    if not (job.info["run"] / "run.json").exists():
        return None
    run = library.run_at(job.info["run"])
    return run if len(run.times) else None


def choose(index: int) -> None:
    """Show the replica whose curve was clicked."""
    st.session_state["demo replica"] = index


@door()
def board(job: jobs.Job) -> None:
    """The curves of the demo so far, and its molecules."""
    run = demo_run(job)
    if run is None:
        if not job.active:
            st.caption("The demo's run was renamed or deleted since.")
            return
        st.markdown(IDEA)
        st.caption(
            "First the two heads are fitted. Then the dynamics begin, and with them the curves "
            "and the molecules: within two minutes of the start."
        )
        return
    # The first replica is shown by its number, not by its fate, until another is clicked.
    index = int(st.session_state.get("demo replica", 0))
    found = library.comparison_of(run, quiet=True, patient=not job.active)
    run_panels.cards(run, found)
    shown = tuple(range(len(run.header.names)))
    drift = found and found.drift
    linked(run, shown, index, "demo molecules", playing=True, choose=choose, drift=drift)
    if job.active and found:
        st.caption("So far:\n" + "\n".join(f"- {plain(one)}" for one in found.sentences))


def demo_button(job: jobs.Job | None) -> None:
    """Start the demo, or start it again."""
    about = (
        "Re-fits a deliberately weak ethanol model, a small network trained on 100 frames, twice: "
        "with the published report's head and with a wider one. Then it simulates "
        f"{DEMO.replicas} molecules with each head for {DEMO.steps * DEMO.timestep / 1000:g} ps "
        f"at {DEMO.temperature:g} K, the temperature of its data. "
        "The first points come within two minutes."
    )
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button(
            "Run the demo again" if job else "Run the demo",
            type="secondary" if job else "primary",
            icon=":material/play_arrow:",
            on_click=start,
            disabled=job is not None and job.active,
            key="run demo",
            help=about if job else None,
        )
        if job is None:
            st.caption(about)


job = jobs.latest("demo")
if job is None:
    st.title("FisherDash")
    st.markdown(IDEA)
    unfinished_work("runs", "trainings")
    demo_button(job)
else:  # the room belongs to the demo
    left, right = st.columns([1, 3.4], vertical_alignment="center")
    with left, st.container(gap=None):
        st.html(heading("FisherDash"))
        demo_button(job)
    with right:
        watch(job, functools.partial(job_line, job))
if st.session_state.pop("no samples", False):
    st.error("There is no sample model or no sample data; train a model on the Train page first.")

if job is None:
    st.subheader("Or take it step by step")
    with st.grid(3):
        for page, title, words in (
            ("data", "Data", "Load your own frames, or make a Boltzmann sample."),
            ("train", "Train", "Train a small equivariant network and watch it learn."),
            ("refit", "Re-fit", "Re-fit the last layer, and read what it says of itself."),
            ("simulate", "Simulate", "Run dynamics of any number of models at once."),
            ("drift", "Drift and 3D", "Energy drift, survival and the molecules on one screen."),
            ("compare", "Compare", "Runs and models next to each other, in numbers."),
        ):
            with st.container(border=True, height="stretch", key=f"step {page}"):
                st.page_link(f"pages/{page}.py", label=f"**{title}**")
                st.caption(words)
else:
    watch(job, functools.partial(board, job))
    if not job.active and job.status != "failed":
        with door():
            if run := demo_run(job):
                st.subheader("What it says")
                if found := library.comparison_of(run):
                    st.markdown("\n".join(f"- {plain(one)}" for one in found.sentences))
                verdict = plain(job.info.get("verdict", ""))
                st.caption(f"Before the dynamics, the re-fit said: {verdict}")
                library.select("run", run.id)
                onward("drift", "All numbers, every replica")
    command(job.info["command"])
    unfinished_work("runs", "trainings")
