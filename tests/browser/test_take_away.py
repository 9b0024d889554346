"""What the download buttons hand over is the run that is on the screen."""

import io
from pathlib import Path

import ase.io
import numpy as np
import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import planted_positions
from tests.browser.seeing import colours, differ, pixels

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_the_report_is_drawn_without_the_app(tab: Page, address: str, tmp_path: Path) -> None:
    tab.goto(f"{address}/drift?run=planted")
    tab.get_by_role("tab", name="Download").click()
    path = tmp_path / "report.html"
    path.write_text(taken(tab, "Report (HTML)"), encoding="utf-8")
    wrong: list[str] = []
    tab.on("pageerror", lambda error: wrong.append(str(error)))
    tab.goto(path.as_uri())
    for chart in ("drift", "temperature"):
        expect(tab.locator(f"#{chart} .main-svg").first).to_be_visible()
    scene = tab.locator("canvas").last
    scene.wait_for()
    first = pixels(scene)
    assert colours(first) > 50
    for _ in range(50):  # it plays
        if differ(pixels(scene), first):
            break
        tab.wait_for_timeout(100)
    else:
        raise AssertionError("the molecules of the report do not move")
    expect(tab.get_by_text("Replica 1, from left to right: default head until")).to_be_visible()
    assert wrong == []


def taken(page: Page, name: str) -> str:
    """The text of the file behind a download button."""
    with page.expect_download() as found:
        page.get_by_role("button", name=name, exact=True).click()
    return Path(found.value.path()).read_text(encoding="utf-8")


def test_a_trajectory_arrives_as_extended_xyz(tab: Page, address: str) -> None:
    tab.goto(f"{address}/trajectories?run=planted&replica=2")  # leads to the page of the run
    tab.get_by_role("tab", name="Download").click()
    text = taken(tab, "Fisher head, replica 2 (extended XYZ)")
    frames = ase.io.read(io.StringIO(text), index=":", format="extxyz")
    assert isinstance(frames, list)
    positions = np.array([atoms.positions for atoms in frames])
    np.testing.assert_allclose(positions, planted_positions()[1, 1], atol=1e-6)


def test_the_report_and_the_table_say_what_the_page_says(tab: Page, address: str) -> None:
    tab.goto(f"{address}/drift?run=planted")
    tab.get_by_role("tab", name="Download").click()
    report = taken(tab, "Report (HTML)")
    assert "2 of 3" in report
    assert "python -m fisherdash compare" in report
    assert taken(tab, "Figure (SVG)").startswith("<svg")
    table = taken(tab, "Download as CSV").splitlines()
    assert table[0].startswith("head,replicas,survivors") and table[1].startswith(
        "default head,3,2"
    )
