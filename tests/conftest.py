"""Shared fixtures: a private workspace and list of jobs, the published data if at hand."""

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

# Set before anything imports fisherdash, so that no test touches the user's own workspace.
_WORKSPACE = tempfile.TemporaryDirectory(prefix="fisherdash-tests-")  # removed at the end
os.environ["FISHERDASH_WORKSPACE"] = _WORKSPACE.name

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def nothing_of_other_tests(monkeypatch):
    """What belongs to the process is each test's own: the list of jobs, and ``__main__``.

    Streamlit's test runner leaves its script there, and new processes would run that.
    """
    from fisherdash.workspace import jobs  # not before the workspace is set

    monkeypatch.setattr(jobs, "_registry", jobs.Registry())
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])


@pytest.fixture
def optimised() -> Iterator[None]:
    """What the test compiles is optimised in `make test` too, for the last digits or long loops."""
    import jax

    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", False)
    jax.clear_caches()
    yield
    jax.config.update("jax_disable_most_optimizations", before)


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository's root."""
    return ROOT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of published reference data beside the checkout; the test is skipped without it."""
    folder = Path(os.environ.get("FISHERDASH_SHARED_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"published reference data not found in {folder}")
    return folder


@pytest.fixture(scope="session")
def shared_models(shared_data: Path) -> Path:
    """Folder of published models beside the published data; the test is skipped without it."""
    folder = shared_data.parent / "models"
    if not folder.is_dir():
        pytest.skip(f"published models not found in {folder}")
    return folder


Fill = Callable[[Path], object]


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Fill], Path]:
    """``once(name, fill)``: a folder that one process fills a test run, for all workers to read."""
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent  # that of all workers

    def folder(name: str, fill: Fill) -> Path:
        place, done = base / f"once-{name}", base / f"once-{name}.done"
        with FileLock(base / f"once-{name}.lock"):
            if not done.exists():
                shutil.rmtree(place, ignore_errors=True)  # of a worker that failed half-way
                place.mkdir()
                fill(place)
                done.touch()
        return place

    return folder


def _shell(*words: object) -> None:
    """Run a command that must succeed."""
    from fisherdash.__main__ import main  # not before the workspace is set

    assert main([str(word) for word in words]) == 0


@pytest.fixture(scope="session")
def sampled_water(once) -> Path:
    """Forty frames of water at 400 K, from GFN2-xTB."""
    times = "--interval-fs 5 --equilibration-ps 0.1 --seed 1".split()
    words = ["sample", "H2O", "--temperature", 400, "--frames", 40, *times]
    folder = once("sampled", lambda folder: _shell(*words, "--out", folder / "water.npz"))
    return folder / "water.npz"


@pytest.fixture(scope="session")
def trained_water(once, sampled_water: Path) -> Path:
    """A tiny network, trained on these frames for thirty epochs."""
    sizes = "--features 4 --max-degree 1 --iterations 1 --basis 4 --batch-size 5".split()
    words = ["train", sampled_water, "--epochs", 30, *sizes]
    folder = once("trained", lambda folder: _shell(*words, "--out", folder / "water.safetensors"))
    return folder / "water.safetensors"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Tests of a file share a worker and its fixtures; all browsers share one worker."""
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return "browser" if nodeid.startswith("tests/browser/") else nodeid.partition("::")[0]

    return ByFile(config, log)
