"""Molecules in three dimensions as pictures of their own: in a notebook, in an HTML file.

py3Dmol writes the page; 3Dmol.js goes into it whole, from the copy that set-up has put beside the
program, so that nothing is asked from a network.
"""

import base64
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from ase.data import chemical_symbols

from fisherdash.errors import InputError

LIBRARY = Path(__file__).resolve().parent.parent / "static" / "vendor" / "3Dmol-min.js"
MOST = 200
"""Frames of a moving picture; longer trajectories are thinned evenly."""
STYLE: dict[str, Any] = {"stick": {"radius": 0.12}, "sphere": {"scale": 0.25}}


@cache
def library() -> str:
    """3Dmol.js as an address that holds the program itself; InputError where it is not in place."""
    if not LIBRARY.is_file():
        raise InputError(
            "3Dmol.js, which draws molecules, is not in place; `python tools/get_3dmol.py` gets it"
        )
    program = base64.b64encode(LIBRARY.read_bytes()).decode()
    return f"data:text/javascript;base64,{program}"


def xyz(atomic_numbers: Sequence[int] | np.ndarray, positions: np.ndarray) -> str:
    """Frames (F, N, 3) in Å as XYZ text with empty comments: nothing in it but symbols and
    numbers."""
    symbols = [chemical_symbols[number] for number in atomic_numbers]
    return "".join(
        f"{len(symbols)}\n\n"
        + "".join(
            f"{symbol} {x:.5f} {y:.5f} {z:.5f}\n"
            for symbol, (x, y, z) in zip(symbols, frame, strict=True)
        )
        for frame in positions
    )


def side_by_side(
    atomic_numbers: Sequence[int] | np.ndarray,
    trajectories: Sequence[np.ndarray],
) -> str:
    """HTML of trajectories (F, N, 3) in Å beside each other, turned together and playing in step.

    Those that end early stay at their last frame. Raises InputError as :func:`view` does.
    """
    import py3Dmol

    if not all(len(one) and np.isfinite(one).all() for one in trajectories):
        raise InputError("only one frame or more of finite positions can be drawn")
    grid, longest = (1, len(trajectories)), max(map(len, trajectories))
    made = py3Dmol.view(width=900, height=320, viewergrid=grid, js=library())
    for k, one in enumerate(trajectories):
        frames = one[np.minimum(np.arange(longest), len(one) - 1)]
        _play(made, atomic_numbers, frames, viewer=(0, k))
    return str(made._make_html())


def view(
    atomic_numbers: Sequence[int] | np.ndarray,
    positions: np.ndarray,
    *,
    width: int = 480,
    height: int = 360,
) -> Any:
    """A ``py3Dmol.view`` of frames (F, N, 3) in Å; several frames play in a loop.

    Raises InputError where 3Dmol.js is not in place or a coordinate is not finite.
    """
    import py3Dmol

    if not len(positions) or not np.isfinite(positions).all():
        raise InputError("only one frame or more of finite positions can be drawn")
    made = py3Dmol.view(width=width, height=height, js=library())
    _play(made, atomic_numbers, positions)
    return made


def _play(
    made: Any, atomic_numbers: Sequence[int] | np.ndarray, frames: np.ndarray, **where: Any
) -> None:
    """Put frames into a view, or one of its viewers; several play in a loop."""
    made.addModelsAsFrames(xyz(atomic_numbers, frames), "xyz", **where)
    made.setStyle(STYLE, **where)
    made.zoomTo(**where)
    if len(frames) > 1:
        made.animate({"loop": "forward", "interval": 40}, **where)
