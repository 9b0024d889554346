"""What a page queues: found again by its folder, and repeated by the command beside it."""

import shlex
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest

from fisherdash import dataset, submit
from fisherdash.__main__ import main
from fisherdash.potentials import checkpoint
from fisherdash.settings import SampleSettings
from fisherdash.workspace import Run, jobs
from tests import networks


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


WAIT_AND_DIE = """
import os, signal, sys, threading
from pathlib import Path
from fisherdash import dataset, submit
from fisherdash.potentials import checkpoint
from fisherdash.settings import MDSettings, SampleSettings
from fisherdash.workspace import jobs
from fisherdash.workspace.jobs import JobProgress

def for_ever(cancel):
    while True:
        yield JobProgress(0.5, "running")
        cancel.wait(0.1)

first = jobs.submit("block", "the one at work", for_ever)
times = {"equilibration_ps": 0.01, "interval_fs": 1.0}
submit.sample("H2O", SampleSettings(temperature=300.0, frames=3, **times))
model, data = map(Path, sys.argv[1:3])
settings = MDSettings(replicas=2, steps=20, temperature=300.0, record_every=5)
for name, path in (("kept", data), ("gone", Path(sys.argv[3]))):
    loaded = {name: checkpoint.load(model)}, dataset.load(path)
    submit.simulation({name: model}, path, *loaded, settings)
submit.sample("H2O", SampleSettings(temperature=301.0)).cancel()
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_waited_when_the_server_was_killed_is_put_back(tmp_path, monkeypatch):
    """Queued jobs once vanished at a restart."""
    model, data, gone = tmp_path / "m.safetensors", tmp_path / "d.npz", tmp_path / "gone.npz"
    checkpoint.save(networks.checkpoint(0), model)
    for path in (data, gone):
        dataset.save(networks.water(), path)
    words = [sys.executable, "-c", WAIT_AND_DIE, *map(str, (model, data, gone))]
    ended = subprocess.run(words, check=False, capture_output=True, text=True)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    gone.unlink()

    monkeypatch.setattr(submit, "_looked", set())
    for _ in range(2):  # the second page of the process puts nothing back
        submit.put_back()
    for thread in threading.enumerate():
        if thread.name == submit.PUTTING_BACK:
            thread.join(300)
    again = {job.kind: job for job in reversed(jobs.every())}
    assert list(again) == ["sample", "simulate", "again"]  # in their order, without the cancelled
    assert all(job.wait(300) for job in again.values())
    assert (
        again["sample"].status == "finished" and len(dataset.load(again["sample"].info["out"])) == 3
    )
    assert again["simulate"].status == "finished"
    assert Run(again["simulate"].info["run"]).header.settings["steps"] == 20
    assert again["again"].status == "failed" and "gone.npz" in (again["again"].error or "")
    assert not list((tmp_path / "waiting").glob("*/*.json"))
