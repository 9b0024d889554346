"""A head that a re-fit has to find again."""

import numpy as np
import pytest

from fisherdash.dataset import Dataset
from fisherdash.potentials.checkpoint import Checkpoint
from tests.randomised import planted_dataset, random_checkpoint


@pytest.fixture(scope="session")
def planted() -> tuple[Checkpoint, Checkpoint, Dataset]:
    """The truth, the same body under a wrong head, and data made with the truth."""
    truth = random_checkpoint()
    wrong = np.random.default_rng(5).normal(size=truth.head.shape)
    start = truth.with_head(wrong, truth.element_bias, "wrong", {})
    return truth, start, planted_dataset(truth, 64)
