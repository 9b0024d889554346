"""Every npz layout in use gives the same frames; every defect of one gives its sentence."""

import io

import numpy as np
import pytest

from fisherdash.dataset import Dataset, load, load_bytes
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
    assert "Lengths converted from bohr to Å, because the file says r_unit=bohr." in data.notes
    assert "Units: hartree, because the file says e_unit=Ha." in data.notes


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
    assert "Units: eV, as given." in data.notes[0]
    assert "looks like kcal/mol instead" in data.notes[0]
    with pytest.raises(InputError, match="Unknown units 'furlong'; use one of eV, kcal/mol"):
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
    with pytest.raises(InputError, match="none of the keys new_energies, new_E, new_energy is"):
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
        ("z", np.array(["O", "H", "H"]), "atomic_numbers must be a list of integers"),
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
