"""A run that was killed goes on as if it had never stopped, bit for bit."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from fisherdash import dataset
from fisherdash.__main__ import main
from fisherdash.errors import InputError
from fisherdash.potentials import checkpoint
from fisherdash.workspace import locks, open_run, unfinished
from tests import networks

pytestmark = pytest.mark.slow

STEPS = 6000
SETTINGS = f"--replicas 4 --steps {STEPS} --record-every 20 --timestep-fs 0.25 --seed 3".split()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two heads of one body, water, and a run that nobody disturbed."""
    path = tmp_path_factory.mktemp("resume")
    checkpoint.save(networks.checkpoint(0), path / "one.safetensors")
    checkpoint.save(networks.checkpoint(0, 1e-5), path / "two.safetensors")
    dataset.save(networks.water(), path / "water.npz")
    assert main(simulate(path, "whole")) == 0
    return path


def simulate(folder: Path, name: str) -> list[str]:
    """Arguments of the run's command."""
    models = [str(folder / "one.safetensors"), str(folder / "two.safetensors")]
    words = ["--data", str(folder / "water.npz"), "--out", str(folder / name)]
    return ["simulate", *models, *words, *SETTINGS, "--temperature", "300"]


def killed(folder: Path, name: str, after: int) -> Path:
    """A run whose process was killed, without a word, once it had written so many chunks."""
    out = folder / name
    process = subprocess.Popen([sys.executable, "-m", "fisherdash", *simulate(folder, name)])
    deadline = time.monotonic() + 180
    while len(list(out.glob("chunk-*.npz"))) < after:
        assert process.poll() is None and time.monotonic() < deadline, "the run ended by itself"
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    return out


def arrays(folder: Path) -> dict[str, np.ndarray]:
    """Everything that a run recorded, joined over its chunks."""
    chunks = [dict(np.load(path)) for path in sorted(folder.glob("chunk-*.npz"))]
    names = ("potential", "kinetic", "positions", "velocities")
    joined = {name: np.concatenate([c[name] for c in chunks], axis=2) for name in names}
    joined["times"] = np.concatenate([c["times"] for c in chunks])
    joined |= {name: chunks[-1][name] for name in ("died_step", "broken_bond", "step")}
    (state,) = folder.glob("state-*.npz")
    assert state.name == f"state-{len(chunks):06d}.npz"
    return joined | {f"state {k}": v for k, v in np.load(state).items()}


def assert_same(one: Path, other: Path) -> None:
    """Every array of both runs is the same, to the bit."""
    first, second = arrays(one), arrays(other)
    assert first.keys() == second.keys() and len(first["times"]) == STEPS // 20 + 1
    for name, array in first.items():
        np.testing.assert_array_equal(array, second[name], err_msg=name)


@pytest.mark.parametrize("after", [1, 3])
def test_a_killed_run_ends_as_if_it_had_never_been(folder, after, capfd):
    out = killed(folder, f"killed-{after}", after)
    assert open_run(out).status == "interrupted"
    assert -1 <= unfinished(out).step < STEPS
    # The models' own files are not needed any more.
    assert main(["resume", str(out), "--json"]) == 0
    answer = json.loads(capfd.readouterr().out)
    assert answer["steps"] == STEPS and answer["run"] == str(out)
    assert list(answer["exploded"]) == ["one", "two"]
    assert open_run(out).status == "finished"
    assert_same(folder / "whole", out)


def test_a_chunk_beyond_the_state_is_computed_again(folder, capfd):
    """A run from before every chunk had its state, killed before the state of its last chunk."""
    out = folder / "between"
    shutil.copytree(folder / "whole", out)
    steps = [int(np.load(path)["step"]) for path in sorted(out.glob("chunk-*.npz"))]
    last = next(step for step in steps if step > 0)
    assert last < STEPS, "the run must have several chunks for this test to test anything"
    # The state after an early chunk, from a run that ends there.
    short = simulate(folder, "short")
    short[short.index("--steps") + 1] = str(last)
    assert main(short) == 0
    (early,) = (folder / "short").glob("state-*.npz")
    shutil.copy(early, out / "state.npz")
    for state in out.glob("state-*.npz"):
        state.unlink()
    header = json.loads((out / "run.json").read_text())
    (out / "run.json").write_text(json.dumps(header | {"status": "interrupted"}))
    assert main(["resume", str(out)]) == 0
    assert_same(folder / "whole", out)


def test_what_cannot_go_on_is_told_in_one_sentence(folder, capfd, tmp_path):
    assert main(["resume", str(folder / "whole")]) == 2
    assert "is finished: all its 6000 steps are done" in capfd.readouterr().err
    assert main(["resume", str(folder / "nowhere")]) == 2
    assert "there is no such folder" in capfd.readouterr().err
    lost = tmp_path / "lost"
    shutil.copytree(folder / "whole", lost)
    header = json.loads((lost / "run.json").read_text()) | {"status": "cancelled"}
    (lost / "run.json").write_text(json.dumps(header))
    (lost / "model-01.safetensors").unlink()
    with pytest.raises(InputError, match=r"holds no model-01\.safetensors, the model of 'two'"):
        unfinished(lost)
    next(lost.glob("state-*.npz")).unlink()
    with pytest.raises(InputError, match="before it had begun; start it anew: python -m"):
        unfinished(lost)
    running = header | {"status": "running", "writer": {"pid": os.getpid(), "host": ""}}
    (lost / "run.json").write_text(json.dumps(running))
    held = locks.FolderLock(lost)
    with pytest.raises(InputError, match="still being written"):
        unfinished(lost)
    held.release()
    with pytest.raises(InputError, match="before it had begun"):
        unfinished(lost)
    (lost / "writer.lock").unlink()  # as before there were locks: another machine may be writing
    with pytest.raises(InputError, match="still being written"):
        unfinished(lost)
