"""Many runs and many models side by side: tables to sort, and small charts with the same axes."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from fisherdash.analysis import RunStatistics, Trajectories, total_energy_change
from fisherdash.plots.chart import (
    Chart,
    axis,
    chart,
    curves,
    decimate,
    described,
    limits,
    line,
    panels,
)
from fisherdash.plots.drift import (
    WINDOWS,
    median_of_survivors,
    plain_text,
    running_mean,
    time_axis_end,
)
from fisherdash.plots.theme import DEFAULT, FISHER, OTHERS, SeriesStyle, styles
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
                "training frames": provenance.get("frames", provenance.get("frames_fit")),
                "validation RMSE (eV/Å)": errors.get("valid_force_rmse"),
                "head norm (eV)": float(np.linalg.norm(model.head)),
                "fingerprint": model.fingerprint,
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
    for number, (name, header, traj) in enumerate(runs):
        exact = median_of_survivors(total_energy_change(traj))
        window = len(traj.times) // WINDOWS if len(traj.times) > 4 * WINDOWS else 1
        smooth = np.array([running_mean(row, window) for row in exact])
        times, medians = decimate(traj.times / 1000.0, smooth, POINTS)
        counts = traj.surviving_counts()
        _, shares = decimate(traj.times / 1000.0, 100.0 * counts / traj.replicas, POINTS)
        everything.append(medians.ravel())
        ends.append(time_axis_end(traj, None))
        called = f"{plain_text(name)}, {float(traj.temperature or 0):g} K"
        colour, dashes = _COLOURS[number % len(_COLOURS)], styles(header.roles)
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
