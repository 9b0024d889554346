"""A workspace of its own for every page test, with a small model, few frames and a short run."""

from pathlib import Path

import numpy as np
import pytest
from ase.build import molecule
from streamlit.testing.v1 import AppTest

from fisherdash import dataset
from fisherdash.potentials import checkpoint
from fisherdash.potentials.e3x import E3x
from fisherdash.settings import MAX_ATOMIC_NUMBER, ModelConfig
from fisherdash.workspace import RunHeader, RunWriter, computed, paths, users
from pages.ui import server
from tests.workspace.recorded import SETTINGS, chunk

CONFIG = ModelConfig(features=4, max_degree=1, iterations=1, basis=4, cutoff=3.0)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A page runs anew with every click: all of these are slow."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(autouse=True)
def own_workspace(tmp_path, monkeypatch):
    monkeypatch.setenv("FISHERDASH_WORKSPACE", str(tmp_path / "work"))
    monkeypatch.setattr(paths, "samples", lambda: tmp_path / "no samples")
    return tmp_path / "work"


@pytest.fixture
def coming_as(monkeypatch):
    """From now on pages are opened by the browser of that name, on a shared server."""
    monkeypatch.setenv("FISHERDASH_SHARED", "1")

    def come(name: str) -> str:
        monkeypatch.setattr(server, "identity", lambda cookies: f"browser {name}")
        return users.named(f"browser {name}")

    return come


@pytest.fixture
def water():
    """Sixty frames of water with plausible energies and forces, in the workspace."""
    rng = np.random.default_rng(5)
    atoms = molecule("H2O")
    shifts = 0.03 * rng.standard_normal((60, 3, 3))
    data = dataset.Dataset(
        positions=atoms.positions + shifts,
        energies=-5.0 + 0.5 * (40.0 * shifts**2).sum(axis=(1, 2)),
        forces=-40.0 * shifts,
        atomic_numbers=atoms.numbers,
        temperature=300.0,
        source="harmonic water",
    )
    path = paths.folder("datasets") / "water.npz"
    dataset.save(data, path)
    return data


@pytest.fixture
def model():
    """An untrained model that knows water, in the workspace."""
    potential = E3x(CONFIG)
    made = checkpoint.Checkpoint(
        potential=potential,
        body=potential.init(0),
        head=np.random.default_rng(6).standard_normal(CONFIG.features),
        element_bias=np.zeros(MAX_ATOMIC_NUMBER + 1),
        elements=(1, 8),
        name="tiny",
    )
    checkpoint.save(made, paths.folder("checkpoints") / "tiny.safetensors")
    return made


@pytest.fixture
def short_run():
    """A finished run of two heads, three replicas and fifteen frames, in the workspace."""
    header = RunHeader(
        title="a short run",
        names=("default head", "Fisher head"),
        roles=("default", "fisher"),
        atomic_numbers=(8, 1, 1, 6),
        settings=SETTINGS,
        command="python -m fisherdash simulate one two --data water.npz --out run",
    )
    folder = paths.folder("runs") / "short"
    writer = RunWriter(folder, header)
    for number in range(3):
        part = chunk(number)
        part.failed_step[1, 2] = 11
        part.cause[1, 2] = 1
        writer.append(part)
    writer.finish("finished")
    return folder


@pytest.fixture
def open_page(root):
    """Open one page of the app and run it; asserts that nothing was raised."""

    def opened(name: str = "home", **choices: str) -> AppTest:
        app = AppTest.from_file(str(root / "app.py"), default_timeout=120)
        for key, value in choices.items():
            app.query_params[key] = value
        app.run()
        if name != "home":
            app.switch_page(f"pages/{name}.py").run()
        return settled(app)

    return opened


def settled(app: AppTest) -> AppTest:
    """The page once everything is there that is computed in the background."""
    ended = False  # a job may end after the page was drawn and before it is looked for
    while (waiting := computed.active()) or (_computing(app) and not ended):
        assert all(job.wait(120) for job in waiting)
        ended = not waiting
        app.run()
    assert not app.exception, app.exception
    return app


def _computing(app: AppTest) -> bool:
    return any(":material/hourglass_top: Computing" in caption.value for caption in app.caption)
