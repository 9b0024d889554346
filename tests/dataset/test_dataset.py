"""Files as people have them, of every kind, each with its right value or its sentence."""

import bz2
import gzip
import io
import json
import lzma
import re
import sqlite3
import zipfile

import ase.db
import h5py
import numpy as np
import pytest
from ase import Atoms

from fisherdash.dataset import load, load_bytes
from fisherdash.units import BOHR, HARTREE, KCAL_PER_MOL, force_unit
from tests.dataset.outputs import cp2k_files
from tests.dataset.people import npz, same, sentence, xyz

PER_BOHR = (HARTREE, HARTREE / BOHR, 1.0)


def test_a_sound_file_has_no_warnings(water):
    data = load_bytes("x.xyz", xyz(water))
    same(data, water)
    assert data.warnings == data.left_out == ()
    assert data.units == {"energy": "eV", "forces": "eV/Å", "length": "Å"}


@pytest.mark.parametrize(
    ("said", "scale"),
    [("energy-unit=hartree force-unit=hartree/bohr ", PER_BOHR),
     ("energy_unit=au force_unit=a.u. ", PER_BOHR),
     ("energy-unit=kcal/mol force-unit=kcal/mol/angstrom ", (KCAL_PER_MOL, KCAL_PER_MOL, 1)),
     ("energy_unit=Ry force_unit=Ry/bohr ", (HARTREE / 2, HARTREE / 2 / BOHR, 1)),
     ("energy_unit=hartree length_unit=bohr ", (HARTREE, HARTREE / BOHR, BOHR))],
)  # fmt: skip
def test_declared_units_are_obeyed_and_said(water, said, scale):
    head = "Properties=species:S:1:pos:R:3:forces:R:3 " + said
    data = load_bytes("x.xyz", xyz(water, scale, head=head))
    same(data, water)
    assert "because the file says" in data.notes[0]


def test_hartree_per_bohr_is_found_from_the_work(water):
    data = load_bytes("x.xyz", xyz(water, PER_BOHR))
    same(data, water)
    assert "forces in hartree/bohr, because the energies change" in data.notes[0]
    data = load_bytes("x.xyz", xyz(water, (HARTREE, HARTREE, 1)))
    same(data, water)


def test_two_plausible_units_are_asked_for(water):
    few = xyz(water, PER_BOHR, frames=2)
    said = sentence("x.xyz", few)
    assert "both plausible" in said and "--force-units hartree/bohr" in said
    same(load_bytes("x.xyz", few, force_units="Ha/Bohr"), water, slice(2))
    assert "both plausible" in sentence("x.xyz", few, units="hartree")


def test_bohr_is_asked_for_and_converted_with_the_forces(water):
    content = xyz(water, (HARTREE, HARTREE / BOHR, BOHR))
    assert "--length-units bohr" in sentence("x.xyz", content)
    same(load_bytes("x.xyz", content, length_units="bohr"), water)


@pytest.mark.parametrize("factor", [500.0, 0.02])
def test_forces_of_no_molecule_never_pass(water, factor):
    content = xyz(water, (1, 1 / factor, 1), comment="energy=0.0")
    assert "--force-units" in sentence("x.xyz", content)
    packed = npz(R=water["positions"], E=water["energies"], F=water["forces"] * factor, z=[8, 1, 1])
    assert "--force-units" in sentence("x.npz", packed)


@pytest.mark.parametrize(
    ("text", "unit"),
    [("Ha/Bohr", "hartree/bohr"), ("kcal/mol/Ang", "kcal/mol/Å"), ("a.u.", "hartree/bohr"),
     ("eV/A", "eV/Å"), ("kJ/mol/nm", "kJ/mol/nm"), ("kcal/(mol*angstrom)", "kcal/mol/Å"),
     ("meV/Å", "meV/Å"), ("cm-1/bohr", "cm⁻¹/bohr"), ("eV angstrom^-1", "eV/Å"), ("N", None),
     ("kcal mol⁻¹ Å⁻¹", "kcal/mol/Å"), ("eV per Angstrom", "eV/Å"), ("kJ/(mol nm)", "kJ/mol/nm"),
     ("Eh/a_0", "hartree/bohr"), ("Hartree bohr**-1", "hartree/bohr"), ("eV/atom/Å", None),
     ("kcal/mole/ang.", "kcal/mol/Å"), ("hartree", None), ("bohr", None), ("", None)],
)  # fmt: skip
def test_units_of_force_are_spelled_in_many_ways(text, unit):
    assert force_unit(text) == unit


def test_energies_per_atom_are_noticed(water):
    data = load_bytes("x.xyz", xyz(water, (3.0, 1.0, 1.0)))
    assert any("energies per atom" in warning for warning in data.warnings)


def test_gradients_are_told_and_turned(water):
    content = xyz(water, (1, -1, 1))
    data = load_bytes("x.xyz", content)
    assert any("gradients, not forces" in w and "--gradients" in w for w in data.warnings)
    turned = load_bytes("x.xyz", content, gradients=True)
    same(turned, water)
    assert turned.warnings == ()


def test_named_gradients_are_turned_without_a_word_of_the_user(water):
    data = load_bytes("x.npz", npz(positions=water["positions"], energy=water["energies"],
                      gradient=-water["forces"], atomic_numbers=[8, 1, 1]))  # fmt: skip
    same(data, water)
    assert any("gradients" in note for note in data.notes)


def test_frames_shifted_by_one_are_told(water):
    shifted = {**water, "forces": np.roll(water["forces"], 1, axis=0)}
    data = load_bytes("x.xyz", xyz(shifted))
    assert any("net torque" in warning for warning in data.warnings)


def test_a_net_force_is_told(water):
    data = load_bytes("x.xyz", xyz({**water, "forces": water["forces"] + 0.3}))
    assert any("net force" in warning for warning in data.warnings)


def test_zero_forces_are_refused_and_some_are_told(water):
    zero = {**water, "forces": 0 * water["forces"]}
    assert "exactly zero in every frame" in sentence("x.xyz", xyz(zero))
    some = water["forces"].copy()
    some[7] = 0
    data = load_bytes("x.xyz", xyz({**water, "forces": some}))
    assert any("1 of 60 frames have forces of exactly zero" in w for w in data.warnings)


def test_keys_by_suffix_and_by_name(water):
    head = "Properties=species:S:1:pos:R:3:forces_dft:R:3 "
    content = xyz(water, head=head, comment="energy_dft={e:.9f}")
    said = sentence("x.xyz", content)
    assert "--energy-key energy_dft --forces-key forces_dft (or --labels dft)" in said
    same(load_bytes("x.xyz", content, labels="dft"), water)
    same(load_bytes("x.xyz", content, energy_key="energy_dft", forces_key="forces_dft"), water)
    tot = xyz(water, comment="TotEnergy={e:.9f}")
    assert "say --energy-key TotEnergy." in sentence("x.xyz", tot)
    same(load_bytes("x.xyz", tot, energy_key="TotEnergy"), water)


def test_a_bare_energy_and_columns_without_names(water):
    content = xyz(water, head="")
    content = content.replace(b"energy=", b"")
    data = load_bytes("x.xyz", content)
    same(data, water)
    assert any("Columns 5 to 7 are taken as forces" in note for note in data.notes)
    turned = xyz(water, (1, -1, 1), head="").replace(b"energy=", b"")
    assert "--gradients" in sentence("x.xyz", turned)
    few = xyz(water, head="", frames=2).replace(b"energy=", b"")
    assert "--forces-key 5-7" in sentence("x.xyz", few)
    same(load_bytes("x.xyz", few, forces_key="5-7"), water, slice(2))


@pytest.mark.parametrize("species", [np.array(["O", "H", "H"]), np.array([b"O", b"H", b"H"]),
                                     np.array([8, 1, 1])])  # fmt: skip
def test_ani_npz(water, species):
    content = npz(coordinates=water["positions"], species=species, energies=water["energies"],
                  forces=water["forces"])  # fmt: skip
    same(load_bytes("x.npz", content), water)


def test_padded_npz_of_physnet(water):
    wide = np.zeros((60, 5, 3))
    r, f = wide.copy(), wide.copy()
    r[:, :3], f[:, :3] = water["positions"], water["forces"]
    z = np.tile([8, 1, 1, 0, 0], (60, 1))
    content = npz(N=np.full(60, 3), Z=z, R=r, E=water["energies"], F=f)
    same(load_bytes("x.npz", content), water)


def test_single_atoms_and_frames_without_labels_are_left_out(water):
    atom = b"1\nProperties=species:S:1:pos:R:3:forces:R:3 energy=-13.5\nH 0 0 0 0 0 0\n"
    plain = b"3\nProperties=species:S:1:pos:R:3\nO 0 0 0\nH 0.96 0 0\nH -0.24 0.93 0\n"
    data = load_bytes("x.xyz", atom + xyz(water) + plain)
    same(data, water)
    assert "1 of 62 frames of a single atom" in data.left_out[0]
    assert "1 of 61 frames without an energy" in data.left_out[1]


def test_six_numbers_of_stress_are_ignored(water):
    same(load_bytes("x.xyz", xyz(water, comment='energy={e:.9f} stress="0 0 0 0 0 0"')), water)


TEXT = {
    "byte order mark": lambda text: b"\xef\xbb\xbf" + text,
    "Latin-1": lambda text: text.replace(b" energy=", b" author=Ren\xe9 energy=", 1),
    "UTF-16": lambda text: text.decode().encode("utf-16"),
    "Windows": lambda text: text.replace(b"\n", b"\r\n"),
    "atomic numbers": lambda text: text.replace(b"\nO ", b"\n8 ").replace(b"\nH ", b"\n1 "),
    "index before the symbols": lambda text: re.sub(
        rb"\n(\w) ", rb"\n1 \1 ", text.replace(b"Properties=species:S:1:pos:R:3:forces:R:3 ", b"")
    ),
    "labels of atoms": lambda text: text.replace(b"\nH ", b"\nH_2 ").replace(b"\nO ", b"\nO1 "),
    "commas between": lambda text: re.sub(rb"(?<=\d) (?=[-\d])", b", ", text),
    "decimal commas": lambda text: text.replace(b".", b","),
    "comments between": lambda text: b"# my frames\n" + text.replace(b"\n3\n", b"\n# next\n3\n"),
    "count with a word": lambda text: text.replace(b"\n3\n", b"\n3 atoms\n"),
    "separators": lambda text: text.replace(b"\n3\n", b"\n>\n3\n"),
    "blank lines": lambda text: text.replace(b"\n3\n", b"\n\n\n3\n"),
}


@pytest.mark.parametrize("change", TEXT.values(), ids=TEXT)
def test_text_as_editors_and_programs_leave_it(water, change):
    same(load_bytes("x.xyz", change(xyz(water))), water)


def test_exponents_of_fortran(water):
    lines = []
    for line in xyz(water).decode().splitlines():
        if "=" not in line and len(line) > 5:
            symbol, *numbers = line.split()
            words = [f"{float(word):.9E}".replace("E", "D") for word in numbers]
            line = " ".join([symbol, *words])
        lines.append(line)
    same(load_bytes("x.xyz", "\n".join(lines).encode()), water)


def test_exponents_without_a_letter_and_asterisks(water):
    lines = xyz(water).decode().splitlines()
    symbol, *numbers = lines[2].split()
    lines[2] = " ".join([symbol, "1.00000000-120", *numbers[1:]])
    assert load_bytes("x.xyz", "\n".join(lines).encode()).positions[0, 0, 0] == 1e-120
    lines[2] = " ".join([symbol, *numbers[:3], "********", *numbers[4:]])
    data = load_bytes("x.xyz", "\n".join(lines).encode())
    same(data, water, slice(1, None))
    assert data.left_out == ("1 of 60 frames without forces, the first is frame 0.",)


WORDS = {
    "xtb": (" energy: {e:.10f} gnorm: 0.01 xtb: 6.5", HARTREE),
    "ORCA": ("Coordinates from ORCA-job water E {e:.10f}", HARTREE),
    "a unit behind": ("step E = {e:.10f} kcal/mol", KCAL_PER_MOL),
    "a unit behind a key": ("Energy={e:.10f} kcal/mol", KCAL_PER_MOL),
    "JSON": ('{{"step": 1, "energy": {e:.10f}}}', 1.0),
    "the step before": ("17 {e:.10f}", 1.0),
    "words": ("step 3 potential energy {e:.10f}", 1.0),
}


@pytest.mark.parametrize(("comment", "unit"), WORDS.values(), ids=WORDS)
def test_energies_among_words(water, comment, unit):
    content = xyz(water, (unit, unit, 1), comment=comment, head="")
    same(load_bytes("x.xyz", content), water)


def test_columns_that_are_not_the_first_without_a_name(water):
    lines = []
    for line in xyz(water, head="", comment="{e:.10f}").decode().splitlines():
        words = line.split()
        lines.append(" ".join([*words[:4], "0.3", *words[4:]]) if len(words) == 7 else line)
    content = "\n".join(lines).encode()
    assert "--forces-key" in sentence("x.xyz", content)
    same(load_bytes("x.xyz", content, forces_key="6-8"), water)


def test_a_unit_per_bohr_beside_any_energy(water):
    for unit in (1.0, KCAL_PER_MOL):
        data = load_bytes("x.xyz", xyz(water, (unit, unit / BOHR, 1)))
        same(data, water)
        assert "as stiff as usual" in data.notes[0]


def test_few_frames_far_apart_tell_the_unit_and_the_sign_by_their_bonds(water):
    content = xyz(water, PER_BOHR, frames=6)
    data = load_bytes("x.xyz", content)
    same(data, water, slice(6))
    assert "bonds to hydrogen are as stiff as usual" in data.notes[0]
    bare = xyz(water, (1, -1, 1), head="", comment="{e:.10f}", frames=6)
    assert "--gradients" in sentence("x.xyz", bare)


def test_forces_given_in_a_wrong_unit_are_told_by_the_bonds(water):
    data = load_bytes("x.xyz", xyz(water, PER_BOHR), force_units="hartree/angstrom")
    assert any("times as stiff as they are in molecules" in one for one in data.warnings)


def test_a_geometry_at_rest_is_told_quietly(water):
    rest = {key: value[:1] for key, value in water.items() if key != "atomic_numbers"}
    rest["forces"] = rest["forces"] / 300
    data = load_bytes("x.xyz", xyz({**rest, "atomic_numbers": water["atomic_numbers"]}))
    assert data.warnings == () and any("geometries at rest" in note for note in data.notes)


@pytest.mark.parametrize("keys", [("coordinates", "AtomicNumbers", "Epot", "Force"),
                                  ("atXYZ", "atNUM", "ePBE0+MBD", "totFOR"),
                                  ("geometry", "elements", "E_tot", "F"),
                                  ("coord", "symbols", "free_energy", "forces")])  # fmt: skip
def test_keys_of_other_projects(water, keys):
    values = (water["positions"], [8, 1, 1], water["energies"], water["forces"])
    same(load_bytes("x.npz", npz(**dict(zip(keys, values, strict=True)))), water)


def test_npz_of_flat_coordinates_and_other_fillings(water):
    flat = {"R": water["positions"].reshape(60, 9), "F": water["forces"].reshape(60, 9),
            "E": water["energies"], "z": np.tile([[8], [1], [1]], (60, 1, 1))}  # fmt: skip
    same(load_bytes("x.npz", npz(**flat)), water)
    padded = {"R": np.pad(water["positions"], ((0, 0), (0, 2), (0, 0))), "E": water["energies"],
              "F": np.pad(water["forces"], ((0, 0), (0, 2), (0, 0))),
              "z": np.tile([8, 1, 1, -1, -1], (60, 1))}  # fmt: skip
    same(load_bytes("x.npz", npz(**padded)), water)


def test_the_hint_of_an_npz_names_its_keys(water):
    content = npz(R=water["positions"], dft_energy=water["energies"], z=[8, 1, 1],
                  mp2_gradient=-water["forces"])  # fmt: skip
    said = sentence("x.npz", content)
    assert "say --energy-key dft_energy --forces-key mp2_gradient" in said
    same(load_bytes("x.npz", content, energy_key="dft_energy", forces_key="mp2_gradient"), water)


def test_a_wrapped_molecule_is_made_whole(water):
    head = 'Lattice="9 0 0 0 9 0 0 0 9" pbc="T T T" Properties=species:S:1:pos:R:3:forces:R:3 '
    wrapped = {**water, "positions": water["positions"] % 9.0}
    data = load_bytes("x.xyz", xyz(wrapped, head=head))
    whole = np.linalg.norm(water["positions"][:, 1] - water["positions"][:, 0], axis=1)
    found = np.linalg.norm(data.positions[:, 1] - data.positions[:, 0], axis=1)
    np.testing.assert_allclose(found, whole, atol=1e-7)
    assert any("made whole along its bonds" in note for note in data.notes)


@pytest.mark.parametrize(("pack", "ending"), [(gzip.compress, "gz"), (bz2.compress, "bz2"),
                                              (lzma.compress, "xz")])  # fmt: skip
def test_packed_text(water, pack, ending):
    same(load_bytes(f"x.xyz.{ending}", pack(xyz(water))), water)
    bomb = pack(bytes(80 * 2**20))
    assert "would unpack to more than 8 MiB" in sentence(f"x.xyz.{ending}", bomb)
    assert "damaged" in sentence(f"x.xyz.{ending}", pack(xyz(water))[:-20])


def test_ase_data_base_with_and_without_units(water, tmp_path):
    for units in ({}, {"_property_unit_dict": {"energy": "kcal/mol", "forces": "kcal/mol/Ang"},
                       "_distance_unit": "Ang"}):  # fmt: skip
        scale = KCAL_PER_MOL if units else 1.0
        path = tmp_path / f"{len(units)}.db"
        with ase.db.connect(path) as base:
            for x, e, f in zip(water["positions"], water["energies"], water["forces"], strict=True):
                data = {"energy": np.array([e / scale]), "forces": f / scale}
                base.write(Atoms("OHH", x), data=data)
        base.metadata = units
        same(load(path), water)


def test_a_data_base_that_is_a_view_is_refused(tmp_path):
    path = tmp_path / "x.db"
    base = sqlite3.connect(path)
    base.execute("CREATE VIEW systems AS WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 "
                 "FROM c) SELECT x AS numbers FROM c")  # fmt: skip
    base.commit()
    base.close()
    assert "without ASE's table" in sentence("x.db", path.read_bytes())


def test_a_data_base_with_endless_json_is_refused(tmp_path):
    with ase.db.connect(tmp_path / "x.db") as base:
        base.write(Atoms("OHH", np.eye(3)), data={"words": "x" * 2_000_001})
    said = sentence("x.db", (tmp_path / "x.db").read_bytes())
    assert "more than 2,000,000 characters of further data" in said


def test_a_data_base_whose_pages_stand_for_one_another_is_refused(tmp_path):
    """Every child of the table's root is made the one page with the long row."""
    path = tmp_path / "x.db"
    base = sqlite3.connect(path)
    base.execute("CREATE TABLE systems (id INTEGER PRIMARY KEY, numbers, positions, energy, data)")
    row = (np.ones(9, "<i4").tobytes(), np.zeros((9, 3)).tobytes(), 1.0)
    words = ["x" * 400_000, *["x" * 3_000] * 400]
    base.executemany("INSERT INTO systems VALUES (NULL, ?, ?, ?, ?)",
                     [(*row, json.dumps({"a": one})) for one in words])  # fmt: skip
    base.commit()
    [(root,)] = base.execute("SELECT rootpage FROM sqlite_master").fetchall()
    base.close()
    content, start = bytearray(path.read_bytes()), (root - 1) * 4096
    assert content[start] == 5, "the root has no children"
    count = int.from_bytes(content[start + 3 : start + 5], "big")
    cells = [start + int.from_bytes(content[at : at + 2], "big")
             for at in range(start + 12, start + 12 + 2 * count, 2)]  # fmt: skip
    for cell in cells:
        content[cell : cell + 4] = content[cells[0] : cells[0] + 4]
    assert "far more bytes than it has itself" in sentence("x.db", bytes(content))


def test_deepmd_folder_and_zip(water, tmp_path):
    folder = tmp_path / "water"
    (folder / "set.000").mkdir(parents=True)
    (folder / "type.raw").write_text("0\n1\n1\n")
    (folder / "type_map.raw").write_text("O\nH\n")
    (folder / "nopbc").touch()
    np.save(folder / "set.000/coord.npy", water["positions"].reshape(60, 9))
    np.save(folder / "set.000/energy.npy", water["energies"])
    np.save(folder / "set.000/force.npy", water["forces"].reshape(60, 9))
    same(load(folder), water)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                file.write(path, path.relative_to(tmp_path))
    same(load_bytes("water.zip", buffer.getvalue()), water)


def test_deepmd_folder_of_text(water, tmp_path):
    for key, value in (("coord", "positions"), ("energy", "energies"), ("force", "forces")):
        np.savetxt(tmp_path / f"{key}.raw", water[value].reshape(60, -1), fmt="%.12f")
    np.savetxt(tmp_path / "box.raw", np.tile(np.eye(3).reshape(-1) * 20, (60, 1)))
    (tmp_path / "type.raw").write_text("0 1 1\n")
    (tmp_path / "type_map.raw").write_text("O H\n")
    same(load(tmp_path), water)


def hdf5(fill) -> bytes:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        fill(file)
    return buffer.getvalue()


def test_hdf5_of_spice(water):
    def fill(file):
        for name in ("water", "other"):
            group = file.create_group(name)
            group["atomic_numbers"] = [8, 1, 1]
            for key, value, unit in (
                ("conformations", water["positions"] / BOHR, "bohr"),
                ("dft_total_energy", water["energies"] / HARTREE, "hartree"),
                ("dft_total_gradient", -water["forces"] / HARTREE * BOHR, "hartree/bohr"),
            ):
                group[key] = value
                group[key].attrs["units"] = unit

    said = sentence("x.hdf5", hdf5(fill))
    assert "holds 2 molecules" in said and "--molecule" in said and "water" in said
    same(load_bytes("x.hdf5", hdf5(fill), molecule="water"), water)


def test_hdf5_of_ani(water):
    def fill(file):
        group = file.create_group("gdb/gdb-1")
        group["species"] = np.array([b"O", b"H", b"H"])
        group["coordinates"] = water["positions"]
        group["energies"] = water["energies"] / HARTREE
        group["forces"] = water["forces"] / HARTREE

    same(load_bytes("x.h5", hdf5(fill)), water)


def test_cp2k_positions_with_their_file_of_forces(water, tmp_path):
    for name, content in cp2k_files(water).items():
        (tmp_path / name).write_bytes(content)
    same(load(tmp_path / "w-pos-1.xyz"), water)
    said = sentence("w-pos-1.xyz", (tmp_path / "w-pos-1.xyz").read_bytes())
    assert "E, hartree" in said and "no forces" in said


def test_lammps_dumps_are_refused_with_the_reason():
    said = sentence("x.lammpstrj", b"ITEM: TIMESTEP\n0\n")
    assert "no energies" in said
