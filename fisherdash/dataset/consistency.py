"""Whether positions, energies and forces belong together.

For an isolated molecule Σ F = 0 and Σ r × F = 0, for its energy does not change when it is moved or
turned. Along a short way the energy changes by minus the work, ΔE ≈ −½ (F₁ + F₂)·Δx, exactly so
where the energy is quadratic; the frames are laid on one another first (W. Kabsch, Acta Cryst. A32,
922 (1976)), for turning costs no energy.
"""

from dataclasses import dataclass

import numpy as np

from fisherdash.errors import InputError

_LARGEST = 0.02
"""Of net force and torque, in parts of what they are a sum of; sound files have below 0.002."""
_MOST_FRAMES = 400
_ALL_PAIRS = 24
"""Up to so many frames every pair is looked at."""
_FEWEST = 6
_CLEAR = 0.8
"""Correlation of energy and work from which a slope is believed."""


@dataclass(frozen=True)
class Examined:
    """What the checks say.

    Attributes:
        warnings: one sentence each.
        sign: 1 where energies fall as forces work, −1 where they rise, None if neither is clear.
        slope: energy change over minus the work, where it is clear.
    """

    warnings: tuple[str, ...] = ()
    sign: int | None = None
    slope: float | None = None


def refuse_zero(forces: np.ndarray, name: str) -> None:
    """InputError when all forces (M, N, 3) are exactly zero."""
    if not forces.any():
        raise InputError(
            f"{name} has forces of exactly zero in every frame: they were not computed or not "
            "read; forces are needed."
        )


def examine(arrays: dict[str, np.ndarray]) -> Examined:
    """All checks of positions (M, N, 3) Å, energies (M,) eV and forces (M, N, 3) eV/Å."""
    positions, forces, energies = (arrays[key] for key in ("positions", "forces", "energies"))
    with np.errstate(all="ignore"):
        warnings = [*_zeros(forces), *_rigid(positions, forces)]
        slope, correlation = work(positions, energies, forces)
    if slope is None:
        return Examined(tuple(warnings))
    if correlation < -_CLEAR:
        warnings.append(
            "Energies rise where the forces say that they fall: these are gradients, not forces, "
            "and a temperature computed from them is negative; load them with --gradients, which "
            "turns the sign."
        )
        return Examined(tuple(warnings), -1, slope)
    if correlation < _CLEAR:
        return Examined(tuple(warnings))
    # 1/N for energies per atom, 1.9 or 0.53 for hartree/bohr read as hartree/Å or the reverse.
    if not 0.65 < slope < 1.4:
        warnings.append(
            f"Energies change {slope:.2g} times as much as the work of the forces between frames "
            "that are alike: energies and forces are not in the units that were taken, or are not "
            "of the same calculation."
        )
    return Examined(tuple(warnings), 1, slope)


def _zeros(forces: np.ndarray) -> list[str]:
    zero = np.asarray(~forces.any(axis=(1, 2)))
    if not zero.any():
        return []
    return [
        f"{int(zero.sum())} of {zero.size} frames have forces of exactly zero (the first is frame "
        f"{int(np.argmax(zero))}): they were probably not computed."
    ]


def _rigid(positions: np.ndarray, forces: np.ndarray) -> list[str]:
    """Warnings of a net force or torque."""
    size = np.linalg.norm(forces, axis=-1)
    net = np.linalg.norm(forces.sum(axis=1), axis=-1) / size.sum(axis=1)
    arms = positions - positions.mean(axis=1, keepdims=True)
    scale = (np.linalg.norm(arms, axis=-1) * size).sum(axis=1)
    torque = np.linalg.norm(np.cross(arms, forces).sum(axis=1), axis=-1) / scale
    found = []
    net, torque = _middle(net), _middle(torque)
    if net > _LARGEST:
        found.append(
            f"The forces on a molecule do not add up to zero: the net force is {net:.2g} of their "
            "size in the median; an isolated molecule has none, so the forces lack atoms, are "
            "noisy, or come from a field or a neighbour."
        )
    if torque > _LARGEST:
        found.append(
            f"The forces turn the molecule: the net torque is {torque:.2g} of its scale in the "
            "median, and an isolated molecule has none; positions and forces are of different "
            "frames, of different frames of reference, or of different atoms."
        )
    return found


def _middle(values: np.ndarray) -> float:
    """Median of what is finite, 0 without any."""
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if finite.size else 0.0


def work(
    positions: np.ndarray, energies: np.ndarray, forces: np.ndarray
) -> tuple[float | None, float]:
    """Slope of the energy change on minus the work between alike frames, and their correlation.

    None and 0 where there are too few pairs.
    """
    pairs = _pairs(positions)
    if len(pairs) < _FEWEST:
        return None, 0.0
    first, second = positions[pairs[:, 0]], positions[pairs[:, 1]]
    moved, turned = _laid_on(first, second, forces[pairs[:, 1]])
    way = moved - (first - first.mean(axis=1, keepdims=True))
    done = -0.5 * np.einsum("pij,pij->p", forces[pairs[:, 0]] + turned, way)
    change = energies[pairs[:, 1]] - energies[pairs[:, 0]]
    lengths = np.sqrt(np.square(way).sum(axis=(1, 2)))
    near = lengths <= np.median(lengths) if len(pairs) >= 4 * _FEWEST else lengths > -1
    done, change = done[near], change[near]
    total = float(done @ done)
    both = total * float(change @ change)
    if not (np.isfinite(both) and both > 0):
        return None, 0.0
    return float(done @ change) / total, float(done @ change) / both**0.5


def _pairs(positions: np.ndarray) -> np.ndarray:
    """(P, 2) frames that are alike: neighbours in the file and nearest in all distances."""
    count = len(positions)
    if count <= _ALL_PAIRS:
        return np.array([(i, j) for i in range(count) for j in range(i)], dtype=int).reshape(-1, 2)
    starts = np.unique(np.linspace(0, count - 2, min(_MOST_FRAMES, count - 1)).astype(int))
    following = np.stack([starts, starts + 1], axis=1)
    from scipy.spatial import KDTree

    atoms = positions.shape[1]
    i, j = np.triu_indices(atoms, 1)
    if len(i) > 500:
        chosen = np.random.default_rng(0).choice(len(i), 500, replace=False)
        i, j = i[chosen], j[chosen]
    some = np.unique(np.linspace(0, count - 1, min(2000, count)).astype(int))
    distances = np.linalg.norm(positions[some][:, i] - positions[some][:, j], axis=-1)
    near, index = map(np.asarray, KDTree(distances).query(distances[:_MOST_FRAMES], k=2))
    alike = np.stack([some[: len(index)], some[index[:, 1]]], axis=1)[near[:, 1] > 1e-6]
    return np.concatenate([following, alike])


def _laid_on(
    first: np.ndarray, second: np.ndarray, forces: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The second geometries (P, N, 3) turned onto the first, both centred, and their forces."""
    a = first - first.mean(axis=1, keepdims=True)
    b = second - second.mean(axis=1, keepdims=True)
    u, _, vt = np.linalg.svd(np.einsum("pni,pnj->pij", b, a))
    flip = np.sign(np.linalg.det(u @ vt))
    u[:, :, -1] *= flip[:, None]
    turn = u @ vt
    return b @ turn, forces @ turn
