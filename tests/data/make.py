"""Writes ``tests/data/version_0``: what FisherDash 0.1 kept on disk, as commit b8098af wrote it.

    python tests/data/make.py FOLDER

Works with the modules of that commit only (git checkout b8098af); later versions read its result.
"""

# ruff: noqa: I001 - the imports are those of that commit

import contextlib
import io
import json
import os
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

HOST = "a-machine"
NETWORK = {"features": 4, "max_degree": 1, "iterations": 1, "basis": 6, "cutoff": 3.0}
EPOCHS, STOPPED_EPOCH = 6, 3
STEPS, STOPPED_STEP = 60, 30
STUDY = """
title = "Two tiny networks"
sharpness = 0.05
together = 1
[[data]]
name = "ethanol"
file = "ethanol.npz"
valid = 4
test = 8
[[models]]
frames = 12
seed = [0, 1]
epochs = 150
batch_size = 4
learning_rate = 0.02
features = 4
max_degree = 1
iterations = 1
basis = 4
[heads.plain]
ridge = 0.1
holdout = 0.3
[dynamics]
temperature = 500
timestep = 0.25
replicas = 2
picoseconds = 0.01
frames = 10
"""


def make() -> None:
    """All of it into the working folder."""
    from fisherdash import dataset

    data = dataset.load(ROOT / "sample_models" / "ethanol_500K.npz")
    dataset.save(data.subset(slice(0, 1500, 50)), Path("ethanol.npz"))
    numbers = {}
    options = [f"--{name.replace('_', '-')}={value}" for name, value in NETWORK.items()]
    sizes = "--frames 20 --valid 5 --epochs 150 --batch-size 5 --learning-rate 0.02".split()
    train = ["train", "ethanol.npz", "--out", "trained.safetensors", *sizes, *options]
    numbers["train"] = shell(*train)
    solve = "--head by-element --ridge 1e-3 --energy-weight 1 --holdout 0.3 --quick".split()
    numbers["solve"] = shell(
        "solve", "trained.safetensors", "ethanol.npz", "--out", "refitted.safetensors", *solve
    )
    for name in ("trained", "refitted"):
        numbers[f"evaluate {name}"] = shell("evaluate", f"{name}.safetensors", "ethanol.npz")
    runs()
    numbers["compare"] = shell("compare", "run")
    training()
    study()
    strip()
    Path("numbers.json").write_text(json.dumps(numbers, indent=1) + "\n")


def shell(*words: str) -> dict[str, object]:
    """What a command prints as JSON."""
    from fisherdash.__main__ import main

    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        assert main([*words, "--json"]) == 0
    return json.loads(out.getvalue())


def runs() -> None:
    """A run to its end, and what a program leaves that is killed half way through it."""
    from fisherdash import checkpoint, dataset, simulate
    from fisherdash.runs import describe_run, record

    names = ("trained", "refitted")
    models = {name: checkpoint.load(Path(f"{name}.safetensors")) for name in names}
    data = dataset.load(Path("ethanol.npz"))
    settings = simulate.MDSettings(
        replicas=2, steps=STEPS, timestep=0.25, temperature=300.0, record_every=3, seed=3, chunk=5
    )
    command = (
        "python -m fisherdash simulate trained.safetensors refitted.safetensors --data ethanol.npz "
        "--out run --replicas 2 --steps 60 --timestep-fs 0.25 --temperature 300 --record-every 3 "
        "--seed 3"
    )
    header = describe_run(models, data, settings, command=command)
    chunks = simulate.simulate(models, data, settings)
    for chunk in record(chunks, Path("run"), header, models):
        if chunk.step == STOPPED_STEP:
            shutil.copytree("run", "run-killed")


def training() -> None:
    """A training to its end, and what a program leaves that is killed in its third epoch."""
    from fisherdash import dataset
    from fisherdash.model import ModelConfig
    from fisherdash.runs import TrainingHeader, begin_training, trainings
    from fisherdash.train import TrainSettings, resume

    trainings.SECONDS = 0.0
    config = ModelConfig(**NETWORK)
    settings = TrainSettings(
        epochs=EPOCHS, batch_size=5, learning_rate=0.02, schedule="cosine", average=0.9, clip=2.0,
        seed=3,
    )  # fmt: skip
    header = TrainingHeader("ethanol", "ethanol", config.to_json(), settings.to_json())
    sets = dataset.split(dataset.load(Path("ethanol.npz")), 20, 5, 3)
    folder = Path("training")
    writer = begin_training(folder, header, *sets)
    for report in writer.record(resume(header, *sets, trainings.state_file(folder))):
        if report.epoch == STOPPED_EPOCH:
            shutil.copytree(folder, "training-killed")


def study() -> None:
    """A study to its end, and one with its first model done."""
    from fisherdash.study import prepare_study, read_spec
    from fisherdash.study.work import do_unit

    Path("study.toml").write_text(STUDY)
    shell("study", "study.toml", "--out", "study", "--workers", "0")
    folder = Path("study-begun")
    plan = prepare_study(read_spec(STUDY, Path.cwd()), folder)
    do_unit(folder, [plan.members[0].name])


def strip() -> None:
    """Take the name of this machine and what is not needed out."""
    import socket

    Path("study.toml").unlink()
    Path("study/tables").rename("study-tables")  # what the begun one must come to
    shutil.rmtree("study")
    for name in ("model-00.safetensors", "model-01.safetensors"):
        (Path("run") / name).unlink()
    logs = Path("study-begun") / "log"
    for number, log in enumerate(sorted(logs.iterdir())):
        log.rename(logs / f"{HOST}-{number + 1}.jsonl")
    for path in (*Path().rglob("run.json"), *Path().rglob("training.json")):
        path.write_text(path.read_text().replace(socket.gethostname(), HOST))


if __name__ == "__main__":
    os.chdir(sys.argv[1])
    make()
