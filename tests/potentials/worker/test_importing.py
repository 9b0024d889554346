"""Models that only their own library can evaluate: a checkpoint or a reason, and the way back."""

import dataclasses
import json
import subprocess

import numpy as np
import pytest

from fisherdash import fisher
from fisherdash.__main__ import main
from fisherdash.dataset import Dataset, load, save
from fisherdash.errors import InputError
from fisherdash.potentials import checkpoint, foreign, native
from fisherdash.potentials.evaluate import evaluate, predict
from fisherdash.potentials.foreign import probe
from fisherdash.potentials.worker import client, importing, trusted
from fisherdash.settings import ImportSettings, Options, OutsideSettings
from fisherdash.units import HARTREE
from tests.potentials.worker.conftest import BLANK, asked
from tests.randomised import ETHANOL, displaced_ethanol


def test_it_says_what_it_found(file, python) -> None:
    said = importing.load(file(), BLANK, asked(python), name="toy").summary()
    assert said["family"] == "mace" and said["library"] == "toy 1" and said["descriptors"] == 4
    assert said["fixed_terms"] == ["springs"] and said["elements"] == ["H", "C", "O"]
    assert said["energy_unit"] == "eV" and said["probe_relative_error"] <= 1e-12


def test_energies_in_another_unit(file, python) -> None:
    ours, theirs = (
        importing.load(file(), ImportSettings(energy_unit=unit), asked(python), name="toy")
        for unit in ("eV", "hartree")
    )
    frames = displaced_ethanol(4, amplitude=0.05)
    data = Dataset(frames, np.zeros(4), np.zeros_like(frames), ETHANOL)
    (e, f), (energies, forces) = (predict(one.checkpoint, data) for one in (ours, theirs))
    assert np.allclose(HARTREE * e, energies, rtol=1e-13)
    assert np.allclose(HARTREE * f, forces, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("fault", ["not linear", "constant", "head"])
def test_features_that_are_not_all_of_the_energy_are_refused(file, python, fault) -> None:
    with pytest.raises(InputError, match="is not linear in its last layers as toy 1"):
        importing.load(file(fault=fault), BLANK, asked(python), name="toy")
    found = trusted.trust(file(fault=fault), "mace", python)
    with pytest.raises(InputError, match="is not linear"):
        importing.load(file(fault=fault), BLANK, asked(python), name="toy")
    assert found in trusted.everything()  # as it was before


def test_what_is_refused_is_not_trusted_any_longer(file, python) -> None:
    path = file(fault="refused", of="this test")  # others trust what is like theirs
    with pytest.raises(InputError, match="holds nothing that is linear"):
        importing.load(path, BLANK, asked(python), name="toy")
    content = path.read_bytes()
    assert not any(one.path.read_bytes() == content for one in trusted.everything())


def test_nothing_is_opened_without_the_users_word(file, python, monkeypatch) -> None:
    monkeypatch.setattr(client, "Client", lambda *_: pytest.fail("a process was started"))
    path = file(unopened=True)
    for outside, expected in (
        (asked(python, trusted=False), "add --trust-this-file"),
        (asked(python, family=None), "--family is missing"),
        (OutsideSettings(family="mace", trusted=True), "--python is missing"),
    ):
        with pytest.raises(InputError, match=expected):
            importing.load(path, BLANK, outside, name="toy")
    monkeypatch.setenv("FISHERDASH_SHARED", "1")
    with pytest.raises(InputError, match="this server is shared"):
        importing.load(path, BLANK, asked(python), name="toy")
    assert not any(one.path.read_bytes() == path.read_bytes() for one in trusted.everything())


@pytest.mark.slow
def test_the_whole_chain_of_the_shell(file, python, tmp_path, capfd) -> None:
    first, second, frames = (tmp_path / one for one in ("a.safetensors", "b.safetensors", "f.npz"))

    def told(*words: object) -> dict:
        assert main([str(word) for word in words] + ["--json"]) == 0, capfd.readouterr().err
        return json.loads(capfd.readouterr().out)

    said = told("import", file(), "--family", "mace", "--python", python, "--trust-this-file",
                "--out", first)  # fmt: skip
    model = checkpoint.load(first)
    assert said["fingerprint"] == model.fingerprint
    positions = displaced_ethanol(60, amplitude=0.03)
    other = model.with_head(model.head * [0.7, 1.3, 0.8, 1.1], model.element_bias, "other", {})
    blank = Dataset(positions, np.zeros(60), np.zeros_like(positions), ETHANOL)
    energies, forces = predict(other, blank)
    data = Dataset(positions, energies, forces, ETHANOL, temperature=300.0, source="planted")
    save(data, frames)
    before = told("evaluate", first, frames)
    told("solve", first, frames, "--out", second, "--quick", "--ridge", "1e-12")
    after = told("evaluate", second, frames)
    assert after["force_rmse_eV_per_A"] < 1e-4 * before["force_rmse_eV_per_A"]
    run = tmp_path / "run"
    told("simulate", first, second, "--data", frames, "--out", run, "--replicas", 2, "--steps",
         20, "--temperature", 10)  # fmt: skip
    assert set(told("compare", run)["survivors"]) == {"a", "b"}


@pytest.mark.slow
def test_refusals_of_the_shell_are_one_line_each(
    file, python, tmp_path, capfd, monkeypatch
) -> None:
    out = tmp_path / "never.safetensors"
    start = ["import", "--out", out, "--family", "mace", "--python", python]
    trust = [*start, "--trust-this-file"]
    for words, expected in (
        ([*start, file()], "add --trust-this-file"),
        ([*trust, file(fault="package")], "lacks what mace needs"),
        ([*trust, file(fault="crash")], "SIGSEGV"),
        ([*trust, file(fault="crash", after=6)], "SIGSEGV"),  # in compiled code
        ([*trust, file(fault="tangent")], "are not finite"),
        ([*trust, "--python", tmp_path / "none", file()], "is no program"),
    ):
        assert main([str(word) for word in words]) == 2
        told_out, err = capfd.readouterr()
        assert told_out == "" and len(err.splitlines()) == 1, err
        assert expected in err and not out.exists()


@pytest.mark.slow
def test_mace_has_its_error_and_a_re_fit_lowers_it(mace, shared_data) -> None:
    model = mace.checkpoint
    assert mace.probe.head_error <= 1e-9 and mace.probe.force_error <= 1e-6
    assert mace.summary()["fixed_terms"] == [] and len(model.head) == 48
    test = load(shared_data / "rmd17_ethanol_test_01.npz").subset(np.arange(100))
    assert evaluate(model, test).force_rmse == pytest.approx(0.0570, abs=0.002)
    train = load(shared_data / "rmd17_ethanol_train_01.npz").subset(np.arange(96))
    refit = fisher.solve(model, train, Options(test_boltzmann=False, metric="identity"))
    assert evaluate(refit.checkpoint, test).force_rmse < evaluate(model, test).force_rmse


@pytest.mark.slow
@pytest.mark.parametrize("family", ["mace", "so3lr"])
def test_energies_and_forces_are_the_librarys_own(family, request, shared_data) -> None:
    """With its own head, and with three others that are written into its model."""
    model = request.getfixturevalue(family).checkpoint
    data = load(shared_data / "rmd17_ethanol_test_01.npz").subset(np.arange(4))
    where = {"numbers": data.atomic_numbers.astype(np.int64), "positions": data.positions}
    shapes = {"energy": (4,), "forces": data.positions.shape}
    rng = np.random.default_rng(0)
    for scale in (0.0, 1.0, 1.0, 1.0):
        theta = model.head + scale * np.std(model.head) * rng.normal(size=len(model.head))
        theirs = model.potential.client().ask("energy_and_forces", where | {"theta": theta}, shapes)
        energies, forces = predict(model.with_head(theta, model.element_bias, "other", {}), data)
        assert np.abs(energies - theirs["energy"]).max() <= 1e-9  # of thousands of eV
        assert np.abs(forces - theirs["forces"]).max() <= 1e-9
    other = load(shared_data / "rmd17_aspirin_test_01.npz").subset(np.arange(2))
    assert np.isfinite(predict(model, other)[1]).all()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["bb", "dha"])
def test_so3lr_has_its_published_forces(so3lr, shared_models, name) -> None:
    from ase.io import read

    atoms = read(shared_models / "so3lr" / "ref" / f"{name}.xyz")
    published = np.load(shared_models / "so3lr" / "ref" / f"{name}_ase.npz")
    numbers, x = atoms.numbers.astype(int), atoms.positions[None]
    data = Dataset(x, np.zeros(1), np.zeros_like(x), numbers)
    energies, forces = predict(so3lr.checkpoint, data)
    assert np.abs(forces[0] - published["forces"]).max() <= 5e-5
    # The reference leaves the shift of each atom out.
    shift = energies[0] - float(published["energy"])
    assert shift / len(numbers) == pytest.approx(-163.61812, abs=1e-4)


@pytest.mark.slow
def test_so3lr_moves_to_another_level_of_theory(so3lr, shared_data) -> None:
    model = so3lr.checkpoint
    assert so3lr.probe.passed and len(so3lr.fixed_terms) == 3
    assert model.elements == (1, 6, 7, 8, 9, 15, 16, 17)
    assert probe(model.by_element([1, 6, 8])).passed
    train, test = (
        load(shared_data / f"rmd17_ethanol_{part}_01.npz").subset(np.arange(80))
        for part in ("train", "test")
    )
    refit = fisher.solve(model, train, Options(test_boltzmann=False, metric="identity"))
    before, after = (evaluate(one, test).force_rmse for one in (model, refit.checkpoint))
    assert before > 0.3 and after < 0.06


MACES = [("plain", None), ("heads", "two")]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "head"), MACES)
def test_maces_with_repulsion_and_several_heads(small_maces, theirs, tmp_path, name, head) -> None:
    """They are linear as found, and a new head goes back into the one of their heads it is for."""
    path, unit = small_maces / f"{name}.model", ImportSettings(energy_unit="eV")
    outside = asked(theirs, mace_head=head)
    found = importing.load(path, unit, outside, name=name)
    assert found.probe.head_error <= 1e-9 and found.probe.force_error <= 1e-6
    assert bool(found.fixed_terms) == (name != "plain")
    x = displaced_ethanol(10)
    forces = np.random.default_rng(2).normal(size=x.shape)
    frames = Dataset(x, np.zeros(10), forces, ETHANOL, 500.0)
    model, _ = re_fitted(found.checkpoint, frames)
    assert native.write(model, path, tmp_path / "new.model").force_difference <= 1e-8
    again = importing.load(tmp_path / "new.model", unit, outside, name="again").checkpoint
    np.testing.assert_allclose(predict(again, frames)[0], predict(model, frames)[0], atol=1e-7)
    quadratic = dataclasses.replace(PLAIN, head="quadratic")
    wide = fisher.solve(found.checkpoint, frames, quadratic).checkpoint
    assert wide.form.kind == "quadratic"
    assert native.write_torch_head(wide, tmp_path / "head").force_difference <= 1e-8
    if head:
        before, after = (
            importing.load(one, unit, asked(theirs, mace_head="one"), name="one").checkpoint
            for one in (path, tmp_path / "new.model")
        )
        np.testing.assert_array_equal(before.head, after.head)


@pytest.mark.slow
def test_a_mace_of_several_heads_asks_for_one(small_maces, theirs) -> None:
    for head, expected in ((None, "has the heads one, two; give one"), ("three", "one, two")):
        with pytest.raises(InputError, match=expected):
            importing.load(
                small_maces / "heads.model", BLANK, asked(theirs, mace_head=head), name="heads"
            )


@pytest.mark.slow
def test_a_nequip_from_its_package_and_from_its_training(small_nequip, nequips, tmp_path) -> None:
    """Linear as found; a wide head of it is right on the library's own model."""
    unit, outside = ImportSettings(energy_unit="eV"), asked(nequips, family="nequip")
    packed, trained = (
        importing.load(small_nequip / name, unit, outside, name="nequip")
        for name in ("small.nequip.zip", "small.ckpt")
    )
    assert packed.probe.head_error <= 1e-9 and packed.probe.force_error <= 1e-6
    assert packed.fixed_terms == ("pair potential (ZBL)",)
    assert packed.checkpoint.elements == (1, 6, 8) and len(packed.checkpoint.head) == 12
    np.testing.assert_array_equal(packed.checkpoint.head, trained.checkpoint.head)
    x = displaced_ethanol(10)
    forces = np.random.default_rng(2).normal(size=x.shape)
    frames = Dataset(x, np.zeros(10), forces, ETHANOL, 500.0)
    quadratic = dataclasses.replace(PLAIN, head="quadratic")
    wide = fisher.solve(packed.checkpoint, frames, quadratic).checkpoint
    assert wide.form.kind == "quadratic"
    assert native.write_torch_head(wide, tmp_path / "head").force_difference <= 1e-8
    shared, _ = re_fitted(packed.checkpoint, frames)
    with pytest.raises(InputError, match="--torch in place of --native"):
        native.write(shared, small_nequip / "small.nequip.zip", tmp_path / "new.nequip.zip")
    for name in ("small.nequip.zip", "small.ckpt"):
        with pytest.raises(InputError, match=r"holds a model of NequIP.*--family nequip"):
            foreign.load(small_nequip / name, unit, name="nequip")


# The way back. ------------------------------------------------------------------------------------

PLAIN = Options(head="shared", metric="identity", ridge=1e-9, test_boltzmann=False)


def re_fitted(start, frames=None):
    """The model with a head that was fitted to forces of nobody."""
    if frames is None:
        x = displaced_ethanol(60)
        rng = np.random.default_rng(2)
        frames = Dataset(x, rng.normal(size=60), rng.normal(size=x.shape), ETHANOL, 500.0)
    return fisher.solve(start, frames, PLAIN).checkpoint, frames


@pytest.mark.slow
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


IN_LAMMPS = """
import sys
import ase, numpy, torch
from mace.calculators import MACECalculator

folder = sys.argv[1]
frame = numpy.load(f"{folder}/frame.npz")
atoms = ase.Atoms(frame["numbers"], frame["positions"])
calculator = MACECalculator(f"{folder}/new.model", device="cpu", default_dtype="float64")
batch = calculator._atoms_to_batch(atoms).to_dict()
model = torch.jit.load(f"{folder}/new.model-lammps.pt").double()
found = model(batch, torch.ones(len(atoms), dtype=torch.float64), False)
numpy.save(f"{folder}/forces.npy", found["forces"].detach().numpy())
"""
"""What MACE's interface to LAMMPS asks of the file that was made for it, for one frame."""


@pytest.mark.slow
@pytest.mark.parametrize("family", ["mace", "so3lr"])
def test_the_librarys_own_calculator_runs_the_new_file(
    family, request, theirs, shared_models, so3lr_file, shared_data, tmp_path
) -> None:
    start = request.getfixturevalue(family).checkpoint
    frames = load(shared_data / "rmd17_ethanol_train_01.npz", temperature=500.0)
    model, frames = re_fitted(start, frames.subset(np.arange(40)))
    original = {"mace": shared_models / "mace" / "ethanol_e14.model", "so3lr": so3lr_file}[family]
    out = tmp_path / "new.model"
    limit = {"float32": 1e-5, "float64": 1e-7}[start.provenance["precision"]]
    assert native.write(model, original, out).force_difference <= limit
    unit = ImportSettings(energy_unit=model.potential.energy_unit)
    outside = dataclasses.replace(asked(theirs), family=family)
    again = importing.load(out, unit, outside, name="again").checkpoint
    (e, f), (energies, forces) = (predict(one, frames) for one in (model, again))
    np.testing.assert_allclose(forces, f, atol=limit)
    np.testing.assert_allclose(energies, e, rtol=1e-6)
    if family == "mace":
        np.savez(
            tmp_path / "frame.npz", numbers=frames.atomic_numbers, positions=frames.positions[0]
        )
        subprocess.run([theirs, "-m", "mace.cli.create_lammps_model", out], check=True)
        subprocess.run([theirs, "-W", "ignore", "-c", IN_LAMMPS, tmp_path], check=True)
        np.testing.assert_allclose(np.load(tmp_path / "forces.npy"), f[0], atol=limit)
