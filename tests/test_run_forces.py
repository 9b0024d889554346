"""Forces along a replica: those of a head and of the one beside it."""

import dataclasses

import numpy as np
import pytest

from fisherdash import run_forces, tasks
from fisherdash.dataset import Dataset
from fisherdash.errors import InputError
from fisherdash.potentials import foreign
from fisherdash.settings import MDSettings
from fisherdash.settings.data import METHOD
from fisherdash.workspace import Run, headers, runs
from fisherdash.workspace.runs import has_models
from tests import networks
from tests.workspace import recorded


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
    (one, against), (ten, first) = run_forces.by_two_heads(run, [0, 1], 1, frames)
    for found, expected in ((against, 10.0 * one), (ten, 10.0 * first)):
        # In single precision the error of each is a part of the largest, whatever its own size.
        scale = np.abs(expected).max()
        np.testing.assert_allclose(found, expected, rtol=0, atol=2e-5 * scale)
    # F = −dU/dx along the way: what the potential loses, the forces have done.
    x = run.frames(0, 1, frames)[1:].astype(float)
    lost = -np.diff(run.trajectories().potential[0, 1, frames[1:]])[0]
    assert np.sum((x[1] - x[0]) * (one[1] + one[2]) / 2) == pytest.approx(lost, rel=0.1)
    assert run_forces.by_two_heads(run, [1], 0, frames[:1])[0][0].shape == (1, 3, 3)


def test_what_would_hold_everybody_up_is_refused_unbegun(tmp_path):
    """Hours of forces of one visitor's large molecule once stood before every value of a page."""
    atoms, numbers = 1000, np.full(1000, 6)
    rng = np.random.default_rng(0)
    lattice = np.stack(np.meshgrid(*[1.5 * np.arange(10.0)] * 3), -1).reshape(-1, 3)
    model = foreign.calculator(METHOD, name="it")
    settings = MDSettings(replicas=1, steps=1)
    data = Dataset(lattice[None], np.zeros(1), np.zeros((1, atoms, 3)), numbers, 300.0)
    header = headers.describe_run({"it": model}, data, settings, title="", command="")
    piece = recorded.chunk(0, frames=1)
    for name in ("positions", "velocities"):
        setattr(piece, name, rng.normal(size=(1, 1, 1, atoms, 3)).astype(np.float32))
    for name in ("potential", "kinetic"):
        setattr(piece, name, np.zeros((1, 1, 1)))
    piece.failed_step = piece.cause = np.full((1, 1), -1)
    writer = runs.RunWriter(tmp_path / "run", header, {"it": model})
    writer.append(piece)
    writer.finish("finished")
    with pytest.raises(InputError, match=r"1 frames of 1000 atoms would take about .* days"):
        run_forces.by_two_heads(Run(tmp_path / "run"), [0], 0, np.array([0]))
