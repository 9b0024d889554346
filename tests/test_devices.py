"""Grids of devices, and a process with four of them whose results are those of one."""

import os
import subprocess
import sys

import jax
import numpy as np
import pytest

from fisherdash import devices
from fisherdash.md import Group, engine
from tests.md.force_fields import Harmonic


@pytest.mark.parametrize(
    ("count", "lengths", "expected"),
    [
        (1, {"members": 3, "replicas": 64}, (1, 1)),
        (4, {"members": 1, "replicas": 64}, (1, 4)),
        (4, {"members": 1, "replicas": 30}, (1, 3)),
        (4, {"members": 8, "replicas": 1}, (4, 1)),
        (4, {"members": 2, "replicas": 2}, (2, 2)),
        (4, {"members": 4, "replicas": 4}, (1, 4)),
        (8, {"members": 1, "replicas": 7}, (1, 7)),
        (8, {"members": 202, "replicas": 600}, (1, 8)),
    ],
)
def test_as_many_devices_as_can_have_equal_shares(monkeypatch, count, lengths, expected):
    some = [jax.local_devices()[0]] * count
    monkeypatch.setattr(devices.jax, "local_devices", lambda: some)
    monkeypatch.setattr(devices, "Mesh", lambda chosen, names: (chosen.shape, names))
    assert devices.mesh(**lengths) == (expected, ("members", "replicas"))


def test_parameters_are_cut_only_where_they_are_bodies():
    whole = Group(("a", "b"), (0, 1), Harmonic(), np.ones(2))
    layout = engine.Layout.of(whole, 4)
    assert not layout.members and layout.mesh.size == 1


@pytest.mark.slow
def test_four_devices_give_what_one_gives(root):
    # Every device waits in a thread of JAX's pool; NPROC gives it threads beyond those.
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=4"
    environment = {**os.environ, "XLA_FLAGS": flags, "NPROC": "16"}
    answer = subprocess.run(
        [sys.executable, "-m", "tests.four_devices"],
        cwd=root,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr[-2000:]
    assert answer.stdout.count(": same") == 4


def test_blocks_cover_every_row_once():
    for count, size in ((10, 4), (8, 4), (3, 4)):
        found = list(devices.blocks(count, size))
        assert all(len(rows) == size for rows, _ in found)
        assert np.concatenate([rows[:new] for rows, new in found]).tolist() == list(range(count))
        assert all((rows[new:] == count - 1).all() for rows, new in found)
    assert not list(devices.blocks(0, 4))
