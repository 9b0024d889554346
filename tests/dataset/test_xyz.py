"""Outputs of every program: read, known by what they write first, and read as far as they got."""

import tracemalloc

import numpy as np
import pytest

from fisherdash import dataset
from fisherdash.dataset import FORMATS, load_bytes
from fisherdash.units import BOHR, HARTREE
from tests.dataset.outputs import OUTPUTS, castep, orca, outcar
from tests.dataset.people import same, sentence, xyz

ONE_FRAME = ("espresso-out", "gpaw-out")


@pytest.fixture
def frames(water) -> dict[str, np.ndarray]:
    """Three frames in the middle of the cell."""
    few = {key: water[key][:3] for key in ("positions", "energies", "forces")}
    return {**few, "positions": few["positions"] + 5.0, "atomic_numbers": water["atomic_numbers"]}


@pytest.mark.parametrize("form", OUTPUTS)
def test_outputs_are_read(frames, form):
    content = OUTPUTS[form](frames).encode()
    for named in (form, None):  # without a name by its first lines
        data = load_bytes("job.log", content, format=named)
        count = 1 if form in ONE_FRAME else 3
        assert len(data) == count and data.warnings == data.left_out == ()
        np.testing.assert_allclose(data.positions, frames["positions"][:count], atol=1e-7)
        np.testing.assert_allclose(data.forces, frames["forces"][:count], atol=1e-6)
        tolerance = 2e-4 if form == "espresso-out" else 1e-8  # ASE has rydbergs of 2006
        np.testing.assert_allclose(data.energies, frames["energies"][:count], atol=tolerance)


def test_every_program_that_is_offered_has_its_output_and_its_word_in_the_guide(root):
    others = {"extxyz", "traj", "db", "hdf5", "deepmd"}
    assert set(OUTPUTS) == set(FORMATS) - others
    guide = (root / "docs" / "data.md").read_text(encoding="utf-8")
    assert [form for form in OUTPUTS if form not in guide] == []


@pytest.mark.parametrize("share", [0.62, 0.8, 0.97])
@pytest.mark.parametrize("form", sorted(set(OUTPUTS) - set(ONE_FRAME)))
def test_a_run_that_was_stopped_gives_the_frames_that_are_complete(frames, form, share):
    content = OUTPUTS[form](frames)
    for cut in range(7):  # in the middle of a number, too
        part = content[: int(share * len(content)) - cut]
        data = load_bytes("x", part.encode(), format=form)
        assert 1 <= len(data) <= 3
        np.testing.assert_allclose(data.forces, frames["forces"][: len(data)], atol=1e-6)
        np.testing.assert_allclose(data.positions, frames["positions"][: len(data)], atol=1e-7)


def test_orca_with_a_last_step_without_gradient(frames):
    text = orca(frames)
    data = load_bytes("x.out", text[: text.rindex("CARTESIAN GRADIENT")].encode())
    same(data, frames, slice(2))
    assert data.left_out == ("1 of 3 frames without forces, the first is frame 2.",)


def test_vasp_takes_no_forces_of_its_learned_field(frames):
    text = outcar(frames)
    table = text[text.index(" POSITION") : text.index("  FREE")]
    learned = table.replace("(eV/Angst)", "(eV/Angst) (ML)")
    same(load_bytes("OUTCAR", text.replace(table, learned + table, 1).encode()), frames)
    old = text.replace(
        "   VRHFIN =O: s2p4\n   VRHFIN =H: s2p4\n",
        " POTCAR:    PAW_PBE O 08Apr2002\n POTCAR:    PAW_PBE H 15Jun2001\n" * 2,
    )
    same(load_bytes("OUTCAR", old.encode()), frames)  # fmt: skip


def test_vasp_far_from_rest_is_told_quietly(frames):
    one = {key: value[:1] for key, value in frames.items() if key != "atomic_numbers"}
    one = {**one, "forces": one["forces"] * 6, "atomic_numbers": frames["atomic_numbers"]}
    data = load_bytes("OUTCAR", outcar(one).encode())
    assert data.warnings == () and any("far from any" in note for note in data.notes)
    many = {key: np.repeat(one[key], 12, axis=0) for key in ("positions", "energies", "forces")}
    data = load_bytes("OUTCAR", outcar({**one, **many}).encode())
    assert any("the unit is wrong" in one for one in data.warnings)


def test_lines_without_end_cost_nothing(frames):
    text = castep(frames).replace("*" * 84, "*" * 20_000)
    load_bytes("x.castep", text.encode(), format="castep-castep")


@pytest.mark.parametrize("form", ["orca-output", "castep-castep"])
def test_lines_of_nothing_are_refused(form):
    said = sentence("x", b"\n" * 2_000_000, format=form)
    assert "lines of hardly any characters" in said


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("900000\nx\n" + "\n" * 900_000, "at most 1000 are read"),
        ("2\nx\n" + "C 0 0 0" + " 1" * 400_000 + "\nC 0 0 1\n", "a line of 800,007 characters"),
        ("2\n" + "x" * 2_000_000 + "\n", "0 lines follow"),
    ],
)
def test_xyz_takes_little_more_memory_than_its_text(text, words):
    tracemalloc.start()
    try:
        assert words in sentence("x.xyz", text.encode())
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert most < 6 * len(text)


def test_a_text_has_a_bounded_number_of_frames(water, monkeypatch):
    monkeypatch.setattr(dataset.xyz, "_MOST_FRAMES", 2)
    assert len(load_bytes("x.xyz", xyz(water, frames=2))) == 2
    assert "more than 2 frames" in sentence("x.xyz", xyz(water, frames=3))


@pytest.mark.parametrize("end", [b"\r\n", b"\r"], ids=["windows", "old mac"])
def test_lines_may_end_as_on_other_systems(water, end):
    text = xyz(water)
    same(load_bytes("x.xyz", text.replace(b"\n", end)), water)


def test_gaussian_in_two_frames_of_reference_is_refused():
    text = b" Standard orientation:\n Forces (Hartrees/Bohr)\n"
    said = sentence("x.log", text, format="gaussian-out")
    assert "geom=printinputorient" in said


def test_orca_of_a_molecule_far_too_short():
    geometry = "CARTESIAN COORDINATES (ANGSTROEM)\n-----\n  C   0.0 0.0 0.0\n  O   0.0 0.0 0.5\n\n"
    text = (
        geometry + "FINAL SINGLE POINT ENERGY      -107.788993249745\n\nCARTESIAN GRADIENT\n---\n\n"
    )
    text += "   1   C   :   0.0   0.0   19.533143589\n   2   O   :   0.0   0.0  -19.533143589\n\n"
    data = load_bytes("orca.out", text.encode(), format="orca-output")
    np.testing.assert_allclose(data.energies, [-107.788993249745 * HARTREE])
    np.testing.assert_allclose(data.forces[0, 0, 2], -19.533143589 * HARTREE / BOHR)
    assert data.warnings == ()
