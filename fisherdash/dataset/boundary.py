"""Molecules in a periodic box: whole, made whole, or refused.

Along bonds every atom is moved to the image nearest to the one that it is bonded to. Where bonds
join all atoms there is one way to do so, and it is taken.
"""

from collections.abc import Sequence

import numpy as np
from ase.data import covalent_radii

from fisherdash.dataset.core import TOLERANCE
from fisherdash.dataset.xyz import Frame
from fisherdash.errors import InputError

_SMALLEST_CELL = 0.5
"""Å between two faces of a periodic cell: less than any bond."""
_MOST_ATOMS = 300
"""Up to which wrapped molecules are put together; all pairs are looked at."""
_CONTACT = 4.0
"""Å of empty cell beside a larger molecule, with which it surely does not touch its images."""


def made_whole(frames: Sequence[Frame], name: str) -> tuple[list[np.ndarray], list[str]]:
    """Positions (N, 3) of every frame, and notes. InputError where there is no one way."""
    found, mended, boxed = [], 0, False
    for index, frame in enumerate(frames):
        positions = frame.columns["pos"]
        cell, periodic = _box(frame)
        if cell is None:
            found.append(positions)
            continue
        boxed = True
        heights = _check_cell(cell, periodic, index, name)
        whole = _whole(frame, positions, cell, heights, periodic)
        if whole is None:
            raise InputError(
                f"{name} is periodic and atoms of frame {index} meet across the cell's boundary in "
                "more than one way; only single molecules are read: unwrap them first."
            )
        mended += not np.allclose(whole, positions)
        found.append(whole)
    notes = []
    if mended:
        notes.append(
            f"The molecule reached through the boundary of its cell in {mended} of {len(frames)} "
            "frames and was made whole along its bonds."
        )
    elif boxed:
        notes.append("The frames are marked periodic; the cell is ignored, the molecule is whole.")
    return found, notes


def _box(frame: Frame) -> tuple[np.ndarray | None, np.ndarray]:
    """Cell (3, 3) and which of its directions are periodic; None without any."""
    lower = {key.lower(): value for key, value in frame.comment.items()}
    lattice, pbc = lower.get("lattice"), lower.get("pbc")
    cell = np.asarray(lattice) if lattice is not None else np.zeros(0)
    if isinstance(lattice, str):  # no numbers, or nan among them: refused where it is periodic
        cell = np.full(9, np.nan)
    if cell.dtype.kind != "f" or cell.size != 9:
        return None, np.zeros(3, bool)
    if pbc is None:
        periodic = np.ones(3, bool)
    elif isinstance(pbc, str):
        periodic = np.array([word.lower()[:1] in "t1" for word in pbc.split()][:3])
    else:
        periodic = np.asarray(pbc).astype(bool).reshape(-1)
    cell = cell.reshape(3, 3)
    if periodic.shape != (3,) or not (periodic & cell.any(axis=1)).any():
        return None, np.zeros(3, bool)
    return cell, periodic & cell.any(axis=1)


def _check_cell(cell: np.ndarray, periodic: np.ndarray, index: int, name: str) -> np.ndarray:
    """Distances between opposite faces, Å; InputError for a cell without volume."""
    from ase.cell import Cell

    with np.errstate(all="ignore"):
        whole = (
            np.asarray(Cell(cell).complete())
            if np.isfinite(cell).all()
            else np.full((3, 3), np.nan)
        )
        volume = abs(np.linalg.det(whole)) if np.isfinite(whole).all() else 0.0
        heights = volume / np.linalg.norm(np.cross(whole[[1, 2, 0]], whole[[2, 0, 1]]), axis=1)
    if not (np.isfinite(heights).all() and (heights[periodic] > _SMALLEST_CELL).all()):
        raise InputError(f"{name} has a cell in frame {index} that no molecule fits into.")
    return heights


def _whole(
    frame: Frame, positions: np.ndarray, cell: np.ndarray, heights: np.ndarray, periodic: np.ndarray
) -> np.ndarray | None:
    """Positions with bonds that pass no boundary; None where bonds contradict one another."""
    from ase.cell import Cell

    box = np.asarray(Cell(cell).complete())
    if len(positions) > _MOST_ATOMS:
        places = np.linalg.solve(box.T, positions.T).T
        empty = (1.0 - np.ptp(places, axis=0)) * heights
        return positions if (empty[periodic] >= _CONTACT).all() else None
    radii = covalent_radii[np.clip(frame.numbers, 0, 96)]
    reach = TOLERANCE * (radii[:, None] + radii[None])
    with np.errstate(all="ignore"):
        straight = positions[None] - positions[:, None]
        turns = np.round(np.linalg.solve(box.T, straight.reshape(-1, 3).T).T).reshape(
            straight.shape
        )
        turns *= periodic
        nearest = straight - turns @ box
        bonded = np.linalg.norm(nearest, axis=-1) < reach
    np.fill_diagonal(bonded, False)
    if not np.isfinite(straight).all() or not (bonded & turns.any(axis=-1)).any():
        return positions
    whole, seen, todo = positions.copy(), {0}, [0]
    while todo:
        atom = todo.pop()
        for other in np.flatnonzero(bonded[atom]).tolist():
            if other not in seen:
                whole[other] = whole[atom] + nearest[atom, other]
                seen.add(other)
                todo.append(other)
    apart = np.linalg.norm(whole[None] - whole[:, None], axis=-1)
    fits = len(seen) == len(positions) and (apart[bonded] < reach[bonded] + 1e-6).all()
    return whole if fits else None
