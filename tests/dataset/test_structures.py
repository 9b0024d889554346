"""Extended XYZ and the other formats that are named: read, or refused with a sentence.

ASE's .traj: what points at the same bytes many times takes no more memory than other files.
"""

import io
import json
import struct
from contextlib import suppress

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write

from fisherdash import dataset
from fisherdash.dataset import load, load_bytes
from fisherdash.errors import InputError
from fisherdash.units import KCAL_PER_MOL

VASPRUN = """<?xml version="1.0" encoding="ISO-8859-1"?>
<modeling>
 <generator><i name="version" type="string">6.4.2</i></generator>
 <kpoints><varray name="kpointlist"><v>0 0 0</v></varray>
  <varray name="weights"><v>1</v></varray></kpoints>
 <atominfo><array name="atoms"><set>
   <rc><c>H </c><c>1</c></rc><rc><c>H </c><c>1</c></rc>
 </set></array></atominfo>
 <structure name="initialpos"><crystal><varray name="basis">
   <v>10 0 0</v><v>0 10 0</v><v>0 0 10</v></varray></crystal>
   <varray name="positions"><v>.5 .5 .5</v><v>.5 .5 .57</v></varray></structure>
 {steps}
</modeling>"""

STEP = """<calculation>
  <scstep><energy><i name="e_fr_energy">{e}</i><i name="e_wo_entrp">{e}</i>
    <i name="e_0_energy">{e0}</i></energy></scstep>
  <structure><crystal><varray name="basis">
    <v>10 0 0</v><v>0 10 0</v><v>0 0 10</v></varray></crystal>
    <varray name="positions"><v>.5 .5 .5</v><v>.5 .5 {z}</v></varray></structure>
  <varray name="forces"><v>0 0 1</v><v>0 0 -1</v></varray>
  <energy><i name="e_fr_energy">{e}</i><i name="e_wo_entrp">{e}</i>
    <i name="e_0_energy">{e0}</i></energy>
 </calculation>"""


@pytest.fixture
def frames(arrays) -> list[Atoms]:
    result = []
    for x, e, f in zip(arrays["positions"], arrays["energies"], arrays["forces"], strict=True):
        atoms = Atoms(numbers=arrays["atomic_numbers"], positions=x)
        atoms.calc = SinglePointCalculator(atoms, energy=e, forces=f)
        result.append(atoms)
    return result


def text(frames, **options) -> bytes:
    stream = io.StringIO()
    write(stream, frames, format="extxyz", **options)
    return stream.getvalue().encode()


def sentence_of(data: bytes, name: str = "x.xyz", **options) -> str:
    with pytest.raises(InputError) as refusal:
        load_bytes(name, data, **options)
    assert "\n" not in str(refusal.value)
    return str(refusal.value)


def test_extended_xyz(frames, arrays, tmp_path):
    (tmp_path / "x@2.xyz").write_bytes(text(frames))  # ASE would take @2 for a frame
    data = load(tmp_path / "x@2.xyz")
    np.testing.assert_allclose(data.positions, arrays["positions"], atol=1e-7)
    np.testing.assert_allclose(data.forces, arrays["forces"], atol=1e-7)
    np.testing.assert_allclose(data.energies, arrays["energies"])
    assert data.notes[0].startswith("Units inferred: eV, because the mean")


def test_extended_xyz_in_other_units(frames, arrays):
    for atoms in frames:
        results = atoms.calc.results
        atoms.calc = SinglePointCalculator(
            atoms,
            energy=results["energy"] / KCAL_PER_MOL,
            forces=results["forces"] / KCAL_PER_MOL,
        )
    inferred = load_bytes("x.xyz", text(frames))
    np.testing.assert_allclose(inferred.energies, arrays["energies"])
    assert "kcal/mol, because the mean energy" in inferred.notes[0]
    given = load_bytes("x.xyz", text(frames), units="kcal/mol")
    np.testing.assert_allclose(given.forces, inferred.forces)


def test_labels_under_other_names(frames, arrays):
    plain = []
    for atoms in frames:
        copy = atoms.copy()
        copy.info["REF_energy"] = atoms.calc.results["energy"]
        copy.arrays["REF_forces"] = atoms.calc.results["forces"]
        plain.append(copy)
    said = sentence_of(text(plain))
    assert "--energy-key REF_energy --forces-key REF_forces (or --labels REF)" in said
    data = load_bytes("x.xyz", text(plain), labels="REF")
    np.testing.assert_allclose(data.energies, arrays["energies"])
    np.testing.assert_allclose(data.forces, arrays["forces"], atol=1e-7)


def test_upper_case_and_singular_names(frames, arrays):
    data = text(frames).replace(b" energy=", b" Energy=").replace(b":forces:", b":force:")
    np.testing.assert_allclose(load_bytes("x.xyz", data).energies, arrays["energies"])


def test_labels_missing_in_one_frame(frames):
    frames[3].calc = SinglePointCalculator(frames[3], energy=-2080.0)
    data = load_bytes("x.xyz", text(frames))
    assert len(data) == 5
    assert data.left_out == ("1 of 6 frames without forces, the first is frame 3.",)


def test_plain_xyz_has_no_labels():
    said = sentence_of(b"2\n\nH 0 0 0\nH 0 0 0.74\n")
    assert (
        said
        == "x.xyz has no energy and no forces in frame 0; every frame needs an energy and forces."
    )


def test_different_molecules(frames):
    frames[2].numbers[0] = 16
    assert "frames of different molecules: frame 0 is H2O, frame 2 is H2S" in sentence_of(
        text(frames)
    )
    frames[2].numbers[:] = [1, 8, 1]
    assert "lists the atoms of frame 2 in another order" in sentence_of(text(frames))
    frames[2] = frames[2][:2]
    frames[2].calc = SinglePointCalculator(frames[2], energy=-1.0, forces=np.zeros((2, 3)))
    assert "frame 2 is HO" in sentence_of(text(frames))


def test_unknown_element(frames):
    said = sentence_of(text(frames).replace(b"\nO ", b"\nQq ", 1))
    assert "x.xyz names an unknown element 'Qq' in frame 0" in said
    assert "the atomic number 0" in sentence_of(text(frames).replace(b"\nO ", b"\nX "))


def test_not_finite(frames):
    data = load_bytes("x.xyz", text(frames).replace(b" energy=-", b" energy=nan junk=", 1))
    assert data.left_out == ("1 of 6 frames without an energy, the first is frame 0.",)
    frames[1].calc.results["forces"][2, 1] = np.inf
    assert "forces holds NaN or infinite values in 1 of 6 frames, the first is frame 1" in (
        sentence_of(text(frames))
    )


def test_cut_short_and_blank_lines(frames):
    whole = text(frames)
    lines = whole.splitlines(keepends=True)
    said = sentence_of(b"".join(lines[:-1]))
    assert said == "x.xyz ends inside frame 5: 3 atoms are announced, 2 lines follow."
    assert len(load_bytes("x.xyz", b"".join([*lines[:5], b"\n", *lines[5:]]))) == 6
    said = sentence_of(b"".join([*lines[:4], b"\n", *lines[4:]]))
    assert "different numbers of columns in frame 0: 0, 7" in said
    assert len(load_bytes("x.xyz", whole + b"\n\n")) == 6
    assert len(load_bytes("x.xyz", whole.replace(b"\n", b"\r\n"))) == 6


def test_absurd_counts_are_refused_at_once():
    assert "line 1 should be the number" in sentence_of(b"99999999999999999999\n\nH 0 0 0\n")
    assert "A molecule of 999999999 atoms" in sentence_of(b"999999999\n\nH 0 0 0\n")
    head = b'1\nProperties=species:S:1:pos:R:3:a:R:100000000000 energy="1"\nH 0 0 0\n'
    assert "100000000000 columns for one property" in sentence_of(head)


@pytest.mark.parametrize(
    "line", [b"H 0 0", b"H 0 0 zero", b"", b"H"], ids=["short", "word", "blank", "symbol"]
)
def test_unreadable_atoms(line):
    sentence_of(b"2\nenergy=1 Properties=species:S:1:pos:R:3\nH 0 0 0.74\n" + line + b"\n1\n")
    sentence_of(b"2\nenergy=1 Properties=species:S:1:pos:R:3\nH 0 0 0.74\n" + line + b"\n")


def test_binary_text():
    assert "should be the number of atoms" in sentence_of(b"\xff\xfe\x00\x01")
    assert "is not a text file" in sentence_of(b"2\n\0\nH 0 0 0\nH 0 0 1\n")


def test_a_molecule_in_a_box_is_whole_or_refused(frames):
    for atoms in frames:
        atoms.set_cell([20.0, 20, 20])
        atoms.pbc = True
    data = load_bytes("x.xyz", text(frames))
    assert "The frames are marked periodic; the cell is ignored" in data.notes[-1]
    frames[4].positions[1, 2] += 20.0
    mended = load_bytes("x.xyz", text(frames))
    np.testing.assert_allclose(mended.positions, data.positions, atol=1e-6)
    assert "in 1 of 6 frames and was made whole" in mended.notes[-1]


def test_ase_trajectory(frames, arrays, tmp_path):
    write(tmp_path / "x.traj", frames)
    data = load(tmp_path / "x.traj", format="traj")
    for key in ("positions", "energies", "forces"):
        np.testing.assert_array_equal(getattr(data, key), arrays[key])
    np.testing.assert_array_equal(load(tmp_path / "x.traj").forces, data.forces)
    with pytest.raises(InputError, match=r"is read in eV .*; received the unit kcal/mol"):
        load(tmp_path / "x.traj", format="traj", units="kcal/mol")


def test_hostile_trajectories(frames, tmp_path):
    write(tmp_path / "x.traj", frames)
    whole = (tmp_path / "x.traj").read_bytes()
    options = {"name": "x", "format": "traj"}
    assert "is not an ASE trajectory" in sentence_of(b"- of Ulm" + bytes(200), **options)
    assert "cut short" in sentence_of(whole[:-40], **options)
    assert "cut short" in sentence_of(whole[:32] + struct.pack("<q", 2**50) + whole[40:], **options)
    for old, new in ((b"float64", b"object0"), (b"[3, 3]", b"[9, 9]"), (b"[3, 3]", b"[-3,3]")):
        sentence_of(whole.replace(old, new), **options)
    random = np.random.default_rng(1)
    for _ in range(100):
        data = bytearray(whole)
        for place in random.integers(0, len(data), size=3):
            data[place] = random.integers(0, 256)
        with suppress(InputError):
            load_bytes("x", bytes(data), format="traj")


def test_vasprun():
    """Forces are the gradient of the free energy, so that is the energy taken."""
    steps = "".join(STEP.format(e=e, e0=e + 0.5, z=z) for e, z in ((-6.7, 0.57), (-6.8, 0.575)))
    data = load_bytes("vasprun.xml", VASPRUN.format(steps=steps).encode(), format="vasp-xml")
    np.testing.assert_allclose(data.energies, [-6.7, -6.8])
    np.testing.assert_allclose(data.forces[1], [[0, 0, 1], [0, 0, -1]])
    np.testing.assert_allclose(data.positions[1, 1], [5, 5, 5.75])
    assert data.formula == "H2"


@pytest.mark.parametrize(
    "format",
    ["vasp-xml", "vasp-out", "espresso-out", "gpaw-out", "nwchem-out",
     "orca-output", "gaussian-out", "castep-castep"],
)  # fmt: skip
@pytest.mark.parametrize("content", [b"nonsense\n" * 30, b"<a>", b"\n"])
def test_other_formats_refuse_nonsense(format, content):
    sentence_of(content, name="out", format=format)


def crafted(items: list[bytes], arrays: bytes, offsets: list[int] | None = None) -> bytes:
    """A .traj of these JSON texts; ``offsets`` are numbers of items, each of them unless given."""
    count = len(items) if offsets is None else len(offsets)
    place = 48 + 8 * count + len(arrays)
    where, body = [], b""
    for item in items:
        where.append(place + len(body))
        body += struct.pack("<q", len(item)) + item
    named = where if offsets is None else [where[number] for number in offsets]
    head = b"- of Ulm" + b"ASE-Trajectory".ljust(16) + struct.pack("<qqq", 3, count, 48)
    return head + struct.pack(f"<{count}q", *named) + arrays + body


def frame(count: int, atoms: int) -> tuple[bytes, bytes]:
    """A frame whose arrays stand before the texts of ``count`` frames, and the arrays."""
    base = 48 + 8 * count
    places = np.stack(np.meshgrid(*[np.arange(10.0)] * 3), -1).reshape(-1, 3)[:atoms]
    pointer = {"ndarray": [[atoms, 3], "float64", base + 8 * atoms]}
    text = {
        "numbers.": {"ndarray": [[atoms], "int64", base]},
        "positions.": pointer,
        "calculator.": {"energy": -2079.9, "forces.": pointer},
    }
    arrays = np.ones(atoms, "<i8").tobytes() + np.ascontiguousarray(places).tobytes()
    return json.dumps(text).encode(), arrays


def test_a_file_that_names_one_frame_20_000_times_is_refused():
    """156 kB whose offsets name one frame again and again once took 2.9 GB."""
    text, arrays = frame(20_000, 1000)
    with pytest.raises(InputError, match="it names one frame several times"):
        dataset.load_bytes("x.traj", crafted([text], arrays, [0] * 20_000))


@pytest.mark.slow
def test_frames_that_share_their_arrays_are_bounded_by_the_size_of_the_file():
    text, arrays = frame(20_000, 1000)
    data = crafted([text] * 20_000, arrays)
    assert len(data) < 6e6
    with pytest.raises(InputError, match=r"more than \d+ MiB of memory"):
        dataset.load_bytes("x.traj", data)


def test_what_ase_writes_is_read(tmp_path):
    frames, rng = [], np.random.default_rng(0)
    for number in range(200):
        atoms = molecule("CH3CH2OH")
        atoms.positions += 0.02 * rng.normal(size=(9, 3))
        forces = rng.normal(size=(9, 3))
        atoms.calc = SinglePointCalculator(atoms, energy=-100.0 + 0.1 * number, forces=forces)
        frames.append(atoms)
    stream = io.BytesIO()
    write(stream, frames, format="traj")
    found = dataset.load_bytes("x.traj", stream.getvalue(), units="eV", force_units="eV/Å")
    assert len(found) == 200
