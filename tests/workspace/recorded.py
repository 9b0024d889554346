"""Headers and chunks of a made-up run, as dynamics would hand them over."""

from types import SimpleNamespace

import numpy as np
import pytest

from fisherdash.workspace import paths, runs
from fisherdash.workspace.headers import RunHeader

HEADS, REPLICAS, ATOMS, PER_CHUNK = 2, 3, 4, 5
SETTINGS = {
    "replicas": REPLICAS,
    "steps": 20,
    "timestep": 0.5,
    "temperature": 300.0,
    "record_every": 2,
    "seed": 7,
}


def header(**changes):
    facts = {
        "title": "a test",
        "names": ("default", "fisher"),
        "roles": ("default", "fisher"),
        "atomic_numbers": (8, 1, 1, 6),
        "settings": SETTINGS,
        "command": "python -m fisherdash simulate a b",
    }
    return RunHeader(**{**facts, **changes})


def chunk(number, frames=PER_CHUNK, state=None):
    """Random arrays that differ from chunk to chunk."""
    rng = np.random.default_rng(number)
    shape = (HEADS, REPLICAS, frames)
    step = 2 * (PER_CHUNK * number + frames - 1)
    return SimpleNamespace(
        stage="running",
        step=step,
        steps=20,
        names=("default", "fisher"),
        times=np.arange(frames) + float(PER_CHUNK * number),
        potential=rng.normal(size=shape),
        kinetic=rng.normal(size=shape),
        positions=rng.normal(size=(*shape, ATOMS, 3)).astype(np.float32),
        velocities=rng.normal(size=(*shape, ATOMS, 3)).astype(np.float32),
        failed_step=np.full((HEADS, REPLICAS), -1),
        cause=np.full((HEADS, REPLICAS), -1),
        steps_per_second=100.0 + number,
        device="one test device",
        bonds=SimpleNamespace(pairs=np.array([[0, 1], [0, 2]]), lengths=np.array([0.96, 0.97])),
        contacts=SimpleNamespace(limits={"H-H": 1.2}),
        degrees_of_freedom=6,
        notes=("3 distinct frames",),
        state=state,
    )


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("FISHERDASH_WORKSPACE", str(tmp_path))
    return paths.folder("runs") / "one"


def write(folder, count=3, status="finished", first=0, **changes):
    writer = runs.RunWriter(folder, header(**changes))
    writer.append(chunk(first, frames=0))
    chunks = [chunk(number) for number in range(first, first + count)]
    for part in chunks:
        writer.append(part)
    writer.finish(status)
    return chunks
