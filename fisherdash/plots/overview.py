"""Many runs and many models side by side: tables to sort, and small charts with the same axes."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from fisherdash.analysis import RunStatistics, Trajectories, total_energy_change
from fisherdash.plots import figure
from fisherdash.plots.drift import median_of_living, time_axis_end
from fisherdash.plots.figure import Figure, decimate, styles
from fisherdash.workspace.headers import RunHeader

if TYPE_CHECKING:
    from fisherdash.potentials.checkpoint import Checkpoint
    from fisherdash.potentials.evaluate import Errors

POINTS = 600


def run_rows(
    name: str,
    header: RunHeader,
    found: RunStatistics,
    speed: float,
    models: "Mapping[str, Checkpoint]",
) -> list[dict[str, Any]]:
    """A row for each head of a run; None where a number is not known.

    Args:
      name: of the run.
      found: its statistics.
      speed: steps per second of the whole run.
      models: checkpoints at hand, by fingerprint, for what they say of themselves.
    """
    chosen, rows = header.settings, []
    facts = header.checkpoints or ({},) * len(header.names)
    for head, known in zip(header.names, facts, strict=False):
        model, drift = models.get(str(known.get("fingerprint"))), found.drift[head]
        rows.append(
            {
                "run": name,
                "head": head,
                "alive (%)": 100.0 * found.survivors[head] / found.replicas,
                "drift (meV/atom/ps)": drift.value,
                "drift, low": drift.low,
                "drift, high": drift.high,
                "half dead after (ps)": found.time_to_failure[head],
                "replicas": found.replicas,
                "length (ps)": found.duration,
                "start (K)": float(chosen["temperature"]),
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
        errors = provenance.get("errors") or {}
        rows.append(
            {
                "model": name,
                "molecule": provenance.get("molecule"),
                "made by": provenance.get("made_by"),
                "re-fit of": provenance.get("parent"),
                "parameters": model.num_parameters,
                "cutoff (Å)": model.potential.cutoff,
                "frames": provenance.get("frames", provenance.get("frames_fit")),
                "validation force RMSE (eV/Å)": errors.get("valid_force_rmse"),
                "head norm (eV)": float(np.linalg.norm(model.head)),
                "fingerprint": model.fingerprint,
            }
        )
    return pd.DataFrame(rows)


def error_rows(errors: "Mapping[str, Errors]") -> pd.DataFrame:
    """Errors of several checkpoints on the same frames."""
    return pd.DataFrame(
        [
            {
                "model": name,
                "force RMSE (eV/Å)": found.force_rmse,
                "force MAE (eV/Å)": found.force_mae,
                "energy RMSE (eV)": found.energy_rmse,
                "energy MAE (eV)": found.energy_mae,
                "frames": found.frames,
            }
            for name, found in errors.items()
        ]
    )


def small_multiples(runs: Sequence[tuple[str, RunHeader, Trajectories]]) -> list[Figure]:
    """Median ΔE_tot of the living against time, a small chart a run, all with the same energies.

    Args: runs with at least one frame, each with the name that stands above its chart.
    """
    medians = [median_of_living(total_energy_change(traj)) for _, _, traj in runs]
    everything = np.concatenate([median.ravel() for median in medians]) if medians else np.zeros(1)
    low, high = figure.limits(np.append(everything, 0.0), robust=True) or (-1.0, 1.0)
    return [
        _small(name, header, traj, median, (low, high))
        for (name, header, traj), median in zip(runs, medians, strict=True)
    ]


def _small(
    name: str,
    header: RunHeader,
    traj: Trajectories,
    median: np.ndarray,
    limits: tuple[float, float],
) -> Figure:
    times, shown = decimate(traj.times / 1000.0, median, POINTS)
    labels = [f"median {head}" for head in range(len(traj.names))]
    alive = traj.survivors.sum(axis=1)
    series = [
        figure.line(
            f"{head}: {alive[k]} of {traj.replicas}", "t", labels[k], style.colour, style.dash
        )
        for k, (head, style) in enumerate(zip(traj.names, styles(header.roles), strict=True))
    ]
    option = figure.chart(
        figure.columns(["t", *labels], [times, *shown]),
        series,
        title={"text": name, "textStyle": {"fontSize": 13}, "top": 2, "padding": 0, "left": 60},
        grid=[figure.grid(top=40 + 18 * len(labels))],
        xAxis=figure.axis("time (ps)", min=0, max=time_axis_end(traj, None)),
        yAxis=figure.axis("ΔE (meV/atom)", vertical=True, min=limits[0], max=limits[1]),
    )
    option["legend"] |= {"top": 22, "left": 54, "orient": "vertical", "itemHeight": 6, "itemGap": 4}
    table = figure.columns(
        ["time (ps)", *(f"{head} (meV/atom)" for head in traj.names)],
        [traj.times / 1000.0, *median],
    )
    return Figure(option, f"Median change of total energy in the run {name}", 250, table)
