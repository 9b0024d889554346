"""Archives: one file of data in them is found, several are asked about, nothing is unfolded."""

import gzip
import io
import struct
import tarfile
import tracemalloc
import zipfile

import h5py
import numpy as np
import pytest

from fisherdash.dataset import Keys, keys_of, load_bytes
from fisherdash.errors import InputError
from fisherdash.potentials import ani, foreign
from fisherdash.settings import ImportSettings
from fisherdash.units import BOHR, HARTREE
from tests.dataset.outputs import cp2k_files
from tests.dataset.people import npz, same, sentence, xyz
from tests.fuzz.seeds import archive, hdf5


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_the_one_file_of_data_in_an_archive(water, kind):
    files = {"a/README": b"water", "a/w.xyz": xyz(water), "__MACOSX/a/._w.xyz": b"x"}
    content = archive(files, kind)
    same(load_bytes(f"x.{kind}", content), water)
    same(load_bytes(f"x.{kind}.gz", gzip.compress(content)), water)
    same(load_bytes("without an ending", content), water)
    packed = archive({"w.npz": npz(R=water["positions"], E=water["energies"], F=water["forces"],
                                   z=[8, 1, 1])}, kind)  # fmt: skip
    same(load_bytes(f"x.{kind}", packed), water)


def test_several_files_in_an_archive_are_asked_about(water):
    content = archive({"a.xyz": xyz(water), "b.xyz": xyz({**water, "forces": -water["forces"]})})
    said = sentence("x.zip", content)
    assert "holds 2 files of data; choose one with --molecule: a.xyz, b.xyz" in said
    same(load_bytes("x.zip", content, molecule="a.xyz"), water)
    assert "no file that is read; it has notes.doc" in sentence(
        "x.zip", archive({"notes.doc": b"a"})
    )


def test_cp2k_in_an_archive_and_its_file_of_forces_alone(water):
    files = cp2k_files(water)
    same(load_bytes("x.zip", archive(files)), water)
    said = sentence("w-frc-1.xyz", files["w-frc-1.xyz"])
    assert "CP2K's file of forces: give its file of positions" in said


def test_archives_that_unfold_or_are_damaged(water):
    zeros = bytes(80 * 2**20)
    for kind in ("zip", "tar"):
        content = archive({"x.xyz": zeros}, kind)
        packed = content if kind == "zip" else gzip.compress(content)
        assert "would unpack to more than 8 MiB" in sentence("x.zip", packed)
    assert "damaged archive" in sentence("x.zip", archive({"x.xyz": xyz(water)})[:-30])


def many(members: int) -> bytes:
    """A zip whose directory names so many members of no content, all the same."""
    one = struct.pack("<4s5H3L2H", b"PK\3\4", 20, 0, 0, 0, 33, 0, 0, 0, 1, 0) + b"a"
    named = struct.pack("<4s6H3L5H2L", b"PK\1\2", 20, 20, 0, 0, 0, 33, *[0] * 3, 1, *[0] * 6) + b"a"
    count = min(members, 65535)
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, count, count, len(named) * members, len(one), 0)
    return one + named * members + end


def test_a_directory_of_a_zip_is_counted_before_it_is_read():
    """Thirty megabytes of it once took 400 in memory, and ten seconds of everybody's time."""
    zipfile.ZipFile(io.BytesIO(many(100))).close()  # it is one
    tracemalloc.start()
    content = many(100_000)
    said = [sentence(name, content) for name in ("x.zip", "x.npz")]
    with pytest.raises(InputError) as error:
        foreign.load_bytes(content + ani.MAIN.encode(), ImportSettings(energy_unit="eV"))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert all("files or more, of which at most 10000" in one for one in (*said, str(error.value)))
    assert most < 6 * len(content)


def test_what_a_folder_of_deepmd_holds_is_arrays(water):
    """A zip in place of an array was opened, whatever its directory held; bytes grew eightfold."""
    frames = len(water["positions"])
    coordinates = npy(np.reshape(water["positions"], (frames, -1)))
    files = {
        "type.raw": b"0\n1\n1\n", "type_map.raw": b"O\nH\n", "set.000/coord.npy": coordinates,
        "set.000/energy.npy": npy(np.ravel(water["energies"])),
        "set.000/force.npy": npy(np.reshape(water["forces"], (frames, -1))),
    }  # fmt: skip
    same(load_bytes("x.zip", archive(files)), water)
    for wrong in (many(3), npy(np.zeros((frames, 9), np.int8))):
        said = sentence("x.zip", archive({**files, "set.000/coord.npy": wrong}))
        assert "coord.npy cannot be read" in said


def npy(array: np.ndarray) -> bytes:
    """As NumPy saves it."""
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def test_links_in_a_tar_are_not_followed():
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for name, kind in (("x.xyz", tarfile.SYMTYPE), ("y.xyz", tarfile.LNKTYPE)):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "/etc/passwd"
            tar.addfile(member)
    assert "no file that is read" in sentence("x.tar", stream.getvalue())


def test_conformations_in_groups_of_their_own(water):
    def groups(path: str) -> dict:
        return {
            f"{path}/conf-{n:02d}": {
                "positions": water["positions"][n], "energy": water["energies"][n],
                "forces": water["forces"][n], "atomic_numbers": [8, 1, 1],
            }
            for n in range(60)
        }  # fmt: skip

    same(load_bytes("x.h5", hdf5(groups("1"))), water)
    two = hdf5({**groups("1"), **groups("2")})
    assert "holds 2 molecules; choose one with --molecule: 1, 2." in sentence("x.h5", two)
    same(load_bytes("x.h5", two, molecule="2"), water)


def test_units_of_an_hdf5_file_as_a_whole(water):
    content = hdf5({"w": {"R": water["positions"], "E": water["energies"] / HARTREE,
                          "F": water["forces"] / HARTREE * BOHR, "z": [8, 1, 1]}})  # fmt: skip
    stream = io.BytesIO(content)
    with h5py.File(stream, "a") as file:
        file.attrs["energy_unit"], file.attrs["force_unit"] = "hartree", "hartree/bohr"
    data = load_bytes("x.h5", stream.getvalue())
    same(data, water)
    assert "because the file says energy_unit=hartree" in data.notes[0]


def test_an_hdf5_file_that_claims_much_is_refused():
    stream = io.BytesIO(hdf5({"w": {"E": [0.0], "F": np.zeros((1, 3, 3)), "z": [8, 1, 1]}}))
    with h5py.File(stream, "a") as file:
        file["w"].create_dataset("R", (10**7, 3, 3), "f8", chunks=True, compression="gzip")
    assert "too much to read" in sentence("x.h5", stream.getvalue())


def test_what_may_be_chosen_in_a_file(water):
    dft = "Properties=species:S:1:pos:R:3:forces_dft:R:3 "
    content = xyz(water, head=dft, comment="energy_dft={e:.9f} step=3 config=water")
    assert keys_of("x.xyz", content) == Keys(("energy_dft", "step"), ("forces_dft",))
    arrays = {"R": water["positions"], "E": water["energies"], "F": water["forces"], "z": [8, 1, 1],
              "old_E": water["energies"][:, None], "old_F": water["forces"]}  # fmt: skip
    assert keys_of("x.npz", npz(**arrays)) == Keys(("E", "old_E"), ("F", "old_F"))
    arrays["old_E"] = water["energies"]
    two = hdf5({"a": arrays, "b": arrays})
    assert keys_of("x.h5", two) == Keys(("E", "old_E"), ("F", "old_F"), ("a", "b"))
    several = archive({"a.xyz": content, "b.xyz": content})
    assert keys_of("x.zip", several) == Keys(
        ("energy_dft", "step"), ("forces_dft",), ("a.xyz", "b.xyz")
    )
    with pytest.raises(InputError, match="unknown suffix"):
        keys_of("x.dat", b"nothing")
