"""What a page queues: found again by its folder, and repeated by the command beside it."""

import shlex

import numpy as np
import pytest

from fisherdash import dataset, submit
from fisherdash.__main__ import main
from fisherdash.settings import SampleSettings


@pytest.fixture(autouse=True)
def own_workspace(tmp_path, monkeypatch):
    monkeypatch.setenv("FISHERDASH_WORKSPACE", str(tmp_path))


def test_a_job_is_found_by_what_it_writes_and_its_command_makes_the_same(tmp_path):
    settings = SampleSettings(temperature=300.0, frames=3, equilibration_ps=0.01, interval_fs=1.0)
    job = submit.sample("H2O", settings)
    assert job.wait(300) and job.status == "finished", job.error
    made = job.info["out"]
    assert submit.job_in(made) is job and submit.job_in(tmp_path) is None

    made.rename(kept := tmp_path / "first.npz")
    assert main(shlex.split(job.info["command"])[3:]) == 0  # without python -m fisherdash
    first, second = dataset.load(kept), dataset.load(made)
    np.testing.assert_array_equal(first.positions, second.positions)
    np.testing.assert_array_equal(first.energies, second.energies)
