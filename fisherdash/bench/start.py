"""From the shell to the first step of dynamics: a second start against the first one."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from fisherdash import checkpoint
from fisherdash.bench import ethanol
from fisherdash.bench.race import Result, seconds
from fisherdash.dataset import save


def warm_start() -> Result:
    """Seconds that ``fisherdash simulate --steps 1`` takes without and with compiled programs.

    ``ours`` is the second start, ``peer`` the first; both include Python's own start, imports,
    reading model and data, and writing the run.
    """
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        checkpoint.save(ethanol.checkpoint(), place / "model.safetensors")
        save(ethanol.dataset(40), place / "data.npz")
        environment = {**os.environ, "JAX_COMPILATION_CACHE_DIR": str(place / "cache")}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)  # a second start finds bytecode, too

        def run(name: str) -> None:
            words = (
                "simulate",
                "model.safetensors",
                "--data",
                "data.npz",
                "--steps",
                "1",
                "--out",
                name,
            )
            subprocess.run(
                [sys.executable, "-m", "fisherdash", *words, "--replicas", "32", "--json"],
                cwd=place,
                env=environment,
                stdout=subprocess.DEVNULL,
                check=True,
            )

        first = seconds(lambda: run("first"))
        second = min(seconds(lambda name=name: run(name)) for name in ("second", "third"))
    return Result(ours=second, peer=first, ratio=first / second, unit="s")
