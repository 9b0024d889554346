"""Figures of a re-fit: ridge path, spectrum, head, descent, temperatures, error bars of forces."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from fisherdash.plots.chart import (
    DEFAULT,
    FISHER,
    NEUTRAL,
    OTHERS,
    Chart,
    SeriesStyle,
    axis,
    chart,
    curves,
    described,
    guide,
    limits,
    line,
    panels,
)

if TYPE_CHECKING:
    from fisherdash.fisher import Boltzmann, Descent, RidgePoint
    from fisherdash.fisher.curve import LearningCurve


def curve_figure(found: "LearningCurve") -> Chart:
    """Error on the test frames against the number of fitted frames, with the spread of draws."""
    frames = np.array([one.frames for one in found.points])
    middle = np.array([one.median for one in found.points])
    low, high = (np.array([end(one.errors) for one in found.points]) for end in (min, max))
    bars = {"array": high - middle, "arrayminus": middle - low, "thickness": 1.2}
    fitted = line(
        "re-fitted head", frames, middle, FISHER, mode="lines+markers", error_y=bars,
        hovertemplate="%{y:.3g} eV/Å from %{x} frames",
    )  # fmt: skip
    made = chart(
        [fitted],
        f"Force RMSE on {found.test_frames} test frames against the number of fitted frames",
        pd.DataFrame(
            {
                "frames": frames,
                "force RMSE (eV/Å), median": middle,
                "lowest": low,
                "highest": high,
                "draws": [len(one.errors) for one in found.points],
                "kept the default head": [one.kept for one in found.points],
            }
        ),
        x=axis("fitted frames", type="log", tickvals=frames, ticktext=[str(n) for n in frames]),
        y=axis("force RMSE on test frames (eV/Å)", rangemode="tozero"),
        height=320,
        showlegend=False,
        hovermode="closest",
    )
    guide(made, "default head", DEFAULT.colour, y=found.default)
    return made


def shown_ridges(path: Sequence["RidgePoint"]) -> list[float]:
    """Ridges in the order of the figure: the default head's side first."""
    return sorted((point.ridge for point in path), reverse=True)


def ridge_label(ridge: float) -> str:
    """λ as a power of ten.

    >>> ridge_label(1e-6), ridge_label(0.0), ridge_label(float("inf"))
    ('1e-6', '0', '∞')
    """
    if ridge == 0:
        return "0"
    if np.isinf(ridge):
        return "∞"
    mantissa, exponent = f"{ridge:.1e}".split("e")
    return f"{float(mantissa):g}e{int(exponent)}"


def path_figure(path: Sequence["RidgePoint"], chosen: float) -> Chart:
    """Held-out errors and the size of the step along the path, on one axis of λ.

    From left to right the head goes from the default one to the plain least-squares solution.
    Every point can be selected; its index is its place in :func:`shown_ridges`.

    Args:
        path: points of the path.
        chosen: λ of the current head, marked.
    """
    points = sorted(path, key=lambda point: point.ridge, reverse=True)
    labels, ridges = [ridge_label(point.ridge) for point in points], shown_ridges(path)
    forces, energies, steps = (
        np.array(values)
        for values in zip(
            *((one.force_rmse, 1000 * one.energy_rmse, one.head_change) for one in points),
            strict=True,
        )
    )
    made = panels(3, 1, height=470, shared_xaxes=True, vertical_spacing=0.05,
                  row_heights=[0.42, 0.29, 0.29])  # fmt: skip
    series = (
        ("force RMSE", forces, SeriesStyle(FISHER.colour, "solid")),
        ("energy RMSE", energies, OTHERS[1]),
        ("change of the head", _log10(steps), SeriesStyle(NEUTRAL, "dot")),
    )
    for row, (name, values, style) in enumerate(series, 1):
        dots = {"mode": "lines+markers", "selected": {"marker": {"size": 13}}}
        made.add_trace(line(name, np.array(labels), values, style, **dots), row, 1)
    guide(made, "default head", DEFAULT.colour, y=points[0].force_rmse, row=1, col=1)
    mark = int(np.argmin(np.abs(np.array(ridges) - min(chosen, ridges[0]))))
    guide(made, x=mark, row="all", col=1)
    decades = [k for k, one in enumerate(labels) if one in ("0", "∞") or one.startswith("1e")]
    # Where there are many, the label beside that of an end, such as 0, has no room.
    ends = {0, len(labels) - 1} & set(decades) if len(labels) > 20 else set()
    roomy = [labels[k] for k in decades if k in ends or not ends & {k - 1, k + 1}]
    made.update_xaxes(type="category", tickvals=roomy or labels)
    made.update_xaxes(title_text="ridge λ: close to the default head ← → free", row=3, col=1)
    made.update_yaxes(axis("forces (eV/Å)", limits(forces, least=0.05)), row=1, col=1)
    made.update_yaxes(axis("energy (meV)", limits(energies, least=0.1)), row=2, col=1)
    made.update_yaxes(axis("log₁₀ |θ − θ₀|/eV"), row=3, col=1)
    made.update_layout(hovermode="closest", clickmode="event+select")
    table = pd.DataFrame(
        {
            "ridge": labels,
            "force RMSE (eV/Å)": forces,
            "energy RMSE (meV)": energies,
            "Fisher divergence (eV²/Å²)": [point.divergence for point in points],
            "|θ − θ₀| (eV)": steps,
            "effective degrees of freedom": [point.effective_dof for point in points],
            "log evidence": [point.log_evidence for point in points],
            "GCV score (eV²/Å²)": [point.gcv for point in points],
        }
    )
    alt = "Held-out force and energy errors and the change of the head along the ridge"
    return described(made, alt, table)


def spectrum_figure(eigenvalues: Sequence[float], ridge: float) -> Chart:
    """Eigenvalues of T relative to the largest, with the ridge: below it the data do not decide."""
    known = np.asarray(eigenvalues or [0.0])  # none of a body without forces
    values = known / max(known[0], np.finfo(float).tiny)
    share = values / np.maximum(values + ridge, np.finfo(float).tiny)
    number = np.arange(1, len(values) + 1)
    made = chart(
        [line("eigenvalue", number, _log10(values), FISHER, mode="lines+markers")],
        f"Eigenvalues of T from 1 to {values[-1]:.1g} of the largest",
        pd.DataFrame(
            {"direction": number, "eigenvalue / largest": values, "decided by the data": share}
        ),
        x=axis("direction of the head", tickformat="d"),
        y="log₁₀ eigenvalue / largest",
        height=300,
        margin={"t": 16},
    )
    if ridge > 0 and np.isfinite(ridge):
        guide(made, "ridge λ", y=float(_log10([ridge])[0]))
    return made


def head_figure(default: np.ndarray, fisher: np.ndarray) -> Chart:
    """Weights of both heads, descriptor by descriptor, each on an axis of its own: the bars
    of a small head cannot be seen beside those of one a hundred times as large."""
    number = np.arange(1, len(default) + 1)
    looks = {"default head": (default, DEFAULT, 1), "Fisher head": (fisher, FISHER, 2)}
    made = panels(2, 1, height=340, shared_xaxes=True, vertical_spacing=0.06)
    for name, (values, style, row) in looks.items():
        bars = {"type": "bar", "name": name, "x": number, "y": values,
                "marker": {"color": style.colour}, "hovertemplate": "%{y:.4g} eV"}  # fmt: skip
        made.add_trace(bars, row, 1)
        made.update_yaxes(axis("θ (eV)"), row=row, col=1)
    made.update_xaxes(title_text="descriptor", row=2, col=1)
    table = pd.DataFrame({"descriptor": number, "default θ (eV)": default, "Fisher θ (eV)": fisher})
    return described(made, "Weights of the default and the Fisher head", table)


def descent_figure(descent: "Descent") -> Chart:
    """Distance of gradient descent from the closed form, step by step, on two logarithmic axes."""
    steps, distance = np.asarray(descent.steps), np.asarray(descent.distance)
    return chart(
        [line("distance", _log10(1 + steps), _log10(distance), FISHER)],
        f"Gradient descent after {descent.steps[-1]} steps is {descent.distance[-1]:.1g} away",
        pd.DataFrame({"step": steps, "distance from the closed form / |θ*|": distance}),
        x="log₁₀ (1 + step)",
        y="log₁₀ |θ − θ*|/|θ*|",
        height=300,
        margin={"t": 16},
    )


def _log10(values: "Sequence[float] | np.ndarray") -> np.ndarray:
    """Decimal logarithms; an axis of powers of ten would write out all their zeros."""
    return np.log10(np.maximum(np.asarray(values, float), 1e-17))


MOST_POINTS = 40
"""Descriptors of the temperature figure; the surest ones are shown."""


def temperature_figure(test: "Boltzmann") -> Chart:
    """One temperature for each descriptor with its standard error, the surest first."""
    surest = np.argsort(test.per_descriptor_stderr)[:MOST_POINTS]
    surest = surest[np.isfinite(test.per_descriptor_stderr[surest])]
    value, bar = test.per_descriptor[surest], test.per_descriptor_stderr[surest]
    spread = np.concatenate([value - bar, value + bar, [test.temperature]])
    known = [test.believed] if test.believed else []
    # The surest half decides what is shown: the worst determined bars may be endless.
    half = (len(surest) + 1) // 2
    within = np.concatenate([(value - 2 * bar)[:half], (value + 2 * bar)[:half], known])
    dots = line(
        "descriptor", np.arange(1, len(surest) + 1), value, FISHER, mode="markers",
        error_y={"array": bar, "color": FISHER.colour}, showlegend=False,
        hovertemplate="%{y:.4g} K",
    )  # fmt: skip
    made = chart(
        [dots],
        f"Temperature of each descriptor; pooled {test.temperature:.0f} ± {test.stderr:.0f} K",
        pd.DataFrame(
            {"descriptor": surest + 1, "temperature (K)": value, "standard error (K)": bar}
        ),
        x=axis("descriptor, the best determined first", tickformat="d"),
        y=axis("temperature (K)", limits(within if len(within) else spread)),
        height=320,
        margin={"t": 16},
    )
    guide(made, f"pooled {test.temperature:.0f} K", NEUTRAL, y=test.temperature)
    if test.believed:
        words = f"given {test.believed:g} K"
        guide(made, words, DEFAULT.colour, y=test.believed, annotation_position="top left")
    return made


def error_bar_figure(
    times: np.ndarray,
    bars: Sequence[np.ndarray],
    names: Sequence[str],
    styles: Sequence[SeriesStyle],
) -> Chart:
    """Root-mean-square error bar of the forces along trajectories.

    Args:
        times: fs, shape (frames,).
        bars: eV/Å, one array of shape (frames,) for each trajectory.
        names, styles: of the heads that drove them.
    """
    most = max((float(np.max(row)) for row in bars if len(row)), default=0.0)
    columns = {f"{name} (eV/Å)": row for name, row in zip(names, bars, strict=True)}
    return chart(
        curves(times / 1000.0, names, bars, styles),
        f"Error bars of forces along the trajectory, at most {most:.2g} eV/Å",
        pd.DataFrame({"time (ps)": times / 1000.0, **columns}),
        x="time (ps)",
        y=axis("error bar of forces (eV/Å)", rangemode="tozero"),
        height=300,
    )
