"""The work that crash_test.py kills: one kind of job, as the dashboard does it.

    FISHERDASH_WORKSPACE=FOLDER python tools/crash_work.py KIND

Begins, or goes on with, what the workspace holds, and says on standard output that it is at work.
What cannot be gone on with, a sample or a re-fit, is begun anew.
"""

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from fisherdash import (  # noqa: E402
    dataset,
    reference,
    storage,
    submit,
)
from fisherdash.background import keep_compilations  # noqa: E402
from fisherdash.errors import InputError  # noqa: E402
from fisherdash.potentials import checkpoint  # noqa: E402
from fisherdash.settings import (  # noqa: E402
    MDSettings,
    ModelConfig,
    Options,
    SampleSettings,
    SplitSettings,
    StabilitySettings,
    TrainSettings,
)
from fisherdash.workspace import delete, entries, limits, paths, unfinished  # noqa: E402
from fisherdash.workspace.jobs import Job  # noqa: E402

EPOCHS, FRAMES = 300, 600
MODELS = ("a", "b", "outside")
"""Those that are there before the work begins."""
STUDY = """
title = "crash"
together = 1
[[data]]
name = "water"
file = "water.npz"
valid = 10
test = 20
[[models]]
frames = [20]
seed = [0, 1, 2]
epochs = 40
features = 4
max_degree = 1
iterations = 1
basis = 6
cutoff = 3
[heads.plain]
ridge = 1e-6
[dynamics]
temperature = 300
timestep = 0.25
replicas = 4
picoseconds = 0.5
frames = 100
"""


def sample() -> Job | None:
    """A Boltzmann sample of water; begun anew until one has all its frames."""
    reference.EVERY = 0.5  # the file is written more often, so that kills meet it being written
    for path in paths.place("datasets").glob("H2O*.npz"):
        if len(dataset.load(path)) == FRAMES:
            return None
    settings = SampleSettings(
        temperature=300.0, frames=FRAMES, interval_fs=5.0, equilibration_ps=0.05
    )
    return submit.sample("H2O", settings)


def train() -> Job | None:
    """A training, or its rest."""
    for entry in entries("trainings"):
        return None if entry.status == "finished" else submit.resumption(entry.folder)
    config = ModelConfig(features=4, max_degree=1, iterations=1, basis=6, cutoff=3.0)
    settings = TrainSettings(epochs=EPOCHS, batch_size=10, average=0.9, seed=1)
    split = SplitSettings(40, 15)
    data = dataset.load(_data())
    return submit.training(_data(), data, config, settings, split=split, name="net")


def refit() -> Job | None:
    """A re-fit with short dynamics; begun anew until its checkpoint is there."""
    if any(path.stem not in MODELS for path in _checkpoints("*")):
        return None
    options = Options(
        head="shared",
        ridge="stable",
        test_boltzmann=False,
        stability=StabilitySettings(replicas=8, picoseconds=0.5, timestep=0.25),
    )
    (path,) = _checkpoints("a")
    return submit.refit(path, _data(), checkpoint.load(path), dataset.load(_data()), options)


def simulate() -> Job | None:
    """Dynamics of two heads, or the rest of them."""
    return _dynamics(("a", "b"), steps=30_000, timestep=0.25)


def outside() -> Job | None:
    """Dynamics of a model that another process evaluates, or the rest of them."""
    return _dynamics(("outside",), steps=6000, timestep=0.002)  # later its water falls apart


def study() -> Job | None:
    """A small study, or what is left of it."""
    for folder in paths.place("studies").glob("[!.]*"):
        try:
            whole = (folder / "tables").is_dir() and not submit.models_left(folder)
            return None if whole else submit.rest_of_study(folder)
        except InputError:  # killed before it had begun
            storage.remove_folder(folder)
    return submit.study(STUDY, paths.place("datasets"))


KINDS: dict[str, Callable[[], Job | None]] = {
    one.__name__: one for one in (sample, train, refit, simulate, outside, study)
}


def _dynamics(names: Sequence[str], steps: int, timestep: float) -> Job | None:
    for entry in entries("runs"):
        if entry.status == "finished":
            return None
        if _has_begun(entry.folder):
            return submit.resumption(entry.folder)
        delete(entry.folder)  # killed before its first state: nothing was computed
    files = {name: path for name in names for path in _checkpoints(name)}
    models = {name: checkpoint.load(path) for name, path in files.items()}
    settings = MDSettings(
        replicas=4, steps=steps, timestep=timestep, temperature=300.0, record_every=20
    )
    return submit.simulation(files, _data(), models, dataset.load(_data()), settings)


def _data() -> Path:
    return paths.place("datasets") / "water.npz"


def _checkpoints(name: str) -> list[Path]:
    found = paths.place("checkpoints").glob(f"{name}.safetensors")
    return sorted(path for path in found if not path.name.startswith("."))


def _has_begun(folder: Path) -> bool:
    try:
        unfinished(folder)
    except InputError as error:
        if "before it had begun" in str(error):
            return False
        raise
    return True


def work(kind: str) -> None:
    """Do one kind of work to its end; it may have been done."""
    keep_compilations()
    with limits.agreed():
        job = KINDS[kind]()
        if job is None:
            return
        while not job.started:
            time.sleep(0.001)
        print(kind, flush=True)
        job.wait()
        if job.status != "finished":
            raise SystemExit(f"the {kind} job ended as {job.status}: {job.error}")


if __name__ == "__main__":
    work(sys.argv[1])
