"""Heads back into the files that networks came from: the same forces, and nothing else changed."""

import dataclasses
import errno
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from fisherdash.__main__ import main
from fisherdash.dataset import Dataset, load
from fisherdash.errors import InputError
from fisherdash.fisher import solve
from fisherdash.potentials import checkpoint, foreign, native
from fisherdash.potentials.evaluate import predict
from fisherdash.settings import ImportSettings, Options
from tests.potentials import folders
from tests.potentials.schnetpack import files
from tests.potentials.torchfile import saved
from tests.randomised import ETHANOL, displaced_ethanol

SMALL = {"width": 8, "hidden": (6,), "cutoff": 4.0, "seed": 3, "dtype": "f4"}
PLAIN = Options(head="shared", ridge=1e-6, test_boltzmann=False)


def frames(count: int = 60) -> Dataset:
    x = displaced_ethanol(count)
    rng = np.random.default_rng(2)
    return Dataset(x, -50.0 + rng.normal(size=count), rng.normal(size=x.shape), ETHANOL, 500.0)


def re_fitted(path: Path, unit: str, options: Options = PLAIN) -> checkpoint.Checkpoint:
    settings = ImportSettings(energy_unit=unit, elements="H,C,O")
    return solve(foreign.load(path, settings, name="it").checkpoint, frames(), options).checkpoint


def re_read(path: Path, unit: str) -> checkpoint.Checkpoint:
    settings = ImportSettings(energy_unit=unit, elements="H,C,O")
    return foreign.load(path, settings, name="again").checkpoint


@pytest.fixture
def painn(tmp_path: Path) -> Path:
    path = tmp_path / "best_model"
    references = np.zeros(10)
    references[[1, 6, 8]] = [-0.5, -38.0, -75.0]
    path.write_bytes(saved(files.painn(**SMALL, offsets={"mean": -3.0, "atomref": references})))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return folders.write(tmp_path / "train0")


def assert_same(one: checkpoint.Checkpoint, other: checkpoint.Checkpoint, energy: float) -> None:
    """Energies and forces in eV and Å, of frames that neither has seen."""
    (e, f), (energies, forces) = (predict(model, frames(7)) for model in (one, other))
    np.testing.assert_allclose(forces, f, atol=1e-5)
    np.testing.assert_allclose(energies, e, atol=energy)


@pytest.mark.slow
def test_a_painn_has_the_new_head_and_constants_and_nothing_else_new(painn: Path) -> None:
    model, out = re_fitted(painn, "kcal/mol"), painn.with_name("new_model")
    found = native.write(model, painn, out)  # the unit is known from the import
    assert found.library == "SchNetPack" and found.force_difference <= 1e-5 and not found.notes
    assert_same(model, re_read(out, "kcal/mol"), 1e-4)
    with zipfile.ZipFile(painn) as before, zipfile.ZipFile(out) as after:
        assert before.namelist() == after.namelist()
        changed = [one for one in before.namelist() if before.read(one) != after.read(one)]
        assert len(changed) == 2 and all("/data/" in one for one in changed)  # head, single atoms
        assert all(one.compress_type == zipfile.ZIP_STORED for one in after.infolist())


def test_a_file_without_energies_of_atoms_keeps_its_zero_and_says_so(tmp_path: Path) -> None:
    path, out = tmp_path / "best_model", tmp_path / "new_model"
    path.write_bytes(saved(files.painn(**SMALL)))
    model = re_fitted(path, "eV")
    (note,) = native.write(model, path, out).notes
    assert "the zero of its energy stays what it was" in note
    (e, f), (energies, forces) = (predict(one, frames(7)) for one in (model, re_read(out, "eV")))
    np.testing.assert_allclose(forces, f, atol=1e-5)
    np.testing.assert_allclose(energies - energies[0], e - e[0], atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("head", ["shared", "by element"])
def test_a_folder_of_ani_has_the_new_heads_and_constants(folder: Path, head: str) -> None:
    options = dataclasses.replace(PLAIN, head=head)
    model, out = re_fitted(folder, "hartree", options), folder.with_name("new")
    found = native.write(model, folder, out)
    assert found.library == "ANI (NeuroChem)" and found.force_difference <= 1e-5
    assert_same(model, re_read(out, "hartree"), 1e-6)
    changed = [name for name, old in folders.files().items() if (out / name).read_bytes() != old]
    assert sorted(changed) == [*(f"networks/ANN-{x}.nnf-l3.wparam" for x in "CHO"), "sae.dat"]


def test_a_folder_is_written_whole_or_not_at_all(folder: Path, monkeypatch) -> None:
    write, model = Path.write_bytes, re_fitted(folder, "hartree")

    def full(path: Path, data: bytes) -> int:
        if path.name == "sae.dat":
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(path, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(InputError, match=r"Cannot write \S+/new: the disk is full"):
        native.write(model, folder, folder.with_name("new"))
    assert [one.name for one in folder.parent.iterdir()] == [folder.name]


@pytest.mark.slow
def test_every_network_of_an_ensemble_has_its_share_of_the_new_head(tmp_path: Path) -> None:
    whole = tmp_path / "ani"
    for n in range(2):
        folders.write(whole / f"train{n}", n)
    options = dataclasses.replace(PLAIN, head="by element")
    model, out = re_fitted(whole, "hartree", options), tmp_path / "new"
    assert native.write(model, whole, out).force_difference <= 1e-5
    assert_same(model, re_read(out, "hartree"), 1e-6)
    members = [re_read(out / f"train{n}", "hartree") for n in range(2)]
    forces = [predict(one, frames(7))[1] for one in members]
    np.testing.assert_allclose(np.mean(forces, axis=0), predict(model, frames(7))[1], atol=1e-5)


@pytest.mark.slow
def test_what_a_file_has_no_room_for_is_refused(painn: Path, folder: Path) -> None:
    wide = Options(head="quadratic", reduce=2, noise_frames=8, test_boltzmann=False)
    out = painn.with_name("new")
    for path, unit, options, words in (
        (painn, "eV", dataclasses.replace(PLAIN, head="by element"), "all atoms together"),
        (painn, "eV", wide, "re-fit with --head shared"),
        (folder, "eV", wide, "re-fit with --head by-element"),
    ):
        with pytest.raises(InputError, match=words):
            native.write(re_fitted(path, unit, options), path, out)
    other = painn.with_name("other")
    other.write_bytes(saved(files.painn(**SMALL | {"seed": 4})))
    with pytest.raises(InputError, match="other is not the file that 'it-fisher' was imported"):
        native.write(re_fitted(painn, "eV"), other, out)
    assert not out.exists()


def test_the_unit_is_asked_for_where_it_is_not_known(painn: Path) -> None:
    model = re_fitted(painn, "eV")
    older = dataclasses.replace(model, provenance={"made_by": "solve"})
    out = painn.with_name("new")
    with pytest.raises(InputError, match="does not say in which unit the energies"):
        native.write(older, painn, out)
    native.write(older, painn, out, "eV")
    assert_same(model, re_read(out, "eV"), 1e-4)


def test_the_shell_writes_it_and_refuses_in_one_sentence(painn: Path, capsys) -> None:
    model, out = painn.with_name("model.safetensors"), painn.with_name("new_model")
    checkpoint.save(re_fitted(painn, "kcal/mol"), model)
    words = ["export", str(model), "--native", str(painn), "--out", str(out), "--json"]
    assert main(words) == 0
    said = json.loads(capsys.readouterr().out)
    assert set(said) == {"library", "out", "force_difference_eV_per_A"}
    assert main([*words[:3], str(painn.with_name("absent")), *words[4:]]) == 2
    assert "no model file" in capsys.readouterr().err
    assert main([*words[:5], str(painn)]) == 2  # the original is not written over
    assert "is also an input" in capsys.readouterr().err
    assert re_read(out, "kcal/mol").potential == re_read(painn, "kcal/mol").potential


@pytest.mark.slow
def test_published_models_take_a_new_head(
    shared_data: Path, shared_models: Path, tmp_path: Path
) -> None:
    data = load(shared_data / "rmd17_ethanol_train_01.npz", temperature=500.0)
    few = data.subset(np.arange(60))
    for path, unit, head in (
        (shared_models / "schnetpack" / "painn_1.best_model", "kcal/mol", "shared"),
        (shared_models / "ani" / "ani-1x_8x" / "train0", "hartree", "by element"),
    ):
        settings = ImportSettings(energy_unit=unit, elements="H,C,O")
        start = foreign.load(path, settings, name="it").checkpoint
        model = solve(start, few, dataclasses.replace(PLAIN, head=head)).checkpoint
        out = tmp_path / path.name
        assert native.write(model, path, out).force_difference <= 1e-5
        again = foreign.load(out, settings, name="again").checkpoint
        first, second = (predict(one, few)[1] for one in (model, again))
        np.testing.assert_allclose(second, first, atol=1e-5)
