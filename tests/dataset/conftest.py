"""A small data set of a real geometry, from which each test breaks one thing."""

from collections.abc import Callable

import numpy as np
import pytest
from ase.build import molecule

from fisherdash.dataset import Dataset
from tests.dataset import people


@pytest.fixture
def arrays() -> dict[str, np.ndarray]:
    """Six rattled frames of water: what a Dataset is made of, in eV and Å."""
    random = np.random.default_rng(7)
    water = molecule("H2O")
    return {
        "positions": water.positions + random.normal(scale=0.05, size=(6, 3, 3)),
        "energies": -2080.0 + random.normal(size=6),
        "forces": random.normal(size=(6, 3, 3)),
        "atomic_numbers": water.numbers.copy(),
    }


@pytest.fixture
def make(arrays) -> Callable[..., Dataset]:
    """Dataset of the frames above, with what the test says otherwise."""
    return lambda **changes: Dataset(**{**arrays, "temperature": 300.0, **changes})


@pytest.fixture
def water() -> dict[str, np.ndarray]:
    """60 frames of water in which energies and forces belong together."""
    return people.springs()
