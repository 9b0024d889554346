"""Training learns, keeps the best, stops when told, and resumes exactly."""

import dataclasses
import itertools
import math
import threading
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fisherdash.dataset import Dataset
from fisherdash.errors import InputError
from fisherdash.potentials.e3x import ModelConfig
from fisherdash.potentials.evaluate import evaluate
from fisherdash.train import EpochReport, TrainSettings, train
from fisherdash.train.step import Rate, _limited
from tests.randomised import planted_dataset, random_checkpoint

CONFIG = ModelConfig(features=6, max_degree=1, iterations=1, basis=8, cutoff=3.0)
SETTINGS = TrainSettings(epochs=6, batch_size=4, learning_rate=0.02, schedule="constant", seed=1)


@pytest.fixture(scope="module")
def data() -> tuple[Dataset, Dataset]:
    truth = random_checkpoint()
    milder = truth.with_head(0.1 * truth.head, truth.element_bias, "milder", {})
    frames = planted_dataset(milder, 60)
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
    wild = Dataset(
        train_set.positions,
        train_set.energies,
        1e30 * train_set.forces,
        train_set.atomic_numbers,
    )
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


def test_a_cosine_climbs_first_and_ends_at_a_thousandth() -> None:
    rate = Rate.of("cosine", 0.02, 1000)
    rates = np.array([float(rate.at(jnp.asarray(step))) for step in range(1001)])
    np.testing.assert_allclose(rates[:10], 0.002 * np.arange(1, 11), rtol=1e-12)
    assert (np.diff(rates[10:]) < 0).all()
    assert rates[505] == pytest.approx(0.5 * (1 + 0.001) * 0.02, rel=1e-9)  # halfway down
    assert rates[1000] == pytest.approx(0.001 * 0.02)


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


def test_a_gradient_is_limited_to_its_usual_length_times_a_factor() -> None:
    gradient = {"a": jnp.array([3.0, 0.0]), "b": jnp.array(4.0)}  # of length 5
    same, norm = _limited(gradient, jnp.asarray(2.0), jnp.asarray(3.0))
    assert float(norm) == pytest.approx(2.0 + 0.01 * 3.0)
    np.testing.assert_array_equal(same["a"], gradient["a"])
    short, norm = _limited(gradient, jnp.asarray(2.0), jnp.asarray(1.5))
    np.testing.assert_allclose(short["a"], [1.8, 0.0])
    np.testing.assert_allclose(short["b"], 2.4)
    assert float(norm) == pytest.approx(2.0 + 0.01 * 1.0)
    first, norm = _limited(gradient, jnp.asarray(0.0), jnp.asarray(1.5))
    assert float(norm) == 5.0 and float(first["b"]) == 4.0
    free, _ = _limited(gradient, jnp.asarray(0.1), jnp.asarray(0.0))
    assert float(free["b"]) == 4.0


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
