"""Trainings go on exactly: alone, side by side, and from the file of the version before."""

import dataclasses
import json
import shutil
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from fisherdash import dataset
from fisherdash.potentials.e3x import ModelConfig
from fisherdash.train import Trainee, TrainSettings, train, train_together

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
BEFORE = Path(__file__).parent / "interrupted_0_1_0.npz"
"""State of a training that version 0.1.0 was told to stop after two of its four epochs."""

CONFIG = ModelConfig(features=4, max_degree=1, iterations=1, basis=4, cutoff=3.0)
SETTINGS = TrainSettings(
    epochs=4, batch_size=5, learning_rate=0.02, average=0.9, clip=2.0, seed=3
)  # fmt: skip
LOSSES = [0.46625235460218767, 0.4673201478624, 0.46835434124332737, 0.46882250147425186]
"""On the validation frames after each epoch, by version 0.1.0 without a stop."""


@pytest.fixture(scope="module")
def data() -> dataset.Dataset:
    return dataset.load(ROOT / "sample_models" / "ethanol_500K.npz").subset(np.arange(40))


def trainee(data: dataset.Dataset, first: int = 0, **changes) -> Trainee:
    options = {k: changes.pop(k) for k in ("state_file", "name") if k in changes}
    sets = (
        data.subset(np.arange(a, b)) for a, b in ((first, first + 20), (first + 20, first + 30))
    )
    return Trainee(*sets, dataclasses.replace(SETTINGS, **changes), **options)


def test_a_training_of_the_version_before_goes_on(data, tmp_path: Path) -> None:
    state = shutil.copy(BEFORE, tmp_path / "state.npz")
    one = trainee(data)
    sets = one.train_set, one.valid_set
    found = list(train(CONFIG, *sets, one.settings, state_file=state, resume=True))
    assert [report.epoch for report in found] == [2, 3, 4]
    with np.load(BEFORE) as file:
        header = json.loads(str(file["header"]))
    assert list(found[0].history) == header["history"]
    assert [row["valid_loss"] for row in found[-1].history] == pytest.approx(LOSSES, rel=1e-6)
    assert found[-1].status == "finished" and not state.exists()


def test_members_go_on_exactly_from_their_own_files(data, tmp_path: Path) -> None:
    """One of them had stopped by itself before all were told to stop."""
    cancel, changes = threading.Event(), ({"seed": 0}, {"seed": 1, "patience": 1}, {"seed": 2})
    members = [
        trainee(data, 5 * i, epochs=6, state_file=tmp_path / f"{i}.npz", name=f"m{i}", **change)
        for i, change in enumerate(changes)
    ]
    whole = list(train_together(CONFIG, members))[-1]
    assert not list(tmp_path.iterdir())
    for reports in train_together(CONFIG, members, cancel=cancel, report_seconds=0):
        if reports[0].epoch == 3:
            cancel.set()
    assert [report.status for report in reports] == ["cancelled", "stopped early", "cancelled"]
    rest = list(train_together(CONFIG, members, resume=True))[-1]
    for one, two in zip(whole, rest, strict=True):
        assert one.history == two.history and one.status == two.status
        assert one.checkpoint.fingerprint == two.checkpoint.fingerprint


def test_one_member_is_a_training_alone(data) -> None:
    one = trainee(data, name="alone")
    (together,) = list(train_together(CONFIG, [one]))[-1]
    alone = list(train(CONFIG, one.train_set, one.valid_set, one.settings, name="alone"))[-1]
    assert together.history == alone.history and together.force_rms == alone.force_rms
    assert together.checkpoint.fingerprint == alone.checkpoint.fingerprint


def test_a_stop_does_not_wait_for_the_end_of_an_epoch(data) -> None:
    """Batches of one frame, many epochs in one: the best of the epochs before is kept."""
    many = data.subset(np.tile(np.arange(20), 20_000))
    cancel = threading.Event()
    settings = dataclasses.replace(SETTINGS, batch_size=1)
    reports = train(CONFIG, many, data.subset(np.arange(20, 30)), settings, cancel=cancel)
    next(reports)
    threading.Timer(3.0, cancel.set).start()
    started = time.perf_counter()
    (last,) = reports
    assert last.status == "cancelled" and last.epoch == 0 and last.checkpoint is None
    assert time.perf_counter() - started < 3.0 + last.compile_seconds + 3.0
