"""Training learns, keeps the best, stops when told, resumes exactly; together it is as apart."""

import dataclasses
import itertools
import math
import threading
from pathlib import Path

import jax
import numpy as np
import pytest

from fisherdash.dataset import Dataset
from fisherdash.errors import InputError
from fisherdash.potentials.e3x import ModelConfig
from fisherdash.potentials.evaluate import evaluate
from fisherdash.train import EpochReport, Trainee, TrainSettings, train, train_together
from fisherdash.train.step import (
    advance,
    validate,
)
from tests.randomised import milder, planted_dataset, random_checkpoint

pytestmark = pytest.mark.slow

CONFIG = ModelConfig(features=6, max_degree=1, iterations=1, basis=8, cutoff=3.0)
SETTINGS = TrainSettings(epochs=6, batch_size=4, learning_rate=0.02, schedule="constant", seed=1)


@pytest.fixture(scope="module")
def data() -> tuple[Dataset, Dataset]:
    truth = random_checkpoint()
    frames = planted_dataset(milder(truth), 60)
    return frames.subset(np.arange(44)), frames.subset(np.arange(44, 60))


def run(data: tuple[Dataset, Dataset], **changes) -> list[EpochReport]:
    options = {k: changes.pop(k) for k in ("cancel", "state_file", "resume") if k in changes}
    settings = dataclasses.replace(SETTINGS, **changes)
    return list(train(CONFIG, *data, settings, **options))


@pytest.fixture(scope="module")
def reports(data: tuple[Dataset, Dataset]) -> list[EpochReport]:
    return run(data)


def test_reports_tell_the_story(reports: list[EpochReport]) -> None:
    assert [r.status for r in reports] == ["compiling", *["running"] * 5, "finished"]
    assert [r.epoch for r in reports] == [0, 1, 2, 3, 4, 5, 6]
    assert reports[0].checkpoint is None and reports[1].checkpoint is not None
    assert reports[-1].compile_seconds > 0 and reports[-1].seconds_left == 0
    assert len(reports[-1].history) == 6


def test_a_training_that_learned_nothing_says_so(
    reports: list[EpochReport], data: tuple[Dataset, Dataset]
) -> None:
    last = reports[-1]
    assert last.force_rms == pytest.approx(float(np.sqrt(np.mean(data[1].forces ** 2))))
    errors = last.best_errors | {"valid_force_rmse": 0.99 * last.force_rms}
    idle = dataclasses.replace(last, best_errors=errors)
    assert "hardly learned any forces" in idle.nothing_learned
    errors = last.best_errors | {"valid_force_rmse": 0.5 * last.force_rms}
    assert dataclasses.replace(last, best_errors=errors).nothing_learned == ""
    assert reports[0].nothing_learned == ""


def test_a_training_that_learned_no_energies_says_so(
    reports: list[EpochReport], data: tuple[Dataset, Dataset]
) -> None:
    last = reports[-1]
    spread = np.concatenate([one.energies for one in data]).std()
    assert last.energy_std == pytest.approx(float(spread))
    found = {}
    for share in (0.5, 0.97, 1.5):
        errors = last.best_errors | {"valid_energy_rmse": share * last.energy_std}
        errors["valid_force_rmse"] = 0.5 * last.force_rms
        found[share] = dataclasses.replace(last, best_errors=errors).nothing_learned
    assert found[0.5] == ""
    assert found[0.97].startswith("No energies were learned") and found[1.5].startswith("No ener")


def test_training_learns(reports: list[EpochReport], data: tuple[Dataset, Dataset]) -> None:
    first, last = reports[1], reports[-1]
    assert last.valid_loss < 0.9 * first.valid_loss
    model = last.checkpoint
    assert model is not None
    zero = model.with_head(0 * model.head, model.element_bias, "zero", {})
    assert evaluate(model, data[1]).force_rmse < 0.9 * evaluate(zero, data[1]).force_rmse


def test_the_kept_weights_are_the_best_on_validation(
    reports: list[EpochReport], data: tuple[Dataset, Dataset]
) -> None:
    last = reports[-1]
    losses = [row["valid_loss"] for row in last.history]
    assert last.best_epoch == 1 + int(np.argmin(losses))
    errors = evaluate(last.checkpoint, data[1])
    assert errors.force_rmse == pytest.approx(last.best_errors["valid_force_rmse"], rel=1e-4)
    assert errors.force_mae == pytest.approx(last.best_errors["valid_force_mae"], rel=1e-4)
    assert errors.energy_rmse == pytest.approx(last.best_errors["valid_energy_rmse"], rel=1e-3)
    assert last.checkpoint.provenance["errors"] == last.best_errors


def test_the_same_seed_gives_the_same_weights(
    reports: list[EpochReport], data: tuple[Dataset, Dataset]
) -> None:
    again, other = run(data)[-1], run(data, seed=2)[-1]
    assert again.checkpoint.fingerprint == reports[-1].checkpoint.fingerprint
    assert other.checkpoint.fingerprint != reports[-1].checkpoint.fingerprint


def test_resume_is_exact(
    reports: list[EpochReport], data: tuple[Dataset, Dataset], tmp_path: Path
) -> None:
    state, cancel = tmp_path / "m.training", threading.Event()
    for report in train(CONFIG, *data, SETTINGS, cancel=cancel, state_file=state):
        if report.epoch == 3:
            cancel.set()
    assert report.status == "cancelled" and report.epoch == 3
    assert report.checkpoint is not None and state.exists()
    resumed = run(data, state_file=state, resume=True)
    assert resumed[0].epoch == 3
    assert resumed[-1].checkpoint.fingerprint == reports[-1].checkpoint.fingerprint
    assert resumed[-1].history == reports[-1].history
    assert not state.exists()


def test_resume_refuses_another_training(data: tuple[Dataset, Dataset], tmp_path: Path) -> None:
    state, cancel = tmp_path / "m.training", threading.Event()
    for report in train(CONFIG, *data, SETTINGS, cancel=cancel, state_file=state):
        if report.epoch == 1:
            cancel.set()
    with pytest.raises(InputError, match="cannot resume with another learning_rate"):
        run(data, state_file=state, resume=True, learning_rate=0.1)
    with pytest.raises(InputError, match="no interrupted training"):
        run(data, state_file=tmp_path / "none", resume=True)
    state.write_bytes(b"junk")
    with pytest.raises(InputError, match="does not hold an interrupted training"):
        run(data, state_file=state, resume=True)


def test_divergence_is_said_and_the_best_kept(data: tuple[Dataset, Dataset]) -> None:
    train_set, valid_set = data
    wild = train_set.subset(slice(None))
    # Refused in a file, and sure to make the first steps diverge.
    object.__setattr__(wild, "forces", 1e30 * train_set.forces)
    last = list(train(CONFIG, wild, valid_set, SETTINGS))[-1]
    assert last.status == "diverged"
    if last.checkpoint is not None:
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(last.checkpoint.body))


def test_early_stop(data: tuple[Dataset, Dataset]) -> None:
    last = run(data, epochs=200, patience=2, learning_rate=0.3)[-1]
    assert last.status == "stopped early"
    assert last.epoch == last.best_epoch + 2 < 200


def test_annealing_ends_at_a_hundredth(data: tuple[Dataset, Dataset]) -> None:
    rates = [row["learning_rate"] for row in run(data, schedule="anneal")[-1].history]
    assert rates[:3] == pytest.approx([SETTINGS.learning_rate] * 3)
    assert all(a > b for a, b in itertools.pairwise(rates[3:]))
    assert rates[-1] == pytest.approx(0.01 * SETTINGS.learning_rate)


@pytest.mark.usefixtures("optimised")  # the last step is as small as the rounding
def test_the_average_of_the_weights_is_that_of_its_definition(
    data: tuple[Dataset, Dataset],
) -> None:
    """One step an epoch: the kept weights of plain trainings give the average by hand."""
    steps, keep = 4, 0.7
    settings = {"batch_size": 44, "learning_rate": 1e-3}
    plain = [run(data, epochs=n, **settings)[-1] for n in range(1, steps + 1)]
    assert [report.best_epoch for report in plain] == [1, 2, 3, 4]
    expected = plain[0].checkpoint.head
    for number, report in enumerate(plain[1:], start=2):
        replaced = max(1 - keep, 1 / number)
        expected = expected + replaced * (report.checkpoint.head - expected)
    averaged = run(data, epochs=steps, average=keep, **settings)[-1]
    assert averaged.best_epoch == steps
    np.testing.assert_allclose(averaged.checkpoint.head, expected, rtol=1e-5)
    assert np.abs(expected - plain[-1].checkpoint.head).max() > 1e-3 * np.abs(expected).max()


def test_different_molecules_are_refused(data: tuple[Dataset, Dataset]) -> None:
    water = Dataset(np.eye(3)[None], np.zeros(1), np.zeros((1, 3, 3)), np.array([8, 1, 1]))
    with pytest.raises(InputError, match="one molecule, received C2H6O and H2O"):
        list(train(CONFIG, data[0], water, SETTINGS))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("epochs", 0),
        ("batch_size", 2.5),
        ("learning_rate", 0.0),
        ("learning_rate", math.nan),
        ("forces_weight", -1.0),
        ("schedule", "linear"),
        ("average", 1.0),
        ("average", math.nan),
        ("clip", -1.0),
        ("patience", 0),
    ],
)
def test_bad_settings_are_refused(field: str, value: object) -> None:
    with pytest.raises(InputError, match=f"{field} must .*received"):
        TrainSettings(**{field: value})


SMALLER = ModelConfig(features=4, max_degree=1, iterations=1, basis=4, cutoff=3.0)
SHORTER = TrainSettings(epochs=3, batch_size=5, learning_rate=0.02)


@pytest.fixture(scope="module")
def pool() -> Dataset:
    truth = random_checkpoint()
    return planted_dataset(milder(truth), 60)


def trainees(pool: Dataset, **changes) -> list[Trainee]:
    found = []
    for seed in (0, 1, 2):
        settings = dataclasses.replace(SHORTER, seed=seed, **changes)
        frames = pool.subset(np.arange(10 * seed, 10 * seed + 26))
        pair = frames.subset(np.arange(20)), frames.subset(np.arange(20, 26))
        found.append(Trainee(*pair, settings, f"member {seed}"))
    return found


def apart(trainee: Trainee):
    return list(train(SMALLER, trainee.train_set, trainee.valid_set, trainee.settings))[-1]


@pytest.mark.parametrize("radius", [0.0, 0.1])
def test_members_take_the_steps_they_would_take_alone(pool: Dataset, radius: float) -> None:
    members = trainees(pool, sharpness_radius=radius)
    together = list(train_together(SMALLER, members))[-1]
    for member, report in zip(members[:2], together, strict=False):
        alone = apart(member)
        assert report.best_errors == pytest.approx(alone.best_errors, rel=1e-5)
        np.testing.assert_allclose(report.checkpoint.head, alone.checkpoint.head, rtol=1e-5)
        assert report.best_epoch == alone.best_epoch and report.status == "finished"
        assert report.checkpoint.name == member.name


def test_a_batched_step_is_the_step_of_each(pool: Dataset) -> None:
    """On an accelerator members go through vmap; the same function, tested on this device."""
    members = trainees(pool)
    one = list(train_together(SMALLER, members))[-1]
    backend = jax.default_backend
    try:
        jax.default_backend = lambda: "an accelerator"  # type: ignore[assignment]
        for compiled in (advance, validate):
            compiled.clear_cache()
        batched = list(train_together(SMALLER, members))[-1]
    finally:
        jax.default_backend = backend
        for compiled in (advance, validate):
            compiled.clear_cache()
    for first, second in zip(one, batched, strict=True):
        assert second.valid_loss == pytest.approx(first.valid_loss, rel=1e-3)


def test_members_must_be_of_one_shape(pool: Dataset) -> None:
    members = trainees(pool)
    other = dataclasses.replace(members[1], train_set=members[1].train_set.subset(np.arange(15)))
    with pytest.raises(InputError, match="trained together when"):
        train_together(SMALLER, [members[0], other])


def test_stopping_keeps_what_there_is(pool: Dataset) -> None:
    cancel = threading.Event()
    cancel.set()
    last = list(train_together(SMALLER, trainees(pool), cancel=cancel))[-1]
    assert [report.status for report in last] == ["cancelled"] * 3
    assert all(report.checkpoint is None for report in last)


def test_a_radius_below_zero_is_refused() -> None:
    with pytest.raises(InputError, match="sharpness_radius must be from 0 to 1000000, received -1"):
        TrainSettings(sharpness_radius=-1)
