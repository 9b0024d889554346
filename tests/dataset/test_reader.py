"""Files from strangers do no harm; published files are read without being told their units."""

import io
import pickle
import struct
import zipfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from fisherdash.dataset import load, load_bytes, reference_bonds
from fisherdash.errors import InputError
from fisherdash.units import KCAL_PER_MOL


def sentence_of(name: str, data: bytes, **options) -> str:
    with pytest.raises(InputError) as refusal:
        load_bytes(name, data, **options)
    assert "\n" not in str(refusal.value)
    return str(refusal.value)


def npz(arrays, **changes) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **{**arrays, **changes})
    return buffer.getvalue()


def with_member(name: str, content: bytes, claimed: int | None = None) -> bytes:
    """A zip of one member; `claimed` falsifies the size in the zip's directory."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr(name, content)
    data = buffer.getvalue()
    if claimed is not None:
        start = data.index(b"PK\x01\x02")  # directory entry; the unpacked size is at byte 24
        data = data[: start + 24] + struct.pack("<I", claimed) + data[start + 28 :]
    return data


def npy(header: str) -> bytes:
    text = header.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


class Touch:
    """Creates a file when unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_pickled_content_is_refused_and_never_run(arrays, tmp_path):
    canary = tmp_path / "canary"
    content = npz(arrays, energies=np.array([Touch(canary)] * 6, dtype=object))
    said = sentence_of("x.npz", content)
    assert "x.npz holds pickled Python objects under 'energies', which are never loaded" in said
    assert "'extra'" in sentence_of("x.npz", npz(arrays, extra=np.array([Touch(canary)], object)))
    bare = pickle.dumps(Touch(canary))
    for format in ("npz", "extxyz", "traj", "vasp-xml", "gpaw-out"):
        sentence_of("x", bare, format=format)
    assert not canary.exists()
    pickle.loads(bare)  # noqa: S301  the canary does sing
    assert canary.exists()


def test_not_there(tmp_path):
    with pytest.raises(InputError, match="There is no file"):
        load(tmp_path / "no.npz")
    with pytest.raises(InputError, match="is a folder"):
        load(tmp_path)
    with pytest.raises(InputError):
        load("\0.npz")


@pytest.mark.parametrize("name", ["x.npz", "x.xyz", "x.extxyz"])
def test_empty(name):
    assert sentence_of(name, b"") == f"{name} is empty."


def test_blank_text():
    assert "x.xyz holds no frames" in sentence_of("x.xyz", b"\n \n")


def test_unknown_formats():
    assert "unknown suffix '.dat'; use .npz, .xyz, .extxyz, .traj" in sentence_of("x.dat", b"1")
    assert "unknown suffix ''" in sentence_of("x", b"1")
    for format in ("json", "py", "bundletrajectory", "nonsense"):
        assert f"Unknown format '{format}'; use npz," in sentence_of("x", b"1", format=format)


def test_hostile_names_are_shown_harmlessly():
    said = sentence_of("../../<b>\n\x1b[31m" + "y" * 200, b"1")
    assert ".." not in said.split(" has the")[0]
    assert "\x1b" not in said


def test_damaged_zip(arrays):
    whole = npz(arrays)
    assert "not a readable npz file" in sentence_of("x.npz", b"not a zip")
    assert "not a readable npz file" in sentence_of("x.npz", whole[: len(whole) // 2])
    assert "not a readable npz file" in sentence_of("x.npz", whole[:-30])
    middle = whole.index(b"NUMPY") + 200
    broken = whole[:middle] + bytes([whole[middle] ^ 0xFF]) + whole[middle + 1 :]
    assert "x.npz is damaged: its array 'positions' cannot be read." in sentence_of("x.npz", broken)


def test_every_cut_and_every_flip_is_refused_or_harmless(arrays):
    """No damage reaches the user as anything but InputError."""
    whole = npz(arrays)
    random = np.random.default_rng(0)
    for _ in range(150):
        data = bytearray(whole[: random.integers(1, len(whole) + 1)])
        for place in random.integers(0, len(data), size=random.integers(0, 4)):
            data[place] = random.integers(0, 256)
        with suppress(InputError):
            load_bytes("x.npz", bytes(data))


def test_headers_that_claim_absurd_sizes():
    huge = npy("{'descr': '<f8', 'fortran_order': False, 'shape': (10000000000000, 9, 3)}")
    said = sentence_of("x.npz", with_member("R.npy", huge + b"12345678"))
    assert "its array 'R' claims the shape (10000000000000, 9, 3) of float64, but 8 bytes" in said
    wide = npy("{'descr': '<U500000000', 'fortran_order': False, 'shape': ()}")
    assert "but 8 bytes follow" in sentence_of("x.npz", with_member("R.npy", wide + b"12345678"))
    negative = npy("{'descr': '<f8', 'fortran_order': False, 'shape': (-1, -1)}")
    assert "is damaged" in sentence_of("x.npz", with_member("R.npy", negative + b"12345678"))
    lying = with_member("R.npy", huge, claimed=2**32 - 2)
    assert "would unpack to 4096 MiB" in sentence_of("x.npz", lying)


def test_code_in_a_header_is_not_evaluated(tmp_path):
    header = npy(f"__import__('pathlib').Path({str(tmp_path / 'c')!r}).touch()")
    assert "array 'R' cannot be read" in sentence_of("x.npz", with_member("R.npy", header))
    assert not (tmp_path / "c").exists()


def test_zip_bomb():
    buffer = io.BytesIO()
    file = zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1)
    with file, file.open("R.npy", "w") as member:
        member.write(npy("{'descr': '<f8', 'fortran_order': False, 'shape': (10485760,)}"))
        for _ in range(80):
            member.write(bytes(2**20))
    assert len(buffer.getvalue()) < 2**20
    said = sentence_of("x.npz", buffer.getvalue())
    assert "would unpack to 80 MiB, of which a file of its size may take 64 MiB" in said


def test_encrypted_zip(arrays):
    data = npz(arrays)
    start = data.index(b"PK\x01\x02")  # set the "encrypted" bit of the first directory entry
    data = data[: start + 8] + b"\x01\x00" + data[start + 10 :]
    assert "is damaged: its array 'positions' cannot be read" in sentence_of("x.npz", data)


# File → frames, formula, bonds, energy per frame in eV (rounded), root mean square force in eV/Å.
FILES = {
    "rmd17_ethanol_train_01.npz": (1000, "C2H6O", 8, -4209.6, 1.195),
    "rmd17_ethanol_test_01.npz": (1000, "C2H6O", 8, -4209.6, 1.192),
    "rmd17_aspirin_train_01.npz": (1000, "C9H8O4", 21, -17617.7, 1.261),
    "rmd17_aspirin_test_01.npz": (1000, "C9H8O4", 21, -17617.7, 1.271),
    "md17_ethanol_2000.npz": (2000, "C2H6O", 8, -4214.8, 1.140),
    "acac_train_300K.xyz": (500, "C5H8O2", 14, -9391.4, 1.051),
    "acac_test_600K.xyz": (650, "C5H8O2", 14, -9390.9, 1.366),
}


@pytest.mark.parametrize("name", FILES)
def test_published(shared_data, name):
    frames, formula, bonds, energy, force = FILES[name]
    data = load(shared_data / name)
    assert (len(data), data.formula) == (frames, formula)
    assert data.energies.mean() == pytest.approx(energy, abs=0.06)
    assert np.sqrt(np.mean(data.forces**2)) == pytest.approx(force, abs=6e-4)
    assert len(reference_bonds(data.atomic_numbers, data.positions[0])[0]) == bonds
    assert data.temperature is None
    assert data.notes[0].startswith("Units")
    assert ("old_forces" in " ".join(data.notes)) == name.startswith("rmd17")


def test_old_labels_are_those_of_the_original_md17(shared_data):
    """rMD17 keeps MD17's labels: the same potential as the original file, frame for frame."""
    path = shared_data / "rmd17_ethanol_train_01.npz"
    old, new = load(path, labels="old"), load(path)
    raw = np.load(path)
    np.testing.assert_allclose(old.forces, raw["old_forces"] * KCAL_PER_MOL)
    assert np.array_equal(old.positions, new.positions)
    original = load(shared_data / "md17_ethanol_2000.npz")
    assert old.energies.mean() == pytest.approx(original.energies.mean(), abs=0.1)
    assert abs(new.energies.mean() - original.energies.mean()) > 5


def test_shipped_sample(root):
    data = load(root / "sample_models" / "ethanol_500K.npz")
    assert (len(data), data.formula, data.temperature) == (1500, "C2H6O", 500.0)
    # Equipartition of the potential energy over 21 nearly harmonic internal modes.
    kT = 8.617333e-5 * 500
    assert data.energies.std() == pytest.approx(np.sqrt(21 / 2) * kT, rel=0.1)
    counts = {len(reference_bonds(data.atomic_numbers, x)[0]) for x in data.positions}
    assert counts == {8}
