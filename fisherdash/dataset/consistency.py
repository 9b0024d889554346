"""Whether positions, energies and forces belong together.

For an isolated molecule Σ F = 0 and Σ r × F = 0, for its energy does not change when it is moved or
turned. Along a short way the energy changes by minus the work, ΔE ≈ −½ (F₁ + F₂)·Δx, exactly so
where the energy is quadratic; the frames are laid on one another first (W. Kabsch, Acta Cryst. A32,
922 (1976)), for turning costs no energy. A bond to hydrogen is a spring whose stiffness is known
from spectra within a fifth, and the force on hydrogen along it is minus that of the spring: this
needs no energies and no frames that are alike.
"""

from dataclasses import dataclass

import numpy as np

from fisherdash.dataset.core import TOLERANCE, reference_bonds
from fisherdash.errors import InputError

_LARGEST = 0.02
"""Of net force and torque, in parts of what they are a sum of; sound files have below 0.002."""
_NOISE = 0.05
"""eV/Å that forces on an atom may be wrong by, as on the grids of density functionals."""
_MOST_FRAMES = 400
_ALL_PAIRS = 24
"""Up to so many frames every pair is looked at."""
_FEWEST = 6
_CLEAR = 0.8
_CLEAR_OF_FEW = 0.95
"""Correlation of energy and work, or of stretch and force, from which a slope is believed; of few
frames, all of whose pairs are taken however far apart."""
_STIFF = {5: 22.0, 6: 30.0, 7: 40.0, 8: 46.0, 9: 55.0, 14: 17.0, 15: 20.0, 16: 25.0, 17: 30.0,
          34: 21.0, 35: 24.0}  # fmt: skip
"""eV/Å² (16 N/m) of a bond between hydrogen and an element at the amplitudes of a warm molecule, a
tenth below those of G. Herzberg, Molecular Spectra and Molecular Structure II (1945)."""
_USUAL = (0.58, 1.7)
"""Of stiffness in the right units; two units of force differ by 1.89 or more."""
_APART = 1.5
"""Hydrogen whose second heavy neighbour is nearer than this times its first is shared, and soft."""
_SPRINGS = 8
"""Fewest stretches, beyond the mean of each bond, of which a stiffness is made."""


@dataclass(frozen=True)
class Examined:
    """What the checks found.

    Attributes:
        warnings: one sentence each.
        sign: 1 of forces, −1 of gradients, None if neither is clear.
    """

    warnings: tuple[str, ...] = ()
    sign: int | None = None


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
        slope = work(positions, energies, forces)
        springs = stiffness(positions, forces, arrays["atomic_numbers"])
    evidence = slope if springs is None else springs
    sign = None if evidence is None else 1 if evidence > 0 else -1
    if sign == -1:
        how = "Energies rise where the forces say that they fall" if slope is not None else (
            "Bonds to hydrogen are pushed further where they are long")  # fmt: skip
        warnings.append(
            f"{how}: these are gradients, not forces, and a temperature computed from them is "
            "negative; load them with --gradients, which turns the sign."
        )
    # 1/N for energies per atom, 1.9 or 0.53 for hartree/bohr read as hartree/Å or the reverse.
    elif slope is not None and not 0.65 < slope < 1.4:
        warnings.append(
            f"Energies change {slope:.2g} times as much as the work of the forces between frames "
            "that are alike: energies and forces are not in the units that were taken, or are not "
            "of the same calculation."
        )
    if springs is not None and not _USUAL[0] < abs(springs) < _USUAL[1]:
        warnings.append(
            f"By these forces bonds to hydrogen are {abs(springs):.2g} times as stiff as they are "
            "in molecules: forces or lengths are not in the units that were taken."
        )
    return Examined(tuple(warnings), sign)


def stiffness(positions: np.ndarray, forces: np.ndarray, numbers: np.ndarray) -> float | None:
    """Of bonds to hydrogen, over what is usual: near 1 in the right units, −1 for gradients.

    Args: positions (M, N, 3) Å, forces (M, N, 3), numbers (N,). None where no bond tells it.
    """
    heavy = np.flatnonzero(numbers > 1)
    stretch, pull, free = [], [], 0
    pairs, _ = reference_bonds(numbers, positions[0], TOLERANCE)
    for hydrogen in np.flatnonzero(numbers == 1):
        bonded = pairs[(pairs == hydrogen).any(axis=1)].sum(axis=1) - hydrogen
        if len(bonded) != 1 or int(numbers[bonded[0]]) not in _STIFF:
            continue
        reach = np.linalg.norm(positions[:, heavy] - positions[:, [hydrogen]], axis=-1)
        along = positions[:, hydrogen] - positions[:, bonded[0]]
        length = np.linalg.norm(along, axis=-1)
        if len(heavy) > 1 and not (np.partition(reach, 1)[:, 1] > _APART * length).all():
            continue
        force = (forces[:, hydrogen] * along).sum(axis=-1) / length
        stretch.append(length - length.mean())
        pull.append((force - force.mean()) / _STIFF[int(numbers[bonded[0]])])
        free += len(length) - 1
    if free < _SPRINGS:
        return None
    x, y = np.concatenate(stretch), np.concatenate(pull)
    both = float((x @ x) * (y @ y)) ** 0.5
    if not (np.isfinite(both) and both > 0) or abs(x @ y) < _CLEAR * both:
        return None
    return -float(x @ y / (x @ x))


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
    size = np.linalg.norm(forces, axis=-1) + _NOISE
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


def work(positions: np.ndarray, energies: np.ndarray, forces: np.ndarray) -> float | None:
    """Slope of the energy change on minus the work between alike frames; None if none is clear."""
    pairs = _pairs(positions)
    if len(pairs) < _FEWEST:
        return None
    first, second = positions[pairs[:, 0]], positions[pairs[:, 1]]
    try:
        moved, turned = _laid_on(first, second, forces[pairs[:, 1]])
    except np.linalg.LinAlgError:  # of absurd numbers
        return None
    way = moved - (first - first.mean(axis=1, keepdims=True))
    done = -0.5 * np.einsum("pij,pij->p", forces[pairs[:, 0]] + turned, way)
    change = energies[pairs[:, 1]] - energies[pairs[:, 0]]
    lengths = np.sqrt(np.square(way).sum(axis=(1, 2)))
    near = lengths <= np.median(lengths) if len(pairs) >= 4 * _FEWEST else lengths > -1
    done, change = done[near], change[near]
    both = float((done @ done) * (change @ change)) ** 0.5
    least = _CLEAR if len(positions) > _ALL_PAIRS else _CLEAR_OF_FEW
    if not (np.isfinite(both) and both > 0) or abs(done @ change) < least * both:
        return None
    return float(done @ change / (done @ done))


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
