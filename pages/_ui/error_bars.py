"""Error bars of forces along the replica that is shown, from the covariance a re-fit left."""

import contextlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import streamlit as st

from fisherdash.errors import InputError
from fisherdash.fisher import force_stderr
from fisherdash.runs import Run, open_run
from fisherdash.view.uncertainty import error_bar_figure
from pages._ui import library
from pages._ui.charts import draw
from pages._ui.doors import door, next_step
from pages._ui.watching import looks

MOST_FRAMES = 192
"""Frames of a trajectory that are evaluated, spread evenly: a second's work on two cores."""


@st.cache_data(max_entries=16, show_spinner="Evaluating error bars")
def _bars(model: Path, folder: Path, head: int, replica: int, frames: int) -> np.ndarray:
    """Root-mean-square error bar of each chosen frame's forces, eV/Å."""
    run = open_run(folder)
    chosen = _chosen(frames)
    positions = run.frames(head, replica, chosen)
    numbers = np.array(run.header.atomic_numbers)
    bars = force_stderr(library.checkpoint_at(model), numbers, positions)
    return np.sqrt(np.mean(bars**2, axis=(1, 2)))


def _chosen(frames: int) -> np.ndarray:
    return np.unique(np.linspace(0, frames - 1, min(frames, MOST_FRAMES)).round().astype(int))


def _with_bars() -> dict[str, Path]:
    """Checkpoints that know how sure their head is, by the name shown."""
    found = {}
    for name, path in library.options("checkpoints").items():
        with contextlib.suppress(InputError):  # a damaged file is told of where it is chosen
            if library.checkpoint_at(path).head_covariance is not None:
                found[name] = path
    return found


def error_bars(run: Run, heads: Sequence[int], replica: int) -> None:
    """A folded panel; it computes nothing until it is asked to."""
    with st.expander("Error bars of the forces", icon=":material/error_med:"):
        if not st.toggle("Show them for this replica", key="bars"):
            return
        model = library.choose_of("Re-fitted checkpoint", _with_bars(), "bars model")
        if model is None:
            next_step(
                "Only a re-fit leaves a head with error bars, and there is none yet.",
                "refit",
                "Re-fit a model",
            )
            return
        with door():
            frames = len(run.times)
            rows = [_bars(model, run.folder, head, replica, frames) for head in heads]
            figure = error_bar_figure(
                run.times[_chosen(frames)],
                rows,
                [run.header.names[head] for head in heads],
                [looks(run)[head] for head in heads],
            )
            draw(figure, key="error bars")
            st.caption(
                "What is uncertain about the head alone, as the re-fit left it: bars that grow "
                "show a trajectory that leaves the data. The error of the body comes on top."
            )
