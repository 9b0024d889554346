"""Every npz layout gives the same frames, every defect its sentence; a saved file comes back."""

import io
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays as array_of

from fisherdash.dataset import Dataset, load, load_bytes, save
from fisherdash.errors import InputError
from fisherdash.units import BOHR, HARTREE, KCAL_PER_MOL


def packed(**content) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **content)
    return buffer.getvalue()


def in_kcal(arrays, names, **extra) -> bytes:
    """The frames under other keys, in kcal/mol."""
    e, f, r, z = names
    return packed(
        **{
            e: arrays["energies"] / KCAL_PER_MOL,
            f: arrays["forces"] / KCAL_PER_MOL,
            r: arrays["positions"],
            z: arrays["atomic_numbers"].astype(np.uint8),
        },
        **extra,
    )


LAYOUTS = [
    ("E", "F", "R", "z"),
    ("energies", "forces", "coords", "nuclear_charges"),
    ("energy", "forces", "positions", "atomic_numbers"),
]


def assert_frames(data: Dataset, arrays) -> None:
    for key in ("positions", "energies", "forces"):
        np.testing.assert_allclose(getattr(data, key), arrays[key], rtol=1e-12, atol=1e-12)
    assert np.array_equal(data.atomic_numbers, arrays["atomic_numbers"])


@pytest.mark.parametrize("names", LAYOUTS)
def test_layouts_in_kcal(arrays, names):
    data = load_bytes("x.npz", in_kcal(arrays, names))
    assert_frames(data, arrays)
    assert data.temperature is None
    assert data.notes[0].startswith("Units inferred: kcal/mol, because the mean energy -479")
    assert names[0] in data.source


def test_energies_in_a_column_and_numbers_in_every_frame(arrays):
    content = packed(
        positions=arrays["positions"],
        forces=arrays["forces"],
        energy=arrays["energies"][:, None],
        atomic_numbers=np.tile(arrays["atomic_numbers"], (6, 1)).astype(np.uint8),
    )
    assert_frames(load_bytes("x.npz", content), arrays)


def test_a_unit_named_in_the_file_is_believed(arrays):
    """sGDML files name their units, here ones that the numbers cannot tell apart by themselves."""
    content = packed(
        E=(arrays["energies"] + 2080) / HARTREE,
        F=arrays["forces"] / HARTREE * BOHR,
        R=arrays["positions"] / BOHR,
        z=arrays["atomic_numbers"],
        e_unit=np.array("Ha"),
        r_unit=np.array(b"bohr"),
    )
    data = load_bytes("x.npz", content)
    np.testing.assert_allclose(data.positions, arrays["positions"])
    np.testing.assert_allclose(data.forces, arrays["forces"])
    np.testing.assert_allclose(data.energies, arrays["energies"] + 2080)
    assert any(note.startswith("Lengths converted from bohr to Å, because") for note in data.notes)
    assert "because the file says e_unit=Ha, r_unit=bohr" in data.notes[0]


def test_unknown_unit_names_are_refused_and_can_be_overridden(arrays):
    content = in_kcal(arrays, LAYOUTS[0], e_unit=np.array("firkin"))
    with pytest.raises(InputError, match="gives e_unit = 'firkin', an unknown unit of energy"):
        load_bytes("x.npz", content)
    assert_frames(load_bytes("x.npz", content, units="kcal/mol"), arrays)
    with pytest.raises(InputError, match="gives r_unit = 'ell', an unknown unit of length"):
        load_bytes("x.npz", in_kcal(arrays, LAYOUTS[0], r_unit=np.array("ell")))


def test_given_units_override_what_the_numbers_say(arrays):
    data = load_bytes("x.npz", in_kcal(arrays, LAYOUTS[2]), units="eV")
    np.testing.assert_allclose(data.energies, arrays["energies"] / KCAL_PER_MOL)
    assert "Units: eV, as given;" in data.notes[0]
    assert "looks like kcal/mol, not eV" in data.warnings[0]
    with pytest.raises(
        InputError, match="Unknown unit of energy 'furlong'; --units takes eV, kcal"
    ):
        load_bytes("x.npz", in_kcal(arrays, LAYOUTS[2]), units="furlong")


def test_old_labels(arrays):
    content = in_kcal(
        arrays,
        LAYOUTS[1],
        old_energies=arrays["energies"] / KCAL_PER_MOL + 1,
        old_forces=2 * arrays["forces"] / KCAL_PER_MOL,
    )
    new, old = load_bytes("x.npz", content), load_bytes("x.npz", content, labels="old")
    assert_frames(new, arrays)
    np.testing.assert_allclose(old.forces, 2 * arrays["forces"])
    np.testing.assert_allclose(old.energies - new.energies, KCAL_PER_MOL)
    assert any("not a Boltzmann sample" in note for note in new.notes)
    assert not any("not a Boltzmann sample" in note for note in old.notes)
    with pytest.raises(InputError, match="none of the keys new_energies, new_E, new_energy"):
        load_bytes("x.npz", content, labels="new")


@pytest.mark.parametrize("missing", range(4))
def test_missing_keys(arrays, missing):
    content = dict(np.load(io.BytesIO(in_kcal(arrays, LAYOUTS[0]))))
    gone = LAYOUTS[0][missing]
    del content[gone]
    with pytest.raises(InputError) as refusal:
        load_bytes("md.npz", packed(**content))
    word = ("energies", "forces", "positions", "atomic numbers")[missing]
    assert f"md.npz has no {word}: none of the keys" in str(refusal.value)
    assert f"received {', '.join(content)}." in str(refusal.value)


def test_nothing_inside(arrays):
    with pytest.raises(InputError, match="received no arrays at all"):
        load_bytes("x.npz", packed())


def test_frames_of_different_molecules(arrays):
    content = dict(np.load(io.BytesIO(in_kcal(arrays, LAYOUTS[2]))))
    numbers = np.tile(arrays["atomic_numbers"], (6, 1))
    numbers[4] = [16, 1, 1]
    with pytest.raises(InputError) as refusal:
        load_bytes("x.npz", packed(**{**content, "atomic_numbers": numbers}))
    assert "x.npz holds frames of different molecules: frame 0 is H2O, frame 4 is H2S" in str(
        refusal.value
    )
    numbers[4] = [1, 8, 1]
    with pytest.raises(InputError, match="lists the atoms of frame 4 in another order"):
        load_bytes("x.npz", packed(**{**content, "atomic_numbers": numbers}))


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("R", np.zeros((6, 2, 3)), "lists 3 atoms, but positions has 2"),
        ("R", np.full((6, 3, 3), np.nan), "positions holds NaN or infinite values in 6 of 6"),
        ("E", np.zeros(4), "energies must hold one number for each of the 6 frames"),
        ("E", np.array(["a"] * 6), "must hold real numbers under 'E', received type <U1"),
        ("F", np.zeros((6, 3)), "forces must have the shape of positions"),
        ("z", np.array([8, 1, 130]), "atom 2 has the atomic number 130"),
        ("z", np.array([8]), "needs at least two atoms, received 1"),
        ("z", np.zeros((0, 3), int), "atomic_numbers must be a list of integers"),
        ("z", np.array(["O", "H", "Qq"]), "names an unknown element 'Qq'"),
        ("z", np.zeros((2, 2, 2), int), "atomic_numbers must be a list of integers"),
    ],
)
def test_wrong_content(arrays, key, value, sentence):
    content = dict(np.load(io.BytesIO(in_kcal(arrays, LAYOUTS[0]))))
    with pytest.raises(InputError) as refusal:
        load_bytes("x.npz", packed(**{**content, key: value}))
    assert sentence in str(refusal.value)


def test_no_frames(arrays):
    content = packed(E=np.zeros(0), F=np.zeros((0, 3, 3)), R=np.zeros((0, 3, 3)), z=[8, 1, 1])
    with pytest.raises(InputError, match="has no frames"):
        load_bytes("x.npz", content)


def test_temperature_of_a_published_file_is_what_the_user_says(arrays, tmp_path):
    (tmp_path / "x.npz").write_bytes(in_kcal(arrays, LAYOUTS[0]))
    assert load(tmp_path / "x.npz", temperature=500).temperature == 500.0
    with pytest.raises(InputError, match="positive number of kelvin, received 0"):
        load(tmp_path / "x.npz", temperature=0)


NUMBERS = st.floats(-1e6, 1e6)


def same(a: Dataset, b: Dataset) -> bool:
    return (
        a.fingerprint == b.fingerprint
        and a.temperature == b.temperature
        and (a.source, a.notes) == (b.source, b.notes)
    )


@settings(max_examples=30, deadline=None)
@given(data=st.data(), frames=st.integers(1, 5), atoms=st.integers(2, 4))
def test_round_trip(tmp_path_factory, data, frames, atoms):
    # Atoms in a row, a bond apart at least, so that random numbers are a molecule.
    row = np.arange(atoms)[:, None] * np.array([5.0, 0, 0])
    dataset = Dataset(
        positions=row + data.draw(array_of(float, (frames, atoms, 3), elements=st.floats(-1, 1))),
        energies=data.draw(array_of(float, frames, elements=NUMBERS)),
        forces=data.draw(array_of(float, (frames, atoms, 3), elements=NUMBERS)),
        atomic_numbers=data.draw(array_of(np.int64, atoms, elements=st.integers(1, 118))),
        temperature=data.draw(st.none() | st.floats(0.1, 1e4)),
        source=data.draw(st.text(st.characters(exclude_characters="\0"), max_size=20)),
        notes=tuple(data.draw(st.lists(st.sampled_from(["é", "a note", "Å"]), max_size=2))),
    )
    path = tmp_path_factory.mktemp("save") / "set.npz"
    save(dataset, path)
    assert same(load(path), Dataset(**{**vars(dataset), "source": dataset.source or "set.npz"}))


def test_the_same_data_give_the_same_bytes(make, tmp_path):
    save(make(), tmp_path / "a.npz")
    save(make(), tmp_path / "b.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.npz", "b.npz"]


def test_single_precision_only_where_it_loses_nothing(make, arrays, tmp_path):
    rounded = arrays["positions"].astype(np.float32)
    save(make(positions=rounded), tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz", allow_pickle=False) as file:
        assert file["positions"].dtype == np.float32
        assert file["forces"].dtype == np.float64
        assert {"energies", "atomic_numbers", "temperature", "source", "version"} <= set(file)


def test_upload_is_the_same_as_the_file(make, tmp_path):
    save(make(), tmp_path / "a.npz")
    upload = load_bytes("../../etc/a.npz", (tmp_path / "a.npz").read_bytes())
    assert same(upload, load(tmp_path / "a.npz"))


def test_a_temperature_given_replaces_the_stored_one(make, tmp_path):
    save(make(), tmp_path / "a.npz")
    assert load(tmp_path / "a.npz").temperature == 300.0
    assert load(tmp_path / "a.npz", temperature=350).temperature == 350.0


def test_own_files_are_in_electronvolts(make, tmp_path):
    save(make(), tmp_path / "a.npz")
    assert load(tmp_path / "a.npz", units="eV").fingerprint == make().fingerprint
    with pytest.raises(InputError, match="always in eV and Å; received units kcal/mol"):
        load(tmp_path / "a.npz", units="kcal/mol")
    with pytest.raises(InputError, match="one set of labels; received labels 'old'"):
        load(tmp_path / "a.npz", labels="old")


def test_a_later_version_is_refused(make, tmp_path):
    save(make(), tmp_path / "a.npz")
    content = dict(np.load(tmp_path / "a.npz"))
    np.savez(tmp_path / "b.npz", **{**content, "version": np.int64(9)})
    with pytest.raises(InputError, match=r"of FisherDash data version \[9\]; this program reads"):
        load(tmp_path / "b.npz")


def test_own_file_without_forces_is_refused(make, tmp_path):
    save(make(), tmp_path / "a.npz")
    content = dict(np.load(tmp_path / "a.npz"))
    del content["forces"]
    buffer = io.BytesIO()
    np.savez(buffer, **content)
    with pytest.raises(InputError, match=r"a\.npz has no forces; received positions, energies"):
        load_bytes("a.npz", buffer.getvalue())


def test_cannot_write_is_one_sentence(make, tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="Cannot write"):
        save(make(), tmp_path / "file" / "a.npz")
    (tmp_path / "folder.npz").mkdir()
    with pytest.raises(InputError, match="Cannot write"):
        save(make(), tmp_path / "folder.npz")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder.npz"]


def test_is_a_plain_zip_of_arrays(make, tmp_path):
    save(make(), tmp_path / "a.npz")
    with zipfile.ZipFile(tmp_path / "a.npz") as file:
        assert file.testzip() is None


def test_atomic_numbers_that_are_tables_are_refused_also_where_frames_differ(tmp_path):
    numbers = np.zeros((6, 3), [("a", "i4")])
    numbers["a"][1:] = 1
    path = tmp_path / "x.npz"
    positions = np.random.default_rng(0).normal(size=(6, 3, 3))
    np.savez(path, R=positions, E=np.arange(6.0), F=positions, z=numbers)
    with pytest.raises(InputError, match="atomic_numbers must be a list of integers"):
        load(path)
