"""The dashboard as a user meets it: the demo from its button to its end, and the doors."""

import io
import re
import time

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import BrowserContext, Locator, Page, expect

from tests.browser.conftest import PATIENCE

pytestmark = [pytest.mark.browser, pytest.mark.slow]

POINTS = re.compile(r"([\d,]+) points, ")
STEP = re.compile(r"step ([\d,]+) of ([\d,]+)")


def number(page: Page, pattern: re.Pattern[str]) -> int:
    """The first number of the pattern on the page, 0 while there is none."""
    found = pattern.search(page.locator("[data-testid=stMain]").inner_text())
    return int(found[1].replace(",", "")) if found else 0


def wait_above(page: Page, pattern: re.Pattern[str], least: int) -> int:
    """Wait until the number of the pattern is above ``least``."""
    page.wait_for_function(
        """([pattern, least]) => {
            const text = document.querySelector("[data-testid=stMain]").innerText;
            const found = new RegExp(pattern).exec(text);
            return found && Number(found[1].replaceAll(",", "")) > least;
        }""",
        arg=[pattern.pattern, least],
    )
    return number(page, pattern)


def pixels(element: Locator) -> np.ndarray:
    """What is on the screen there, (height, width, 3)."""
    return np.asarray(Image.open(io.BytesIO(element.screenshot())).convert("RGB"), np.int16)


def colours(image: np.ndarray) -> int:
    """Number of different colours: one for an empty view, hundreds for a shaded molecule."""
    return len(np.unique(image.reshape(-1, 3), axis=0))


def differ(one: np.ndarray, two: np.ndarray) -> bool:
    """Whether more than a few pixels look different."""
    return one.shape != two.shape or float(np.mean(np.abs(one - two).max(axis=2) > 40)) > 0.002


def has_colour(image: np.ndarray, hexadecimal: str, tolerance: int = 40) -> bool:
    """Whether a few pixels have that colour."""
    wanted = np.array([int(hexadecimal[i : i + 2], 16) for i in (1, 3, 5)])
    return int(np.sum(np.abs(image - wanted).max(axis=2) < tolerance)) > 20


def views(page: Page) -> list[Locator]:
    """The two 3D views, once something is drawn in them."""
    canvases = page.locator(".fd .canvas canvas")
    expect(canvases).to_have_count(2)
    canvases.first.scroll_into_view_if_needed()
    deadline = time.monotonic() + PATIENCE / 1000
    while min(colours(pixels(view)) for view in canvases.all()) < 50:
        assert time.monotonic() < deadline, "nothing is drawn in the 3D views"
    return canvases.all()


def test_a_bookmark_opened_first_finds_the_whole_app(tab: Page, address: str) -> None:
    """The first request of a fresh server: a folder called pages/ would be taken for the app."""
    tab.goto(f"{address}/drift?run=planted")
    expect(tab.get_by_role("heading", name="Drift")).to_be_visible()
    links = tab.locator("[data-testid=stSidebarNav] a")
    expect(links).to_contain_text(
        ["Home", "Data", "Train", "Re-fit", "Simulate", "Drift", "Trajectories"]
    )
    expect(tab.get_by_text("default head: alive").first).to_be_visible()


def test_the_demo_runs_live_survives_a_refresh_and_can_be_cancelled(
    tab: Page, address: str, profile: BrowserContext
) -> None:
    tab.goto(address)
    expect(tab.get_by_role("heading", name="FisherDash")).to_be_visible()
    tab.get_by_role("button", name="Run the demo").click()
    main = tab.locator("[data-testid=stMain]")
    expect(main.get_by_text("solving").first).to_be_visible()
    expect(main.get_by_text("running").first).to_be_visible()
    assert re.search(r"[\d.]+ steps/s", main.inner_text())

    # The live curves: both heads are there, and points keep coming without the chart being rebuilt.
    first = wait_above(tab, POINTS, 0)
    chart = tab.locator("[data-testid=stEChartsChart], .stEChartsChart").first
    chart.evaluate("element => { element.dataset.kept = 'yes' }")
    before = pixels(chart)
    second = wait_above(tab, POINTS, first + 5)
    assert second > first + 5
    after = pixels(chart)
    assert has_colour(after, "#2f7ed8") and has_colour(after, "#e0620d")
    assert differ(before, after)
    assert chart.get_attribute("data-kept") == "yes"
    for name in ("default head: alive", "Fisher head: alive"):
        expect(main.get_by_text(name).first).to_be_visible()

    # Two molecules, really drawn, moving while they play and standing still when paused.
    left, right = views(tab)
    play = tab.locator(".fd [data-testid=play]")
    moved = [frame_changes(tab, view) for view in (left, right)]
    assert all(moved), "the molecules do not move while playing"
    if play.inner_text() == "Pause":
        play.click()
    expect(play).to_have_text("Play")
    paused = tab.locator(".fd").get_attribute("data-frame")
    wait_above(tab, POINTS, number(tab, POINTS))
    assert tab.locator(".fd").get_attribute("data-frame") == paused

    # A refresh and a second tab find the same run further on.
    reached = number(tab, STEP)
    tab.reload()
    assert wait_above(tab, STEP, reached) > reached
    other = profile.new_page()
    other.goto(f"{address}/drift")
    expect(other.get_by_role("heading", name="Drift")).to_be_visible()
    assert wait_above(other, STEP, reached) > reached
    other.close()

    tab.get_by_role("button", name="Cancel").click()
    expect(main.get_by_text("cancelled").first).to_be_visible()
    expect(main.get_by_text("What it says")).to_be_visible()
    expect(tab.get_by_role("button", name="Run the demo again")).to_be_enabled()


def frame_changes(page: Page, view: Locator) -> bool:
    """Whether the picture differs between two frames of the playing viewer."""
    play, root = page.locator(".fd [data-testid=play]"), page.locator(".fd")
    if play.inner_text() == "Play":
        play.click()
    first, at = pixels(view), root.get_attribute("data-frame")
    expect(root).not_to_have_attribute("data-frame", at or "")
    return differ(pixels(view), first)


def test_trajectories_play_in_step_and_follow_the_slider(tab: Page, address: str) -> None:
    tab.goto(f"{address}/trajectories?run=planted")
    expect(tab.get_by_role("heading", name="Trajectories")).to_be_visible()
    at_start = [pixels(view) for view in views(tab)]
    captions = tab.locator(".fd figcaption").all_inner_texts()
    assert captions[0].startswith("default head") and captions[1].startswith("Fisher head")
    slider = tab.locator(".fd input[type=range]")
    slider.press("End")
    last = int(slider.get_attribute("max") or 0)
    assert tab.locator(".fd").first.get_attribute("data-frame") == str(last) != "0"
    at_end = [pixels(view) for view in views(tab)]
    assert all(map(differ, at_start, at_end))
    caption = tab.locator(".fd figcaption").first
    expect(caption).to_have_text("default head, replica 1: C1–C2 bond broke at 0.2 ps")
    slider.press("Home")
    expect(caption).to_have_text("default head, replica 1")
    assert tab.locator(".fd").first.get_attribute("data-frame") == "0"
    again = [pixels(view) for view in views(tab)]
    assert not any(map(differ, at_start, again))


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("notes.npz", b"not a zip at all", "notes.npz"),
        ("frames.xyz", b"<script>document.title='owned'</script>", "frames.xyz"),
    ],
)
def test_a_bad_upload_gets_its_sentence_and_what_was_loaded_stays(
    tab: Page, address: str, name: str, content: bytes, sentence: str
) -> None:
    tab.goto(f"{address}/data")
    expect(tab.get_by_text("1,500")).to_be_visible()
    tab.get_by_text("Load a file").click()
    chooser = tab.locator("input[type=file]")
    chooser.set_input_files(
        {"name": name, "mimeType": "application/octet-stream", "buffer": content}
    )
    expect(tab.get_by_text(name).first).to_be_visible()
    tab.get_by_role("button", name="Load", exact=True).click()
    alert = tab.get_by_role("alert")
    expect(alert).to_contain_text(sentence)
    assert "Traceback" not in alert.inner_text()
    expect(tab.get_by_text("1,500")).to_be_visible()
    assert tab.title() != "owned"


def test_without_the_3d_library_the_page_says_so_in_words(
    tab: Page, address: str, strangers: list[str]
) -> None:
    tab.route("**/3Dmol-min.js", lambda route: route.abort())
    tab.goto(f"{address}/data")
    expect(tab.locator(".fd .notice")).to_contain_text("neither on this machine nor reachable")
    expect(tab.get_by_text("1,500")).to_be_visible()
    # Only now, with its own file missing, has the page asked elsewhere.
    assert {url.split("/")[2] for url in strangers} == {"cdn.jsdelivr.net"}
    strangers.clear()
