"""Boltzmann samples from GFN2-xTB, and the potentials that label frames."""

import dataclasses
import threading

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import molecule as build
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.lj import LennardJones
from ase.io import write

from fisherdash import reference
from fisherdash.dataset import Dataset, load, save
from fisherdash.errors import InputError
from fisherdash.reference import (
    calculator,
    energy_deviations,
    fragments,
    kept,
    labeller_of,
    langevin,
    molecule,
    molecule_bytes,
    molecule_names,
    sample,
)
from fisherdash.settings import SampleSettings

SHORT = {"temperature": 400.0, "frames": 12, "interval_fs": 5.0, "equilibration_ps": 0.02}


@pytest.fixture(scope="module")
def reports():
    return list(sample(molecule("H2O"), SampleSettings(seed=3, **SHORT)))


@pytest.fixture(scope="module")
def water(reports):
    return reports[-1].dataset


@pytest.mark.slow
def test_progress(reports):
    assert [r.stage for r in reports] == (
        ["relaxing"] + ["equilibrating"] * 4 + ["sampling"] * 12 + ["finished"]
    )
    assert [r.done for r in reports] == [*range(17), 16]
    assert {r.total for r in reports} == {16}
    assert [r.frames for r in reports][4:] == [*range(13), 12]
    assert all(r.dataset is None for r in reports[:-1])
    assert all(50 < r.temperature_K < 1500 for r in reports[1:])


@pytest.mark.slow
def test_a_sample_is_on_disk_while_it_is_made(tmp_path, monkeypatch, water):
    """Whoever is killed after some frames finds them, and they are those of the whole sample."""
    monkeypatch.setattr(reference, "EVERY", -1.0)
    out = tmp_path / "water.npz"
    for report in kept(sample(molecule("H2O"), SampleSettings(seed=3, **SHORT)), out):
        assert out.exists() == (report.frames > 0)
        if report.frames == 7:
            break
    found = load(out)
    assert len(found) == 7 and found.temperature == 400.0
    np.testing.assert_array_equal(found.positions, water.positions[:7])
    np.testing.assert_array_equal(found.forces, water.forces[:7])


@pytest.mark.slow
def test_a_sample_that_is_stopped_keeps_what_it_has(tmp_path, water):
    out, cancel = tmp_path / "water.npz", threading.Event()
    for report in kept(sample(molecule("H2O"), SampleSettings(seed=3, **SHORT)), out, cancel):
        if report.frames == 4:
            cancel.set()
    np.testing.assert_array_equal(load(out).positions, water.positions[:5])
    nothing = tmp_path / "nothing.npz"
    assert [
        r.stage for r in kept(sample(molecule("H2O"), SampleSettings(**SHORT)), nothing, cancel)
    ] == ["relaxing"]
    assert not nothing.exists()


@pytest.mark.slow
def test_dataset(water):
    assert (len(water), water.formula, water.temperature) == (12, "H2O", 400.0)
    assert water.positions.shape == water.forces.shape == (12, 3, 3)
    assert water.energies.std() > 0.01
    assert "GFN2-xTB" in water.source
    assert "seed 3" in water.source
    masses = build("H2O").get_masses()
    centres = np.einsum("a,mad->md", masses, water.positions) / masses.sum()
    np.testing.assert_allclose(centres, 0, atol=1e-6)


@pytest.mark.slow
def test_forces_are_minus_the_gradient(water):
    """Against central differences of a fresh calculator, which also checks the energies."""
    atoms = Atoms(numbers=water.atomic_numbers, positions=water.positions[7])
    atoms.calc = calculator(atoms)
    assert atoms.get_potential_energy() == pytest.approx(water.energies[7], abs=1e-5)
    step = 1e-3
    numeric = np.zeros((3, 3))
    for atom, axis in np.ndindex(3, 3):
        for sign in (1, -1):
            atoms.positions[atom, axis] = water.positions[7, atom, axis] + sign * step
            numeric[atom, axis] -= sign * atoms.get_potential_energy() / (2 * step)
        atoms.positions[atom, axis] = water.positions[7, atom, axis]
    assert np.abs(numeric).max() > 0.1
    np.testing.assert_allclose(water.forces[7], numeric, atol=5e-4)


@pytest.mark.slow
def test_the_seed_decides(water):
    again = list(sample(molecule("H2O"), SampleSettings(seed=3, **SHORT)))[-1].dataset
    other = list(sample(molecule("H2O"), SampleSettings(seed=4, **SHORT)))[-1].dataset
    assert again is not None
    assert other is not None
    assert again.fingerprint == water.fingerprint
    assert other.fingerprint != water.fingerprint


@pytest.mark.slow
def test_file_is_small_and_exact(water, tmp_path):
    save(water, tmp_path / "w.npz")
    assert load(tmp_path / "w.npz").fingerprint == water.fingerprint
    with np.load(tmp_path / "w.npz") as file:
        assert file["positions"].dtype == file["forces"].dtype == np.float32


@pytest.mark.slow
def test_the_given_atoms_are_left_alone():
    atoms = molecule("H2O")
    before = atoms.positions.copy()
    next(iter(sample(atoms, SampleSettings(temperature=300, frames=1))))
    assert np.array_equal(atoms.positions, before)
    assert atoms.calc is None


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"temperature": 0}, "temperature must be above 0 and at most 100000 K, received 0"),
        ({"temperature": float("inf")}, "received inf"),
        ({"temperature": None}, "temperature must be above 0 and at most 100000 K, received None"),
        ({"frames": 0}, "frames must be a whole number from 1 to 1000000000, received 0"),
        ({"seed": -1}, "seed must be a whole number from 0 to 1000000000000000, received -1"),
        ({"timestep_fs": 0.0}, "timestep_fs must be above 0 and at most 2 fs, received 0.0"),
        ({"timestep_fs": 10.0}, "timestep_fs must be above 0 and at most 2 fs, received 10.0"),
        ({"interval_fs": 0.7}, "interval_fs must be a multiple of timestep_fs (0.5 fs), received"),
        ({"interval_fs": 0.0}, "interval_fs must be above 0 and at most 1000000000 fs, received"),
        (
            {"friction_fs": 0.0},
            "friction_fs must be above 0 and at most 1000000000 fs, received",
        ),
        (
            {"equilibration_ps": -1.0},
            "equilibration_ps must be from 0 to 1000000 ps, received -1",
        ),
    ],
)
def test_settings_are_refused_before_anything_runs(changes, sentence):
    with pytest.raises(InputError) as refusal:
        sample(molecule("H2O"), SampleSettings(**{**SHORT, **changes}))
    assert sentence in str(refusal.value)


@pytest.mark.slow
def test_a_molecule_that_falls_apart_is_refused():
    hot = {**SHORT, "temperature": 60_000.0, "frames": 200, "timestep_fs": 0.25}
    with pytest.raises(
        InputError, match=r"came apart after .* ps at 60000 K; sample it at a lower"
    ):
        list(sample(molecule("H2"), SampleSettings(**hot)))


@pytest.mark.slow
def test_radicals_have_an_unpaired_electron():
    for name, unpaired in (("CH3", 1), ("O2", 2), ("H2O", 0)):
        assert calculator(build(name)).parameters["multiplicity"] == unpaired + 1
    plain = Atoms("CH3", positions=build("CH3").positions)  # moments not given
    assert calculator(plain).parameters["multiplicity"] == 2


class TestMolecule:
    def test_names(self):
        assert molecule("CH3CH2OH").get_chemical_formula() == "C2H6O"
        assert {"H2O", "C6H6", "CH3CH2OH"} <= set(molecule_names())
        assert "H" not in molecule_names()

    def test_unknown_name(self):
        with pytest.raises(InputError, match=r"'CH3CH2OHH' is neither .*near it are CH3CH2OH"):
            molecule("CH3CH2OHH")
        with pytest.raises(InputError, match="such as CH3CH2OH or H2O"):
            molecule("???")
        for name in ("x" * 5000, "a\0b", "/"):
            with pytest.raises(InputError):
                molecule(name)

    def test_one_atom(self):
        with pytest.raises(InputError, match="needs at least two atoms, received 1"):
            molecule("H")

    def test_heavy_elements(self, tmp_path):
        (tmp_path / "u.xyz").write_text("2\n\nU 0 0 0\nO 0 0 1.8\n")
        with pytest.raises(InputError, match=r"elements up to 86 \(Rn\), received 92"):
            molecule(tmp_path / "u.xyz")

    def test_files(self, tmp_path, water):
        atoms = build("CH3CH2OH", vacuum=5)
        atoms.pbc = True
        for suffix, form in ((".xyz", "extxyz"), (".pdb", "proteindatabank")):
            write(tmp_path / f"m{suffix}", atoms, format=form)
            read = molecule(tmp_path / f"m{suffix}")
            assert np.array_equal(read.numbers, atoms.numbers)
            assert not read.pbc.any()
            assert read.cell.rank == 0
            upload = molecule_bytes(f"../x/m{suffix}", (tmp_path / f"m{suffix}").read_bytes())
            assert np.array_equal(upload.positions, read.positions)
            np.testing.assert_allclose(
                read.get_all_distances(), atoms.get_all_distances(), atol=2e-3
            )
        save(water, tmp_path / "w.npz")
        assert np.array_equal(molecule(tmp_path / "w.npz").positions, water.positions[0])

    def test_mol_file(self, tmp_path):
        (tmp_path / "h2.mol").write_text(
            "h2\n  made\n\n  2  1  0  0  0  0  0  0  0  0999 V2000\n"
            "    0.0000    0.0000    0.0000 H   0  0\n"
            "    0.0000    0.0000    0.7400 H   0  0\n  1  2  1  0\nM  END\n"
        )
        assert molecule(tmp_path / "h2.mol").get_distance(0, 1) == pytest.approx(0.74)

    def test_unreadable_files(self, tmp_path):
        (tmp_path / "m.cif").write_text("x")
        with pytest.raises(InputError, match=r"m\.cif has the unknown suffix '\.cif'"):
            molecule(tmp_path / "m.cif")
        for suffix in (".sdf", ".mol", ".pdb", ".xyz"):
            (tmp_path / f"m{suffix}").write_text("nonsense\n" * 9)
            with pytest.raises(InputError, match=rf"m\{suffix} "):
                molecule(tmp_path / f"m{suffix}")
        (tmp_path / "e.xyz").write_text("")
        with pytest.raises(InputError, match=r"e\.xyz is empty"):
            molecule(tmp_path / "e.xyz")


@pytest.mark.slow
def test_temperature_of_a_longer_sample():
    """60 frames of two atoms hold the kinetic temperature within four times its own noise."""
    settings = SampleSettings(temperature=500, frames=60, interval_fs=20, equilibration_ps=0.2)
    last = list(sample(molecule("H2"), settings))[-1]
    spread = 500 * np.sqrt(2 / (6 * 60))  # of the mean of 60 frames of 6 velocities
    assert abs(last.temperature_K - 500) < 4 * spread
    assert last.dataset is not None
    assert last.dataset.energies.std() < 5 * units.kB * 500


STIFFNESS = np.array([0.5, 5.0, 50.0])  # eV/Å² along x, y, z


class Springs(Calculator):
    """Every atom on its own three springs."""

    implemented_properties = ["energy", "forces"]  # noqa: RUF012  ASE wants a list

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        assert self.atoms is not None
        x = self.atoms.positions
        self.results = {"energy": 0.5 * float((STIFFNESS * x**2).sum()), "forces": -STIFFNESS * x}


@pytest.fixture(scope="module")
def squares():
    """Mean squares of positions and velocities, per direction, of 1600 independent atoms."""
    atoms = Atoms("H1600", positions=np.zeros((1600, 3)), calculator=Springs())
    dynamics = langevin(atoms, 300.0, timestep_fs=0.5, friction_fs=20.0, seed=1)
    dynamics.run(600)
    x2, v2 = [], []
    for _ in range(60):
        dynamics.run(40)
        x2.append((atoms.positions**2).mean(axis=0))
        v2.append((atoms.get_velocities() ** 2).mean(axis=0))
    return np.mean(x2, axis=0), np.mean(v2, axis=0), atoms.get_masses()[0]


@pytest.mark.slow
def test_positions_are_exact_whatever_the_stiffness(squares):
    """<x²> = kT/k. The stiffest spring has ωΔt = 0.35, as O–H has at 0.5 fs: an error of
    (ωΔt)²/4 = 3 %, which other Langevin schemes make, would show."""
    x2, _, _ = squares
    np.testing.assert_allclose(x2 * STIFFNESS / (300 * units.kB), 1.0, atol=0.015)


@pytest.mark.slow
def test_velocities_at_the_end_of_a_step_are_cold_by_a_known_amount(squares):
    """<v²> = kT/m (1 − (ωΔt)²/4), which is why the kinetic temperature reads a little low."""
    _, v2, mass = squares
    expected = 1 - STIFFNESS / mass * (0.5 * units.fs) ** 2 / 4
    np.testing.assert_allclose(v2 * mass / (300 * units.kB), expected, atol=0.015)


@pytest.mark.slow
def test_start_has_the_temperature_and_follows_the_seed():
    atoms = Atoms("H4000", positions=np.zeros((4000, 3)), calculator=Springs())
    langevin(atoms, 300.0, 0.5, 20.0, seed=1)
    assert atoms.get_temperature() == pytest.approx(300, rel=0.03)
    first = atoms.get_momenta()
    langevin(atoms, 300.0, 0.5, 20.0, seed=1)
    assert np.array_equal(atoms.get_momenta(), first)
    langevin(atoms, 300.0, 0.5, 20.0, seed=2)
    assert not np.array_equal(atoms.get_momenta(), first)


@pytest.mark.slow
def test_fragments_are_counted():
    atoms = Atoms("H4", positions=[[0, 0, 0], [0, 0, 0.7], [0, 0, 5], [0, 0, 5.7]])
    assert fragments(atoms, 1.3) == 2
    assert fragments(atoms[:2], 1.3) == 1


@pytest.mark.slow
def test_a_long_interval_can_be_stopped_within_it():
    settings = SampleSettings(temperature=300.0, frames=1, interval_fs=1e6, equilibration_ps=0.0)
    reports = sample(molecule("H2O"), settings)
    found = [next(reports) for _ in range(4)]  # the first interval has two million steps
    assert [one.frames for one in found] == [0] * 4 and found[-1].done == 0


@pytest.mark.slow
def test_reports_within_an_interval_change_no_frame(monkeypatch):
    settings = SampleSettings(temperature=300.0, frames=3, interval_fs=10.0, equilibration_ps=0.01)

    def frames():
        *_, last = sample(molecule("H2O"), settings)
        return last.dataset.positions

    whole = frames()
    monkeypatch.setattr(reference, "AT_ONCE", 7)
    np.testing.assert_array_equal(frames(), whole)


POSITIONS = np.array([[[0, 0, 0], [0, 0, 1.1]], [[0, 0, 0], [0, 0, 1.2]]], float)
HYDROGEN = Dataset(POSITIONS, np.zeros(2), np.zeros((2, 2, 3)), np.array([1, 1]))
CALCULATOR = LennardJones()


class Fragile(Calculator):
    """Fails for one frame, as electronic structure does."""

    fault: type[BaseException] = RuntimeError
    implemented_properties = ["energy", "forces"]  # noqa: RUF012

    def calculate(self, atoms=None, properties=None, system_changes=all_changes) -> None:
        super().calculate(atoms, properties, system_changes)
        if self.atoms.get_distance(0, 1) > 1.15:
            raise self.fault("no convergence")
        self.results = {"energy": 1.0, "forces": np.ones((2, 3))}


def test_a_calculator_may_be_an_object_or_make_one():
    for name in ("CALCULATOR", "LennardJones"):
        mine = labeller_of(HYDROGEN, f"{__name__}:{name}")
        energies, forces = mine.label(HYDROGEN.atomic_numbers, HYDROGEN.positions)
        assert energies == pytest.approx([4 * (r**-12 - r**-6) for r in (1.1, 1.2)], abs=1e-2)
        np.testing.assert_allclose(forces[:, 0], -forces[:, 1])
        assert name in mine.name


@pytest.mark.parametrize("fault", [RuntimeError, SystemExit])
def test_a_frame_that_cannot_be_done_is_told_apart(monkeypatch, fault):
    """One that calls exit once ended the program, with status 0 and nothing written."""
    monkeypatch.setattr(Fragile, "fault", fault)
    mine = labeller_of(HYDROGEN, f"{__name__}:Fragile")
    energies, forces = mine.label(HYDROGEN.atomic_numbers, HYDROGEN.positions)
    assert energies[0] == 1.0 and np.isnan(energies[1]) and np.isnan(forces[1]).all()


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("nowhere", "module:object"),
        ("nowhere:x", "ModuleNotFoundError"),
        ("math:pi", "cannot be had"),
        ("builtins:dict", "is no ASE calculator"),
        ("sys:exit", "cannot be had: SystemExit"),
    ],
)
def test_what_is_no_calculator_is_refused(name, sentence):
    with pytest.raises(InputError, match=sentence):
        labeller_of(HYDROGEN, name)


def test_energies_are_measured_in_deviations_of_the_data():
    """Known answer: the data's own frames, whatever constant their energies have."""
    rng = np.random.default_rng(0)
    positions = np.zeros((40, 2, 3))
    positions[:, 1, 2] = rng.uniform(1.05, 1.3, 40)
    mine = labeller_of(HYDROGEN, f"{__name__}:CALCULATOR")
    energies, forces = mine.label(HYDROGEN.atomic_numbers, positions)
    data = Dataset(positions, energies - 7.0, forces, HYDROGEN.atomic_numbers)
    found = energy_deviations(mine, data, positions[:5])
    expected = (energies - energies.mean()) / energies.std()
    np.testing.assert_allclose(found, expected[:5], atol=1e-9)
    other = dataclasses.replace(data, energies=1.3 * data.energies)
    with pytest.raises(InputError, match="where it should be one constant"):
        energy_deviations(mine, other, positions[:5])
    with pytest.raises(InputError, match="at least 10 frames"):
        energy_deviations(mine, data.subset(np.arange(4)), positions[:5])


def test_the_data_say_who_labelled_them():
    with pytest.raises(InputError, match="do not say which potential"):
        labeller_of(HYDROGEN)
    made = dataclasses.replace(HYDROGEN, source="GFN2-xTB, a sample")
    mine = labeller_of(made)
    energies, forces = mine.label(made.atomic_numbers, made.positions)
    assert mine.name == "GFN2-xTB" and (energies < -20).all() and np.isfinite(forces).all()
