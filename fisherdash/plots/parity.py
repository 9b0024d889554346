"""Errors of models on the same frames, looked at closely: parity, per element, per size of force.

A point of a parity chart has its frame and its atom as ``customdata``, counted from 0, so that a
page can show where a large error is.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from ase.data import chemical_symbols

from fisherdash.plots.chart import Chart, axis, chart, limits, line
from fisherdash.plots.theme import ELEMENTS, NEUTRAL, OTHERS, SeriesStyle
from fisherdash.text import number

if TYPE_CHECKING:
    from fisherdash.potentials.evaluate import Predicted

POINTS = 3000
"""Points of a parity chart: all, or a random choice that always holds the largest errors."""
WORST = 100
"""Largest errors that are drawn in any case."""
BINS = 8
_DOTS = {**ELEMENTS, "H": OTHERS[4].colour}
"""Elements as dots: hydrogen's grey is that of a shaded ball and would vanish on white."""


def force_parity(found: "Predicted") -> Chart:
    """Predicted against reference components of the forces, eV/Å, a colour an element."""
    data, error = found.data, found.forces - found.data.forces
    rows = _chosen(np.abs(error).reshape(-1))
    frames, atoms, parts = np.unravel_index(rows, error.shape)
    numbers = data.atomic_numbers[atoms]
    traces = []
    for element in np.unique(data.atomic_numbers):
        mine = numbers == element
        at = frames[mine], atoms[mine], parts[mine]
        traces.append(
            _points(chemical_symbols[element], data.forces[at], found.forces[at],
                    np.stack(at[:2], axis=1), "eV/Å")
        )  # fmt: skip
    words = f"Predicted against reference forces, {len(rows):,} of {error.size:,} components"
    return _parity(traces, words, "force component", "eV/Å")


def energy_parity(found: "Predicted") -> Chart:
    """Predicted against reference energies, eV, both from the mean of the reference; without the
    offset where they have another zero."""
    data, offset = found.data, found.offset or 0.0
    rows, zero = _chosen(np.abs(found.energies - data.energies)), np.mean(data.energies)
    where = np.stack([rows, np.full_like(rows, -1)], axis=1)
    reference, predicted = data.energies[rows] - zero, found.energies[rows] - zero - offset
    points = _points("energy", reference, predicted, where, "eV", NEUTRAL)
    words = f"Predicted against reference energies, {len(rows):,} of {len(data):,} frames"
    made = _parity([points], words, "energy", "eV", showlegend=False)
    if offset:
        made.update_yaxes(
            title_text=f"predicted energy (eV), shifted by {number(-offset, sign=True)}"
        )
    return made


def element_rows(found: "Mapping[str, Predicted]") -> pd.DataFrame:
    """RMSE of the forces on the atoms of each element, eV/Å, a row a model."""
    rows = []
    for name, one in found.items():
        square, numbers = (one.forces - one.data.forces) ** 2, one.data.atomic_numbers
        row: dict[str, Any] = {"model": name}
        for element in np.unique(numbers):
            mine = np.sqrt(np.mean(square[:, numbers == element]))
            row[f"{chemical_symbols[element]} (eV/Å)"] = float(mine)
        rows.append(row)
    return pd.DataFrame(rows)


def magnitude_figure(found: "Mapping[str, Predicted]", looks: Mapping[str, SeriesStyle]) -> Chart:
    """RMSE of the force on an atom against the size of its reference force, in bins with equal
    numbers of atoms."""
    first = next(iter(found.values()))
    size = np.linalg.norm(first.data.forces, axis=-1).ravel()
    bins = np.array_split(np.argsort(size), min(BINS, size.size))
    middle = np.array([np.median(size[one]) for one in bins])
    table = {"reference force (eV/Å)": middle}
    traces = []
    for name, one in found.items():
        square = np.sum((one.forces - one.data.forces) ** 2, axis=-1).ravel()
        error = np.sqrt([np.mean(square[rows]) for rows in bins])
        table[f"{name}: RMSE (eV/Å)"] = error
        traces.append(line(name, middle, error, looks[name], mode="lines+markers"))
    return chart(
        traces,
        "Error of the force on an atom against the size of the force",
        pd.DataFrame(table),
        x=axis("size of the reference force (eV/Å)"),
        y=axis("RMSE of the force (eV/Å)", rangemode="tozero"),
        height=380,
    )


def _chosen(error: np.ndarray) -> np.ndarray:
    """Which values are drawn: the largest errors and a seeded choice of the others."""
    if len(error) <= POINTS:
        return np.arange(len(error))
    ordered = np.argsort(error)
    others = np.random.default_rng(0).choice(ordered[:-WORST], POINTS - WORST, replace=False)
    return np.concatenate([others, ordered[-WORST:]])


def _points(
    name: str, x: np.ndarray, y: np.ndarray, where: np.ndarray, unit: str, colour: str = ""
) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": x,
        "y": y,
        "customdata": where.tolist(),  # an array would reach the page as an object
        "marker": {
            "size": 5,
            "opacity": 0.7,
            "color": colour or _DOTS.get(name, NEUTRAL),
            "line": {"width": 0.4, "color": NEUTRAL},
        },
        "hovertemplate": f"reference %{{x:.4g}}, predicted %{{y:.4g}} {unit}<extra>{name}</extra>",
    }


def _parity(
    traces: list[dict[str, Any]], words: str, quantity: str, unit: str, **layout: Any
) -> Chart:
    both = np.concatenate([np.concatenate([one["x"], one["y"]]) for one in traces])
    ends = limits(both) or (-1.0, 1.0)
    equal = {
        "type": "scatter", "mode": "lines", "x": ends, "y": ends, "hoverinfo": "skip",
        "showlegend": False, "line": {"color": NEUTRAL, "width": 1, "dash": "dot"},
    }  # fmt: skip
    table = pd.concat(
        [
            pd.DataFrame(
                {
                    "of": one["name"],
                    "frame": np.array(one["customdata"])[:, 0] + 1,
                    f"reference ({unit})": one["x"],
                    f"predicted ({unit})": one["y"],
                }
            )
            for one in traces
        ]
    )
    return chart(
        [equal, *traces],
        words,
        table,
        x=axis(f"reference {quantity} ({unit})", ends),
        y=axis(f"predicted {quantity} ({unit})", ends),
        height=380,
        hovermode="closest",
        clickmode="event+select",
        **layout,
    )
