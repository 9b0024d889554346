"""The temperature of a sample: taken where it is said, told where it is hinted at, set by hand."""

import ase
import ase.io
import numpy as np
import pytest
from ase.calculators.singlepoint import SinglePointCalculator

from fisherdash import dataset as datasets
from fisherdash.errors import InputError


@pytest.fixture
def xyz(tmp_path):
    """Writes an extended XYZ file of water whose comments hold what is asked for."""

    def write(name, comments):
        rng, frames = np.random.default_rng(0), []
        for comment in comments:
            frame = ase.Atoms("OH2", rng.normal([[0, 0, 0], [1, 0, 0], [0, 1, 0]], 0.02))
            frame.info |= comment
            frame.calc = SinglePointCalculator(frame, energy=-10.0, forces=rng.normal(size=(3, 3)))
            frames.append(frame)
        ase.io.write(tmp_path / name, frames, format="extxyz")
        return tmp_path / name

    return write


@pytest.mark.parametrize("key", ["temperature", "Temperature", "temperature_K", "temp"])
def test_what_every_frame_says_is_taken_and_told(xyz, key):
    data = datasets.load(xyz("w.xyz", [{key: 350.0}] * 3))
    assert data.temperature == 350.0
    assert any("350 K is what every frame's comment says" in note for note in data.notes)


def test_what_the_user_says_counts(xyz):
    data = datasets.load(xyz("w_900K.xyz", [{"temperature": 350.0}] * 3), temperature=300.0)
    assert data.temperature == 300.0
    assert not any("350" in note or "900" in note for note in data.notes)


@pytest.mark.parametrize(
    ("comments", "said"),
    [
        ([{"temperature": 290.0}, {"temperature": 315.0}], "from 290 to 315 K in 2 of 2"),
        ([{"temperature": 300}, {}], "of 300 K in 1 of 2"),
    ],
)
def test_temperatures_that_differ_or_lack_are_told_and_not_taken(xyz, comments, said):
    data = datasets.load(xyz("w.xyz", comments))
    assert data.temperature is None
    assert any(f"{said} frames" in note and "thermostat" in note for note in data.notes)


@pytest.mark.parametrize("said", [{"temperature": "hot"}, {"temperature": -1.0}, {"temp": True}])
def test_nonsense_in_a_comment_is_no_temperature(xyz, said):
    data = datasets.load(xyz("w.xyz", [said] * 2))
    assert data.temperature is None and not any("emperature" in note for note in data.notes)


@pytest.mark.parametrize("name", ["acac_train_300K.xyz", "water 300 K.xyz", "md-300K-run2.xyz"])
def test_a_name_only_hints(xyz, name):
    data = datasets.load(xyz(name, [{}] * 2))
    assert data.temperature is None
    assert sum("name says 300 K" in note for note in data.notes) == 1


@pytest.mark.parametrize(
    "name", ["water.xyz", "300KeV.xyz", "from_300K_to_600K.xyz", "0.5K.xyz", "ethanol_10K.xyz"]
)
def test_names_that_hint_at_nothing(xyz, name):
    assert not any("name says" in note for note in datasets.load(xyz(name, [{}] * 2)).notes)


def test_set_by_hand_it_stays_and_the_frames_are_the_same(xyz, tmp_path):
    kept = tmp_path / "kept_300K.npz"
    first = datasets.load(xyz("w_300K.xyz", [{}] * 2))
    datasets.save(first, kept)
    assert sum("name says" in note for note in datasets.load(kept).notes) == 1  # told once
    datasets.set_temperature(datasets.load(kept), 310.0, kept)
    again = datasets.load(kept)
    assert again.temperature == 310.0 and again.fingerprint == first.fingerprint
    assert not any("name says" in note for note in again.notes)
    datasets.set_temperature(again, None, kept)
    unknown = datasets.load(kept)
    assert unknown.temperature is None
    assert sum("by hand" in note for note in unknown.notes) == 1
    assert not any("name says" in note for note in unknown.notes)


def test_a_temperature_that_is_none_changes_nothing(xyz, tmp_path):
    kept = tmp_path / "kept.npz"
    datasets.save(datasets.load(xyz("w.xyz", [{}] * 2)), kept)
    before = kept.read_bytes()
    with pytest.raises(InputError, match="positive number of kelvin"):
        datasets.set_temperature(datasets.load(kept), 0.0, kept)
    assert kept.read_bytes() == before
