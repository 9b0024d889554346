"""h(r) of the data and of each head, and how far apart they are.

Bond lengths and angles: a table of all kinds, and the distributions of one of them.

The vibrational spectra of a run's heads in one chart.

The parts of a drift as a table and in words.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from fisherdash.analysis.drift import Origin
from fisherdash.analysis.structure import Kind, Structure, VibrationalSpectrum
from fisherdash.plots import figure
from fisherdash.plots.figure import NEUTRAL, Figure, SeriesStyle
from fisherdash.statistics import SIGNIFICANT
from fisherdash.text import NOTHING, number


def kinds_table(kinds: Sequence[Kind]) -> pd.DataFrame:
    """A row a kind: mean ± standard deviation of the data and of each head, and how far apart."""
    rows = []
    for kind in kinds:
        digits = 3 if kind.unit == "Å" else 1
        row: dict[str, object] = {"kind": f"{kind.name} ({kind.unit})", "number": kind.count}
        row["data"] = _spread(kind.data, digits)
        row |= {name: _spread(found, digits) for name, found in kind.heads.items()}
        row |= {f"{name}: away from data": away for name, away in kind.distances.items()}
        rows.append(row | {"halves of the data: apart": kind.floor})
    return pd.DataFrame(rows)


def _spread(found: tuple[float, float] | None, digits: int) -> str:
    return "nobody lives" if found is None else f"{found[0]:.{digits}f} ± {found[1]:.{digits}f}"


def kind_figure(kind: Kind, styles: Mapping[str, SeriesStyle]) -> Figure:
    """Distribution of one kind: data as an area, heads as lines."""
    labels = {name: f"p{k}" for k, name in enumerate(kind.densities)}
    source = figure.columns(["x", *labels.values()], [kind.centres, *kind.densities.values()])
    data = figure.line("data", "x", labels[None], NEUTRAL)
    series = [data | {"areaStyle": {"opacity": 0.35}, "lineStyle": {"width": 1.2}}]
    heads = [name for name in labels if name is not None]
    series += [
        figure.line(name, "x", labels[name], styles[name].colour, styles[name].dash)
        for name in heads
    ]
    what = f"{kind.name} {'length' if kind.unit == 'Å' else 'angle'} ({kind.unit})"
    option = figure.chart(
        source,
        series,
        grid=[figure.grid()],
        xAxis=figure.axis(what),
        yAxis=figure.axis(f"density (1/{kind.unit})", vertical=True, scale=False),
    )
    columns = [what, *(f"{name} (1/{kind.unit})" for name in ("data", *heads))]
    return Figure(option, f"Distribution of the {what}", 320, source.set_axis(columns, axis=1))


def structure_figure(found: Structure, styles: Mapping[str, SeriesStyle]) -> Figure:
    """How often two atoms are a distance apart: data as an area, heads as lines."""
    columns = {"r": found.centres, "data": found.reference}
    columns |= {name: h for name, h in found.heads.items() if h is not None}
    labels = {name: f"h{k}" for k, name in enumerate(columns)}
    source = pd.DataFrame({labels[name]: values for name, values in columns.items()})
    data = figure.line("data", labels["r"], labels["data"], NEUTRAL)
    series = [data | {"areaStyle": {"opacity": 0.35}, "lineStyle": {"width": 1.2}}]
    series += [
        figure.line(name, labels["r"], labels[name], styles[name].colour, styles[name].dash)
        for name, h in found.heads.items()
        if h is not None
    ]
    option = figure.chart(
        source,
        series,
        grid=[figure.grid()],
        dataZoom=[{"type": "inside", "filterMode": "none"}],
        xAxis=figure.axis("distance of two atoms r (Å)", min=0),
        yAxis=figure.axis("h(r) (1/Å)", vertical=True, scale=False),
    )
    table = source.set_axis(
        ["r (Å)", *(f"{name} (1/Å)" for name in columns if name != "r")], axis=1
    )
    return Figure(option, "Distribution of distances between atoms, data and heads", 320, table)


def structure_sentence(found: Structure) -> str:
    """The differences in words, with what chance alone makes of them."""
    words = [
        f"{name}: {'nobody lives' if error is None else format(error, '.3g')}"
        for name, error in found.errors.items()
    ]
    return (
        f"∫|h − h_data| dr, between 0 (alike) and 2 (nothing in common): {'; '.join(words)}. "
        f"The two halves of the data differ by {found.floor:.2g}."
    )


def spectrum_figure(found: VibrationalSpectrum, styles: Mapping[str, SeriesStyle]) -> Figure:
    """S(ν) of every head of which a replica is left, in the style of the head."""
    shown = {name: power for name, power in found.heads.items() if power is not None}
    labels = {name: f"s{k}" for k, name in enumerate(shown)}
    source = figure.columns(
        ["nu", *labels.values()], [found.wavenumbers, *(1e3 * power for power in shown.values())]
    )
    series = [
        figure.line(name, "nu", labels[name], styles[name].colour, styles[name].dash)
        for name in shown
    ]
    option = figure.chart(
        source,
        series,
        grid=[figure.grid()],
        dataZoom=[{"type": "inside", "filterMode": "none"}],
        xAxis=figure.axis("wavenumber ν (cm⁻¹)", min=0, max=float(np.floor(found.wavenumbers[-1]))),
        yAxis=figure.axis("S(ν) (10⁻³ cm)", vertical=True, scale=False),
    )
    table = source.set_axis(["ν (cm⁻¹)", *(f"{name} (10⁻³ cm)" for name in shown)], axis=1)
    return Figure(option, "Vibrational spectrum of each head", 340, table)


def spectrum_sentence(found: VibrationalSpectrum) -> str:
    """What is behind the curves: replicas, resolution, and that it is no infrared spectrum."""
    who = "; ".join(f"{name}: {count} replicas" for name, count in found.replicas.items())
    return (
        "Power spectrum of the mass-weighted velocities of the replicas alive at the end "
        f"({who}), one point every {found.wavenumbers[1]:.3g} cm⁻¹. Areas are shares of the "
        "kinetic energy; every mode shows, seen by light or not."
    )


_FINER = {"time step": "at half the time step", "round-off": "in double precision"}
_LEFT = {"time step": "left at Δt → 0", "round-off": "left without round-off"}


def origin_table(found: Origin) -> pd.DataFrame:
    """A row a head; slopes in meV/atom/ps, medians with their 95 % intervals."""
    rows = []
    for name in found.names:
        jitter, order = found.fluctuation[name], found.order[name]
        row = {
            "head": name,
            "pairs of survivors": found.pairs[name],
            "drift (meV/atom/ps)": found.coarse[name].text(sign=True),
            _FINER[found.cause]: found.fine[name].text(sign=True),
            f"due to the {found.cause}": found.due[name].text(sign=True),
            _LEFT[found.cause]: found.left[name].text(sign=True),
            "fluctuation (meV/atom)": _pair(jitter),
        }
        if found.cause == "time step":
            row["order in Δt"] = number(order, ".2f")
        rows.append(row)
    return pd.DataFrame(rows)


def _pair(values: tuple[float, float] | None) -> str:
    return NOTHING if values is None else f"{values[0]:.3g} → {values[1]:.3g}"


def origin_sentences(found: Origin) -> list[str]:
    """What the numbers say of each head, one sentence each."""
    return [f"{name}: {_sentence(found, name)}" for name in found.names]


def _sentence(found: Origin, name: str) -> str:
    due, left, pairs = found.due[name], found.left[name], found.pairs[name]
    if due.low is None:
        return f"too few replicas ({pairs}) survive both runs to tell."
    cause, by = f"the {found.cause}", due.text(sign=True, unit="meV/atom/ps")
    if due.sign_at(SIGNIFICANT):
        words = f"{by} of its drift is due to {cause}"
    else:
        words = f"no drift due to {cause} can be seen in {pairs} pairs ({by})"
    if left.sign:
        words += f", and {number(left.value, sign=True)} is left"
    else:
        words += ", and what is left cannot be told from none"
    order, jitter = found.order[name], found.fluctuation[name]
    if order is not None and jitter is not None:
        verdict = (
            "as a time step small enough makes it"
            if 1.5 <= order <= 2.5
            else "while Verlet would make it 4 times smaller: the time step is too long for these "
            "numbers, or something else fluctuates"
        )
        words += (
            f". Its fluctuation becomes {jitter[0] / jitter[1]:.2g} times smaller with half the "
            f"step, {verdict}"
        )
    return f"{words}."
