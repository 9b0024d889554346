"""docs/notebook.md: its code runs, and what it draws is drawn by a browser that has no network."""

import re
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import sync_playwright

from fisherdash import molecules
from fisherdash.errors import InputError
from fisherdash.workspace import Run
from tests.browser import chromium
from tests.browser.conftest import plant_run

WATER = np.array([[0, 0, 0.12], [0, 0.76, -0.47], [0, -0.76, -0.47]])


@pytest.fixture
def library():
    if not molecules.LIBRARY.is_file():
        pytest.skip("3Dmol.js is not in place: python tools/get_3dmol.py")


def cells(text):
    """The last expression of every block of Python of a document, in one name space."""
    known = {}
    for block in re.findall(r"```python\n(.*?)```", text, re.S):
        *before, last = block.strip().splitlines()
        exec("\n".join([*before, f"shown = {last}"]), known)
        yield known["shown"]


def test_xyz_holds_symbols_and_numbers_and_nothing_else():
    text = molecules.xyz([8, 1, 1], np.stack([WATER, WATER + 1]))
    lines = text.splitlines()
    assert lines[0] == lines[5] == "3" and lines[1] == lines[6] == ""
    assert lines[2] == "O 0.00000 0.00000 0.12000" and len(lines) == 10


def test_what_cannot_be_drawn_is_refused_in_a_sentence(tmp_path, library):
    for positions in (np.zeros((0, 3, 3)), np.full((1, 3, 3), np.nan)):
        with pytest.raises(InputError, match="finite positions"):
            molecules.view([8, 1, 1], positions)
    plant_run(tmp_path / "planted")
    run = Run(tmp_path / "planted")
    for wrong in ({"head": "third head"}, {"head": 2}, {"replica": 3}, {"replica": -1}):
        with pytest.raises(InputError, match="default head and Fisher head and replicas 0 to 2"):
            run.view(**wrong)


def test_without_the_library_the_sentence_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setattr(molecules, "LIBRARY", tmp_path / "nothing.js")
    molecules.library.cache_clear()
    with pytest.raises(InputError, match=r"get_3dmol\.py"):
        molecules.view([8, 1, 1], WATER[None])


def test_a_trajectory_ends_at_its_failure(tmp_path, library):
    plant_run(tmp_path / "planted", frames=40)  # replica 0 of the default head fails half-way
    run = Run(tmp_path / "planted")
    failed, whole = (run.view(head, 0)._make_html() for head in (0, "Fisher head"))
    assert failed.count("9\\n\\n") == 20 and whole.count("9\\n\\n") == 40


@pytest.mark.slow
@pytest.mark.browser
def test_the_document_runs_and_its_molecules_are_drawn_offline(
    root, tmp_path, monkeypatch, library
):
    path = chromium.find()
    if path is None:
        pytest.skip("no Chromium on this machine")
    monkeypatch.chdir(root)
    monkeypatch.setenv("FISHERDASH_WORKSPACE", str(tmp_path))
    plant_run(tmp_path / "runs" / "planted")
    frame, figure, run = cells((root / "docs" / "notebook.md").read_text())
    assert figure.alt and len(figure.table)
    # In a thread of its own: that of the tests may have another Playwright's loop.
    with ThreadPoolExecutor(1) as thread:
        thread.submit(draw, path, tmp_path, (frame, run)).result()


def draw(found, folder, views):
    """Open each view in Chromium: its canvas has a picture, and it asks for nothing."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=list(chromium.FLAGS))
        for number, made in enumerate(views):
            html = made._make_html()
            assert "cdn" not in html.partition("data:text/javascript")[0].lower()
            page = browser.new_page()
            asked = []
            page.on("request", lambda one, asked=asked: asked.append(one.url))
            file = folder / f"{number}.html"
            file.write_text(f"<html><head><script></script></head><body>{html}</body></html>")
            page.goto(file.as_uri())
            page.locator("canvas").first.wait_for()
            page.wait_for_timeout(1500)
            shot = Image.open(BytesIO(page.locator("canvas").first.screenshot())).convert("RGB")
            colours = np.unique(np.asarray(shot).reshape(-1, 3), axis=0)
            assert len(colours) > 50, "the canvas is blank"
            assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
        browser.close()
