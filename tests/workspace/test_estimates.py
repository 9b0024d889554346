"""What a job will take: rules, measured speed, and the words for both."""

import dataclasses
import json
from types import SimpleNamespace

import pytest

from fisherdash.potentials.ani import Ani
from fisherdash.potentials.schnetpack import PaiNN
from fisherdash.settings import (
    LandscapeSettings,
    MDSettings,
    ModelConfig,
    Options,
    SampleSettings,
    Settings,
    TrainSettings,
)
from fisherdash.workspace import estimates
from fisherdash.workspace.estimates import START, Estimate, Network

SMALL = Network(parameters=36_000, features=32, cutoff=3.0)
ATOMS = 9


@pytest.fixture(autouse=True)
def own_workspace(tmp_path, monkeypatch):
    monkeypatch.setenv("FISHERDASH_WORKSPACE", str(tmp_path))


def a_sample(settings: Settings) -> Estimate:
    return estimates.sample(ATOMS, settings)  # pyright: ignore


def a_training(settings: Settings) -> Estimate:
    return estimates.train(ATOMS, 900, 100, ModelConfig(), settings)  # pyright: ignore


def a_network(settings: Settings) -> Estimate:
    return estimates.train(ATOMS, 900, 100, settings, TrainSettings())  # pyright: ignore


def a_refit(settings: Settings) -> Estimate:
    return estimates.refit(SMALL, ATOMS, 800, 3, settings)  # pyright: ignore


def a_run(settings: Settings) -> Estimate:
    return estimates.simulate([SMALL, SMALL], ATOMS, settings)  # pyright: ignore


def a_landscape(settings: Settings) -> Estimate:
    return estimates.landscape([SMALL], ATOMS, 10**9, settings)  # pyright: ignore


GROWING = [
    (a_sample, SampleSettings(), "frames", "work"),
    (a_sample, SampleSettings(), "frames", "disk"),
    (a_sample, SampleSettings(), "interval_fs", "work"),
    (a_sample, SampleSettings(), "equilibration_ps", "work"),
    (a_training, TrainSettings(), "epochs", "work"),
    (a_training, TrainSettings(), "batch_size", "memory"),
    (a_network, ModelConfig(features=8), "features", "work"),
    (a_network, ModelConfig(features=8), "features", "memory"),
    (a_network, ModelConfig(cutoff=2.0), "cutoff", "memory"),
    (a_refit, Options(test_boltzmann=False), "noise_frames", "work"),
    (a_refit, Options(probes=4), "probes", "work"),
    (a_refit, Options(reduce=20), "reduce", "memory"),
    (a_refit, Options(label_displaced=100), "label_displaced", "work"),
    (a_refit, Options(label_dynamics=10), "label_rounds", "work"),
    (a_run, MDSettings(), "steps", "work"),
    (a_run, MDSettings(), "steps", "disk"),
    (a_run, MDSettings(), "replicas", "memory"),
    (a_landscape, LandscapeSettings(), "frames", "work"),
    (a_landscape, LandscapeSettings(), "points", "work"),
]


@pytest.mark.parametrize(
    ("rule", "settings", "name", "what"), GROWING, ids=[f"{s[2]}-{s[3]}" for s in GROWING]
)
def test_what_asks_for_more_is_estimated_to_take_more(rule, settings, name, what):
    value = getattr(settings, name)
    before, after = (
        getattr(rule(one), what)
        for one in (settings, dataclasses.replace(settings, **{name: 2 * value}))
    )
    assert after > before > 0


def test_endless_jobs_are_estimated_as_endless():
    """Only dynamics and uploads once had an estimate; a sample of 10¹² frames simply began."""
    year = 365 * 24 * 3600.0
    assert estimates.sample(ATOMS, SampleSettings(frames=10**9)).seconds > 50 * year
    assert a_training(TrainSettings(epochs=10**9)).seconds > 100 * year
    assert a_run(MDSettings(steps=10**12)).seconds > 100 * year
    assert a_run(MDSettings(steps=10**12)).disk > 1e14
    probed = estimates.refit(SMALL, 300, 10**4, 3, Options(probes=10**6, noise_frames=10**6))
    assert probed.seconds > year / 100
    assert a_landscape(LandscapeSettings(points=1001, frames=10**9)).seconds > year


def test_a_network_for_each_element_costs_an_atom_only_its_own() -> None:
    potential = Ani(members=8)
    network = Network.of(
        SimpleNamespace(potential=potential, num_parameters=2_600_000, body={"layer_0": {}})
    )
    assert network.parameters == 650_000
    # Many features are pushed forward along the directions of the atoms, of which there are few.
    assert estimates.refit(network, ATOMS, 800, 3, Options()).seconds < 7200


@pytest.mark.parametrize(
    ("potential", "numbers"),
    [(Ani(), 1000**3 / 2 * 32), (PaiNN(), 1000**2 * PaiNN().numbers_of_a_pair)],
    ids=["triples", "pairs"],
)
def test_pairs_and_triples_of_a_large_molecule_count(potential, numbers) -> None:
    """ANI on a thousand atoms was said to take seconds and takes a day, and all of the memory."""
    model = SimpleNamespace(potential=potential, num_parameters=600_000, body={"layer_0": {}})
    network = Network.of(model)
    small, large = (estimates.evaluate([network], atoms, 1) for atoms in (ATOMS, 1000))
    assert small.seconds < 60 and small.memory < 1e9
    assert large.work > 0.9 * numbers / estimates.DENSE
    runs = estimates.simulate([network], 1000, MDSettings(replicas=1, steps=1000))
    fit = estimates.refit(network, 1000, 10, 3, Options())
    assert min(one.memory for one in (large, runs, fit)) > 0.9 * 4 * numbers


def test_usual_jobs_pass_a_shared_server():
    for price in (
        estimates.sample(ATOMS, SampleSettings()),
        a_training(TrainSettings()),
        a_refit(Options()),
        a_run(MDSettings()),
        a_landscape(LandscapeSettings()),
    ):
        assert price.seconds < 3 * 3600 and price.memory < 2e9, price


def test_a_run_counts_frames_and_their_bytes():
    price = estimates.simulate([SMALL] * 2, ATOMS, MDSettings(replicas=32, steps=5000))
    assert (price.frames, price.steps) == (501, 64 * 5000)  # the start and every tenth step
    weights = 2 * 4 * SMALL.parameters
    assert price.disk == 501 * 64 * (9 * 3 * 2 * 4 + 16) + weights
    assert "501 frames" in price.sentence and "by a careful rule" in price.sentence


def log(kind: str, pace: object) -> None:
    estimates.log_job("end", kind=kind, pace=pace)


def test_the_time_follows_the_speed_that_was_measured_here():
    price = Estimate("train", 1000.0)
    assert price.seconds == START + 1000.0 and not price.measured
    for pace in (4.0, 5.0, 100.0):
        log("train", pace)
    log("sample", 0.001)
    for nonsense in (0.0, -1.0, "fast", None, float("inf")):
        log("train", nonsense)
    assert price.seconds == START + 1000.0 / 5.0 and price.measured  # the median
    assert "at the speed of the last ones here" in price.sentence
    with estimates.log_path().open("a") as file:
        file.write("no JSON\n" + json.dumps([1]) + "\n")
    assert price.seconds == START + 1000.0 / 5.0


def test_parts_of_a_job_add_up():
    first, second = Estimate("refit", 10.0, 1e9, 5.0), Estimate("simulate", 20.0, 2e9, 7.0, 30.0)
    assert first.together("demo", second) == Estimate("demo", 30.0, 2e9, 12.0, 30.0)
    assert second.part(0.5) == Estimate("simulate", 10.0, 2e9, 3.5, 15.0)


def test_what_a_page_takes_grows_with_what_was_made():
    usual = estimates.run_statistics(2, 64, 10_000)
    assert usual.work < 1 and estimates.run_statistics(2, 10**6, 10).work > 300
    assert estimates.run_statistics(1, 1, 10**8).memory > 5e9
    shipped = estimates.study_statistics(16, 76, 9728)  # took 4 s
    assert 2 < shipped.work < 20 < estimates.study_statistics(10_000, 6, 60_000).work
    assert estimates.table(10, 3).disk < 1e3 < 1e8 < estimates.table(5_000_000, 3).disk
