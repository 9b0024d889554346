"""The real app and a real browser; every request that leaves the machine fails the test."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

import numpy as np
import pytest
from ase.build import molecule
from playwright.sync_api import BrowserContext, Page, expect, sync_playwright

from fisherdash.settings import ModelConfig
from fisherdash.workspace import RunHeader, RunWriter
from tests.browser import chromium
from tests.randomised import random_checkpoint

PATIENCE = 240_000
"""Milliseconds that a condition may take on two busy cores, compilation included."""


def planted_positions(frames: int = 40, replicas: int = 3) -> np.ndarray:
    """(2, R, F, 9, 3) Å: ethanol that shakes, and one trajectory that loses a carbon atom."""
    shake = 0.15 * np.random.default_rng(4).standard_normal((2, replicas, frames, 9, 3))
    shake[0, 0, frames // 2 :, 0] += 2.0
    return (molecule("CH3CH2OH").positions + shake).astype(np.float32)


def planted_velocities(frames: int = 40, replicas: int = 3) -> np.ndarray:
    """(2, R, F, 9, 3) Å/fs: every atom swings at 1,000 cm⁻¹, and a little of everything else."""
    phase = 2 * np.pi * 2.998e-2 * 10.0 * np.arange(frames)  # c in cm⁻¹ per fs, 10 fs a frame
    noise = np.random.default_rng(5).normal(size=(2, replicas, frames, 9, 3))
    return (5e-3 * np.cos(phase)[:, None, None] + 5e-4 * noise).astype(np.float32)


def plant_run(folder: Path, frames: int = 40, replicas: int = 3) -> None:
    """Ethanol that shakes under both heads, as a finished run.

    The curve of replica r lies at r meV per atom under the first head and 0.4 above it under the
    second. The first replica loses its C–C bond under the first head half-way through.
    """
    atoms = molecule("CH3CH2OH")
    settings = {
        "replicas": replicas, "steps": 20 * (frames - 1), "timestep": 0.5, "temperature": 500.0,
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
    failed = np.full((2, replicas), -1)
    failed[0, 0] = 20 * (frames // 2)
    level = 1e-3 * (np.array([[0.0], [0.4]]) + np.arange(replicas))
    change = 9.0 * level[..., None] * (np.arange(frames) > 0)
    model = random_checkpoint(ModelConfig(features=4, max_degree=1, iterations=1, basis=4))
    heads = (model, dataclasses.replace(model, head=-2.0 * model.head))
    writer = RunWriter(folder, header, dict(zip(header.names, heads, strict=True)))
    writer.append(
        SimpleNamespace(
            times=10.0 * np.arange(frames),
            potential=change,
            kinetic=np.ones((2, replicas, frames)),
            positions=planted_positions(frames, replicas),
            velocities=planted_velocities(frames, replicas),
            failed_step=failed,
            cause=np.where(failed >= 0, 0, -1),
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
    plant_run(folder / "workspace" / "runs" / "shorter", frames=7)
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
        if url.scheme not in ("data", "blob", "file") and url.hostname != "127.0.0.1":
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
