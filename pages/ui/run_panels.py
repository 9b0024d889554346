"""Panels of a run: structure and vibrations, the origin of its drift, error bars of its forces."""

import contextlib
import functools
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from fisherdash import recordings, submit
from fisherdash.analysis import RunStatistics, Trajectories, structure
from fisherdash.analysis.drift import Cause, told_apart
from fisherdash.dataset import Dataset
from fisherdash.errors import InputError
from fisherdash.plots.chart import SeriesStyle
from fisherdash.plots.refit import error_bar_figure
from fisherdash.plots.report import comparison_table, tests_in_words
from fisherdash.plots.structure import (
    kind_figure,
    kinds_table,
    origin_sentences,
    origin_table,
    spectrum_figure,
    spectrum_sentence,
    structure_figure,
    structure_sentence,
)
from fisherdash.recordings import finer_run, last_velocities, survivor_positions
from fisherdash.workspace import Run, paths
from pages.ui import library
from pages.ui.charts import csv_button, draw, looks, show_table
from pages.ui.progress import begin, computed, door, follow, next_step, plain
from pages.ui.widgets import switch

if TYPE_CHECKING:
    from fisherdash.potentials.checkpoint import Checkpoint


def cards(run: Run, found: RunStatistics | None) -> None:
    """The result in a card a head: drift with interval and ratio, survivors, failure, speed."""
    traj = run.trajectories()
    first = found and found.drift[traj.names[0]]
    for column, h in zip(st.columns(len(traj.names)), range(len(traj.names)), strict=True):
        name, survivors = traj.names[h], int(traj.survivors[h].sum())
        drift, facts = "drift …", []
        if found is not None:
            slope, half = found.drift[name], found.time_to_failure.get(name)
            drift = f"drift {slope.text('.2g', sign=True, unit='meV/atom/ps')}"
            if slope.value is None:
                drift = "no drift yet" if survivors else "no survivor, so no drift"
            # A drift that may be zero, or rests on too few survivors, is nothing to divide by.
            if h and first and first.value and first.sign and slope.value and slope.low is not None:
                facts.append(f"×{abs(slope.value / first.value):.2g} of the first")
            if half is not None:
                facts.append(f"median time to failure {half:.2g} ps")
            wide = kinetic_deviation(traj)[h]
            if slope.value is not None and np.isfinite(wide):
                facts.append(f"σ(E_kin) {wide:.2g} meV/atom")
        if not h and run.typical_speed:
            speed = f"{float(f'{run.typical_speed:.3g}'):,g} steps/s"
            facts.append(f"{speed} of all heads" if len(traj.names) > 1 else speed)
        with column, st.container(border=True, gap=None, key=f"card {h}", height="stretch"):
            st.markdown(f"**{plain(name)}** — {survivors} of {traj.replicas} survive")
            st.caption(plain(", ".join((drift, *facts))), help=_CARD)


_CARD = (
    "Drift: slope of the total energy, median over the survivors, with its 95 % interval. "
    "σ(E_kin): by how much the kinetic energy swings by itself; a drift that adds up to as much is "
    "large."
)


def kinetic_deviation(traj: Trajectories) -> np.ndarray:
    """Standard deviation over time of each head's kinetic energy, meV/atom, in the median over its
    survivors, (H,); NaN without one."""
    found = np.full(len(traj.names), np.nan)
    for h, survivors in enumerate(traj.survivors):
        if survivors.any() and len(traj.times) > 2:
            spread = np.std(traj.kinetic[h, survivors], axis=-1)
            found[h] = 1e3 * float(np.median(spread)) / traj.num_atoms
    return found


def statistics(run: Run, found: RunStatistics) -> None:
    """What the run says, and the table behind it."""
    mark = "- " if len(found.sentences) > 1 else ""
    st.markdown("\n".join(f"{mark}**{plain(sentence)}**" for sentence in found.sentences))
    for caution in found.cautions:
        st.caption(f":material/info: {plain(caution)}")
    table = comparison_table(found)
    table["σ of kinetic energy (meV/atom)"] = kinetic_deviation(run.trajectories())
    show_table(table, "Drift and survival of each head")
    if words := tests_in_words(found):
        st.caption(plain(words))
    st.caption(
        "Drift is that of the survivors only, so it is read together with their number. Slopes "
        "are Theil–Sen; intervals are bootstrapped over replicas."
    )


def structure_section(run: Run) -> None:
    """Structure and vibrations of a run, each computed when it is asked for."""
    st.caption(
        "A head may keep its energy and yet give the molecule another shape, or bonds that swing "
        "at another frequency."
    )
    parts = ["Distances", "Bonds and angles", "Vibrations"]
    part = switch("Look at", parts, key="structure part")
    with door():
        styles = dict(zip(run.header.names, looks(run), strict=True))
        if part == "Vibrations":
            spectrum(run, styles)
        elif (data := _data_for(run)) is not None:
            if part == "Distances":
                distances(run, data, styles)
            else:
                bonds_and_angles(run, data, styles)
            sampled = "unknown" if data.temperature is None else f"{data.temperature:g} K"
            st.caption(
                f"Data at {sampled}; the run began with momenta of "
                f"{run.header.settings['temperature']:g} K. Only like temperatures compare the "
                "models."
            )


def _data_for(run: Run) -> Dataset | None:
    """The data set that the run is held against; InputError for another molecule."""
    path = library.choose("Held against", "datasets", "data")
    if path is None:
        return None
    data = library.dataset_at(path)
    if tuple(data.atomic_numbers.tolist()) != run.header.atomic_numbers:
        raise InputError(f"{path.stem} holds another molecule, or its atoms in another order")
    return data


def distances(run: Run, data: Dataset, styles: dict[str, SeriesStyle]) -> None:
    """h(r) of each head beside that of the data."""
    found = computed(
        "the distances",
        ("structure", run.subject, data.fingerprint),
        lambda: structure.structure(data.positions, survivor_positions(run)),
        len(run.times),
    )
    if found is None:
        return
    draw(structure_figure(found, styles), key="distances")
    st.caption(plain(structure_sentence(found)))


def bonds_and_angles(run: Run, data: Dataset, styles: dict[str, SeriesStyle]) -> None:
    """A table of all kinds, and the distributions of the chosen one."""
    numbers, bonds = run.header.atomic_numbers, run.header.bonds or ()
    found = computed(
        "the bonds and angles",
        ("geometry", run.subject, data.fingerprint),
        lambda: structure.kinds(data.positions, survivor_positions(run), numbers, bonds),
        len(run.times),
    )
    if found is None:
        return
    kinds = {f"{kind.name} ({kind.unit})": kind for kind in found}
    if not kinds:
        st.info("This run watches no bonds.", icon=":material/info:")
        return
    name = st.selectbox("Bond or angle", list(kinds), key="kind")
    draw(kind_figure(kinds[name], styles), key="kind chart")
    table = kinds_table(list(kinds.values()))
    show_table(table, "Bonds and angles")
    csv_button(table, f"{run.id} bonds and angles")
    st.caption(
        "Mean ± standard deviation over the survivors. Away from data: how far the values have to "
        "be moved on average to be distributed like the data, in Å or degrees; beside it the same "
        "between two halves of the data, which is chance alone."
    )


def spectrum(run: Run, styles: dict[str, SeriesStyle]) -> None:
    """The spectrum from velocities; a data set has none, so only heads are compared."""
    settings, hydrogen = run.header.settings, 1 in run.header.atomic_numbers
    spacing = float(settings["record_every"]) * float(settings["timestep"])
    if words := structure.folding_warning(spacing, float(settings["timestep"]), hydrogen):
        st.warning(words, icon=":material/warning:")

    def vibrations() -> structure.VibrationalSpectrum:
        """All spectra, computed in the background."""
        velocities, spacing = last_velocities(run)
        return structure.spectra(velocities, np.array(run.header.masses), spacing)

    found = computed("the vibrations", ("spectrum", run.subject), vibrations, len(run.times))
    if found is None:
        return
    if not any(power is not None for power in found.heads.values()):
        st.info("No replica survives to the end of this run.", icon=":material/info:")
        return
    draw(spectrum_figure(found, styles), key="spectrum")
    st.caption(plain(spectrum_sentence(found)))


_BUTTONS: dict[Cause, tuple[str, str, str]] = {
    "time step": (
        "Run at half the time step",
        ":material/timer:",
        "The same initial states, times and frames with twice the steps: what falls to a quarter "
        "is the error of the time step, what stays is the model's.",
    ),
    "round-off": (
        "Run in double precision",
        ":material/exposure:",
        "The same initial states and steps, at most 4,000 of them, with every number in double "
        "precision: the difference is round-off of the network.",
    ),
}


def origin_section(run: Run) -> None:
    """Time step and round-off, each with its button or its answer."""
    st.caption("Part of a drift is the time step's, part round-off, and only the rest the model's.")
    for cause in _BUTTONS:
        with door(), st.container(border=True):
            _cause(run, cause)


def _data_of(run: Run) -> Path:
    """The file of the frames that a run started from; InputError where it is no longer here."""
    facts = run.header.dataset
    for path in paths.files("datasets"):
        with contextlib.suppress(InputError):  # a damaged file is reported where it is chosen
            if library.dataset_at(path).fingerprint == facts.get("fingerprint"):
                return path
    raise InputError(
        f"the data set that {run.id} started from ({facts.get('source') or 'unknown'}) is not in "
        "the workspace; load it on the Data page"
    )


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
            path = _data_of(run)
            begin(functools.partial(submit.finer, run, path, library.dataset_at(path), cause))
            st.rerun()
        return
    job = submit.job_in(folder)
    if job is not None and job.active:
        follow(job, every=1.0)
    finer = library.run_at(folder)
    if finer.status not in ("running", "finished"):
        words = f"{finer.id} is {finer.status} after step {finer.step:,} of {finer.steps:,}"
        st.caption(plain(f"{words}; choose it above to go on with it."))
    _answer(run, finer, cause)


def _answer(run: Run, finer: Run, cause: Cause) -> None:
    if min(len(run.times), len(finer.times)) < 3:
        st.caption("No answer yet: both runs need at least three frames.")
        return
    found = computed(
        "where the drift comes from",
        ("origin", run.subject, finer.subject),
        lambda: told_apart(run.trajectories(), finer.trajectories(), cause),
        (len(run.times), len(finer.times)),
    )
    if found is None:
        return
    for sentence in origin_sentences(found):
        st.markdown(f"- {plain(sentence)}")
    table = origin_table(found)
    show_table(table, f"Drift told apart from what is due to the {cause}")
    st.caption(
        f"Over the first {found.duration:.3g} ps of {plain(run.id)} and {plain(finer.id)}, "
        "replicas that survive both. Intervals are 95 %, bootstrapped over replicas."
    )
    csv_button(table, f"{run.id} {cause}")


def _of_bars(model: "Checkpoint") -> tuple[str, str]:
    """What error bars belong to: a model, and the covariance that its fingerprint leaves out."""
    covariance = np.ascontiguousarray(model.head_covariance)
    return model.fingerprint, hashlib.blake2b(covariance.data).hexdigest()


def error_bars(run: Run, heads: Sequence[int], replica: int) -> None:
    """A folded panel; it computes nothing until it is asked to."""
    with st.expander("Error bars of the forces", icon=":material/error_med:"):
        if not st.toggle("Show them for this replica", key="bars"):
            return
        known = {
            library.name_of(path): model
            for path, model in library.readable_checkpoints().items()
            if model.head_covariance is not None
        }
        model = library.choose_of("Re-fitted checkpoint", known, "bars model")
        if model is None:
            next_step(
                "Only a re-fit leaves a head with error bars, and there is none yet.",
                "refit",
                "Re-fit a model",
            )
            return
        with door():
            found = computed(
                "the error bars",
                ("error bars", *_of_bars(model), run.subject, tuple(heads), replica),
                lambda: recordings.error_bars(model, run, heads, replica),
                len(run.times),
            )
            if found is None:
                return
            figure = error_bar_figure(
                *found,
                [run.header.names[head] for head in heads],
                [looks(run)[head] for head in heads],
            )
            draw(figure, key="error bars")
            st.caption(
                "Uncertainty of the head alone, from the covariance of the re-fit: bars that grow "
                "show a trajectory that leaves the data. The error of the body comes on top."
            )
