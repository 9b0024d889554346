"""What a study will take, and how often its data are read."""

import numpy as np
import pytest

from fisherdash import dataset
from fisherdash.errors import InputError
from fisherdash.study import estimate_of, prepare_study, read_spec

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
