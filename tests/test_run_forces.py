"""Forces along a replica: those of a head and of the one beside it, and their error bars."""

import dataclasses

import numpy as np
import pytest

from fisherdash import fisher, run_forces, tasks
from fisherdash.settings import MDSettings
from fisherdash.workspace import Run, runs
from fisherdash.workspace.runs import has_models
from tests import networks
from tests.workspace.recorded import PER_CHUNK, chunk, header


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
    times, bars = run_forces.error_bars(networks.checkpoint(0), Run(tmp_path / "one"), [0, 1], 1)
    np.testing.assert_array_equal(times, np.arange(PER_CHUNK))
    np.testing.assert_array_equal(np.isfinite(bars[0]), [True, True, True, False, False])
    assert np.isfinite(bars[1]).all() and bars[1][0] == pytest.approx(0.5)
    assert asked == [3, PER_CHUNK]  # a broken molecule is never given to the model
