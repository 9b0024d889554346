"""Vibrational spectrum of a trajectory: the power spectrum of its mass-weighted velocities.

    S(ν) ∝ Σ_i m_i ∫ ⟨v_i(0)·v_i(t)⟩ cos(2πcνt) dt = Σ_i m_i ⟨|v̂_i(ν)|²⟩

by the theorem of Wiener and Khinchin; the right-hand side is what is computed, as the mean over
overlapping stretches under a Hann window (P. D. Welch, IEEE Trans. Audio Electroacoust. 15, 70
(1967)). ∫S dν = 1, and every mode has a share in proportion to its kinetic energy. All modes show,
whether or not light would see them.
"""

import dataclasses
import math
from typing import Any

import numpy as np
import scipy
from jaxtyping import Float

from fisherdash.errors import InputError

SPEED_OF_LIGHT = 2.99792458e-5
"""cm/fs."""

RESOLUTION = 10.0
"""Wanted distance of two points of a spectrum, cm⁻¹; a short run has less."""

_FEWEST = 16
_AS_IT_IS: Any = False  # scipy takes it, its type says otherwise
_HIGHEST = {True: 4000.0, False: 2500.0}
"""Above the stiffest modes of molecules with and without hydrogen, cm⁻¹."""


@dataclasses.dataclass(frozen=True, eq=False)
class Spectrum:
    """Power spectra of the same length.

    Attributes:
        wavenumbers: cm⁻¹, from 0 to the highest that the frames can tell, (B,).
        heads: S(ν) in 1/cm⁻¹ by name, (B,); None for a head of which no replica is left.
        replicas: number of trajectories behind each.
        spacing: of the frames, fs.
    """

    wavenumbers: Float[np.ndarray, " bins"]
    heads: dict[str, np.ndarray | None]
    replicas: dict[str, int]
    spacing: float


def spectra(
    velocities: dict[str, Float[np.ndarray, "replicas frames atoms 3"]],
    masses: Float[np.ndarray, " atoms"],
    spacing: float,
) -> Spectrum:
    """Spectra of several heads.

    Args:
        velocities: by name, in any unit, the same number of frames for all.
        masses: of the atoms, in any unit.
        spacing: time between two frames, fs.

    Raises:
        InputError: for fewer than 16 frames.
    """
    frames = {found.shape[1] for found in velocities.values()}
    if len(frames) != 1 or min(frames) < _FEWEST:
        raise InputError(
            f"a spectrum needs at least {_FEWEST} evenly spaced frames, the same for every head; "
            f"received {sorted(frames)}"
        )
    wanted = math.ceil(1.0 / (RESOLUTION * SPEED_OF_LIGHT * spacing))
    length = min(wanted, *frames)
    wavenumbers = np.fft.rfftfreq(length, spacing) / SPEED_OF_LIGHT
    return Spectrum(
        wavenumbers=wavenumbers,
        heads={
            name: _power(found, masses, length, wavenumbers[1]) if len(found) else None
            for name, found in velocities.items()
        },
        replicas={name: len(found) for name, found in velocities.items()},
        spacing=spacing,
    )


def _power(
    velocities: np.ndarray, masses: np.ndarray, length: int, width: float
) -> Float[np.ndarray, " bins"]:
    total = np.zeros(length // 2 + 1)
    for one in velocities:  # replica by replica: all at once would take the memory several times
        signals = np.asarray(one, np.float64)
        _, power = scipy.signal.welch(signals, nperseg=length, detrend=_AS_IT_IS, axis=0)
        total += np.einsum("fai,a->f", power, masses)
    return total / (total.sum() * width)


def highest_told(spacing: float) -> float:
    """Nyquist's limit: the highest wavenumber that frames so far apart (fs) can tell, cm⁻¹."""
    return 1.0 / (2.0 * spacing * SPEED_OF_LIGHT)


def folding_warning(spacing: float, timestep: float, hydrogen: bool) -> str:
    """One sentence where stiff modes are faster than the frames; empty where none are.

    Args:
        spacing: time between two recorded frames, fs.
        timestep: of the integrator, fs.
        hydrogen: whether the molecule has hydrogen, whose bonds are the stiffest.
    """
    limit, highest = highest_told(spacing), _HIGHEST[hydrogen]
    if limit >= highest:
        return ""
    every = math.floor(1.0 / (2.0 * highest * SPEED_OF_LIGHT * timestep))
    advice = (
        f"record every {every} steps or more often" if every else "take a shorter time step too"
    )
    return (
        f"Frames are {spacing:g} fs apart and tell vibrations up to {limit:,.0f} cm⁻¹; faster "
        f"ones (this molecule may have some up to {highest:,.0f} cm⁻¹) appear folded below that: "
        f"{advice}."
    )
