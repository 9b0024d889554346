"""Bonds and angles of planted geometries: values, kinds, distances between distributions."""

import numpy as np
import pytest

from fisherdash.analysis.structure import angles, angles_of, kinds, lengths
from fisherdash.errors import InputError

NUMBERS = (6, 8, 1)
BONDS = [(0, 1, 1.4), (1, 2, 0.96)]


def bent(frames, *, oh=0.96, degrees=108.0, noise=0.01, seed=0):
    """C–O–H with known O–H length and angle, and normal noise on both."""
    rng = np.random.default_rng(seed)
    length = oh + noise * rng.standard_normal(frames)
    angle = np.radians(degrees + 100 * noise * rng.standard_normal(frames))
    x = np.zeros((frames, 3, 3))
    x[:, 0, 0] = 1.4
    x[:, 2, 0], x[:, 2, 1] = length * np.cos(angle), length * np.sin(angle)
    return x + rng.standard_normal((frames, 1, 3))  # the molecule may be anywhere


def test_lengths_and_angles_are_those_that_were_planted():
    x = bent(50, noise=0.0)
    assert lengths(x, np.array([[1, 2]])) == pytest.approx(0.96)
    assert angles(x, np.array([[0, 1, 2]])) == pytest.approx(108.0)
    straight = bent(2, degrees=180.0, noise=0.0)
    assert angles(straight, np.array([[2, 1, 0]])) == pytest.approx(180.0)


def test_kinds_pool_what_has_the_same_elements_and_are_named_one_way():
    methyl = [(0, 1), (0, 2), (0, 3), (0, 4)]
    assert len(angles_of(methyl)) == 6 and angles_of([(0, 1)]) == []
    x = np.random.default_rng(0).normal(size=(5, 5, 3))
    found = {kind.name: kind.count for kind in kinds(x, {}, (6, 1, 1, 1, 8), methyl)}
    assert found == {"C–H": 3, "C–O": 1, "H–C–H": 3, "O–C–H": 3}


def test_a_shifted_head_is_as_far_away_as_it_was_shifted():
    data = bent(4000, seed=1)
    heads = {"same": bent(4000, seed=2), "long": bent(4000, oh=1.0, degrees=113.0, seed=3)}
    by_name = {kind.name: kind for kind in kinds(data, {**heads, "dead": data[:0]}, NUMBERS, BONDS)}
    bond, angle = by_name["O–H"], by_name["C–O–H"]
    assert bond.distances["long"] == pytest.approx(0.04, rel=0.03)
    assert angle.distances["long"] == pytest.approx(5.0, rel=0.03)
    assert bond.distances["same"] < 0.001 and bond.floor < 0.001
    assert bond.distances["dead"] is None and bond.heads["dead"] is None
    assert bond.data == pytest.approx((0.96, 0.01), rel=0.05)
    for density in bond.densities.values():
        width = bond.centres[1] - bond.centres[0]
        assert density.sum() * width == pytest.approx(1.0, abs=0.002)
    assert None in bond.densities and "dead" not in bond.densities


def test_one_broken_molecule_does_not_empty_the_chart():
    broken = bent(20000)
    broken[7, 2] += 1e4
    found = {kind.name: kind for kind in kinds(bent(1000), {"a": broken}, NUMBERS, BONDS)}
    assert 0.9 < found["O–H"].centres[0] < found["O–H"].centres[-1] < 1.1


def test_without_data_it_is_one_sentence():
    with pytest.raises(InputError, match="at least 2 frames"):
        kinds(bent(1), {}, NUMBERS, BONDS)
