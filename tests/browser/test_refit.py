"""The Re-fit page in a real browser: fit, look at its panels, take another point of the path."""

import contextlib
import io
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Locator, Page, expect

from fisherdash import dataset
from tests.browser.seeing import show

pytestmark = [pytest.mark.browser, pytest.mark.slow]

FRAMES = 120
ANSWER = 5_000
"""Milliseconds after which a click is taken to have changed nothing."""


@pytest.fixture
def few_frames(root: Path, tmp_path: Path) -> bytes:
    """The shipped sample, shortened, as a file to upload."""
    data = dataset.load(root / "sample_models" / "ethanol_500K.npz")
    dataset.save(data.subset(np.arange(FRAMES)), tmp_path / "few.npz")
    return (tmp_path / "few.npz").read_bytes()


def click_points_until(page: Page, answer: Locator, count: int) -> None:
    """Click the points of the uppermost curve, one after another, until one answers.

    The point of the current head is a point like the others, and a click on it changes nothing.
    """
    points = page.locator("[data-testid=stPlotlyChart] .xy .scatterlayer .points path")
    show(points.first)
    for number in range(2, points.count()):
        box = points.nth(number).bounding_box()
        assert box is not None
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        with contextlib.suppress(AssertionError):
            expect(answer).to_have_count(count, timeout=ANSWER)
            return
    raise AssertionError("no point of the chart answered to a click")


def test_a_point_of_the_path_becomes_a_head_to_keep(
    tab: Page, address: str, few_frames: bytes
) -> None:
    tab.goto(f"{address}/data")
    tab.get_by_text("Load a file").click()
    tab.locator("input[type=file]").set_input_files(
        {"name": "few.npz", "mimeType": "application/octet-stream", "buffer": few_frames}
    )
    expect(tab.get_by_text("few.npz").first).to_be_visible()
    tab.get_by_role("button", name="Load", exact=True).click()
    expect(tab.get_by_text(str(FRAMES), exact=True).first).to_be_visible()
    tab.get_by_test_id("stSidebarNav").get_by_role("link", name="Re-fit").click()
    tab.get_by_role("combobox", name="Head", exact=True).click()
    tab.get_by_role("option", name="one for each element").click()  # seconds anywhere
    tab.get_by_role("button", name="Re-fit", exact=True).click()
    expect(tab.get_by_text("survival not tested").first).to_be_visible()

    main = tab.locator("[data-testid=stMain]")
    for panel, words in (
        ("Spectrum and head", "Weights of the head"),
        ("Boltzmann test", "one standard error"),
        ("Stability", "Run the stability check"),
        ("Ridge path", "Click a point"),
    ):
        main.get_by_role("tab", name=panel).click()
        expect(main.get_by_text(words).first).to_be_visible()

    verdicts = main.get_by_text("survival not tested")
    expect(verdicts).to_have_count(1)
    click_points_until(tab, verdicts, 2)  # the fit's own, and that of the point's head
    main.get_by_role("button", name="Keep this head too").click()
    with tab.expect_download() as kept:
        main.get_by_role("button", name="Download that checkpoint").click()
    content = Path(kept.value.path()).read_bytes()
    from fisherdash.potentials import checkpoint

    head = checkpoint.load_bytes(content)
    assert head.provenance["ridge_rule"] == "given by hand"
    assert head.head_covariance is not None
    assert io.BytesIO(content).getbuffer().nbytes < 1_000_000

    curve = main.get_by_role("tab", name="Learning curve")
    curve.click()
    main.get_by_role("button", name="Compute the learning curve").click()
    expect(main.get_by_text("Tested on 24 frames").first).to_be_visible()
    expect(curve).to_have_attribute("aria-selected", "true")
