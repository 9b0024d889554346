"""A re-fitted head back into a file of a library that evaluates it: written and read by it."""

import dataclasses
import json

import numpy as np
import pytest

from fisherdash import fisher
from fisherdash.__main__ import main
from fisherdash.dataset import Dataset, load
from fisherdash.errors import InputError
from fisherdash.potentials import checkpoint, native
from fisherdash.potentials.evaluate import predict
from fisherdash.potentials.worker import importing, trusted
from fisherdash.settings import ImportSettings, Options
from tests.potentials.worker.conftest import BLANK, asked
from tests.randomised import ETHANOL, displaced_ethanol

PLAIN = Options(head="shared", metric="identity", ridge=1e-9, test_boltzmann=False)


def re_fitted(start, frames=None):
    """The model with a head that was fitted to forces of nobody."""
    if frames is None:
        x = displaced_ethanol(60)
        rng = np.random.default_rng(2)
        frames = Dataset(x, rng.normal(size=60), rng.normal(size=x.shape), ETHANOL, 500.0)
    return fisher.solve(start, frames, PLAIN).checkpoint, frames


@pytest.mark.parametrize("unit", ["eV", "kcal/mol"])
def test_a_toy_has_the_new_head_and_constants(file, python, tmp_path, unit) -> None:
    settings = ImportSettings(energy_unit=unit)
    start = importing.load(file(), settings, asked(python), name="toy").checkpoint
    model, frames = re_fitted(start)
    out, before = tmp_path / "new.model", trusted.everything()
    assert native.write(model, file(), out).force_difference <= 1e-12
    assert trusted.everything() == before  # what was opened to be compared is not trusted since
    again = importing.load(out, settings, asked(python), name="again").checkpoint
    (e, f), (energies, forces) = (predict(one, frames) for one in (model, again))
    np.testing.assert_allclose(forces, f, atol=1e-11)
    np.testing.assert_allclose(energies, e, atol=1e-9)


def test_another_file_and_another_form_are_refused(file, python, tmp_path, capfd) -> None:
    start = importing.load(file(), BLANK, asked(python), name="toy").checkpoint
    model, out = re_fitted(start)[0], tmp_path / "new.model"
    with pytest.raises(InputError, match=r"toy\.model is not the file that 'toy-fisher' was"):
        native.write(model, file(springs=False), out)
    with pytest.raises(InputError, match="re-fit with --head shared"):
        native.write(model.by_element((1, 6, 8)), file(), out)
    path = tmp_path / "model.safetensors"
    checkpoint.save(model, path)
    words = ["export", str(path), "--native", str(file()), "--out", str(out), "--json"]
    assert main(words) == 0
    assert json.loads(capfd.readouterr().out)["library"] == "toy 1"
    trusted.forget(trusted.find(model.potential.sha256, "mace"))
    assert main(words) == 2
    assert "was not imported on this machine" in capfd.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("family", ["mace", "so3lr"])
def test_the_librarys_own_calculator_runs_the_new_file(
    family, request, theirs, models, so3lr_file, shared_data, tmp_path
) -> None:
    start = request.getfixturevalue(family).checkpoint
    frames = load(shared_data / "rmd17_ethanol_train_01.npz", temperature=500.0)
    model, frames = re_fitted(start, frames.subset(np.arange(40)))
    original = {"mace": models / "mace" / "ethanol_e14.model", "so3lr": so3lr_file}[family]
    out = tmp_path / "new.model"
    limit = {"float32": 1e-5, "float64": 1e-7}[start.provenance["precision"]]
    assert native.write(model, original, out).force_difference <= limit
    unit = ImportSettings(energy_unit=model.potential.energy_unit)
    outside = dataclasses.replace(asked(theirs), family=family)
    again = importing.load(out, unit, outside, name="again").checkpoint
    (e, f), (energies, forces) = (predict(one, frames) for one in (model, again))
    np.testing.assert_allclose(forces, f, atol=limit)
    np.testing.assert_allclose(energies, e, rtol=1e-6)
