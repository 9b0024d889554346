"""The crash test sees what it is there to see; the heavy run of it is left to `make validate`."""

import subprocess
import sys

import numpy as np
import pytest

from tools import crash_test


def state(epochs=3, frames=5):
    """What could be on disk after so many epochs and frames."""
    rng = np.random.default_rng(0)
    arrays = {
        name: rng.normal(size=(2, 4, 9, *rest))[:, :, :frames]
        for name, rest in (
            ("potential", ()), ("kinetic", ()), ("positions", (3, 3)), ("velocities", (3, 3))
        )
    }  # fmt: skip
    rows = [{"epoch": number, "loss": 1.0 / number} for number in range(1, epochs + 1)]
    return {"epochs": rows, "times": np.arange(frames), "network": "abc", **arrays}


def test_what_has_grown_has_lost_nothing():
    assert crash_test.lost(state(), state(epochs=4, frames=9)) == []
    assert crash_test.differs(state(), state()) == []


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (lambda now: now["epochs"].pop(), "epochs: 3 before, 2 now"),
        (lambda now: now["epochs"][1].update(loss=0.4999), "epochs"),
        (lambda now: now.pop("network"), "the network"),
        (lambda now: now.update(times=now["times"][:4]), "frames: 5 before, 4 now"),
        (
            lambda now: now["velocities"].__setitem__((1, 2, 4, 0, 0), 0.0),
            "velocities of the first",
        ),
    ],
)
def test_a_loss_is_seen(harm, words):
    now = state()
    harm(now)
    (said,) = crash_test.lost(state(), now)
    assert words in said
    assert crash_test.differs(state(), now)


@pytest.mark.validate
def test_fifty_kills_lose_nothing(root):
    line = [sys.executable, str(root / "tools" / "crash_test.py"), "--kills", "50"]
    answer = subprocess.run(line, stdout=subprocess.PIPE, text=True, check=False, cwd=root)
    print(answer.stdout)
    assert answer.returncode == 0
    assert answer.stdout.splitlines()[-1].endswith(" 0 losses")
