"""The real app and a real browser; every request that leaves the machine fails the test."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

import numpy as np
import pytest
from ase.build import molecule
from playwright.sync_api import BrowserContext, Page, expect, sync_playwright

from fisherdash.runs import RunHeader, RunWriter
from tests.browser import chromium

PATIENCE = 240_000
"""Milliseconds that a condition may take on two busy cores, compilation included."""


def plant_run(folder: Path, frames: int = 40) -> None:
    """Ethanol that shakes under both heads and loses a bond under the first, as a finished run."""
    atoms = molecule("CH3CH2OH")
    settings = {
        "replicas": 1, "steps": 20 * (frames - 1), "timestep": 0.5, "temperature": 500.0,
        "record_every": 20, "seed": 0,
    }  # fmt: skip
    header = RunHeader(
        title="planted",
        names=("default head", "Fisher head"),
        roles=("default", "fisher"),
        atomic_numbers=tuple(atoms.numbers.tolist()),
        settings=settings,
        bonds=((0, 1, 1.5),),
        degrees_of_freedom=21,
        device="none",
    )
    shake = 0.15 * np.random.default_rng(4).standard_normal((2, 1, frames, 9, 3))
    shake[0, 0, frames // 2 :, 0] += 2.0
    writer = RunWriter(folder, header)
    writer.append(
        SimpleNamespace(
            times=10.0 * np.arange(frames),
            potential=np.zeros((2, 1, frames)),
            kinetic=np.ones((2, 1, frames)),
            positions=(atoms.positions + shake).astype(np.float32),
            velocities=np.zeros((2, 1, frames, 9, 3), np.float32),
            died_step=np.array([[20 * (frames // 2)], [-1]]),
            broken_bond=np.array([[0], [-1]]),
            step=settings["steps"],
            steps_per_second=100.0,
            state=None,
        )
    )
    writer.finish("finished")


@pytest.fixture(scope="session")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the app answers; it has a fresh workspace."""
    folder = tmp_path_factory.mktemp("app")
    plant_run(folder / "workspace" / "runs" / "planted")
    with chromium.serving(folder / "workspace", folder / "app.log") as found:
        yield found


@pytest.fixture(scope="session")
def profile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrowserContext]:
    """One browser for all tests."""
    path = chromium.find()
    if path is None:
        pytest.skip("no Chromium on this machine: the browser tests are left out")
    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            tmp_path_factory.mktemp("profile"),
            executable_path=path,
            args=list(chromium.FLAGS),
            viewport={"width": 1400, "height": 1000},
        )
        context.set_default_timeout(PATIENCE)
        expect.set_options(timeout=PATIENCE)
        yield context
        context.close()


@pytest.fixture
def strangers(profile: BrowserContext) -> Iterator[list[str]]:
    """Requests to other hosts; the test fails if there were any."""
    found: list[str] = []

    def note(request: object) -> None:
        url = urlsplit(request.url)  # type: ignore[attr-defined]
        if url.scheme not in ("data", "blob") and url.hostname != "127.0.0.1":
            found.append(request.url)  # type: ignore[attr-defined]

    profile.on("request", note)
    yield found
    profile.remove_listener("request", note)
    assert found == [], "these requests left the machine"


@pytest.fixture
def tab(profile: BrowserContext, strangers: list[str]) -> Iterator[Page]:
    """A new tab; what the browser's console calls an error fails the test."""
    page = profile.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    yield page
    page.close()
    assert problems == [], "JavaScript errors on the page"
