"""Sharpness and surfaces against what they must be: known quadratics, derivatives, invariances."""

import dataclasses
import json
import threading

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from fisherdash import dataset, fisher
from fisherdash.__main__ import main
from fisherdash.dataset import Dataset
from fisherdash.errors import InputError
from fisherdash.landscape import (
    Objective,
    directions,
    evenly,
    moved,
    norm,
    save,
    sharpness,
    surface,
    survey,
)
from fisherdash.monitor import Monitor
from fisherdash.potentials import checkpoint
from fisherdash.potentials.checkpoint import Checkpoint
from fisherdash.settings import LandscapeSettings
from fisherdash.train.step import Frames, validate
from fisherdash.units import KCAL_PER_MOL
from tests.networks import checkpoint as water_model
from tests.networks import water
from tests.randomised import planted_dataset, random_checkpoint

pytestmark = pytest.mark.slow

WEIGHT = 0.7
EXACT = {"forces_weight": WEIGHT, "precision": "float64"}


@pytest.fixture(scope="module")
def data() -> Dataset:
    """Forty frames of a truth, so that the last block of frames is not full."""
    return planted_dataset(random_checkpoint(seed=3), 40)


@pytest.fixture(scope="module")
def model() -> Checkpoint:
    """A network that is not the truth."""
    return random_checkpoint(seed=0)


@pytest.fixture(scope="module")
def quadratic(model: Checkpoint, data: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Gradient and Hessian of the loss with respect to the head, from the sums of the re-fit."""
    (moments,) = fisher.accumulate(model, data, precision="float64")
    frames, size = moments.frames, len(model.head)
    constant = model.constant(data.atomic_numbers)
    mean_d = moments.energy_sum[:size]
    energy_gram = moments.energy[:size, :size]
    energy_target = moments.energy[:size, size] + (moments.energy_origin - constant) * mean_d
    hessian = (energy_gram + WEIGHT / moments.components * moments.gram) / frames
    target = (energy_target + WEIGHT / moments.components * moments.gradient) / frames
    theta = model.head / KCAL_PER_MOL
    return hessian @ theta - target / KCAL_PER_MOL, hessian


def test_the_loss_is_the_one_that_training_lowers(model, data):
    mean = float(data.energies.mean())
    bias = (model.element_bias - mean / data.num_atoms) / KCAL_PER_MOL
    params = {
        "body": model.body,
        "head": model.head / KCAL_PER_MOL,
        "element_bias": jnp.asarray(bias),
    }
    frames = Frames(
        jnp.asarray(data.positions),
        jnp.asarray((data.energies - mean) / KCAL_PER_MOL),
        jnp.asarray(data.forces / KCAL_PER_MOL),
    )
    numbers = jnp.asarray(data.atomic_numbers)
    params, frames, weight = jax.tree.map(
        lambda leaf: jnp.asarray(leaf)[None], (params, frames, WEIGHT)
    )  # one member
    seen = jax.tree.map(
        lambda sums: sums[0], validate(model.potential.config, params, numbers, frames, weight)
    )
    objective = Objective(model, data, LandscapeSettings(**EXACT))
    found = objective.at(objective.weights)
    assert found.value == pytest.approx(float(seen.loss / seen.frames), rel=1e-10)
    rmse = float(jnp.sqrt(seen.force_squared / seen.frames)) * KCAL_PER_MOL
    assert found.force_rmse == pytest.approx(rmse, rel=1e-10)


def test_data_of_another_zero_of_energy_are_refused(model, data):
    other = dataclasses.replace(data, energies=data.energies - 4000.0)
    settings = LandscapeSettings(frames=10, surfaces=False)
    trained = dataclasses.replace(model, provenance={"data_fingerprint": "0123456789abcdef"})
    with pytest.raises(InputError, match=r"lie \+3\d\d\d eV off .* another level of theory"):
        list(survey({"one": trained}, other, settings))
    assert list(survey({"one": model}, other, settings))[-1].found["one"].surface is None


def test_over_the_head_the_loss_is_a_quadratic_of_known_sharpness(model, data, quadratic):
    gradient, hessian = quadratic
    unit = gradient / np.linalg.norm(gradient)
    for radius in (0.01, 0.05, 2.0):
        found = sharpness(model, data, LandscapeSettings(radius=radius, scope="head", **EXACT))
        known = radius * np.linalg.norm(gradient) + radius**2 / 2 * unit @ hessian @ unit
        assert found.gradient_norm == pytest.approx(np.linalg.norm(gradient), rel=1e-8)
        assert found.value == pytest.approx(known, rel=1e-8)


def test_the_surface_of_a_head_is_that_quadratic(model, data, quadratic):
    gradient, hessian = quadratic
    found = surface(
        model, data, LandscapeSettings(span=0.8, points=5, seed=4, scope="head", **EXACT)
    )
    weights = Objective(model, data, LandscapeSettings(scope="head", **EXACT)).weights
    first, second = (np.asarray(one["head"]) for one in directions(weights, 4))
    for i, a in enumerate(found.steps):
        for j, b in enumerate(found.steps):
            step = a * first + b * second
            rise = gradient @ step + step @ hessian @ step / 2
            assert found.loss[i, j] - found.here == pytest.approx(rise, rel=1e-7, abs=1e-9)


def test_no_step_is_no_rise(model, data):
    found = sharpness(model, data, LandscapeSettings(radius=0.0))
    assert found.value == 0.0 and found.here == found.raised


def test_at_a_planted_minimum_there_is_no_way_up(data):
    truth = random_checkpoint(seed=3)
    found = sharpness(truth, data, LandscapeSettings(scope="head", radius=1e-3, **EXACT))
    # Round-off alone is left of the gradient; the step is a finite one all the same.
    assert found.gradient_norm < 1e-9 and 0 <= found.value < 1e-2


def test_the_gradient_is_the_derivative_and_no_direction_rises_faster(model, data):
    objective = Objective(model, data, LandscapeSettings(**EXACT))
    gradient = objective.gradient(objective.weights)
    length, radius = norm(gradient), 1e-4
    steepest = sharpness(model, data, LandscapeSettings(radius=radius, **EXACT))
    assert steepest.value / radius == pytest.approx(length, rel=1e-2)
    for direction in directions(objective.weights, 1):
        unit = optax.tree.scale(1 / norm(direction), direction)
        up, down = (
            objective.at(moved(objective.weights, (sign * radius, unit))).value for sign in (1, -1)
        )
        slope = np.asarray(optax.tree.vdot(gradient, unit)).item()
        assert (up - down) / (2 * radius) == pytest.approx(slope, rel=1e-3)
        assert up - steepest.here.value < steepest.value


def test_every_filter_of_a_direction_is_as_long_as_that_of_the_weights(model, data):
    weights = Objective(model, data, LandscapeSettings(precision="float64")).weights
    for direction in directions(weights, 7):
        body, drawn = weights["body"], direction["body"]
        dense, kernel = body["Dense_0"]["0+"], drawn["Dense_0"]["0+"]
        assert np.allclose(jnp.linalg.norm(kernel["kernel"], axis=0),
                           jnp.linalg.norm(dense["kernel"], axis=0))  # fmt: skip
        assert not np.any(kernel["bias"])
        assert norm(direction["head"]) == pytest.approx(norm(weights["head"]))
        tensor = (tree["MessagePass_0"]["tensor"]["kernel"] for tree in (body, drawn))
        lengths = [jnp.sqrt(jnp.sum(one**2, axis=tuple(range(6)))) for one in tensor]
        assert np.allclose(*lengths)


def test_weights_scaled_without_effect_have_the_same_surface(model, data):
    body = jax.tree.map(np.copy, model.body)
    step = body["MessagePass_0"]
    step["tensor"]["kernel"] *= 5.0
    for kernel in step["filter"].values():
        kernel["kernel"] /= 5.0
    scaled = dataclasses.replace(model, body=body)
    one, other = (
        surface(m, data, LandscapeSettings(points=3, seed=2, **EXACT)) for m in (model, scaled)
    )
    assert np.allclose(one.loss, other.loss, rtol=1e-8)
    sharp = [sharpness(m, data, LandscapeSettings(**EXACT)).value for m in (model, scaled)]
    assert abs(sharp[1] / sharp[0] - 1) > 1e-3  # the measure of Foret et al. does depend on scale


def test_the_seed_is_all_the_chance_there_is(model, data):
    runs = [
        surface(model, data, LandscapeSettings(points=3, seed=seed, precision="float64"))
        for seed in (0, 0, 1)
    ]
    assert np.array_equal(runs[0].loss, runs[1].loss)
    assert not np.allclose(runs[0].loss, runs[2].loss)
    assert (
        runs[0].here
        == runs[2].here
        == sharpness(model, data, LandscapeSettings(precision="float64")).here.value
    )


def test_heads_of_one_body_are_looked_at_along_the_same_directions(model, data):
    other = model.with_head(3.0 * model.head[::-1], model.element_bias, "other", {})
    weights = [Objective(one, data, LandscapeSettings()).weights for one in (model, other)]
    for one, two in zip(*(directions(w, 5) for w in weights), strict=True):
        same = jax.tree.map(np.array_equal, one["body"], two["body"])
        assert all(jax.tree.leaves(same))
        assert np.allclose(one["head"] * norm(two["head"]), two["head"] * norm(one["head"]))


def test_a_loss_that_overflows_is_infinite_and_not_a_gap(model, data):
    found = surface(model, data, LandscapeSettings(span=1e6, points=3))
    assert np.isfinite(found.here) and np.isinf(found.loss[0, 0])


@pytest.mark.parametrize(
    ("function", "wrong"),
    [
        (sharpness, {"radius": -0.1}),
        (sharpness, {"radius": float("nan")}),
        (sharpness, {"scope": "body"}),
        (sharpness, {"precision": "float16"}),
        (sharpness, {"forces_weight": -1.0}),
        (surface, {"points": 4}),
        (surface, {"points": 1}),
        (surface, {"span": 0.0}),
    ],
)
def test_settings_that_make_no_sense_are_one_sentence(model, data, function, wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        function(model, data, LandscapeSettings(**wrong))


def test_an_unknown_element_and_a_cancelled_job_are_told(model, data):
    with pytest.raises(InputError, match="never trained"):
        sharpness(dataclasses.replace(model, elements=(1, 6)), data)
    cancel, seen = threading.Event(), []

    def report(_: str, share: float) -> None:
        seen.append(share)
        cancel.set()

    with pytest.raises(InputError, match="cancelled after 1 of 9"):
        surface(
            model,
            data,
            LandscapeSettings(points=3, precision="float64"),
            monitor=Monitor(cancel, report),
        )
    assert seen == [1 / 9]


def test_a_survey_looks_at_each_model_in_the_same_way():
    models, data = {"one": water_model(0), "two": water_model(0, ridge=1e-3)}, water()
    settings, shares = LandscapeSettings(frames=20, points=3, seed=5), []
    monitor = Monitor(report=lambda name, share: shares.append(share))
    reports = list(survey(models, data, settings, monitor=monitor))
    assert [report.name for report in reports] == ["one", "two", ""]
    assert shares == sorted(shares) and shares[-1] == 1.0
    found, frames = reports[-1].found, evenly(data, 20)
    for name, model in models.items():
        assert found[name].sharpness == sharpness(model, frames)
        np.testing.assert_array_equal(
            found[name].surface.loss, surface(model, frames, settings).loss
        )


def test_frames_are_spread_over_the_data_and_never_repeated():
    data = water()
    np.testing.assert_array_equal(evenly(data, 2).positions, data.positions[[0, -1]])
    assert len(evenly(data, 10**6)) == len(data)
    with pytest.raises(InputError, match="at least 1"):
        evenly(data, 0)


def test_the_command_prints_sharpness_and_writes_surfaces(tmp_path, capfd):
    checkpoint.save(water_model(0), tmp_path / "water.safetensors")
    dataset.save(water(), tmp_path / "water.npz")
    out = tmp_path / "surfaces.npz"
    words = [
        "landscape",
        str(tmp_path / "water.safetensors"),
        "--data",
        str(tmp_path / "water.npz"),
    ]
    words += ["--frames", "20", "--points", "3", "--json"]
    assert main([*words, "--out", str(out)]) == 0
    result = json.loads(capfd.readouterr().out)
    known = sharpness(water_model(0), evenly(water(), 20))
    assert result["sharpness_kcal2_per_mol2"]["water"] == pytest.approx(known.value, rel=1e-6)
    with np.load(out, allow_pickle=False) as archive:
        assert archive["names"].tolist() == ["water"] and archive["loss"].shape == (1, 3, 3)
        middle = archive["loss"][0, 1, 1]
    assert middle == pytest.approx(result["loss_kcal2_per_mol2"]["water"], rel=1e-6)
    assert main([*words, "--head-only"]) == 0
    alone = json.loads(capfd.readouterr().out)
    assert alone["sharpness_kcal2_per_mol2"]["water"] < known.value and "surfaces" not in alone


def test_models_without_surfaces_are_not_saved(tmp_path):
    *_, last = survey({"one": water_model(0)}, water(), LandscapeSettings(frames=8, surfaces=False))
    with pytest.raises(InputError, match="some of these have none"):
        save(last.found, tmp_path / "surfaces.npz")
    assert not list(tmp_path.iterdir())
