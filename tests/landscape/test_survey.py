"""Several models in one survey, and the command that does it from a shell."""

import json

import numpy as np
import pytest

from fisherdash import dataset
from fisherdash.__main__ import main
from fisherdash.errors import InputError
from fisherdash.landscape import evenly, save, sharpness, surface, survey
from fisherdash.potentials import checkpoint
from fisherdash.settings import LandscapeSettings
from tests.networks import checkpoint as water_model
from tests.networks import water


def test_a_survey_looks_at_each_model_in_the_same_way():
    models, data = {"one": water_model(0), "two": water_model(0, ridge=1e-3)}, water()
    settings, shares = LandscapeSettings(frames=20, points=3, seed=5), []
    reports = list(survey(models, data, settings, watch=lambda share, name: shares.append(share)))
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
