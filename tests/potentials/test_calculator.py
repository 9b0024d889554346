"""The ASE calculator gives the model's own forces, and ASE's dynamics conserve its energy."""

import ase
import numpy as np
import pytest
from ase import units
from ase.md.velocitydistribution import thermalize_momenta
from ase.md.verlet import VelocityVerlet

from fisherdash.dataset import Dataset
from fisherdash.errors import InputError
from fisherdash.potentials import checkpoint as checkpoints
from fisherdash.potentials.calculator import FisherDashCalculator, snippet
from fisherdash.potentials.evaluate import predict
from tests.networks import WATER, checkpoint, water
from tests.randomised import ETHANOL, displaced_ethanol, random_checkpoint


def test_energies_and_forces_are_those_of_the_model():
    model, positions = random_checkpoint(), displaced_ethanol(3)
    frames = Dataset(positions, np.zeros(3), np.zeros_like(positions), ETHANOL)
    energies, forces = predict(model, frames)
    calculator = FisherDashCalculator(model, precision="float64")
    assert np.abs(forces).max() > 0.1
    for frame in range(3):
        atoms = ase.Atoms(ETHANOL, positions[frame], calculator=calculator)
        assert atoms.get_potential_energy() == pytest.approx(energies[frame], abs=1e-12)
        np.testing.assert_allclose(atoms.get_forces(), forces[frame], atol=1e-12)


def test_forces_are_minus_the_gradient_of_the_energy():
    atoms = ase.Atoms(ETHANOL, displaced_ethanol(1)[0])
    atoms.calc = FisherDashCalculator(random_checkpoint(), precision="float64")
    step = 1e-4
    energy = []
    for sign in (1, -1):
        moved = atoms.copy()
        moved.positions[2, 1] += sign * step
        moved.calc = atoms.calc
        energy.append(moved.get_potential_energy())
    assert -(energy[0] - energy[1]) / (2 * step) == pytest.approx(
        atoms.get_forces()[2, 1], abs=1e-6
    )


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_verlet_of_ase_conserves_the_energy(precision):
    atoms = ase.Atoms(WATER, water().positions[0])
    atoms.calc = FisherDashCalculator(checkpoint(0), precision=precision)
    thermalize_momenta(atoms, temperature_K=100, rng=np.random.default_rng(1))
    total, potential = [], []
    dynamics = VelocityVerlet(atoms, timestep=0.1 * units.fs)
    for _ in range(60):
        dynamics.run(2)
        total.append(atoms.get_total_energy())
        potential.append(atoms.get_potential_energy())
    # What is exchanged between potential and kinetic energy is far more than what is lost.
    assert np.ptp(total) < 0.03 * np.ptp(potential)


def test_a_path_will_do_and_the_snippet_names_it(tmp_path):
    path = tmp_path / "it's mine.safetensors"
    checkpoints.save(random_checkpoint(dtype=np.float32), path)
    atoms = ase.Atoms(ETHANOL, displaced_ethanol(1)[0], calculator=FisherDashCalculator(path))
    assert np.isfinite(atoms.get_potential_energy())
    compile(snippet(path), "snippet", "exec")


def test_what_the_model_cannot_know_is_refused():
    calculator = FisherDashCalculator(random_checkpoint())
    with pytest.raises(InputError, match="never trained on"):
        ase.Atoms("N2", [[0, 0, 0], [0, 0, 1.1]], calculator=calculator).get_potential_energy()
    with pytest.raises(InputError, match="periodic"):
        ase.Atoms(
            "OH2", water().positions[0], cell=[9, 9, 9], pbc=True, calculator=calculator
        ).get_forces()
    with pytest.raises(InputError, match="float16"):
        FisherDashCalculator(random_checkpoint(), precision="float16")
