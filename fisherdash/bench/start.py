"""From nothing to the first step of dynamics: a second start against the first one."""

import os
import subprocess
import sys
import tempfile

from fisherdash.bench.race import Result, seconds

_PROGRAM = """
import numpy as np
from fisherdash.compilation import keep_compilations
keep_compilations()
from fisherdash import simulate
from fisherdash.bench import ethanol
settings = simulate.MDSettings(replicas=32, steps=1)
chunks = simulate.simulate({"x": ethanol.checkpoint()}, ethanol.dataset(40), settings)
assert any(len(chunk.times) for chunk in chunks)
"""


def warm_start() -> Result:
    """Seconds to the first step with and without compiled programs on disk, each a new process.

    ``ours`` is the second start, ``peer`` the first; both include Python's own start and imports.
    """
    with tempfile.TemporaryDirectory() as cache:
        environment = {**os.environ, "JAX_COMPILATION_CACHE_DIR": cache}

        def run() -> None:
            subprocess.run([sys.executable, "-c", _PROGRAM], env=environment, check=True)

        first, second = seconds(run), min(seconds(run) for _ in range(2))
    return Result(ours=second, peer=first, ratio=first / second, unit="s")
