"""Writes the constants of E3x that the fast evaluation of the network is built from.

    python tools/e3x_constants.py fisherdash/model/couplings.npz

Clebsch–Gordan coefficients up to the highest degree that a network may have, the matrix from a unit
vector to its harmonics of degree 1, and all harmonics in one direction, which fix normalisation,
sign and order. A test compares the file with the installed E3x.
"""

import sys
from pathlib import Path

import e3x
import jax
import jax.numpy as jnp
import numpy as np

DEGREE = 3
DIRECTION = (0.48, 0.6, 0.64)


def constants() -> dict[str, np.ndarray]:
    """The arrays by name, double precision."""
    jax.config.update("jax_enable_x64", True)
    axes = np.asarray(e3x.so3.spherical_harmonics(jnp.eye(3), 1), np.float64)
    probe = np.asarray(e3x.so3.spherical_harmonics(jnp.array([DIRECTION]), DEGREE), np.float64)
    return {
        "clebsch_gordan": np.asarray(e3x.so3.clebsch_gordan(DEGREE, DEGREE, DEGREE), np.float64),
        "unit": axes[:, 1:4].T,
        "harmonics": probe[0],
    }


if __name__ == "__main__":
    np.savez_compressed(Path(sys.argv[1]), allow_pickle=False, **constants())
