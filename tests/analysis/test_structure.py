"""Distances between atoms: known answers."""

import numpy as np
import pytest

from fisherdash.analysis import structure as room
from fisherdash.errors import InputError


def dimers(lengths):
    frames = np.zeros((len(lengths), 2, 3))
    frames[:, 1, 0] = lengths
    return frames


def test_distances_do_not_change_when_the_molecule_turns():
    frames = np.random.default_rng(0).normal(size=(5, 4, 3))
    turn, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))
    np.testing.assert_allclose(
        room.pair_distances(frames), room.pair_distances(frames @ turn + 7.0), atol=1e-12
    )
    assert room.pair_distances(frames).shape == (5, 6)


def test_a_gaussian_bond_has_a_gaussian_distribution_with_integral_one():
    lengths = np.random.default_rng(2).normal(1.5, 0.1, 200_000)
    made = room.structure(dimers(lengths), {"same": dimers(lengths)})
    assert made.reference.sum() * room.WIDTH == pytest.approx(1.0)
    peak = np.exp(-0.5 * ((made.centres - 1.5) / 0.1) ** 2) / (0.1 * np.sqrt(2 * np.pi))
    assert np.abs(made.reference - peak).max() < 0.04 * peak.max()
    assert made.errors == {"same": 0.0}


def test_errors_run_from_nothing_to_nothing_in_common():
    rng = np.random.default_rng(3)
    data = dimers(rng.normal(1.5, 0.02, 4000))
    heads = {
        "another sample": dimers(rng.normal(1.5, 0.02, 4000)),
        "shifted": dimers(rng.normal(1.6, 0.02, 4000)),
        "elsewhere": dimers(rng.normal(2.2, 0.02, 4000)),
        "exploded": dimers(np.full(4000, 50.0)),
        "dead": dimers([]),
    }
    made = room.structure(data, heads)
    assert made.errors["another sample"] < 3 * made.floor < 0.3
    assert made.errors["another sample"] < made.errors["shifted"]
    assert made.errors["elsewhere"] == pytest.approx(2.0)
    assert made.errors["exploded"] == pytest.approx(2.0)
    assert made.errors["dead"] is None and made.heads["dead"] is None


def test_the_floor_falls_with_the_number_of_frames():
    lengths = np.random.default_rng(4).normal(1.5, 0.1, 40_000)
    few, many = (room.structure(dimers(lengths[:n]), {}).floor for n in (400, 40_000))
    assert many < 0.3 * few


def test_without_data_there_is_nothing_to_compare_with():
    with pytest.raises(InputError, match="at least 2 frames"):
        room.structure(dimers([1.0]), {})
