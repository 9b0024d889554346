"""Which atoms of a geometry are bonded, from covalent radii.

Atoms i and j are bonded when r_ij < 1.3 (R_i + R_j), with the single-bond radii R of Cordero et
al., Dalton Trans. 2832 (2008), as tabulated in ase.data. The factor lies well between a stretched
bond at a few hundred kelvin (about 1.15) and the nearest non-bonded pair (about 1.5).
"""

import numpy as np
from ase.data import covalent_radii

TOLERANCE = 1.3


def reference_bonds(
    atomic_numbers: np.ndarray, positions: np.ndarray, tolerance: float = TOLERANCE
) -> tuple[np.ndarray, np.ndarray]:
    """Bonded pairs of one geometry.

    Args: atomic_numbers (N,), positions (N, 3) in Å, tolerance the factor of the rule above.
    Returns: pairs (P, 2) int64 with i < j, in ascending order, and their lengths (P,) in Å.
    """
    numbers = np.asarray(atomic_numbers)
    positions = np.asarray(positions, dtype=np.float64)
    first, second = np.triu_indices(len(numbers), k=1)
    lengths = np.linalg.norm(positions[first] - positions[second], axis=-1)
    radii = covalent_radii[numbers]
    bonded = lengths < tolerance * (radii[first] + radii[second])
    pairs = np.stack([first[bonded], second[bonded]], axis=1).astype(np.int64)
    return pairs, lengths[bonded]
