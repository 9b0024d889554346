"""Structure and vibrations of each head's trajectories beside those of the data.

Distances: h(r) = ⟨1/(N(N−1)) Σ_{i≠j} δ(r − |x_i − x_j|)⟩, the mean over frames, whose integral over
r is one. Two of them differ by ∫ |h₁ − h₂| dr, between 0 (alike) and 2 (nothing in common). X. Fu
et al., "Forces are not Enough", TMLR (2023), section 5.

Bond lengths and angles: bonds of the same two elements are one kind, and so are angles of the same
three. Two distributions differ by their first Wasserstein distance (how far values have to be moved
on average to turn one into the other), in Å or degrees. The two halves of the data show how much of
that is chance.

Vibrations: the power spectrum of the mass-weighted velocities,

    S(ν) ∝ Σ_i m_i ∫ ⟨v_i(0)·v_i(t)⟩ cos(2πcνt) dt = Σ_i m_i ⟨|v̂_i(ν)|²⟩

by the theorem of Wiener and Khinchin; the right-hand side is what is computed, as the mean over
overlapping stretches under a Hann window (P. D. Welch, IEEE Trans. Audio Electroacoust. 15, 70
(1967)). ∫S dν = 1, and every mode has a share in proportion to its kinetic energy. All modes show,
infrared active or not.
"""

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, cast

import numpy as np
import scipy
from ase.data import chemical_symbols
from jaxtyping import Float

from fisherdash.errors import InputError
from fisherdash.statistics import evenly_spaced

BINS = 60

Frames = Float[np.ndarray, "frames atoms 3"]


@dataclasses.dataclass(frozen=True, eq=False)
class Kind:
    """One kind of bond or angle.

    Attributes:
        name: such as "C–H" or "C–O–H".
        unit: "Å" or "°".
        count: how many a molecule has.
        data: mean and standard deviation of the data.
        heads: the same by name; None for a head of which no frame is left.
        distances: from the data, by name.
        floor: between the two halves of the data.
        centres: of the bins, (B,).
        densities: of "data" (under ``None``) and of each head, 1/unit, (B,).
    """

    name: str
    unit: str
    count: int
    data: tuple[float, float]
    heads: dict[str, tuple[float, float] | None]
    distances: dict[str, float | None]
    floor: float
    centres: Float[np.ndarray, " bins"]
    densities: dict[str | None, np.ndarray]


def kinds(
    reference: Frames,
    heads: Mapping[str, Frames],
    atomic_numbers: Sequence[int],
    bonds: Sequence[Sequence[Any]],
) -> tuple[Kind, ...]:
    """Every kind of bond, then every kind of angle, of each head beside those of the data.

    Args:
        reference: frames of the data, Å.
        heads: frames of each head by name, Å.
        atomic_numbers: of the atoms.
        bonds: whose first two entries are atoms.

    Raises:
        InputError: for fewer than two frames of data.
    """
    if len(reference) < 2:
        raise InputError(f"bonds and angles need at least 2 frames of data, not {len(reference)}")
    pairs = [(int(one[0]), int(one[1])) for one in bonds]
    return tuple(
        _kind(name, unit, members, measure, reference, heads)
        for unit, measure, which in (("Å", lengths, pairs), ("°", angles, angles_of(pairs)))
        for name, members in _named(which, atomic_numbers).items()
    )


def angles_of(bonds: Sequence[tuple[int, int]]) -> list[tuple[int, int, int]]:
    """Every two bonds of one atom as (end, middle, end)."""
    neighbours: dict[int, list[int]] = {}
    for one, other in bonds:
        neighbours.setdefault(one, []).append(other)
        neighbours.setdefault(other, []).append(one)
    return [
        (one, middle, other)
        for middle, ends in sorted(neighbours.items())
        for one, other in itertools.combinations(sorted(ends), 2)
    ]


def lengths(positions: Frames, members: np.ndarray) -> Float[np.ndarray, "frames members"]:
    """|x_i − x_j| for members (i, j), Å."""
    x = np.asarray(positions, np.float64)
    return np.linalg.norm(x[:, members[:, 0]] - x[:, members[:, 1]], axis=-1)


def angles(positions: Frames, members: np.ndarray) -> Float[np.ndarray, "frames members"]:
    """Angle at j between i and k for members (i, j, k), degrees."""
    x = np.asarray(positions, np.float64)
    one, other = (x[:, members[:, end]] - x[:, members[:, 1]] for end in (0, 2))
    crossed = np.linalg.norm(np.cross(one, other), axis=-1)
    return np.degrees(np.arctan2(crossed, np.sum(one * other, axis=-1)))


def _named(
    members: Sequence[tuple[int, ...]], atomic_numbers: Sequence[int]
) -> dict[str, np.ndarray]:
    """The members of each kind; a kind has one name, whichever way it is read."""
    found: dict[str, list[tuple[int, ...]]] = {}
    for one in members:
        symbols = [chemical_symbols[atomic_numbers[atom]] for atom in one]
        if _rank(symbols[-1]) < _rank(symbols[0]):
            symbols.reverse()
        found.setdefault("–".join(symbols), []).append(one)
    return {name: np.array(found[name]) for name in sorted(found)}


def _rank(symbol: str) -> tuple[bool, bool, str]:
    """Which end chemists write first: carbon, then the others, hydrogen last (C–O–H)."""
    return symbol == "H", symbol != "C", symbol


def _kind(
    name: str,
    unit: str,
    members: np.ndarray,
    measure: Callable[[Frames, np.ndarray], np.ndarray],
    reference: Frames,
    heads: Mapping[str, Frames],
) -> Kind:
    data = measure(_some(reference, len(members)), members)
    measured = {
        head: measure(_some(x, len(members)), members) for head, x in heads.items() if len(x)
    }
    seen = np.concatenate([data.ravel(), *(values.ravel() for values in measured.values())])
    # One broken molecule in ten thousand must not squeeze all others into one bin.
    low, high = np.quantile(seen, [0.0005, 0.9995])
    margin = max(0.02 * (high - low), 1e-3)
    edges = np.linspace(low - margin, high + margin, BINS + 1)

    def moments(values: np.ndarray) -> tuple[float, float]:
        """Mean and standard deviation."""
        return float(values.mean()), float(values.std())

    def away(values: np.ndarray, other: np.ndarray) -> float:
        """First Wasserstein distance of two sets of values."""
        return float(scipy.stats.wasserstein_distance(values.ravel(), other.ravel()))

    shown: dict[str | None, np.ndarray] = {None: data, **measured}
    return Kind(
        name=name,
        unit=unit,
        count=len(members),
        data=moments(data),
        heads={head: moments(measured[head]) if head in measured else None for head in heads},
        distances={
            head: away(measured[head], data) if head in measured else None for head in heads
        },
        floor=away(data[::2], data[1::2]),
        centres=0.5 * (edges[1:] + edges[:-1]),
        densities={head: distribution(values, edges) for head, values in shown.items()},
    )


WIDTH = 0.05
"""Of a bin, Å."""
FARTHEST = 500.0
"""End of the last bin at most, Å: an atom may be as far away as a file says."""
MOST = 50_000_000
"""Distances (or bonds, or angles) of each set of frames that are measured; of more frames, evenly
spaced ones are: a page asks for this, and everybody's pages wait for one another."""
_AT_ONCE = 2_000_000


@dataclasses.dataclass(frozen=True, eq=False)
class Structure:
    """h(r) of a reference and of several heads.

    Attributes:
        centres: of the bins, Å, (B,).
        reference: h(r) of the data, 1/Å, (B,).
        heads: h(r) by name, 1/Å; None for a head of which no frame is left.
        errors: ∫ |h − h_ref| dr by name, between 0 and 2.
        floor: the same between the two halves of the reference: what chance alone makes of it.
    """

    centres: Float[np.ndarray, " bins"]
    reference: Float[np.ndarray, " bins"]
    heads: dict[str, np.ndarray | None]
    errors: dict[str, float | None]
    floor: float


def pair_distances(positions: Frames) -> Float[np.ndarray, "frames pairs"]:
    """|x_i − x_j| of every pair of every frame, Å."""
    return lengths(positions, np.column_stack(np.triu_indices(positions.shape[1], k=1)))


def _some(positions: Frames, each: int) -> Frames:
    """Evenly spaced frames, which have at most MOST of what there is ``each`` time in one."""
    return positions[evenly_spaced(len(positions), max(2, MOST // max(each, 1)))]


def _in_blocks(positions: Frames) -> Iterator[Float[np.ndarray, "frames pairs"]]:
    """The distances of some frames after the others, an even number of them."""
    pairs = positions.shape[1] * (positions.shape[1] - 1) // 2
    positions = _some(positions, pairs)
    block = max(2, _AT_ONCE // max(pairs, 1) // 2 * 2)
    for first in range(0, len(positions), block):
        yield pair_distances(positions[first : first + block])


def _halves(positions: Frames, edges: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """:func:`distribution` of all distances, and of those in frames of even and of odd number."""
    counts, sizes = np.zeros((3, len(edges) - 1)), np.zeros(3)
    for distances in _in_blocks(positions):
        for row, one in enumerate((distances, distances[::2], distances[1::2])):
            counts[row] += np.histogram(one, bins=edges)[0]
            sizes[row] += one.size
    whole, even, odd = counts / (np.maximum(sizes, 1)[:, None] * np.diff(edges))
    return whole, even, odd


def distribution(distances: np.ndarray, edges: np.ndarray) -> Float[np.ndarray, " bins"]:
    """Density in 1/unit; values beyond the last edge count in its integral but are not shown."""
    return np.histogram(distances, bins=edges)[0] / (distances.size * np.diff(edges))


def difference(one: np.ndarray, two: np.ndarray) -> float:
    """∫ |h₁ − h₂| dr; what lies beyond the last edge counts as different."""
    beyond = abs(float((one - two).sum()) * WIDTH)
    return float(np.abs(one - two).sum() * WIDTH + beyond)


def structure(reference: Frames, heads: dict[str, Float[np.ndarray, "some atoms 3"]]) -> Structure:
    """Compare the frames of each head with those of the data; InputError without data."""
    if len(reference) < 2:
        raise InputError(f"a structure needs at least 2 frames of data, received {len(reference)}")
    farthest = max(float(distances.max()) for distances in _in_blocks(reference))
    edges = np.arange(0.0, min(farthest + 1.0, FARTHEST) + WIDTH, WIDTH)
    data, even, odd = _halves(reference, edges)
    found = {
        name: _halves(frames, edges)[0] if len(frames) else None for name, frames in heads.items()
    }
    return Structure(
        centres=0.5 * (edges[1:] + edges[:-1]),
        reference=data,
        heads=found,
        errors={name: None if h is None else difference(h, data) for name, h in found.items()},
        floor=difference(even, odd),
    )


SPEED_OF_LIGHT = 2.99792458e-5
"""cm/fs."""

RESOLUTION = 10.0
"""Wanted distance of two points of a spectrum, cm⁻¹; a short run has less."""

_FEWEST = 16
_HIGHEST = {True: 4000.0, False: 2500.0}
"""Above the stiffest modes of molecules with and without hydrogen, cm⁻¹."""


@dataclasses.dataclass(frozen=True, eq=False)
class VibrationalSpectrum:
    """Power spectra of the same length.

    Attributes:
        wavenumbers: cm⁻¹, from 0 to the highest that the frames can tell, (B,).
        heads: S(ν) in 1/cm⁻¹ by name, (B,); None for a head of which no replica is left.
        replicas: number of trajectories behind each.
    """

    wavenumbers: Float[np.ndarray, " bins"]
    heads: dict[str, np.ndarray | None]
    replicas: dict[str, int]


def spectra(
    velocities: dict[str, Float[np.ndarray, "replicas frames atoms 3"]],
    masses: Float[np.ndarray, " atoms"],
    spacing: float,
) -> VibrationalSpectrum:
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
    length = min(math.ceil(1.0 / (RESOLUTION * SPEED_OF_LIGHT * spacing)), *frames)
    wavenumbers = np.fft.rfftfreq(length, spacing) / SPEED_OF_LIGHT
    return VibrationalSpectrum(
        wavenumbers=wavenumbers,
        heads={
            name: _power(found, masses, length, wavenumbers[1]) if len(found) else None
            for name, found in velocities.items()
        },
        replicas={name: len(found) for name, found in velocities.items()},
    )


def _power(
    velocities: np.ndarray, masses: np.ndarray, length: int, width: float
) -> Float[np.ndarray, " bins"]:
    total = np.zeros(length // 2 + 1)
    for one in velocities:  # replica by replica: all at once would take the memory several times
        signals = np.asarray(one, np.float64)
        _, power = scipy.signal.welch(signals, nperseg=length, detrend=cast(Any, False), axis=0)
        total += np.einsum("fai,a->f", power, masses)
    return total / (total.sum() * width)


def highest_told(spacing: float) -> float:
    """Nyquist's limit of frames so far apart (fs): the highest wavenumber they resolve, cm⁻¹."""
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
    every = math.floor(highest_told(timestep) / highest)
    advice = f"record every {every} steps or more often" if every else "take a shorter time step"
    return (
        f"Frames are {spacing:g} fs apart and tell vibrations up to {limit:,.0f} cm⁻¹; faster "
        f"ones (this molecule may have some up to {highest:,.0f} cm⁻¹) appear folded below that: "
        f"{advice}."
    )
