"""Structure beside energy: how often two atoms of the molecule are a distance r apart.

h(r) = ⟨1/(N(N−1)) Σ_{i≠j} δ(r − |x_i − x_j|)⟩, the mean over frames, whose integral over r is one.
Two of them differ by ∫ |h₁ − h₂| dr, between 0 (alike) and 2 (nothing in common). X. Fu et al.,
"Forces are not Enough", TMLR (2023), section 5.
"""

import dataclasses

import numpy as np
from jaxtyping import Float

from fisherdash.errors import InputError

WIDTH = 0.05
"""Of a bin, Å."""


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


def pair_distances(positions: Float[np.ndarray, "frames atoms 3"]) -> np.ndarray:
    """|x_i − x_j| of every pair of every frame, Å, (frames, pairs)."""
    first, second = np.triu_indices(positions.shape[1], k=1)
    away = np.asarray(positions, np.float64)[:, first] - positions[:, second]
    return np.linalg.norm(away, axis=-1)


def distribution(distances: np.ndarray, edges: np.ndarray) -> Float[np.ndarray, " bins"]:
    """h(r) in 1/Å; distances beyond the last edge are counted in its integral but not shown."""
    counts, _ = np.histogram(distances, bins=edges)
    return counts / (distances.size * np.diff(edges))


def difference(one: np.ndarray, two: np.ndarray, width: float = WIDTH) -> float:
    """∫ |h₁ − h₂| dr; what lies beyond the last edge counts as different."""
    beyond = abs(float((one - two).sum()) * width)
    return float(np.abs(one - two).sum() * width + beyond)


def structure(
    reference: Float[np.ndarray, "frames atoms 3"],
    heads: dict[str, Float[np.ndarray, "some atoms 3"]],
) -> Structure:
    """Compare the frames of each head with those of the data; InputError without data."""
    if len(reference) < 2:
        raise InputError(f"a structure needs at least 2 frames of data, received {len(reference)}")
    distances = pair_distances(reference)
    edges = np.arange(0.0, distances.max() + 1.0 + WIDTH, WIDTH)
    data = distribution(distances, edges)
    even, odd = (distribution(distances[half::2], edges) for half in (0, 1))
    found = {
        name: distribution(pair_distances(frames), edges) if len(frames) else None
        for name, frames in heads.items()
    }
    return Structure(
        centres=0.5 * (edges[1:] + edges[:-1]),
        reference=data,
        heads=found,
        errors={name: None if h is None else difference(h, data) for name, h in found.items()},
        floor=difference(even, odd),
    )
