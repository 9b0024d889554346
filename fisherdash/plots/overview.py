"""Many runs and many models side by side: tables to sort, and small charts with the same axes.

Errors of models on the same frames are looked at closely too: parity, per element, per size of
force. A point of a parity chart has its frame and its atom as ``customdata``, counted from 0, so
that a page can show where a large error is.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from ase.data import chemical_symbols

from fisherdash.analysis import RunStatistics, Trajectories, total_energy_change
from fisherdash.plots.chart import (
    DEFAULT,
    ELEMENTS,
    FISHER,
    NEUTRAL,
    OTHERS,
    Chart,
    SeriesStyle,
    axis,
    chart,
    curves,
    decimate,
    described,
    limits,
    line,
    panels,
    styles,
)
from fisherdash.plots.drift import (
    WINDOWS,
    median_of_survivors,
    plain_text,
    running_mean,
    time_axis_end,
)
from fisherdash.text import number
from fisherdash.workspace.headers import RunHeader

if TYPE_CHECKING:
    from fisherdash.potentials.checkpoint import Checkpoint
    from fisherdash.potentials.evaluate import Predicted

POINTS = 600
_MADE = {"train": "training", "solve": "re-fit", "": None}
"""What the commands of the shell do, in words."""


def run_rows(
    name: str,
    header: RunHeader,
    found: RunStatistics,
    speed: float,
    models: "Mapping[str, Checkpoint]",
) -> list[dict[str, Any]]:
    """A row for each head of the run called ``name``; None where a number is not known.

    ``speed``: steps per second of the whole run. ``models``: checkpoints at hand, by fingerprint.
    """
    chosen, rows = header.settings, []
    facts = header.checkpoints or ({},) * len(header.names)
    for head, known in zip(header.names, facts, strict=False):
        model, drift = models.get(str(known.get("fingerprint"))), found.drift[head]
        rows.append(
            {
                "run": name,
                "model": known.get("name"),
                "head": head,
                "start (K)": float(chosen["temperature"]),
                "length (ps)": found.duration,
                "survivors (%)": 100.0 * found.survivors[head] / found.replicas,
                "drift (meV/atom/ps)": drift.value,
                "drift, low": drift.low,
                "drift, high": drift.high,
                "median time to failure (ps)": found.time_to_failure[head],
                "replicas": found.replicas,
                "fluctuation (meV/atom)": found.fluctuation[head],
                "head norm (eV)": float(np.linalg.norm(model.head)) if model else None,
                "step (fs)": float(chosen["timestep"]),
                "speed (steps/s)": speed or None,
            }
        )
    return rows


def model_rows(models: "Mapping[str, Checkpoint]") -> pd.DataFrame:
    """What each checkpoint says of itself."""
    rows = []
    for name, model in models.items():
        provenance = model.provenance
        errors, made = provenance.get("errors") or {}, str(provenance.get("made_by") or "")
        parent = provenance.get("parent")
        rows.append(
            {
                "model": name,
                "molecule": provenance.get("molecule"),
                "made by": f"re-fit of {parent}" if parent else _MADE.get(made, made),
                "parameters": model.num_parameters,
                "cutoff (Å)": model.potential.cutoff,
                "frames": provenance.get("frames", provenance.get("frames_fit")),
                "RMSE (eV/Å)": errors.get("valid_force_rmse"),
                "fingerprint": model.fingerprint,
                "head norm (eV)": float(np.linalg.norm(model.head)),
            }
        )
    return pd.DataFrame(rows)


def error_rows(found: "Mapping[str, Predicted]") -> pd.DataFrame:
    """Errors of several checkpoints on the same frames, and on those that each has not seen."""
    rows = []
    for name, one in found.items():
        errors, new = one.errors(), ~one.seen
        rows.append(
            {
                "model": name,
                "force RMSE (eV/Å)": errors.force_rmse,
                "force MAE (eV/Å)": errors.force_mae,
                "energy RMSE (eV)": errors.energy_rmse,
                "energy MAE (eV)": errors.energy_mae,
                "frames": errors.frames,
                "seen in training": int(one.seen.sum()),
                "force RMSE on unseen (eV/Å)": one.errors(new).force_rmse if new.any() else None,
            }
        )
    return pd.DataFrame(rows)


def overlaid(runs: Sequence[tuple[str, RunHeader, Trajectories]]) -> Chart:
    """Median ΔE_tot and the share of survivors of all heads of several runs over one time axis.

    A run keeps its colour, a head of it its dash; the legend has a group for each run. The heads of
    a single run have their own colours. Medians are running means, but of few frames as they are.

    Args: runs with at least one frame, each with its name.
    """
    made = panels(2, 1, height=480, shared_xaxes=True, vertical_spacing=0.05,
                  row_heights=[0.68, 0.32])  # fmt: skip
    everything, ends, facts = [np.zeros(1)], [], []
    for place, (name, header, traj) in enumerate(runs):
        exact = median_of_survivors(total_energy_change(traj))
        window = len(traj.times) // WINDOWS if len(traj.times) > 4 * WINDOWS else 1
        smooth = np.array([running_mean(row, window) for row in exact])
        times, medians = decimate(traj.times / 1000.0, smooth, POINTS)
        counts = traj.surviving_counts()
        _, shares = decimate(traj.times / 1000.0, 100.0 * counts / traj.replicas, POINTS)
        everything.append(medians.ravel())
        ends.append(time_axis_end(traj, None))
        called = f"{plain_text(name)}, {float(traj.temperature or 0):g} K"
        colour, dashes = _COLOURS[place % len(_COLOURS)], styles(header.roles)
        for h, head in enumerate(map(plain_text, traj.names)):
            style = dashes[h] if len(runs) == 1 else SeriesStyle(colour, dashes[h].dash)
            steps = {**style.line, "shape": "hv"}
            said = f"{head}: {counts[h, -1]} of {traj.replicas} survive"
            group = {"legendgroup": name, "legendgrouptitle": {"text": called}}
            hover = f" at %{{x:.4g}} ps<extra>{called}<br>{head}</extra>"
            made.add_trace(line(said, times, medians[h], style, **group,
                                hovertemplate="ΔE %{y:.4g} meV/atom" + hover),
                           1, 1)  # fmt: skip
            made.add_trace(line(said, times, shares[h], style, **group, line=steps,
                                showlegend=False, hovertemplate="%{y:.3g} %" + hover),
                           2, 1)  # fmt: skip
            facts.append({"run": name, "head": head, "survivors": int(counts[h, -1]),
                          "median ΔE at the end (meV/atom)": float(exact[h, -1])})  # fmt: skip
    made.update_xaxes(range=[0, max(ends, default=1.0)])
    made.update_xaxes(title_text="time (ps)", row=2, col=1)
    energies = limits(np.concatenate(everything), robust=True)
    made.update_yaxes(axis("median ΔE (meV/atom)", energies), row=1, col=1)
    made.update_yaxes(axis("survivors (%)", (0, 105), tickvals=[0, 50, 100]), row=2, col=1)
    rows = len(facts) + len(runs)
    made.update_layout(
        hovermode="closest",
        height=500 + 21 * rows,
        margin={"t": 12, "b": 76 + 21 * rows},
        legend={"orientation": "v", "y": 0, "yref": "container", "yanchor": "bottom",
                "traceorder": "grouped", "tracegroupgap": 2, "groupclick": "toggleitem"},
    )  # fmt: skip
    words = "Median change of total energy and share of survivors of several runs over time"
    return described(made, words, pd.DataFrame(facts))


_COLOURS = tuple(style.colour for style in (DEFAULT, FISHER, *OTHERS))


def small_multiples(runs: Sequence[tuple[str, RunHeader, Trajectories]]) -> list[Chart]:
    """Median ΔE_tot of the survivors over time, a small chart a run, all with the same energies.

    Args: runs with at least one frame, each with the name that stands above its chart.
    """
    medians = [median_of_survivors(total_energy_change(traj)) for _, _, traj in runs]
    everything = np.concatenate([median.ravel() for median in medians]) if medians else np.zeros(1)
    energies = limits(np.append(everything, 0.0), robust=True)
    return [
        _small(name, header, traj, median, energies)
        for (name, header, traj), median in zip(runs, medians, strict=True)
    ]


def _small(
    name: str,
    header: RunHeader,
    traj: Trajectories,
    median: np.ndarray,
    energies: tuple[float, float] | None,
) -> Chart:
    times, shown = decimate(traj.times / 1000.0, median, POINTS)
    survivors = zip(traj.names, traj.survivors.sum(axis=1), strict=True)
    labels = [f"{head}: {count} of {traj.replicas}" for head, count in survivors]
    columns = {f"{head} (meV/atom)": row for head, row in zip(traj.names, median, strict=True)}
    return chart(
        curves(times, labels, shown, styles(header.roles)),
        f"Median change of total energy in the run {name}",
        pd.DataFrame({"time (ps)": traj.times / 1000.0, **columns}),
        x=axis("time (ps)", (0, time_axis_end(traj, None))),
        y=axis("ΔE (meV/atom)", energies),
        height=280,
        title=name,
        margin={"t": 70},
    )


PARITY_POINTS = 3000
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
    if len(error) <= PARITY_POINTS:
        return np.arange(len(error))
    ordered = np.argsort(error)
    others = np.random.default_rng(0).choice(ordered[:-WORST], PARITY_POINTS - WORST, replace=False)
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
