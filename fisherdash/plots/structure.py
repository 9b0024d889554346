"""Distances h(r), bond lengths and angles, vibrational spectra, and the parts of a drift."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from fisherdash.analysis.drift import Origin
from fisherdash.analysis.structure import Kind, Structure, VibrationalSpectrum
from fisherdash.plots.chart import NEUTRAL, Chart, SeriesStyle, axis, chart, curves
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
    return "no survivors" if found is None else f"{found[0]:.{digits}f} ± {found[1]:.{digits}f}"


def kind_figure(kind: Kind, styles: Mapping[str, SeriesStyle]) -> Chart:
    """Distribution of one kind: data as an area, heads as lines."""
    heads = {name: values for name, values in kind.densities.items() if name is not None}
    what = f"{kind.name} {'length' if kind.unit == 'Å' else 'angle'} ({kind.unit})"
    density = f"density (1/{kind.unit})"
    alt = f"Distribution of the {what}"
    return _beside_data(kind.centres, kind.densities[None], heads, styles, (what, density), alt)


def structure_figure(found: Structure, styles: Mapping[str, SeriesStyle]) -> Chart:
    """How often two atoms are a distance apart: data as an area, heads as lines."""
    heads = {name: h for name, h in found.heads.items() if h is not None}
    axes = ("distance of two atoms r (Å)", "h(r) (1/Å)")
    alt = "Distribution of distances between atoms, data and heads"
    return _beside_data(found.centres, found.reference, heads, styles, axes, alt)


def _beside_data(
    x: np.ndarray,
    data: np.ndarray,
    heads: Mapping[str, np.ndarray],
    styles: Mapping[str, SeriesStyle],
    axes: tuple[str, str],
    alt: str,
) -> Chart:
    named = {"data": data, **heads}
    looks = [SeriesStyle(NEUTRAL, "solid"), *(styles[name] for name in heads)]
    traces = curves(x, list(named), named.values(), looks)
    traces[0] |= {"fill": "tozeroy"}
    unit = axes[1][axes[1].index("(") :]
    table = pd.DataFrame(
        {axes[0]: x, **{f"{name} {unit}": values for name, values in named.items()}}
    )
    y = axis(axes[1], rangemode="tozero")
    return chart(traces, alt, table, x=axes[0], y=y, height=320)


def structure_sentence(found: Structure) -> str:
    """The differences in words, with what chance alone makes of them."""
    words = [
        f"{name}: {'no survivors' if error is None else format(error, '.3g')}"
        for name, error in found.errors.items()
    ]
    return (
        f"∫|h − h_data| dr, between 0 (alike) and 2 (nothing in common): {'; '.join(words)}. "
        f"The two halves of the data differ by {found.floor:.2g}."
    )


def spectrum_figure(found: VibrationalSpectrum, styles: Mapping[str, SeriesStyle]) -> Chart:
    """S(ν) of every head of which a replica is left, in the style of the head."""
    shown = {name: 1e3 * power for name, power in found.heads.items() if power is not None}
    columns = {f"{name} (10⁻³ cm)": power for name, power in shown.items()}
    return chart(
        curves(found.wavenumbers, list(shown), shown.values(), map(styles.__getitem__, shown)),
        "Vibrational spectrum of each head",
        pd.DataFrame({"ν (cm⁻¹)": found.wavenumbers, **columns}),
        x=axis("wavenumber ν (cm⁻¹)", (0, float(found.wavenumbers[-1]))),
        y=axis("S(ν) (10⁻³ cm)", rangemode="tozero"),
        height=340,
    )


def spectrum_sentence(found: VibrationalSpectrum) -> str:
    """What is behind the curves: replicas, resolution, and that it is no infrared spectrum."""
    who = "; ".join(f"{name}: {count} replicas" for name, count in found.replicas.items())
    return (
        "Power spectrum of the mass-weighted velocities of the replicas that survive to the end "
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
        words += ", and what is left is not significant"
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
