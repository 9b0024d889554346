"""Structure and vibrations on the Drift page: each part shows the run's own numbers."""

import numpy as np
import pytest

from fisherdash import dataset
from fisherdash.analysis.structure import spectra
from fisherdash.recordings import last_velocities
from fisherdash.workspace import RunHeader, RunWriter, open_run, paths
from tests.pages.conftest import settled
from tests.workspace.recorded import SETTINGS, chunk

NUMBERS = (8, 1, 1, 6)


@pytest.fixture
def data():
    """Frames of the molecule of the short run, in the workspace."""
    rng = np.random.default_rng(0)
    positions = np.array([[0, 0, 0], [0.96, 0, 0], [-0.3, 0.9, 0], [0, 0, 1.4]])
    made = dataset.Dataset(
        positions + 0.02 * rng.normal(size=(30, 4, 3)),
        rng.normal(size=30),
        rng.normal(size=(30, 4, 3)),
        np.array(NUMBERS),
    )
    dataset.save(made, paths.folder("datasets") / "frames.npz")
    return made


def choose(app, part):
    app.segmented_control(key="structure part").set_value(part).run()
    return settled(app)


def test_bonds_and_angles_are_held_against_the_data(open_page, short_run, data):
    app = choose(open_page("drift", part="Structure"), "Bonds and angles")
    table = next(one.value for one in app.dataframe if "kind" in one.value.columns)
    assert table["kind"].tolist() == ["O–H (Å)", "H–O–H (°)"]
    lengths = np.linalg.norm(data.positions[:, 1:3] - data.positions[:, :1], axis=-1)
    assert table["data"][0] == f"{lengths.mean():.3f} ± {lengths.std():.3f}"
    assert table["Fisher head: away from data"][0] > table["halves of the data: apart"][0]


def test_a_spectrum_of_too_few_frames_is_one_sentence(open_page, short_run):
    app = choose(open_page("drift", part="Structure"), "Vibrations")
    assert len(app.error) == 1 and "at least 16" in app.error[0].value
    assert app.selectbox(key="run").value == "short"


def test_a_spectrum_of_frames_too_far_apart_is_shown_with_a_warning(open_page, data):
    settings = {**SETTINGS, "steps": 400, "record_every": 10}
    header = RunHeader(
        title="coarse",
        names=("one", "two"),
        roles=("default", "fisher"),
        atomic_numbers=NUMBERS,
        settings=settings,
    )
    folder = paths.folder("runs") / "coarse"
    writer, part = RunWriter(folder, header), chunk(0, frames=41)
    part.times = 5.0 * np.arange(41)
    part.step = 400
    writer.append(part)
    writer.finish("finished")
    app = choose(open_page("drift", part="Structure"), "Vibrations")
    assert not app.error
    assert "record every 8 steps" in app.warning[0].value
    velocities, spacing = last_velocities(open_run(folder))
    found = spectra(velocities, np.array(header.masses), spacing)
    table = next(one.value for one in app.dataframe if "ν (cm⁻¹)" in one.value.columns)
    assert table["two (10⁻³ cm)"].to_numpy() == pytest.approx(1e3 * found.heads["two"])
