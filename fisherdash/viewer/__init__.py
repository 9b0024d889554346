"""Data for the viewer of molecules and curves (the programs in ``js/``): plain numbers and text.

Positions travel as base64 of little-endian float32; moving through time never asks the server.
Bonds are not sent: the viewer finds them anew in each frame, i and j being bonded while
r_ij < tolerance (R_i + R_j) with covalent radii R, so that an exploding molecule does not drag
sticks across the screen. Forces of a run come only when they are asked for. The chart beside the
molecules is the figure of :mod:`fisherdash.plots.drift`.
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from ase.data import chemical_symbols, covalent_radii

from fisherdash.dataset.core import TOLERANCE
from fisherdash.plots.chart import ELEMENTS, SeriesStyle

Offer = Literal["forces", "error"]

FRAMES = 600
"""Frames sent of each trajectory; longer ones are thinned evenly."""

_PROGRAMS = Path(__file__).parent / "js"
_PARTS = ("library", "curves", "measure", "forces", "record", "camera", "molecules", "viewer")

FAILURE = "#d81e5b"
"""The bond that broke and what leads to it."""
MARK = "#c9a227"
"""Atoms that were chosen to be measured."""


@dataclass(frozen=True)
class Pane:
    """One molecule on the screen.

    Attributes:
        caption: shown above it.
        style: the head's colour and dash.
        positions: (F, N, 3) Å.
        failed: frame from which on the trajectory has failed, or None.
        ending: how it failed, in words.
        name: of the head; the caption where it is left out.
        head: its index in the run.
        broken: the two atoms whose bond broke or which clashed, or None.
        forces: on the atoms, (F, N, 3) eV/Å, NaN where unknown; None where they are not at hand.
        against: forces that these are held against, in the same frames.
        labelled: whether those are labels of the data, which are drawn too.
    """

    caption: str
    style: SeriesStyle
    positions: np.ndarray
    failed: int | None = None
    ending: str = ""
    name: str = ""
    head: int = 0
    broken: tuple[int, int] | None = None
    forces: np.ndarray | None = None
    against: np.ndarray | None = None
    labelled: bool = False

    def check(self, frames: int, atoms: int) -> None:
        """ValueError for arrays of another shape."""
        expected = (frames, atoms, 3)
        for name in ("positions", "forces", "against"):
            array = getattr(self, name)
            if array is not None and array.shape != expected:
                raise ValueError(f"{name} have shape {array.shape}, expected {expected}")

    def to_json(self) -> dict[str, Any]:
        """What the browser's part of the viewer reads."""
        return {
            "caption": self.caption,
            "colour": self.style.colour,
            "dash": self.style.border,
            "positions": numbers(self.positions),
            "failed": -1 if self.failed is None else int(self.failed),
            "ending": self.ending,
            "name": self.name or self.caption,
            "head": self.head,
            "forces": None if self.forces is None else numbers(self.forces),
            "against": None if self.against is None else numbers(self.against),
            "labelled": self.labelled,
            "broken": None if self.broken is None else [int(atom) for atom in self.broken],
        }


def source(parts: Sequence[str] = _PARTS) -> str:
    """The program of the viewer, or of other parts."""
    return "\n".join((_PROGRAMS / f"{part}.js").read_text(encoding="utf-8") for part in parts)


def lesson_source() -> str:
    """The program of the drawing on the Learn page."""
    return source(("library", "lesson"))


def stylesheet() -> str:
    """The viewer's style sheet."""
    return (_PROGRAMS / "viewer.css").read_text(encoding="utf-8")


def thinned(count: int, most: int = FRAMES) -> np.ndarray:
    """Indices of at most ``most`` frames of ``count``, the first and the last always among them.

    Every 2ᵏ-th frame: while a run grows, what is shown stays, until every other frame is left out.
    """
    stride = 1
    while (count - 1) // stride + 2 > most and count > most:
        stride *= 2
    return np.unique(np.append(np.arange(0, count, stride), max(count - 1, 0)))[:count]


def payload(
    atomic_numbers: Sequence[int],
    panes: Sequence[Pane],
    times: np.ndarray,
    *,
    key: str,
    live: bool = False,
    playing: bool = False,
    unit: str = "ps",
    subject: int | None = None,
    figure: str | None = None,
    alt: str = "",
    moment: float | None = None,
    offers: Sequence[Offer] = (),
    judged: str = "force error",
) -> dict[str, Any]:
    """What the viewer draws.

    Args:
      atomic_numbers: (N,).
      panes: one or more molecules, all with the same F frames.
      times: (F,) the number shown beside the slider.
      key: what is shown; another key starts again from the first frame.
      live: the run goes on, so follow its end while the slider is there.
      playing: start playing at once (unless the reader prefers reduced motion).
      unit: of the times; empty where they are the numbers of frames.
      subject: the replica that is shown; another one keeps the moment.
      figure: a Plotly figure over the same time, as JSON.
      alt: what it shows, in a sentence.
      moment: the time to begin with.
      offers: what the server can give when it is asked: ``forces``, or their ``error`` too.
      judged: what the difference from ``against`` is.
    """
    atoms = np.asarray(atomic_numbers, np.int64)
    for pane in panes:
        pane.check(frames=len(times), atoms=len(atoms))
    symbols = [chemical_symbols[z] for z in atoms]
    return {
        "key": key,
        "live": live,
        "playing": playing,
        "unit": unit,
        "subject": subject,
        "figure": figure,
        "alt": alt,
        "moment": moment,
        "offers": list(offers),
        "judged": judged,
        "failure": FAILURE,
        "mark": MARK,
        "elements": symbols,
        "colours": {symbol: ELEMENTS[symbol] for symbol in set(symbols) & set(ELEMENTS)},
        "radii": [round(float(covalent_radii[z]), 3) for z in atoms],
        "tolerance": TOLERANCE,
        "times": [float(f"{time:.6g}") for time in times],
        "panes": [pane.to_json() for pane in panes],
    }


def numbers(values: np.ndarray) -> str:
    """An array as base64 of little-endian float32."""
    return base64.b64encode(np.ascontiguousarray(values, "<f4").tobytes()).decode("ascii")
