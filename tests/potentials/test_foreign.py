"""The door for other programs' models: checkpoints that are used like any other, or a reason."""

import dataclasses
import io
import json
import pickle
import zipfile
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fisherdash.__main__ import main
from fisherdash.dataset import Dataset, load, save
from fisherdash.errors import InputError
from fisherdash.fisher import solve
from fisherdash.md import initial, integrator
from fisherdash.potentials import checkpoint, foreign
from fisherdash.potentials.checkpoint import Checkpoint
from fisherdash.potentials.evaluate import evaluate, predict
from fisherdash.potentials.foreign import probe
from fisherdash.potentials.head import HeadForm, energy_and_forces
from fisherdash.potentials.potential import PerAtom
from fisherdash.settings import ImportSettings, Options
from fisherdash.units import KCAL_PER_MOL
from tests.potentials import folders, torchfile
from tests.potentials.schnetpack import files
from tests.potentials.torchfile import module, saved
from tests.potentials.toy import Toy
from tests.randomised import ETHANOL, displaced_ethanol

KCAL = ImportSettings(energy_unit="kcal/mol", elements="H,C,O")
BIG = {"width": 8, "hidden": (6,), "cutoff": 4.0, "seed": 3, "dtype": "f4"}


@pytest.fixture(scope="module")
def imported() -> foreign.Imported:
    """A small PaiNN with an offset of its energy."""
    data = saved(files.painn(**BIG, offsets={"mean": -1000.0}))
    return foreign.load_bytes(data, KCAL, source="best_model", name="small")


@pytest.fixture(scope="module")
def model_file(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("foreign") / "best_model"
    path.write_bytes(saved(files.painn(**BIG, offsets={"mean": -1000.0})))
    return path


def test_a_file_becomes_a_checkpoint_in_our_units(imported) -> None:
    model = imported.checkpoint
    assert model.elements == (1, 6, 8) and model.name == "small"
    said = imported.summary()
    assert (said["family"], said["descriptors"], said["cutoff_A"]) == ("schnetpack-painn", 6, 4.0)
    assert said["elements"] == ["H", "C", "O"] and said["precision"] == "float32"
    assert said["energy_unit"] == "kcal/mol" and said["notes"] == []
    assert said["probe_relative_error"] < 1e-9 and said["force_relative_error"] < 1e-6
    assert model.provenance["made_by"] == "import" and model.provenance["file"] == "best_model"
    assert len(model.provenance["file_sha256"]) == 64
    positions = displaced_ethanol(2)
    blank = Dataset(positions, np.zeros(2), np.zeros_like(positions), ETHANOL)
    energies, _ = predict(model, blank)
    described = files.painn(**BIG)
    expected = [files.energy(described, ETHANOL, x) - 9000 for x in positions]
    np.testing.assert_allclose(energies, np.array(expected) * KCAL_PER_MOL, rtol=1e-7)


@pytest.mark.slow
def test_labels_of_another_level_of_theory_are_called_a_move(imported) -> None:
    """Only where the disagreement is one of kind, and only for models from elsewhere."""
    model, positions = imported.checkpoint, displaced_ethanol(40)
    blank = Dataset(positions, np.zeros(40), np.zeros_like(positions), ETHANOL, temperature=300.0)
    energies, forces = predict(model, blank)
    own = dataclasses.replace(blank, energies=energies, forces=forces)
    push = 0.3 * np.random.default_rng(1).normal(size=forces.shape)
    other = dataclasses.replace(own, forces=forces + push)
    options = Options(head="shared", metric="identity", ridge=1e-3, test_boltzmann=False)
    said = " ".join(solve(model, other, options).warnings)
    assert "another level of theory" in said and "0.3" in said
    assert "moves the model to these labels" in said
    assert "level of theory" not in " ".join(solve(model, own, options).warnings)
    home = dataclasses.replace(model, provenance={})
    assert "moves the model" not in " ".join(solve(home, other, options).warnings)


def test_it_is_saved_and_loaded_like_any_other(imported, tmp_path) -> None:
    checkpoint.save(imported.checkpoint, tmp_path / "m.safetensors")
    found = checkpoint.load(tmp_path / "m.safetensors")
    assert found.potential == imported.checkpoint.potential
    assert found.fingerprint == imported.checkpoint.fingerprint
    assert dict(found.provenance) == dict(imported.checkpoint.provenance)


@pytest.mark.slow
def test_what_the_file_does_not_say_is_asked_for() -> None:
    data = saved(files.painn())
    with pytest.raises(InputError, match="--units"):
        foreign.load_bytes(data, ImportSettings())
    found = foreign.load_bytes(data, ImportSettings(energy_unit="eV"))
    assert found.checkpoint.elements == tuple(range(1, 10)) and "--elements" in found.notes[0]
    for wrong in ("H,X", "h", "", " , ", "Fe", "1,6"):
        with pytest.raises(InputError, match="symbols such as"):
            foreign.load_bytes(data, dataclasses.replace(KCAL, elements=wrong))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (module("mace.modules.models.ScaleShiftMACE"), "a model of MACE"),
        (module("torchani.nn.Ensemble"), "a model of TorchANI"),
        (module("mine.Model"), "a model, mine.Model, which is not read"),
        ({"model": {"weight": np.zeros(2)}}, "torch.save(model, file)"),
        ([1, 2], "a list and no model"),
    ],
)
def test_other_models_are_refused_by_name(value, expected) -> None:
    with pytest.raises(InputError) as caught:
        foreign.load_bytes(saved(value), KCAL, source="their.pt")
    assert expected in str(caught.value) and "their.pt" in str(caught.value)


def test_a_potential_that_fails_the_probe_is_refused(monkeypatch) -> None:
    monkeypatch.setattr(foreign, "probe", lambda _: foreign.Probe(1e-3, float("nan")))
    with pytest.raises(InputError, match="linear in its last layer: off by 1"):
        foreign.load_bytes(saved(files.painn()), KCAL)


@pytest.mark.slow
def test_energy_is_conserved_to_second_order(imported) -> None:
    model = imported.checkpoint
    params, head = model.on_device("float64")
    numbers, masses = jnp.asarray(ETHANOL), jnp.asarray(initial.masses(ETHANOL))
    start = jnp.asarray(displaced_ethanol(1, amplitude=0.02)[0])

    def forces_at(x):
        e, f = energy_and_forces(model.potential, model.form, params, head, numbers, x[None])
        return e[0], f[0]

    def one(motion, timestep):
        motion = integrator.step(motion, forces_at, masses, timestep)
        kinetic = integrator.kinetic_energy(motion.momenta, masses)
        return motion, motion.potential + kinetic

    @jax.jit
    def run(timesteps):
        first = integrator.Motion(start, jnp.zeros_like(start), *forces_at(start)[::-1])
        return jax.lax.scan(one, first, timesteps)[1] - first.potential

    steps = np.array([0.2, 0.4, 0.8])
    errors = [np.std(run(jnp.full(round(48 / dt), dt))) for dt in steps]
    assert np.polyfit(np.log(steps), np.log(errors), 1)[0] == pytest.approx(2.0, abs=0.05)


@pytest.fixture(scope="module")
def data_file(imported, tmp_path_factory) -> Path:
    """Frames whose labels are those of the model with another head."""
    model = imported.checkpoint
    bent = model.head * np.linspace(0.7, 1.3, len(model.head))
    other = model.with_head(bent, model.element_bias, "other", {})
    positions = displaced_ethanol(60, amplitude=0.03)
    blank = Dataset(positions, np.zeros(60), np.zeros_like(positions), ETHANOL)
    energies, forces = predict(other, blank)
    path = tmp_path_factory.mktemp("frames") / "frames.npz"
    save(Dataset(positions, energies, forces, ETHANOL, temperature=300.0, source="planted"), path)
    return path


def told(capfd, *words: object) -> dict:
    """What a command says in JSON."""
    assert main([str(word) for word in words] + ["--json"]) == 0
    return json.loads(capfd.readouterr().out)


@pytest.mark.slow
@pytest.mark.parametrize(
    "head", [["shared"], ["by-element"], ["quadratic", "--reduce", "3"]], ids=lambda one: one[0]
)
def test_the_whole_chain_of_the_shell(head, model_file, data_file, tmp_path, capfd) -> None:
    first, second = tmp_path / "small.safetensors", tmp_path / "moved.safetensors"
    words = ["import", model_file, "--out", first, "--units", "kcal/mol", "--elements", "H,C,O"]
    said = told(capfd, *words)
    assert said["fingerprint"] == checkpoint.load(first).fingerprint
    before = told(capfd, "evaluate", first, data_file)
    solved = told(capfd, "solve", first, data_file, "--out", second, "--head", *head,
                  "--metric", "identity", "--quick", "--ridge", "1e-9")  # fmt: skip
    after = told(capfd, "evaluate", second, data_file)
    assert solved["head"] == head[0].replace("-", " ")
    assert after["force_rmse_eV_per_A"] < 0.1 * before["force_rmse_eV_per_A"]
    run = tmp_path / "run"
    told(capfd, "simulate", first, second, "--data", data_file, "--out", run, "--replicas", 2,
         "--steps", 20, "--temperature", 10)  # fmt: skip
    assert set(told(capfd, "compare", run)["survivors"]) == {"small", "moved"}


def test_refusals_of_the_shell_are_one_line_each(model_file, tmp_path, capfd) -> None:
    out = tmp_path / "never.safetensors"
    other = tmp_path / "other.pt"
    other.write_bytes(torchfile.archive(pickle.dumps({"state": 1}, 2)))
    model = tmp_path / "model.safetensors"
    model.write_bytes(b"x")
    for words, expected in (
        (["import", model_file, "--out", out], "give --units"),
        (["import", model_file, "--out", out, "--units", "pounds"], "'kcal/mol'"),
        (["import", tmp_path / "none", "--out", out, "--units", "eV"], "no such file"),
        (["import", tmp_path, "--out", out, "--units", "eV"], "without inputtrain.ipt"),
        (["import", other, "--out", out, "--units", "eV"], "weights without their model"),
        (["import", model_file, "--out", model_file, "--units", "eV"], "also an input"),
        (["train", model, "--out", out], "solve"),
    ):
        try:
            status = main([str(word) for word in words])
        except SystemExit as stop:
            status = stop.code
        told_out, err = capfd.readouterr()
        assert status == 2 and told_out == "" and len(err.splitlines()) == 1, err
        assert expected in err and not out.exists()


@pytest.mark.slow
def test_the_published_painn_has_its_published_error(shared_data, shared_models) -> None:
    """17.4 and 7.35 meV/Å on rMD17 ethanol, by SchNetPack itself; the file's kcal/mol are ours."""
    path = shared_models / "schnetpack" / "painn_1.best_model"
    found = foreign.load_bytes(path.read_bytes(), KCAL, source=path.name)
    assert found.checkpoint.provenance["parameters"] == 589_057
    assert len(found.checkpoint.head) == 64 and found.probe.passed
    data = load(shared_data / "rmd17_ethanol_test_01.npz")
    errors = evaluate(found.checkpoint, data)
    assert errors.force_rmse == pytest.approx(0.0174, rel=0.01)
    assert errors.force_mae == pytest.approx(0.00735, rel=0.01)
    assert errors.energy_mae < 0.002


def test_a_folder_of_neurochem_becomes_a_checkpoint_with_a_head_by_element(tmp_path) -> None:
    folder = folders.write(tmp_path / "train0")
    (folder / "outside").symlink_to("/etc/passwd")
    found = foreign.load(folder, ImportSettings(energy_unit="hartree"), name="ani")
    assert found.probe.passed and found.checkpoint.form.kind == "by element"
    assert found.summary()["elements"] == ["H", "C", "O"] and found.notes == ()
    checkpoint.save(found.checkpoint, tmp_path / "ani.safetensors")
    again = checkpoint.load(tmp_path / "ani.safetensors")
    assert again.fingerprint == found.checkpoint.fingerprint
    with pytest.raises(InputError, match="ANI models: hartree"):
        foreign.load(folder, ImportSettings(), name="ani")
    (folder / "inputtrain.ipt").unlink()
    with pytest.raises(InputError, match="no network of NeuroChem, nor an ensemble"):
        foreign.load(folder, KCAL, name="ani")


@pytest.mark.slow
def test_an_ensemble_is_read_from_its_folder_and_from_a_zip_of_it(tmp_path) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for n in range(2):
            folders.write(tmp_path / f"train{n}", n)
            for name, content in folders.files(n).items():
                archive.writestr(f"ani/train{n}/{name}", content)
    hartree = ImportSettings(energy_unit="hartree")
    one = foreign.load(tmp_path, hartree, name="ani")
    other = foreign.load_bytes(packed.getvalue(), hartree, source="ani.zip")
    assert one.probe.passed and len(one.checkpoint.head) == 2 * 3 * 4
    assert one.checkpoint.fingerprint == other.checkpoint.fingerprint
    with zipfile.ZipFile(packed, "a") as archive:
        archive.writestr("../ani/train0/outside", b"")
    with pytest.raises(InputError, match=r"ani\.zip has a file outside its folder"):
        foreign.load_bytes(packed.getvalue(), hartree, source="ani.zip")


@pytest.mark.slow
def test_the_published_ani_is_as_far_from_other_labels_as_it_is_known_to_be(
    shared_data, shared_models
) -> None:
    """312 meV/Å of one member: another level of theory, found with the library itself."""
    folder = shared_models / "ani" / "ani-1x_8x" / "train0"
    found = foreign.load(folder, ImportSettings(energy_unit="hartree"), name="ani")
    assert found.checkpoint.provenance["parameters"] == 326_660 and found.probe.passed
    assert len(found.checkpoint.head) == 4 * 96
    errors = evaluate(found.checkpoint, load(shared_data / "rmd17_ethanol_test_01.npz"))
    assert errors.force_rmse == pytest.approx(0.312, rel=0.01)


def test_other_published_models_are_named(shared_models) -> None:
    for name, expected in (
        ("mace/ethanol_e14.model", "a model of MACE"),
        ("mace/ethanol_epoch0.pt", "weights without their model"),
        ("so3lr/params.pkl", "no model that torch wrote"),
        ("schnetpack/painn_1.split.npz", "no model that torch wrote"),
    ):
        with pytest.raises(InputError, match=expected):
            foreign.load_bytes((shared_models / name).read_bytes(), KCAL)


@dataclasses.dataclass(frozen=True)
class Rough(Toy):
    """Steps in the energy, which have no slope."""

    def features(self, params, atomic_numbers, positions, **how):
        found = super().features(params, atomic_numbers, positions, **how).features
        return PerAtom(found + jnp.round(1e3 * found) / 1e3)


@dataclasses.dataclass(frozen=True)
class Different(Toy):
    """Another function where derivatives are pushed forward."""

    def features(self, params, atomic_numbers, positions, *, forward_mode=False, **how):
        found = super().features(params, atomic_numbers, positions, **how).features
        return PerAtom(found * (1.0 + 1e-6 * forward_mode))


def toy_checkpoint(potential, elements=(1, 6, 8)) -> Checkpoint:
    body = jax.tree.map(np.asarray, potential.init(0))
    head = np.random.default_rng(0).normal(size=5)
    return Checkpoint(potential, body, head, np.zeros(119), elements)


@pytest.mark.parametrize("elements", [(1,), (1, 6, 8)])
@pytest.mark.parametrize("springs", [False, True])
def test_a_smooth_potential_with_a_linear_head_passes(elements, springs) -> None:
    found = probe(toy_checkpoint(Toy(springs=springs), elements))
    assert found.passed and found.head_error < 1e-12 and found.force_error < 1e-8


def test_what_is_not_what_it_says_fails() -> None:
    rough, different = probe(toy_checkpoint(Rough())), probe(toy_checkpoint(Different()))
    assert rough.force_error > 1e-4 and not rough.passed
    assert different.head_error > 1e-7 and not different.passed


def test_a_head_by_element_passes_and_one_with_products_is_refused() -> None:
    linear = toy_checkpoint(Toy()).by_element([1, 6, 8])
    assert probe(linear).passed
    with pytest.raises(InputError, match="products"):
        probe(linear.in_form(HeadForm("quadratic", (1, 6, 8))))
