"""The crash test sees what it is there to see; the heavy run of it is left to `make validate`."""

import subprocess
import sys

import numpy as np
import pytest

from fisherdash import dataset, storage
from tests import networks
from tools import crash_test, crash_work


def state(epochs=3, frames=5):
    """What could be on disk after so many epochs and frames."""
    rng = np.random.default_rng(0)
    arrays = {
        name: rng.normal(size=(9, 2, 4, *rest))[:frames]
        for name, rest in (("potential", ()), ("positions", (3, 3)), ("velocities", (3, 3)))
    }
    rows = [{"epoch": number, "loss": 1.0 / number} for number in range(1, epochs + 1)]
    return {"epochs": rows, "times": np.arange(frames), "model abc": ["kept"], **arrays}


def test_what_has_grown_has_lost_nothing():
    assert crash_test.lost(state(), state(epochs=4, frames=9)) == []
    assert crash_test.differs(state(), state()) == []
    assert crash_test.differs(state(), state(frames=9))


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (lambda now: now["epochs"].pop(), "epochs: 3 before, 2 now"),
        (lambda now: now["epochs"][1].update(loss=0.4999), "epochs: others"),
        (lambda now: now.pop("model abc"), "model abc: 1 before, 0 now"),
        (lambda now: now.update(times=now["times"][:4]), "times: 5 before, 4 now"),
        (lambda now: now["velocities"].__setitem__((4, 1, 2, 0, 0), 0.0), "velocities: others"),
    ],
)
def test_a_loss_is_seen(harm, words):
    now = state()
    harm(now)
    (said,) = crash_test.lost(state(), now)
    assert words in said
    assert crash_test.differs(state(), now)


def test_samples_that_are_no_beginning_of_one_another_are_seen(tmp_path):
    (tmp_path / "datasets").mkdir()
    data = networks.water()
    for name, rows in (("H2O", range(4)), ("H2O-2", range(9)), ("H2O-3", (1, 2))):
        dataset.save(data.subset(np.array(rows)), tmp_path / "datasets" / f"{name}.npz")
    found = crash_test.on_disk(tmp_path)
    assert len(found["energies"]) == 9 and found["other samples"] == [True]


def test_half_a_stage_is_not_taken_for_a_result(tmp_path):
    member = tmp_path / "studies" / "crash" / "members" / "one"
    member.mkdir(parents=True)
    (member / f"{storage.PART}half.json").write_text("{}")
    assert crash_test.on_disk(tmp_path) == {}
    (member / "errors.json").write_text("{}")
    assert len(crash_test.on_disk(tmp_path)) == 1


def test_every_kind_of_work_can_be_begun():
    assert set(crash_work.KINDS) == set(crash_test.KINDS)


WRITER = """
import pathlib, sys, time
place = pathlib.Path(sys.argv[1])
(place / ".part-claim-0.npz").touch()  # a name that is reserved is nothing written
time.sleep(0.3)
for number in range(100):
    part = place / f".part-{number}"
    part.write_text("half of it")
    time.sleep(0.1)
    part.rename(place / f"{number}.npz")
"""


@pytest.mark.parametrize("aim", ["writing", "half a file"])
def test_a_kill_meets_the_writing(aim, tmp_path):
    (tmp_path / "datasets").mkdir()
    line = [sys.executable, "-c", WRITER, str(tmp_path / "datasets")]
    pace = crash_test.Pace(whole=11.0, silent=0.3, files=4)
    before = crash_test.written(tmp_path)
    with subprocess.Popen(line, text=True) as child:
        crash_test.wait(aim, child, tmp_path, pace, chance=0.05)
        child.kill()
    whole = list((tmp_path / "datasets").glob("[!.]*"))
    assert crash_test.written(tmp_path) != before and len(whole) < 60
    assert aim == "writing" or len(crash_test.halves(tmp_path)) == 1


def test_a_child_that_ends_is_not_waited_for(tmp_path):
    pace = crash_test.Pace(whole=1e3, silent=0.0, files=1)
    for aim in crash_test.AIMS:
        with subprocess.Popen([sys.executable, "-c", ""], text=True) as child:
            crash_test.wait(aim, child, tmp_path, pace, chance=0.5)
        assert child.returncode == 0


@pytest.mark.validate
def test_sixty_kills_lose_nothing(root):
    line = [sys.executable, str(root / "tools" / "crash_test.py"), "--kills", "60"]
    answer = subprocess.run(line, stdout=subprocess.PIPE, text=True, check=False, cwd=root)
    print(answer.stdout)
    assert answer.returncode == 0
    assert answer.stdout.splitlines()[-1].endswith(" 0 losses")
