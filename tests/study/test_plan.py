"""The plan of a study: that of the data and the text its folder has now, and what it takes."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from fisherdash import dataset
from fisherdash.errors import InputError
from fisherdash.study import estimate_of, open_plan, prepare_study, read_progress, read_spec
from fisherdash.study.plan import FAILED, HEADS, TRAINING, member_folder, write_stage
from fisherdash.study.tables import collect
from tests import networks

TEXT = """
[[data]]
name = "d"
file = "d.npz"
valid = 2
test = 4
[[models]]
frames = 5
epochs = 1
[heads.plain]
ridge = 0
"""


def begun(folder: Path, data: dataset.Dataset) -> Path:
    """A study of these data, begun in a folder."""
    dataset.save(data, folder / "d.npz")
    prepare_study(read_spec(TEXT, folder), folder / "study")
    return folder / "study"


def test_a_study_begun_anew_under_the_same_name_has_its_own_data(tmp_path: Path) -> None:
    first, second = networks.water().subset(np.arange(20)), networks.water().subset(np.arange(30))
    study = begun(tmp_path, first)
    assert open_plan(study).frames["d"].whole.fingerprint == first.fingerprint
    shutil.rmtree(study)
    begun(tmp_path, second)
    assert open_plan(study).frames["d"].whole.fingerprint == second.fingerprint


@pytest.mark.parametrize("name", [TRAINING, HEADS])
@pytest.mark.parametrize(
    "content", ["{}", "[]", "5", "[" * 5000, '{"version": 1}', '{"version": 1, "heads": 3}',
                '{"version": 1, "losses": 5, "seconds": 1, "device": ""}', "\x00"],
)  # fmt: skip
def test_a_damaged_stage_is_told_in_a_sentence(tmp_path: Path, name: str, content: str) -> None:
    study = begun(tmp_path, networks.water().subset(np.arange(20)))
    plan = open_plan(study)
    home = member_folder(study, plan.members[0].name)
    home.mkdir(parents=True)
    for one in (TRAINING, HEADS):
        (home / one).write_text('{"version": 1}')
    (home / name).write_text(content)
    for look in (lambda: collect(study, plan), lambda: read_progress(study, plan)):
        with pytest.raises(InputError, match=r"delete|not of version"):
            look()


def test_a_linear_molecule_has_one_more_degree_of_freedom(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rod = np.array([[0.0, 0.0, 0.0], [1.16, 0.0, 0.0], [-1.16, 0.0, 0.0]])
    data = networks.water().subset(np.arange(20))
    bent = dataset.Dataset(
        rod + 0.02 * rng.standard_normal(data.positions.shape), data.energies, data.forces,
        np.array([6, 8, 8]), 300.0,
    )  # fmt: skip
    for number, (one, freedom) in enumerate(((data, 3), (bent, 4))):
        (tmp_path / str(number)).mkdir()
        study = begun(tmp_path / str(number), one)
        plan = open_plan(study)
        write_stage(member_folder(study, plan.members[0].name) / FAILED, {"why": "x"})
        assert list(collect(study, plan).models["degrees_of_freedom"]) == [freedom]


@pytest.mark.parametrize("content", [b"\xff", b"[" * 5000, b"x = " + b"9" * 5000, b"= 3"])
def test_a_specification_that_cannot_be_read_is_told_in_a_sentence(
    tmp_path: Path, content: bytes
) -> None:
    study = begun(tmp_path, networks.water().subset(np.arange(20)))
    (study / "study.toml").write_bytes(content)
    with pytest.raises(InputError, match=r"not TOML|cannot be read"):
        open_plan(study)


SPEC = """
[[data]]
name = "water"
file = "water.npz"
valid = 5
test = 5

[[models]]
frames = 20
seed = {seeds}
epochs = {epochs}
features = 4

[heads.plain]
ridge = 0.1

[dynamics]
replicas = 4
picoseconds = {length}
"""


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    shape = np.array([[0, 0, 0], [0.96, 0, 0], [-0.3, 0.9, 0]])
    positions = shape + 0.02 * rng.normal(size=(40, 3, 3))
    energies, forces = rng.normal(size=40), rng.normal(size=(40, 3, 3))
    dataset.save(
        dataset.Dataset(positions, energies, forces, np.array([8, 1, 1])), tmp_path / "water.npz"
    )
    return tmp_path


def cost(folder, **changed):
    values = {"seeds": "[0]", "epochs": 10, "length": 0.1, **changed}
    return estimate_of(read_spec(SPEC.format(**values), folder))


def test_it_grows_with_models_epochs_and_dynamics(folder):
    one = cost(folder)
    assert one.kind == "study" and one.work > 0 and one.steps == 2 * 4 * 100
    assert cost(folder, seeds="[0, 1, 2]").work == pytest.approx(3 * one.work)
    assert cost(folder, epochs=10**9).seconds > 1e6
    assert cost(folder, length=1e9).seconds > 1e8
    assert 0 < one.disk < cost(folder, seeds="[0, 1, 2]").disk < 1e6


def test_data_that_cannot_be_read_are_refused(folder):
    (folder / "water.npz").write_bytes(b"nothing")
    with pytest.raises(InputError):
        cost(folder)


def test_data_are_read_once_and_again_when_they_change(folder, monkeypatch):
    read, load = [], dataset.load
    monkeypatch.setattr(
        dataset, "load", lambda file, **said: read.append(file) or load(file, **said)
    )
    spec = read_spec(SPEC.format(seeds="[0]", epochs=1, length=0.1), folder)
    estimate_of(spec)
    prepare_study(spec, folder / "begun")
    (copy,) = (folder / "begun" / "data").iterdir()
    assert read == [folder / "water.npz", copy]
    prepare_study(spec, folder / "begun")
    assert len(read) == 2
    whole = load(folder / "water.npz")
    dataset.save(whole.subset(slice(0, 39)), folder / "water.npz")
    with pytest.raises(InputError, match="a study of other frames"):
        prepare_study(spec, folder / "begun")
