"""A Dataset is what it says, or it is not born.

The temperature of a sample: taken where it is said, told where it is hinted at, set by hand.
"""

import ase
import ase.io
import numpy as np
import pytest
from ase.build import molecule
from ase.calculators.singlepoint import SinglePointCalculator
from hypothesis import given, settings
from hypothesis import strategies as st

from fisherdash import dataset as datasets
from fisherdash.dataset import Dataset, reference_bonds, split
from fisherdash.errors import InputError


def test_properties(make):
    data = make()
    assert len(data) == 6
    assert data.num_atoms == 3
    assert data.formula == "H2O"
    assert data.symbols == ("O", "H", "H")
    assert data.positions.dtype == data.forces.dtype == data.energies.dtype == np.float64
    assert data.atomic_numbers.dtype == np.int64
    assert "6 frames of H2O, 300 K" in repr(data)


def test_arrays_are_own_copies_and_read_only(make, arrays):
    data = make()
    before = data.positions[0, 0, 0]
    arrays["positions"][0, 0, 0] = 99.0
    assert data.positions[0, 0, 0] == before
    with pytest.raises(ValueError, match="read-only"):
        data.forces[0, 0, 0] = 1.0


def test_energies_in_a_column_are_flattened(make, arrays):
    assert make(energies=arrays["energies"][:, None]).energies.shape == (6,)


def set_nan(array, value):
    array = array.copy()
    array.reshape(6, -1)[4, 0] = value
    return array


REFUSALS = {
    "positions flat": (
        {"positions": np.zeros((6, 9))},
        "positions must have the shape (frames, atoms, 3), received (6, 9).",
    ),
    "no frames": (
        {"positions": np.zeros((0, 3, 3)), "energies": [], "forces": np.zeros((0, 3, 3))},
        "The data set has no frames",
    ),
    "atoms missing": ({"atomic_numbers": [8, 1]}, "atomic_numbers lists 2 atoms, but positions"),
    "one atom": ({"atomic_numbers": [8]}, "A molecule needs at least two atoms, received 1."),
    "dummy atom": (
        {"atomic_numbers": [8, 0, 1]},
        "Unknown element: atom 1 has the atomic number 0; known are the whole numbers 1 to 118.",
    ),
    "element 119": ({"atomic_numbers": [8, 1, 119]}, "atom 2 has the atomic number 119"),
    "half an element": ({"atomic_numbers": [8, 1, 1.5]}, "atom 2 has the atomic number 1.5"),
    "element NaN": ({"atomic_numbers": [8, 1, np.nan]}, "atom 2 has the atomic number nan"),
    "symbols": ({"atomic_numbers": ["O", "H", "H"]}, "atomic_numbers must be a list of integers"),
    "forces short": (
        {"forces": np.zeros((6, 2, 3))},
        "forces must have the shape of positions, (6, 3, 3), received (6, 2, 3).",
    ),
    "energies short": (
        {"energies": np.zeros(5)},
        "energies must hold one number for each of the 6 frames, received an array of shape (5,).",
    ),
    "complex": ({"energies": np.zeros(6, complex)}, "energies must be real numbers, received"),
    "temperature": ({"temperature": -3}, "temperature must be a positive number of kelvin, rec"),
    "temperature NaN": ({"temperature": float("nan")}, "received nan;"),
    "temperature 1e300": ({"temperature": 1e300}, "received 1e+300; at most 100000."),
    "far away": ({"positions": np.full((6, 3, 3), 1e200)}, "no molecule has more than 1e+07 Å"),
    "energies 1e300": ({"energies": np.full(6, 1e300)}, "no molecule has more than 1e+12 eV"),
    "forces 1e300": ({"forces": np.full((6, 3, 3), 1e300)}, "no molecule has more than 1e+09 eV"),
}


@pytest.mark.parametrize(("changes", "sentence"), REFUSALS.values(), ids=REFUSALS)
def test_refused(make, changes, sentence):
    with pytest.raises(InputError) as refusal:
        make(**changes)
    assert sentence in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("key", ["positions", "energies", "forces"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_not_finite_is_refused_with_the_frame(make, arrays, key, value):
    with pytest.raises(InputError) as refusal:
        make(**{key: set_nan(arrays[key], value)})
    assert f"{key} holds NaN or infinite values in 1 of 6 frames, the first is frame 4" in str(
        refusal.value
    )


def test_atoms_on_top_of_each_other_are_refused(make, arrays):
    positions = arrays["positions"].copy()
    positions[3, 2] = positions[3, 1]
    with pytest.raises(InputError, match=r"Atoms 1 \(H\) and 2 \(H\) of frame 3 are 0 Å apart"):
        make(positions=positions)
    with pytest.raises(InputError, match="positions must be in Å"):
        make(positions=arrays["positions"] / 10)  # nanometres


def test_fingerprint_is_of_the_frames_alone(make, arrays):
    data = make()
    assert data.fingerprint == make(temperature=None, source="x", notes=("y",)).fingerprint
    assert len(data.fingerprint) == 16
    for key in ("positions", "energies", "forces"):
        changed = arrays[key].copy()
        changed.flat[0] += 1e-9
        assert make(**{key: changed}).fingerprint != data.fingerprint
    assert make(atomic_numbers=[16, 1, 1]).fingerprint != data.fingerprint


def test_subset(make):
    data = make(source="there", notes=("n",))
    part = data.subset([4, 0])
    assert np.array_equal(part.energies, data.energies[[4, 0]])
    assert np.array_equal(part.forces[1], data.forces[0])
    assert (part.temperature, part.source, part.notes) == (300.0, "there", ("n",))
    assert len(data.subset(slice(1, 3))) == 2
    assert len(data.subset(data.energies > np.median(data.energies))) == 3
    with pytest.raises(InputError, match="lies outside the data set, which has 6 frames"):
        data.subset([6])
    with pytest.raises(InputError, match="has no frames"):
        data.subset([])


@settings(deadline=None)
@given(frames=st.integers(2, 40), seed=st.integers(0, 2**31), cut=st.data())
def test_split_is_disjoint_and_repeats(frames, seed, cut):
    train = cut.draw(st.integers(1, frames - 1))
    valid = cut.draw(st.integers(1, frames - train))
    positions = np.tile([[0.0, 0, 0], [0, 0, 0.74]], (frames, 1, 1))
    data = Dataset(positions, np.arange(frames, dtype=float), 0 * positions, np.array([1, 1]))
    first, second = split(data, train, valid, seed)
    assert (len(first), len(second)) == (train, valid)
    assert not set(first.energies) & set(second.energies)
    assert len(set(first.energies)) == train
    again, _ = split(data, train, valid, seed)
    assert np.array_equal(first.energies, again.energies)


def test_split_refuses(make):
    with pytest.raises(InputError, match="has 6 frames, too few for 5 training and 2 validation"):
        split(make(), 5, 2, seed=0)
    with pytest.raises(InputError, match="valid must be at least 1 frame, received 0"):
        split(make(), 5, 0, seed=0)
    with pytest.raises(InputError, match="train must be at least 1 frame, received -1"):
        split(make(), -1, 3, seed=0)


def test_split_depends_on_the_seed(make):
    first, _ = split(make(), 4, 2, seed=0)
    assert any(
        not np.array_equal(first.energies, split(make(), 4, 2, seed=s)[0].energies)
        for s in range(1, 5)
    )


# Molecule → number of bonds, by its Lewis formula.
BONDS = {"H2": 1, "H2O": 2, "CH4": 4, "CH3CH2OH": 8, "C6H6": 12, "CO2": 2, "CH3Cl": 4, "NaCl": 1}


@pytest.mark.parametrize(("name", "count"), BONDS.items())
def test_number_of_bonds(name, count):
    atoms = molecule(name)
    pairs, lengths = reference_bonds(atoms.numbers, atoms.positions)
    assert pairs.shape == (count, 2)
    assert (pairs[:, 0] < pairs[:, 1]).all()
    measured = np.linalg.norm(atoms.positions[pairs[:, 0]] - atoms.positions[pairs[:, 1]], axis=1)
    np.testing.assert_allclose(lengths, measured)


def test_bonds_of_a_thermal_geometry(shared_data):
    """The connectivity of a molecule at its temperature is that of its Lewis formula."""
    data = np.load(shared_data / "rmd17_ethanol_train_01.npz")
    counts = [len(reference_bonds(data["nuclear_charges"], x)[0]) for x in data["coords"]]
    assert set(counts) == {8}


def test_separate_molecules_have_no_bond():
    pairs, lengths = reference_bonds(np.array([1, 1]), np.array([[0.0, 0, 0], [0, 0, 3.0]]))
    assert pairs.shape == (0, 2)
    assert lengths.shape == (0,)


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
    datasets.save(datasets.at_temperature(datasets.load(kept), 310.0), kept)
    again = datasets.load(kept)
    assert again.temperature == 310.0 and again.fingerprint == first.fingerprint
    assert not any("name says" in note for note in again.notes)
    datasets.save(datasets.at_temperature(again, None), kept)
    unknown = datasets.load(kept)
    assert unknown.temperature is None
    assert sum("by hand" in note for note in unknown.notes) == 1
    assert not any("name says" in note for note in unknown.notes)


def test_a_temperature_that_is_none_changes_nothing(xyz, tmp_path):
    kept = tmp_path / "kept.npz"
    datasets.save(datasets.load(xyz("w.xyz", [{}] * 2)), kept)
    before = kept.read_bytes()
    with pytest.raises(InputError, match="positive number of kelvin"):
        datasets.save(datasets.at_temperature(datasets.load(kept), 0.0), kept)
    assert kept.read_bytes() == before
