"""Bond lengths and bond angles of each head against those of the data, kind by kind.

Bonds of the same two elements are one kind, and so are angles of the same three. Two distributions
are as far apart as the mean distance that their values have to be moved to make one of the other
(the first Wasserstein distance), in Å or degrees; the distance between the two halves of the data
is what chance alone makes of it.
"""

import dataclasses
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import scipy
from ase.data import chemical_symbols
from jaxtyping import Float

from fisherdash.errors import InputError

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
    """Every kind of bond, then every kind of angle, of each head held against the data.

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
    found = [
        _kind(name, "Å", members, lengths, reference, heads)
        for name, members in _named(pairs, atomic_numbers).items()
    ]
    found += [
        _kind(name, "°", members, angles, reference, heads)
        for name, members in _named(angles_of(pairs), atomic_numbers).items()
    ]
    return tuple(found)


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
    data = measure(reference, members)
    measured = {head: measure(x, members) for head, x in heads.items() if len(x)}
    seen = np.concatenate([data.ravel(), *(values.ravel() for values in measured.values())])
    # One broken molecule in ten thousand must not squeeze all others into one bin.
    low, high = np.quantile(seen, [0.0005, 0.9995])
    margin = max(0.02 * (high - low), 1e-3)
    edges = np.linspace(low - margin, high + margin, BINS + 1)

    def density(values: np.ndarray) -> np.ndarray:
        return np.histogram(values, bins=edges)[0] / (values.size * np.diff(edges))

    def moments(values: np.ndarray) -> tuple[float, float]:
        return float(values.mean()), float(values.std())

    def away(values: np.ndarray, other: np.ndarray) -> float:
        return float(scipy.stats.wasserstein_distance(values.ravel(), other.ravel()))

    densities: dict[str | None, np.ndarray] = {None: density(data)}
    densities |= {head: density(values) for head, values in measured.items()}
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
        densities=densities,
    )
