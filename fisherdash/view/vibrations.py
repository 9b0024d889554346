"""The vibrational spectra of a run's heads in one chart."""

from collections.abc import Mapping

import numpy as np

from fisherdash.analyse.spectrum import Spectrum
from fisherdash.view import figure
from fisherdash.view.figure import Figure
from fisherdash.view.theme import SeriesStyle


def spectrum_figure(found: Spectrum, styles: Mapping[str, SeriesStyle]) -> Figure:
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


def spectrum_sentence(found: Spectrum) -> str:
    """What is behind the curves: replicas, resolution, and that it is no infrared spectrum."""
    who = "; ".join(f"{name}: {count} replicas" for name, count in found.replicas.items())
    return (
        "Power spectrum of the mass-weighted velocities of the replicas alive at the end "
        f"({who}), one point every {found.wavenumbers[1]:.3g} cm⁻¹. Areas are shares of the "
        "kinetic energy; every mode shows, seen by light or not."
    )
