"""An ASE calculator as a potential: its own energies and forces, in dynamics and beside models."""

import json
import sys
from types import ModuleType

import numpy as np
import pytest
from ase.calculators.calculator import Calculator, all_changes

from fisherdash import fisher, md
from fisherdash.__main__ import main
from fisherdash.dataset import Dataset
from fisherdash.errors import InputError, within
from fisherdash.md import SURVIVING
from fisherdash.potentials import checkpoint, foreign
from fisherdash.potentials.calculated import ALLOWED, Calculated
from fisherdash.potentials.evaluate import evaluate, predict
from fisherdash.reference import labeller
from fisherdash.settings import MDSettings, Options
from tests.networks import WATER, water

SPRING = 30.0


class Springs(Calculator):
    """Springs of one length between all atoms; torn molecules cannot be done."""

    implemented_properties = ["energy", "forces"]  # noqa: RUF012

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes) -> None:
        super().calculate(atoms, properties, system_changes)
        r = self.atoms.positions[:, None] - self.atoms.positions
        d = np.linalg.norm(r, axis=-1) + np.eye(len(r))
        if d.max() > 4:
            raise RuntimeError("torn apart")
        self.results = {
            "energy": SPRING / 4 * np.sum((d - 1) ** 2),
            "forces": -SPRING * np.sum(((d - 1) / d)[..., None] * r, axis=1),
        }


NAME = "springs_of_a_test:Springs"


@pytest.fixture
def springs(monkeypatch) -> checkpoint.Checkpoint:
    module = ModuleType("springs_of_a_test")
    module.Springs = Springs  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setenv(ALLOWED, f"other:calculator, {NAME}")
    return foreign.calculator(NAME, name="springs")


def frames(count: int = 3) -> Dataset:
    x = np.array([[[0.0, 0.0, 0.0], [1.1, 0.0, 0.0], [0.2, 0.9, 0.1]]])
    x = x + 0.05 * np.random.default_rng(0).normal(size=(count, 3, 3))
    return Dataset(x, np.zeros(count), np.zeros_like(x), WATER, 300.0)


def test_energies_and_forces_are_the_calculators(springs) -> None:
    data = frames()
    energies, forces = predict(springs, data)
    expected = labeller(NAME).label(data.atomic_numbers, data.positions)
    np.testing.assert_allclose(energies, expected[0], rtol=1e-14)
    np.testing.assert_allclose(forces, expected[1], rtol=1e-14)
    assert np.abs(forces).max() > 0.1


def test_gfn2_xtb_gives_the_labels_that_were_made_with_it() -> None:
    data = frames()
    energies, forces = labeller("GFN2-xTB").label(WATER, data.positions)
    labelled = Dataset(data.positions, energies, forces, WATER)
    errors = evaluate(foreign.calculator("GFN2-xTB", name="it"), labelled)
    # It begins from the frame before, so that labels agree within its own convergence.
    assert errors.energy_rmse < 1e-5 and errors.force_rmse < 1e-4 < np.abs(forces).max()


def test_its_dynamics_conserve_the_energy_to_the_square_of_the_timestep(springs) -> None:
    def spread(timestep: float) -> float:
        steps = round(40 / timestep)
        settings = MDSettings(2, steps, timestep, 300.0, record_every=1)
        *_, last = md.simulate({"springs": springs}, frames(), settings)
        assert (last.failed_step == SURVIVING).all()
        return float(np.ptp(last.potential + last.kinetic, axis=-1).max())

    assert spread(0.5) / spread(0.25) == pytest.approx(4.0, rel=0.15)


def test_what_it_cannot_do_is_a_failure(springs) -> None:
    data = frames()
    far = data.positions.copy()
    far[0, 0, 2] += 10.0
    energies, _ = predict(springs, Dataset(far, data.energies, data.forces, WATER))
    assert np.isnan(energies[0]) and np.isfinite(energies[1:]).all()


def test_a_file_makes_nothing_be_imported(springs, tmp_path, monkeypatch) -> None:
    path = tmp_path / "springs.safetensors"
    checkpoint.save(springs, path)
    again = checkpoint.load(path)
    assert again.fingerprint == springs.fingerprint and again.potential == Calculated(NAME)
    monkeypatch.delenv(ALLOWED)
    monkeypatch.delitem(sys.modules, "springs_of_a_test")
    with pytest.raises(Exception, match=f"name it in the environment variable {ALLOWED}") as caught:
        predict(again, frames())  # its program may be compiled already
    assert within(caught.value)
    assert "springs_of_a_test" not in sys.modules
    for wrong in ("x" * 300, "a\nb:c", 5):
        with pytest.raises(InputError):
            Calculated.from_json({"calculator": wrong})


@pytest.mark.slow
def test_there_is_nothing_to_re_fit(springs) -> None:
    with pytest.raises(InputError, match="'springs' has no last layer to re-fit"):
        fisher.solve(springs, water(40), Options())


def test_the_shell_makes_it_and_refuses_in_one_sentence(springs, tmp_path, capsys) -> None:
    out = str(tmp_path / "it.safetensors")
    for name in ("GFN2-xTB", NAME):
        assert main(["import", name, "--out", out, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["calculator"] == name
    assert main(["import", "os:abort", "--out", out]) == 2
    assert "which is a program" in capsys.readouterr().err
    assert main(["import", "GFN3-xTB", "--out", out]) == 2
    assert "no model file" in capsys.readouterr().err
