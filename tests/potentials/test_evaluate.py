"""Errors say which frames a model has seen, and what they are on the others."""

import dataclasses

import numpy as np
import pytest

from fisherdash import dataset
from fisherdash.potentials import checkpoint
from fisherdash.potentials.evaluate import (
    evaluate,
    no_energies,
    predicted,
    seen_frames,
    spread_of,
)


@pytest.fixture(scope="module")
def ethanol(root):
    """The sample data and the model that was trained on 200 of them, with 50 for validation."""
    model = checkpoint.load(root / "sample_models" / "ethanol-undertrained.safetensors")
    return model, dataset.load(root / "sample_models" / "ethanol_500K.npz")


def test_frames_of_a_training_are_known_by_the_hash_of_its_split(ethanol):
    model, data = ethanol
    seen = seen_frames(model, data)
    assert seen.sum() == 250
    told = model.provenance
    train, _ = dataset.split(data, told["frames"], told["valid_frames"], told["settings"]["seed"])
    known = {frame.tobytes() for frame in train.positions}
    assert known <= {frame.tobytes() for frame in data.positions[seen]}
    assert not known & {frame.tobytes() for frame in data.positions[~seen]}


def test_other_frames_are_not_called_seen(ethanol):
    model, data = ethanol
    moved = dataclasses.replace(data, positions=data.positions + 1e-3)
    assert not seen_frames(model, moved).any()
    assert not seen_frames(model, data.subset(np.arange(100))).any()
    refitted = model.with_head(model.head, model.element_bias, "again", {})
    refitted.provenance["data_fingerprint"] = data.fingerprint
    assert seen_frames(refitted, data).all()


@pytest.mark.slow
def test_errors_of_parts_make_up_those_of_the_whole(ethanol):
    model, data = ethanol
    few = data.subset(np.arange(40))
    one = dataclasses.replace(predicted(model, few), seen=np.arange(40) < 10)
    parts = one.errors(one.seen), one.errors(~one.seen)
    whole = sum(part.frames * part.force_rmse**2 for part in parts) / 40
    assert one.errors().force_rmse == pytest.approx(np.sqrt(whole), rel=1e-12)
    assert evaluate(model, few) == one.errors()
    assert f"{parts[1].force_rmse:.4g} eV/Å" in one.caution and "10 of these 40" in one.caution
    assert dataclasses.replace(one, seen=np.zeros(40, bool)).caution is None


def test_nothing_is_said_of_the_spread_of_a_few_energies():
    """Two frames of nearly one energy once made every model one that had learned no energies."""
    energies = np.arange(6.0)
    assert no_energies(2.0, spread_of(energies)).startswith("No energies were learned")
    assert no_energies(2.0, spread_of(energies[:5])) == no_energies(1.0, spread_of(energies)) == ""
