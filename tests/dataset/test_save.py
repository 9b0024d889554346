"""The project's own file gives back what was put in, and the same bytes for the same data."""

import io
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays as array_of

from fisherdash.dataset import Dataset, load, load_bytes, save
from fisherdash.errors import InputError

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
    with pytest.raises(InputError, match="always in eV; received units kcal/mol"):
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
