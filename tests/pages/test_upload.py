"""A file on the Data page: kept at once, or shown first with what speaks against it."""

import gzip

import numpy as np
import pytest

from fisherdash import dataset
from fisherdash.workspace import paths
from tests.dataset.outputs import outcar
from tests.dataset.people import npz, springs, xyz
from tests.fuzz.seeds import archive, database, hdf5
from tests.pages.test_pages import metrics, submit, texts

DFT = "Properties=species:S:1:pos:R:3:forces_dft:R:3:forces_xtb:R:3 "


@pytest.fixture
def page(open_page):
    app = open_page("data")
    app.segmented_control(key="add data").set_value("Load a file").run()
    return app


def choose(app, name, content):
    app.file_uploader(key="upload").upload(name, content).run()
    assert not app.exception, app.exception


def kept() -> list[str]:
    return sorted(path.name for path in paths.folder("datasets").glob("[!.]*.npz"))


def two_sets() -> bytes:
    """Frames with two sets of labels, of which neither has a usual name."""
    water = springs()
    lines = xyz(water, head=DFT, comment="dft_energy={e:.9f} xtb_energy=-1.0").decode().splitlines()
    return "\n".join(
        f"{line} {' '.join(line.split()[4:])}" if len(line.split()) == 7 else line for line in lines
    ).encode()


def test_a_file_that_nothing_speaks_against_is_kept_at_once(page):
    choose(page, "water.xyz", xyz(springs()))
    assert not page.error and not page.warning
    assert metrics(page)["Frames"] == "60" and "Units inferred" in texts(page)
    assert kept() == ["water.npz"]
    submit(page, "Load")  # it is there already
    assert kept() == ["water.npz"] and page.selectbox(key="data").value == "water"
    assert "before it is kept" not in texts(page)
    (paths.folder("datasets") / "water.npz").unlink()
    submit(page, "Load")
    assert len(kept()) == 1  # under another name: that of a file that went is not taken again


def test_gradients_are_a_warning_that_a_switch_takes_away(page):
    choose(page, "water.xyz", xyz(springs(), (1, -1, 1)))
    assert len(page.warning) == 1
    assert "gradients, not forces" in page.warning[0].value
    assert "“Forces are gradients”" in page.warning[0].value and "--" not in page.warning[0].value
    page.toggle(key="upload gradients").set_value(True).run()
    assert not page.warning and kept() == []
    submit(page, "Load")
    np.testing.assert_allclose(dataset.load(paths.folder("datasets") / "water.npz").forces,
                               springs()["forces"], atol=1e-6)  # fmt: skip


def test_keys_are_chosen_from_what_the_file_has(page):
    choose(page, "two.xyz", two_sets())
    assert len(page.error) == 1 and "Key of the energies" in page.error[0].value
    energies, forces = (page.selectbox(key=f"upload {one}_key") for one in ("energy", "forces"))
    assert energies.options == ["dft_energy", "xtb_energy"]
    assert forces.options == ["forces_dft", "forces_xtb"]
    energies.set_value("dft_energy").run()
    page.selectbox(key="upload forces_key").set_value("forces_dft").run()
    assert not page.error and metrics(page)["Frames"] == "60"
    # Another file has other keys, and what was chosen is forgotten.
    water = springs()
    content = npz(R=water["positions"], E=water["energies"], F=water["forces"], z=[8, 1, 1],
                  old_E=water["energies"], old_F=water["forces"])  # fmt: skip
    choose(page, "old.npz", content)
    assert not page.error and page.selectbox(key="upload energy_key").value is None
    assert page.selectbox(key="upload energy_key").options == ["E", "old_E"]
    assert page.selectbox(key="upload forces_key").options == ["F", "old_F"]
    assert kept() == [] and "before it is kept" in texts(page)
    submit(page, "Load")
    assert kept() == ["old.npz"]


def test_units_are_asked_for_in_the_words_of_the_page(page):
    from tests.dataset.test_dataset import PER_BOHR

    choose(page, "few.xyz", xyz(springs(), PER_BOHR, frames=2))
    assert "say which with “Unit of force” hartree/bohr" in page.error[0].value
    submit(page, "Load")
    assert kept() == [] and len(page.error) == 1
    page.selectbox(key="upload force_units").set_value("hartree/bohr").run()
    assert not page.error and metrics(page)["Frames"] == "2"


def middle() -> dict[str, np.ndarray]:
    water = springs()
    return {**water, "positions": water["positions"] + 5.0}


FILES = {
    "water.xyz.gz": lambda: gzip.compress(xyz(springs())),
    "water.zip": lambda: archive({"w/water.xyz": xyz(springs())}),
    "OUTCAR": lambda: outcar(middle()).encode(),
    "job.spout": lambda: outcar(middle()).encode(),
    "water.db": lambda: database(True),
    "no ending": lambda: xyz(springs()),
}


@pytest.mark.parametrize("name", FILES)
def test_any_name_is_taken(page, name):
    choose(page, name, FILES[name]())
    assert not page.error and metrics(page)["Molecule"] == "H2O"
    submit(page, "Load")
    assert len(kept()) == 1


def test_one_molecule_of_several_is_chosen(page):
    water = springs()
    group = {"R": water["positions"], "E": water["energies"], "F": water["forces"], "z": [8, 1, 1]}
    choose(page, "two.h5", hdf5({"a": group, "b": group}))
    assert "“Molecule”" in page.error[0].value
    assert page.selectbox(key="upload molecule").options == ["a", "b"]
    page.selectbox(key="upload molecule").set_value("b").run()
    assert not page.error and metrics(page)["Frames"] == "60"


def test_a_format_that_is_named_is_obeyed(page):
    choose(page, "frames.dat", b"nothing known")
    assert "unknown suffix" in page.error[0].value
    page.selectbox(key="upload format").set_value("orca-output").run()
    assert "is not an output of ORCA" in page.error[0].value


def test_frames_that_were_left_out_are_told_as_warnings(page):
    atom = b"1\nProperties=species:S:1:pos:R:3:forces:R:3 energy=-13.5\nH 0 0 0 0 0 0\n"
    choose(page, "atoms.xyz", atom + xyz(springs()))
    assert "Left out: 1 of 61 frames of a single atom" in page.warning[0].value


def test_without_a_file_the_button_says_so(page):
    submit(page, "Load")
    assert "Choose a file first." in page.error[0].value
