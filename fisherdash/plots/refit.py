"""Figures of a re-fit: ridge path, spectrum, head, descent, temperatures, error bars of forces."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from fisherdash.plots import figure
from fisherdash.plots.figure import DEFAULT, FISHER, NEUTRAL, Figure, Option, SeriesStyle

if TYPE_CHECKING:
    from fisherdash.fisher import Boltzmann, Descent, RidgePoint


DOTS: Option = {"showSymbol": True, "symbol": "circle", "symbolSize": 7}


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


def path_figure(path: Sequence["RidgePoint"], chosen: float) -> Figure:
    """Held-out errors and the size of the step along the path, on one axis of λ.

    From left to right the head goes from the default one to the plain least-squares solution.
    Every point can be selected; its row in the figure's data is its place in
    :func:`shown_ridges`.

    Args:
        path: points of the path.
        chosen: λ of the current head, marked.
    """
    points = sorted(path, key=lambda point: point.ridge, reverse=True)
    labels = [ridge_label(point.ridge) for point in points]
    source = pd.DataFrame(
        {
            "ridge": labels,
            "forces": [point.force_rmse for point in points],
            "energy": [1000 * point.energy_rmse for point in points],
            "step": _log10([point.head_change for point in points]),
        }
    )
    ridges = np.array([point.ridge for point in points])
    mark = labels[int(np.argmin(np.abs(ridges - min(chosen, ridges[0]))))]
    selected = {"itemStyle": {"borderWidth": 3, "borderColor": DEFAULT.colour}}
    dots = DOTS | {"symbolSize": 6, "selectedMode": "single", "select": selected}
    series = [
        figure.line("force RMSE", "ridge", "forces", FISHER.colour, "solid"),
        figure.line("energy RMSE", "ridge", "energy", "#a259d9", "dashed"),
        figure.line("change of the head", "ridge", "step", NEUTRAL, "dotted"),
    ]
    series = [one | dots | {"xAxisIndex": k, "yAxisIndex": k} for k, one in enumerate(series)]
    series[0]["markLine"] = figure.mark(
        {
            "yAxis": points[0].force_rmse,
            "lineStyle": {"type": "solid", "color": DEFAULT.colour},
            "label": {"show": True, "formatter": "default head", "position": "insideStartTop"},
        },
        {"xAxis": mark},
        label={"formatter": "chosen", "position": "insideEndTop"},
        type="dotted",
    )
    option = figure.chart(
        source,
        series,
        grid=[
            figure.grid(height=130, bottom=None),
            figure.grid(top=190, height=90, bottom=None),
            figure.grid(top=304, height=90, bottom=None),
        ],
        axisPointer={"link": [{"xAxisIndex": "all"}]},
        **_path_axes(source),
    )
    table = pd.DataFrame(
        {
            "ridge": source["ridge"],
            "force RMSE (eV/Å)": source["forces"],
            "energy RMSE (meV)": source["energy"],
            "Fisher divergence (eV²/Å²)": [point.divergence for point in points],
            "|θ − θ₀| (eV)": [point.head_change for point in points],
            "effective degrees of freedom": [point.effective_dof for point in points],
            "log evidence": [point.log_evidence for point in points],
            "GCV score (eV²/Å²)": [point.gcv for point in points],
        }
    )
    alt = "Held-out force and energy errors and the change of the head along the ridge"
    return Figure(option, alt, 446, table)


def _path_axes(source: pd.DataFrame) -> dict[str, list[Option]]:
    """One axis of λ below three panels."""
    name = {
        "name": "ridge λ: close to the default head ← → free",
        "nameLocation": "middle",
        "nameGap": 28,
    }
    forces = figure.limits(source["forces"].to_numpy(), least=0.05) or (0.0, 1.0)
    energies = figure.limits(source["energy"].to_numpy(), least=0.1) or (0.0, 1.0)
    return {
        "xAxis": [
            {"type": "category", "gridIndex": 0, "axisLabel": {"show": False}},
            {"type": "category", "gridIndex": 1, "axisLabel": {"show": False}},
            {"type": "category", "gridIndex": 2, **name},
        ],
        "yAxis": [
            figure.axis("forces (eV/Å)", vertical=True, gridIndex=0, splitNumber=4,
                        min=forces[0], max=forces[1]),
            figure.axis("energy (meV)", vertical=True, gridIndex=1, splitNumber=3,
                        min=energies[0], max=energies[1]),
            figure.axis("log₁₀ |θ − θ₀|/eV", vertical=True, gridIndex=2, splitNumber=3),
        ],
    }  # fmt: skip


def spectrum_figure(eigenvalues: Sequence[float], ridge: float) -> Figure:
    """Eigenvalues of T relative to the largest, with the ridge: below it the data do not decide."""
    values = np.asarray(eigenvalues) / max(eigenvalues[0], np.finfo(float).tiny)
    share = values / np.maximum(values + ridge, np.finfo(float).tiny)
    number = np.arange(1, len(values) + 1)
    source = pd.DataFrame({"direction": number, "eigenvalue": _log10(values)})
    dots = figure.line("eigenvalue", "direction", "eigenvalue", FISHER.colour) | DOTS
    if ridge > 0 and np.isfinite(ridge):
        label = {"formatter": "ridge λ", "position": "insideEndTop"}
        dots["markLine"] = figure.mark({"yAxis": float(_log10([ridge])[0])}, label=label)
    option = figure.chart(
        source,
        [dots],
        legend={"show": False},
        grid=[figure.grid(top=16)],
        xAxis=figure.axis("direction of the head", min=1, minInterval=1),
        yAxis=figure.axis("log₁₀ eigenvalue / largest", vertical=True),
    )
    table = pd.DataFrame(
        {"direction": number, "eigenvalue / largest": values, "decided by the data": share}
    )
    alt = f"Eigenvalues of T from 1 to {values[-1]:.1g} of the largest"
    return Figure(option, alt, 300, table)


def head_figure(default: np.ndarray, fisher: np.ndarray) -> Figure:
    """Weights of both heads, descriptor by descriptor, eV."""
    number = np.arange(1, len(default) + 1)
    source = pd.DataFrame({"descriptor": number, "default": default, "fisher": fisher})
    series: list[Option] = [
        {
            "type": "bar",
            "name": name,
            "encode": {"x": "descriptor", "y": column},
            "color": colour,
            "barGap": "0%",
        }
        for name, column, colour in (
            ("default head", "default", DEFAULT.colour),
            ("Fisher head", "fisher", FISHER.colour),
        )
    ]
    option = figure.chart(
        source,
        series,
        grid=[figure.grid()],
        legend={"top": 0},
        xAxis={"type": "category", "name": "descriptor", "nameLocation": "middle", "nameGap": 26},
        yAxis=figure.axis("weight θ (eV)", vertical=True, scale=False),
    )
    table = source.set_axis(["descriptor", "default θ (eV)", "Fisher θ (eV)"], axis=1)
    return Figure(option, "Weights of the default and the Fisher head", 300, table)


def descent_figure(descent: "Descent") -> Figure:
    """Distance of gradient descent from the closed form, step by step, on two logarithmic axes."""
    steps, distance = np.asarray(descent.steps), np.asarray(descent.distance)
    source = pd.DataFrame({"step": _log10(1 + steps), "distance": _log10(distance)})
    option = figure.chart(
        source,
        [figure.line("distance", "step", "distance", FISHER.colour)],
        legend={"show": False},
        grid=[figure.grid(top=16)],
        xAxis=figure.axis("log₁₀ (1 + step)"),
        yAxis=figure.axis("log₁₀ |θ − θ*|/|θ*|", vertical=True),
    )
    table = pd.DataFrame({"step": steps, "distance from the closed form / |θ*|": distance})
    alt = f"Gradient descent after {descent.steps[-1]} steps is {descent.distance[-1]:.1g} away"
    return Figure(option, alt, 300, table)


def _log10(values: "Sequence[float] | np.ndarray") -> np.ndarray:
    """Decimal logarithms; an axis of powers of ten would write out all their zeros."""
    return np.log10(np.maximum(np.asarray(values, float), 1e-17))


MOST_POINTS = 40
"""Descriptors of the temperature figure; the surest ones are shown."""


def temperature_figure(test: "Boltzmann") -> Figure:
    """One temperature for each descriptor with its standard error, the surest first."""
    surest = np.argsort(test.per_descriptor_stderr)[:MOST_POINTS]
    surest = surest[np.isfinite(test.per_descriptor_stderr[surest])]
    value, bar = test.per_descriptor[surest], test.per_descriptor_stderr[surest]
    place = np.arange(1, len(surest) + 1)
    source = pd.DataFrame({"place": place, "temperature": value})
    spread = np.concatenate([value - bar, value + bar, [test.temperature]])
    known = [test.believed] if test.believed else []
    # The surest half decides what is shown: the worst determined bars may be endless.
    half = (len(surest) + 1) // 2
    within = np.concatenate([(value - 2 * bar)[:half], (value + 2 * bar)[:half], known])
    low, high = figure.limits(within if len(within) else spread) or (0.0, 1.0)
    ends = np.clip(np.column_stack([value - bar, value + bar]), low, high)
    option = figure.chart(
        source,
        [_dots(place, ends), _levels(test)],
        legend={"show": False},
        tooltip={"trigger": "item", "valueFormatter": "%.4g"},
        grid=[figure.grid(top=16)],
        xAxis=figure.axis("descriptor, the best determined first", min=0, minInterval=1),
        yAxis=figure.axis("temperature (K)", vertical=True, min=low, max=high),
    )
    table = pd.DataFrame(
        {"descriptor": surest + 1, "temperature (K)": value, "standard error (K)": bar}
    )
    alt = f"Temperature of each descriptor; pooled {test.temperature:.0f} ± {test.stderr:.0f} K"
    return Figure(option, alt, 320, table)


def _dots(place: np.ndarray, ends: np.ndarray) -> Option:
    """A point for each descriptor, with the line between the ends of its error bar."""
    return {
        "type": "scatter",
        "name": "descriptor",
        "encode": {"x": "place", "y": "temperature"},
        "color": FISHER.colour,
        "symbolSize": 7,
        "clip": True,
        "markLine": figure.mark(
            *(
                [{"coord": [int(x), figure.rounded(float(end), 6)]} for end in both]
                for x, both in zip(place, ends, strict=True)
            ),
            colour=FISHER.colour,
            type="solid",
            width=1.5,
        ),
    }


def _levels(test: "Boltzmann") -> Option:
    """Lines at the pooled temperature and at the one that the data claim."""
    levels = [(f"pooled {test.temperature:.0f} K", test.temperature, NEUTRAL, "insideEndTop")]
    if test.believed:
        name = f"believed {test.believed:g} K"
        levels.append((name, test.believed, DEFAULT.colour, "insideStartTop"))
    marks = (
        {
            "yAxis": level,
            "lineStyle": {"color": colour},
            "label": {"show": True, "formatter": name, "position": position},
        }
        for name, level, colour, position in levels
    )
    return {"type": "line", "name": "levels", "data": [], "markLine": figure.mark(*marks)}


def error_bar_figure(
    times: np.ndarray,
    bars: Sequence[np.ndarray],
    names: Sequence[str],
    styles: Sequence[SeriesStyle],
) -> Figure:
    """Root-mean-square error bar of the forces along trajectories.

    Args:
        times: fs, shape (frames,).
        bars: eV/Å, one array of shape (frames,) for each trajectory.
        names, styles: of the heads that drove them.
    """
    source, series = figure.curves(times / 1000.0, names, bars, styles)
    option = figure.chart(
        source,
        series,
        grid=[figure.grid()],
        xAxis=figure.axis("time (ps)"),
        yAxis=figure.axis("error bar of forces (eV/Å)", vertical=True, scale=False),
    )
    table = source.set_axis(["time (ps)", *(f"{name} (eV/Å)" for name in names)], axis=1)
    most = max((float(np.max(row)) for row in bars if len(row)), default=0.0)
    alt = f"Error bars of forces along the trajectory, at most {most:.2g} eV/Å"
    return Figure(option, alt, 300, table)
