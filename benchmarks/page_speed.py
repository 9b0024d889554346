"""How long each page takes to open and to run again, with a large run chosen.

    python benchmarks/page_speed.py [--record-every 200] [--json]

A run of 10⁶ steps of 64 replicas and two heads is written into a fresh workspace (made-up numbers:
only their amount matters). Each page is opened in Streamlit's own test runner, which leaves out the
browser's drawing, and run five more times. The Study page shows a made-up study of 200 models.
Wanted: run and study open within 2 s, a page runs again within 300 ms.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

PAGES = (
    "home", "data", "train", "refit", "simulate", "drift", "compare", "files", "study",
    "learn",
)  # fmt: skip
MEMBERS = 200
STEPS, REPLICAS = 1_000_000, 64
NAMES = ("default head", "Fisher head", "wide head")
FRAMES_A_CHUNK = 100
AGAIN = 5


def large_run(record_every: int) -> tuple[str, float]:
    """Writes the run of two heads; its name and its size in MB."""
    folder, written = made_up(record_every, heads=2)
    for _ in written:
        pass
    return folder.name, sum(path.stat().st_size for path in folder.iterdir()) / 1e6


def made_up(record_every: int, heads: int) -> tuple[Path, Iterator]:
    """The folder of a run of made-up numbers, and its chunks as they are written there."""
    from fisherdash import dataset
    from fisherdash import workspace as runs
    from fisherdash.md import MDSettings, initial
    from fisherdash.workspace import paths

    data = dataset.load(ROOT / "sample_models" / "ethanol_500K.npz")
    settings = MDSettings(
        replicas=REPLICAS, steps=STEPS, record_every=record_every, temperature=500.0
    )
    header = runs.RunHeader(
        title="a million steps",
        names=NAMES[:heads],
        roles=("default", "fisher", "other")[:heads],
        atomic_numbers=tuple(data.atomic_numbers.tolist()),
        settings=settings.to_json(),
        dataset={"source": data.source, "fingerprint": data.fingerprint},
    )
    folder = paths.folder("runs") / "large"
    return folder, runs.record(
        chunks(settings, data, initial.find_bonds(data), heads), folder, header
    )


def chunks(settings, data, bonds, heads: int) -> Iterator:
    """Frames whose energies wander a little, with the atoms where the data have them."""
    from fisherdash.md import Chunk

    rng = np.random.default_rng(0)
    frames = STEPS // settings.record_every + 1
    base = rng.normal(scale=0.1, size=(heads, REPLICAS, 1))
    for first in range(0, frames, FRAMES_A_CHUNK):
        numbers = np.arange(first, min(first + FRAMES_A_CHUNK, frames))
        shape = (heads, REPLICAS, len(numbers))
        swing = rng.normal(scale=0.05, size=shape)
        chosen = rng.integers(len(data), size=shape)
        positions = data.positions.astype(np.float32)[chosen]
        yield Chunk(
            stage="running",
            step=int(numbers[-1]) * settings.record_every,
            steps=STEPS,
            names=NAMES[:heads],
            times=numbers * settings.record_every * settings.timestep,
            potential=base + swing,
            kinetic=1.0 - swing + 1e-5 * rng.normal(size=shape),
            positions=positions,
            velocities=positions * np.float32(1e-3),
            failed_step=np.full((heads, REPLICAS), -1),
            cause=np.full((heads, REPLICAS), -1),
            steps_per_second=1000.0,
            device="none: made-up numbers",
            bonds=bonds,
            degrees_of_freedom=21,
            timestep=settings.timestep,
            num_atoms=data.num_atoms,
        )


def large_study() -> str:
    """Writes a study of :data:`MEMBERS` models with five heads; its name."""
    from fisherdash.study import write_tables
    from fisherdash.workspace import paths
    from tests.study import planted

    folder = paths.folder("studies") / "large"
    write_tables(planted.tables(models=MEMBERS), folder / "tables")
    return folder.name


def measure(run: str, study: str) -> dict[str, dict[str, float]]:
    """Seconds to open each page and milliseconds to run it again."""
    from streamlit.testing.v1 import AppTest

    found = {}
    AppTest.from_file(str(ROOT / "app.py"), default_timeout=300).run()  # imports
    for name in PAGES:
        app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=300)
        app.query_params["run"] = run
        app.query_params["study"] = study
        app.run()
        started = time.perf_counter()
        if name != "home":
            app.switch_page(f"pages/{name}.py")
        app.run()
        opened = time.perf_counter() - started
        if app.exception:
            raise SystemExit(f"{name}: {app.exception[0].value}")
        again = []
        for _ in range(AGAIN):
            started = time.perf_counter()
            app.run()
            again.append(1e3 * (time.perf_counter() - started))
        found[name] = {"open_s": opened, "again_ms": statistics.median(again)}
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the run, open every page, print one line each."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--record-every", type=int, default=200, metavar="STEPS")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["FISHERDASH_WORKSPACE"] = scratch
        os.environ["STREAMLIT_LOGGER_LEVEL"] = "error"  # it misses a browser
        run, megabytes = large_run(options.record_every)
        found = measure(run, large_study())
    frames = STEPS // options.record_every + 1
    if options.json:
        print(json.dumps({"frames": frames, "megabytes": megabytes, "pages": found}))
        return 0
    print(f"a run of {STEPS:,} steps × {REPLICAS} replicas: {frames:,} frames, {megabytes:.0f} MB")
    print(f"a study of {MEMBERS} models")
    for name, times in found.items():
        print(f"{name:<13} opens in {times['open_s']:5.2f} s, again {times['again_ms']:4.0f} ms")
    return 0


if __name__ == "__main__":
    sys.exit(main())
