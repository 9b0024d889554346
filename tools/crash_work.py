"""The work that crash_test.py kills: a training and a simulation, as the dashboard does them.

    FISHERDASH_WORKSPACE=FOLDER python tools/crash_work.py

Begins, or goes on with, what the workspace holds, and says on standard output which job is at work.
"""

import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from fisherdash import dataset, submit  # noqa: E402
from fisherdash.background import keep_compilations  # noqa: E402
from fisherdash.errors import InputError  # noqa: E402
from fisherdash.potentials import checkpoint  # noqa: E402
from fisherdash.settings import (  # noqa: E402
    MDSettings,
    ModelConfig,
    SplitSettings,
    TrainSettings,
)
from fisherdash.workspace import delete, entries, paths, unfinished  # noqa: E402

EPOCHS, STEPS, RECORD_EVERY = 400, 24_000, 20


def work() -> None:
    """Train, then simulate."""
    keep_compilations()
    for kind, next_job in (("train", _training), ("simulate", _simulation)):
        job = next_job()
        if job is None:
            continue
        while not job.started:
            time.sleep(0.001)
        print(kind, flush=True)
        job.wait()
        if job.status != "finished":
            raise SystemExit(f"the {kind} job ended as {job.status}: {job.error}")


def _training() -> Any:
    """The job of the training, or of its rest; None when it is finished."""
    for entry in entries("trainings"):
        if entry.status == "finished":
            return None
        return submit.resumption(entry.folder)
    config = ModelConfig(features=4, max_degree=1, iterations=1, basis=6, cutoff=3.0)
    settings = TrainSettings(epochs=EPOCHS, batch_size=10, average=0.9, seed=1)
    path = _data()
    return submit.training(
        path, dataset.load(path), config, settings, split=SplitSettings(40, 15), name="net"
    )


def _simulation() -> Any:
    """The job of the run, or of its rest; None when it is finished."""
    for entry in entries("runs"):
        if entry.status == "finished":
            return None
        if _has_begun(entry.folder):
            return submit.resumption(entry.folder)
        delete(entry.folder)  # killed before its first state: nothing was computed
    files = {name: paths.place("checkpoints") / f"{name}.safetensors" for name in ("a", "b")}
    models = {name: checkpoint.load(path) for name, path in files.items()}
    settings = MDSettings(
        replicas=4, steps=STEPS, timestep=0.25, temperature=300.0, record_every=RECORD_EVERY
    )
    return submit.simulation(files, _data(), models, dataset.load(_data()), settings)


def _data() -> Path:
    return paths.place("datasets") / "water.npz"


def _has_begun(folder: Path) -> bool:
    try:
        unfinished(folder)
    except InputError as error:
        if "before it had begun" in str(error):
            return False
        raise
    return True


if __name__ == "__main__":
    work()
