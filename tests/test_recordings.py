"""What is made of recorded runs: forces, survivors, spectra, text, the same run in finer steps."""

import dataclasses
import io

import ase.io
import numpy as np
import pytest

from fisherdash import fisher, recordings, tasks
from fisherdash.dataset import Dataset
from fisherdash.errors import InputError
from fisherdash.potentials import foreign
from fisherdash.recordings import (
    extended_xyz,
    finer_run,
    is_finer,
    last_velocities,
    survivor_positions,
)
from fisherdash.settings import MDSettings
from fisherdash.settings.data import METHOD
from fisherdash.workspace import Run, paths, runs
from fisherdash.workspace.headers import describe_run
from fisherdash.workspace.runs import has_models
from tests import networks
from tests.workspace.recorded import (
    HEADS,
    PER_CHUNK,
    REPLICAS,
    SETTINGS,
    chunk,
    folder,
    header,
    write,
)

__all__ = ["folder"]  # a fixture


@pytest.mark.slow
@pytest.mark.usefixtures("optimised")  # differences in single precision
def test_forces_of_a_trajectory_are_held_against_another_head(tmp_path):
    """Energy is linear in the head: one ten times as large has ten times the forces."""
    model = networks.checkpoint(0)
    models = {"one": model, "ten": dataclasses.replace(model, head=10.0 * model.head)}
    settings = MDSettings(replicas=2, steps=20, temperature=300.0, record_every=5)
    job = tasks.simulate(models, networks.water(), settings, tmp_path / "run", command="").submit()
    assert job.wait(300) and job.status == "finished", job.error
    run = Run(tmp_path / "run")
    assert has_models(run)
    frames = np.array([0, 2, 3])
    (one, against), (ten, first) = recordings.by_two_heads(run, [0, 1], 1, frames)
    for found, expected in ((against, 10.0 * one), (ten, 10.0 * first)):
        # In single precision the error of each is a part of the largest, whatever its own size.
        scale = np.abs(expected).max()
        np.testing.assert_allclose(found, expected, rtol=0, atol=2e-5 * scale)
    # F = −dU/dx along the way: what the potential loses, the forces have done.
    x = run.frames(0, 1, frames)[1:].astype(float)
    lost = -np.diff(run.trajectories().potential[0, 1, frames[1:]])[0]
    assert np.sum((x[1] - x[0]) * (one[1] + one[2]) / 2) == pytest.approx(lost, rel=0.1)
    assert recordings.by_two_heads(run, [1], 0, frames[:1])[0][0].shape == (1, 3, 3)


BASE = MDSettings(replicas=REPLICAS, steps=20, record_every=2)


def of(settings, **changes):
    facts = {"dataset": {"fingerprint": "data"}, "checkpoints": ({"fingerprint": "a"},) * 2}
    return header(settings=settings.to_json(), **{**facts, **changes})


def test_error_bars_end_where_a_trajectory_fails(tmp_path, monkeypatch):
    asked = []

    def stderr(model, numbers, positions):
        asked.append(len(positions))
        return np.full(positions.shape, 0.5)

    monkeypatch.setattr(fisher, "force_stderr", stderr)
    writer, part = runs.RunWriter(tmp_path / "one", header()), chunk(0)
    part.failed_step[0, 1] = 6  # 3 fs; frames are 1 fs apart
    writer.append(part)
    writer.finish("finished")
    times, bars = recordings.error_bars(networks.checkpoint(0), Run(tmp_path / "one"), [0, 1], 1)
    np.testing.assert_array_equal(times, np.arange(PER_CHUNK))
    np.testing.assert_array_equal(np.isfinite(bars[0]), [True, True, True, False, False])
    assert np.isfinite(bars[1]).all() and bars[1][0] == pytest.approx(0.5)
    assert asked == [3, PER_CHUNK]  # a broken molecule is never given to the model


def test_what_would_hold_everybody_up_is_refused_unbegun(tmp_path):
    """Hours of forces of one visitor's large molecule once stood before every value of a page."""
    atoms, numbers = 1000, np.full(1000, 6)
    rng = np.random.default_rng(0)
    lattice = np.stack(np.meshgrid(*[1.5 * np.arange(10.0)] * 3), -1).reshape(-1, 3)
    model = foreign.calculator(METHOD, name="it")
    settings = MDSettings(replicas=1, steps=1)
    data = Dataset(lattice[None], np.zeros(1), np.zeros((1, atoms, 3)), numbers, 300.0)
    described = describe_run({"it": model}, data, settings, title="", command="")
    piece = chunk(0, frames=1)
    for name in ("positions", "velocities"):
        setattr(piece, name, rng.normal(size=(1, 1, 1, atoms, 3)).astype(np.float32))
    for name in ("potential", "kinetic"):
        setattr(piece, name, np.zeros((1, 1, 1)))
    piece.failed_step = piece.cause = np.full((1, 1), -1)
    writer = runs.RunWriter(tmp_path / "run", described, {"it": model})
    writer.append(piece)
    writer.finish("finished")
    with pytest.raises(InputError, match=r"1 frames of 1000 atoms would take about .* days"):
        recordings.by_two_heads(Run(tmp_path / "run"), [0], 0, np.array([0]))


def test_half_the_step_and_double_precision_are_finer():
    assert is_finer(of(BASE), of(BASE.halved()), "time step")
    assert not is_finer(of(BASE.halved()), of(BASE), "time step")
    assert is_finer(of(BASE), of(BASE.in_double(10)), "round-off")
    assert not is_finer(of(BASE), of(BASE.in_double()), "time step")
    assert not is_finer(of(BASE), of(BASE.halved()), "round-off")
    half = BASE.halved()
    assert (half.timestep * half.steps, half.timestep * half.record_every) == (
        BASE.timestep * BASE.steps,
        BASE.timestep * BASE.record_every,
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"dataset": {"fingerprint": "other"}},
        {"checkpoints": ({"fingerprint": "a"}, {"fingerprint": "b"})},
        {"settings": dataclasses.replace(BASE.halved(), seed=1).to_json()},
        {"settings": dataclasses.replace(BASE.halved(), temperature=1.0).to_json()},
        {"settings": dataclasses.replace(BASE.halved(), start="relaxed").to_json()},
    ],
)
def test_anything_else_different_makes_another_run(changes):
    assert not is_finer(of(BASE), dataclasses.replace(of(BASE.halved()), **changes), "time step")


def test_the_newest_of_the_workspace_is_found(tmp_path, monkeypatch):
    monkeypatch.setenv("FISHERDASH_WORKSPACE", str(tmp_path))
    home = paths.folder("runs")
    for name, settings in {"one": BASE, "half": BASE.halved(), "again": BASE.halved()}.items():
        runs.RunWriter(home / name, of(settings)).finish("finished")
    run = runs.open_run(home / "one")
    assert finer_run(run, "time step") == home / "again"
    assert finer_run(run, "round-off") is None


def test_every_living_replica_of_every_frame_but_the_first(folder):
    chunks = write(folder)
    found = survivor_positions(runs.open_run(folder), most=1000)
    assert list(found) == ["default", "fisher"]
    everything = np.concatenate([part.positions for part in chunks], axis=2)[:, :, 1:]
    for head, frames in enumerate(found.values()):
        expected = np.swapaxes(everything[head], 0, 1).reshape(-1, 4, 3)
        np.testing.assert_array_equal(frames, expected)


def test_the_dead_are_left_out_from_their_death_on(folder):
    writer, part = runs.RunWriter(folder, header()), chunk(0)
    part.failed_step[0, 1] = 6  # 3 fs; frames are 1 fs apart
    writer.append(part)
    writer.finish("finished")
    found = survivor_positions(runs.open_run(folder), most=1000)
    assert len(found["fisher"]) == REPLICAS * (PER_CHUNK - 1)
    assert len(found["default"]) == REPLICAS * (PER_CHUNK - 1) - 2
    gone = part.positions[0, 1, 3:]
    assert not (found["default"][:, None] == gone).all(axis=(2, 3)).any()
    assert len(found) == HEADS


def test_of_huge_runs_some_replicas_are_looked_at(folder, monkeypatch):
    chunks = write(folder)
    every = sum(part.positions.shape[2] for part in chunks)
    monkeypatch.setattr(recordings, "MOST_ATOMS", 2 * every * 4)  # of two replicas of three
    run = runs.open_run(folder)
    moved = np.concatenate([part.positions for part in chunks], axis=2)[0, [0, 2], 1:]
    found = survivor_positions(run, most=1000)["default"]
    np.testing.assert_array_equal(found, np.swapaxes(moved, 0, 1).reshape(-1, 4, 3))
    fast, _ = last_velocities(run)
    whole = np.concatenate([part.velocities for part in chunks], axis=2)[0, [0, 2]]
    np.testing.assert_array_equal(fast["default"], whole)


def test_a_run_without_frames_gives_nothing(folder):
    write(folder, count=0)
    assert [len(frames) for frames in survivor_positions(runs.open_run(folder)).values()] == [0, 0]


def test_velocities_of_those_who_live_at_the_last_even_frame(folder):
    writer = runs.RunWriter(folder, header())
    chunks = [chunk(number) for number in range(3)]
    chunks[2].times[-1] -= 0.5  # the last step, half an interval early
    for part in chunks:
        part.failed_step[1, 2] = 12
        writer.append(part)
    writer.finish("finished")
    found, spacing = last_velocities(runs.open_run(folder))
    everything = np.concatenate([part.velocities for part in chunks], axis=2)
    assert spacing == 1.0
    np.testing.assert_array_equal(found["default"], everything[0, :, :-1])
    np.testing.assert_array_equal(found["fisher"], everything[1, :2, :-1])
    few, _ = last_velocities(runs.open_run(folder), most=4)
    np.testing.assert_array_equal(few["default"], everything[0, :, -5:-1])


def test_a_run_too_short_for_a_spectrum_is_one_sentence(folder):
    write(folder, count=0)
    with pytest.raises(InputError, match="0 evenly spaced frames"):
        last_velocities(runs.open_run(folder))


def read(run, head, replica):
    text = b"".join(extended_xyz(run, head, replica)).decode()
    return ase.io.read(io.StringIO(text), index=":", format="extxyz")


def test_ase_reads_back_what_was_recorded(folder):
    chunks = write(folder)
    frames = read(runs.open_run(folder), 1, 2)
    assert len(frames) == 3 * PER_CHUNK
    assert frames[0].get_chemical_formula() == "CH2O" and not frames[0].pbc.any()
    for number, part in enumerate(chunks):
        for k in range(PER_CHUNK):
            atoms = frames[number * PER_CHUNK + k]
            np.testing.assert_array_equal(np.float32(atoms.positions), part.positions[1, 2, k])
            np.testing.assert_array_equal(
                np.float32(atoms.arrays["velo"]), part.velocities[1, 2, k]
            )
            assert atoms.info["time_fs"] == part.times[k] and atoms.info["alive"]
            assert atoms.info["potential_eV"] == pytest.approx(part.potential[1, 2, k], rel=1e-9)
            assert (atoms.info["head"], atoms.info["replica"]) == ("fisher", 3)


def test_frames_after_death_say_so_and_have_no_energy(folder):
    writer, part = runs.RunWriter(folder, header()), chunk(0)
    part.failed_step[0, 1] = 6  # 3 fs
    part.potential[0, 1, 3:] = part.kinetic[0, 1, 3:] = np.nan
    writer.append(part)
    writer.finish("finished")
    frames = read(runs.open_run(folder), 0, 1)
    assert [atoms.info["alive"] for atoms in frames] == [True, True, True, False]  # ends there
    assert ["potential_eV" in atoms.info for atoms in frames] == [True] * 3 + [False]
    assert SETTINGS["timestep"] == 0.5


def test_a_name_cannot_break_the_line_that_carries_it(folder):
    writer = runs.RunWriter(folder, header(names=('a "quoted" head', "b")))
    writer.append(chunk(0))
    writer.finish("finished")
    assert read(runs.open_run(folder), 0, 0)[0].info["head"] == "a 'quoted' head"


@pytest.mark.parametrize(("head", "replica"), [(2, 0), (0, 3), (-1, 0)])
def test_a_trajectory_that_is_not_there_is_one_sentence(folder, head, replica):
    write(folder)
    with pytest.raises(InputError, match="the run has 2 heads and 3 replicas"):
        next(extended_xyz(runs.open_run(folder), head, replica))
