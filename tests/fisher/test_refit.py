"""The re-fit as a whole: what it refuses and warns about, what it leaves alone, shipped data."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from fisherdash import dataset, fisher
from fisherdash.dataset import Dataset
from fisherdash.errors import InputError
from fisherdash.fisher.refit import verdict
from fisherdash.potentials import checkpoint
from fisherdash.potentials.checkpoint import Checkpoint
from fisherdash.statistics import Estimate
from tests.randomised import (
    planted_dataset,
    random_checkpoint,
)


@pytest.mark.validate
def test_the_shipped_sample_shows_its_temperature_and_gives_the_head_without_forces(
    root: Path,
) -> None:
    samples = root / "sample_models"
    model = checkpoint.load(samples / "ethanol-report.safetensors")
    data = dataset.load(samples / "ethanol_500K.npz")
    explicit = fisher.solve(model, data, fisher.Options(head="shared"))
    implicit = fisher.solve(model, data, fisher.Options(head="shared", method="laplacian"))
    test = explicit.boltzmann
    assert test is not None and test.consistent
    print(test.verdict)
    print(f"forces {explicit.force_rmse}, Laplacians {implicit.force_rmse} eV/Å")
    assert abs(test.temperature - 500.0) < 2 * test.stderr < 30.0
    assert implicit.force_rmse["fisher"] < 1.15 * explicit.force_rmse["fisher"]


def test_the_laplacian_way_needs_a_temperature() -> None:
    truth = random_checkpoint()
    data = planted_dataset(truth, 20)
    unknown = Dataset(data.positions, data.energies, data.forces, data.atomic_numbers)
    with pytest.raises(InputError, match="needs the temperature"):
        fisher.solve(truth, unknown, fisher.Options(head="shared", method="laplacian"))
    with pytest.raises(InputError, match=r"above 0 and .* K, received 0\.0"):
        fisher.solve(
            truth, data, fisher.Options(head="shared", method="laplacian", temperature=0.0)
        )


@pytest.mark.slow
def test_repeated_frames_and_zero_forces_are_warned_about() -> None:
    truth = random_checkpoint()
    data = planted_dataset(truth, 20)
    twice = data.subset(np.repeat(np.arange(10), 2))
    refit = fisher.solve(truth, twice, fisher.Options(head="shared", test_boltzmann=False))
    assert any("Only 10 of the 20 frames are different" in text for text in refit.warnings)
    flat = Dataset(data.positions, data.energies, 0 * data.forces, data.atomic_numbers)
    refit = fisher.solve(
        truth, flat, fisher.Options(head="shared", ridge=0.0, test_boltzmann=False)
    )
    assert any("All forces are zero" in text for text in refit.warnings)


def test_another_zero_of_energy_is_told_and_a_sound_model_is_not_accused() -> None:
    truth, options = random_checkpoint(), fisher.Options(head="shared", test_boltzmann=False)
    data = planted_dataset(truth, 20)
    for shift, said in ((0.0, False), (-3900.0, True)):
        moved = Dataset(data.positions, data.energies + shift, data.forces, data.atomic_numbers)
        refit = fisher.solve(truth, moved, options)
        assert any("another zero of energy" in warning for warning in refit.warnings) == said
        assert refit.energy_rmse["fisher"] < 1e-3


def test_another_molecule_than_that_of_the_training_is_warned_about() -> None:
    truth = random_checkpoint()
    data, options = planted_dataset(truth, 20), fisher.Options(head="shared", test_boltzmann=False)
    for molecule, said in (("C2H6O", False), ("C5H8O2", True)):
        taught = dataclasses.replace(truth, provenance={"molecule": molecule})
        refit = fisher.solve(taught, data, options)
        assert (
            any("trained on C5H8O2 and these frames are C2H6O" in w for w in refit.warnings) == said
        )


@pytest.mark.slow
def test_a_head_that_is_already_optimal_is_left_alone() -> None:
    truth = random_checkpoint()
    refit = fisher.solve(
        truth,
        planted_dataset(truth, 80),
        fisher.Options(head="shared", precision="float64", test_boltzmann=False),
    )
    np.testing.assert_allclose(refit.checkpoint.head, truth.head, rtol=1e-7, atol=1e-8)
    assert max(refit.force_rmse.values()) < 1e-8
    assert refit.posterior is not None and refit.posterior.force_stderr < 1e-8


def test_the_default_head_and_its_file_are_untouched(
    planted: tuple[Checkpoint, Checkpoint, Dataset],
) -> None:
    _, start, data = planted
    before = start.fingerprint
    refit = fisher.solve(start, data, fisher.Options(head="shared"))
    assert start.fingerprint == before != refit.checkpoint.fingerprint
    assert refit.checkpoint.provenance["parent_fingerprint"] == before
    assert sum(refit.frames) == len(data)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"ridge": -1.0}, "ridge must be"),
        ({"head": "shared", "reduce": 3}, "reduce is for the products of a quadratic head"),
        ({"ridge": "best"}, "ridge must be"),
        ({"holdout": 1.0}, "holdout must be above 0 and below 1, received 1.0"),
    ],
)
def test_bad_options_are_refused(
    planted: tuple[Checkpoint, Checkpoint, Dataset], options: dict, sentence: str
) -> None:
    with pytest.raises(InputError, match=sentence):
        fisher.solve(planted[1], planted[2], fisher.Options(**options))


def test_too_few_frames_and_foreign_elements_are_refused(
    planted: tuple[Checkpoint, Checkpoint, Dataset],
) -> None:
    _, start, data = planted
    with pytest.raises(InputError, match=r"at least 10 frames.*received 5"):
        fisher.solve(start, data.subset(np.arange(5)))
    nitrogen = np.where(data.atomic_numbers == 8, 7, data.atomic_numbers)
    foreign = Dataset(data.positions, data.energies, data.forces, nitrogen)
    with pytest.raises(InputError, match=r"contains N, which .*never trained on"):
        fisher.solve(start, foreign)


@pytest.mark.slow
def test_few_held_out_frames_are_warned_about(
    planted: tuple[Checkpoint, Checkpoint, Dataset],
) -> None:
    refit = fisher.solve(planted[1], planted[2])
    assert any("held-out frames" in warning for warning in refit.warnings)
    assert "not tested" in refit.verdict


def test_a_verdict_on_a_few_held_out_frames_is_none() -> None:
    """It once said "no measurable change" beside a change of a hundred per cent."""
    few = verdict(Estimate(8.434), "head norm ×1.2", 1)
    assert few.startswith("Too few held-out frames to tell: force error +843.4 % on 1 frame; head")
    many = verdict(Estimate(-0.1, -0.2, 0.05), "head norm ×1.2", 40)
    assert many.startswith("No measurable change of held-out forces: −10.0 % (95 % interval")
    assert "40 frames" in many
