"""The dashboard as a user meets it: the demo from its button to its end, and the doors."""

import contextlib
import re
import time
from collections.abc import Callable

import numpy as np
import pytest
from playwright.sync_api import BrowserContext, Locator, Page, TimeoutError, expect

from fisherdash.plots.chart import styles
from tests.browser.conftest import PATIENCE
from tests.browser.seeing import differ, fill, has_colour, pixels, views

pytestmark = [pytest.mark.browser, pytest.mark.slow]

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


def test_a_bookmark_opened_first_finds_the_whole_app(tab: Page, address: str) -> None:
    """The first request of a fresh server: a folder called pages/ would be taken for the app."""
    tab.goto(f"{address}/drift?run=planted")
    expect(tab.get_by_role("heading", name="Drift and 3D")).to_be_attached()
    links = tab.locator("[data-testid=stSidebarNav] a")
    expect(links).to_contain_text(
        [
            "Home",
            "Data",
            "Train",
            "Re-fit",
            "Simulate",
            "Drift and 3D",
            "Compare",
            "Learn",
        ]
    )
    expect(tab.get_by_text("2 of 3 survive").first).to_be_visible()


def test_the_demo_runs_live_to_its_verdict(tab: Page, address: str) -> None:
    tab.goto(address)
    expect(tab.get_by_role("heading", name="FisherDash")).to_be_visible()
    tab.get_by_role("button", name="Run the demo").click()
    main = tab.locator("[data-testid=stMain]")
    expect(main.get_by_text("solving").first).to_be_visible()
    expect(main.get_by_text("running").first).to_be_visible()

    # The live curves: both heads are there, and points keep coming without anything being rebuilt.
    viewer, chart = tab.locator(".fd"), tab.get_by_test_id("chart-drift")
    viewer.wait_for()
    viewer.evaluate("element => { element.dataset.kept = 'yes' }")
    # A picture takes long on a busy machine: the frames are those from before it.
    frames = int(viewer.get_attribute("data-frames") or 0)
    before = pixels(chart)
    grown_beyond(viewer, "frames", frames)
    wait_seen(tab, chart, lambda image: differ(before, image))
    colours = [one.colour for one in styles(("default", "fisher"))]
    wait_seen(tab, chart, lambda image: all(has_colour(image, one) for one in colours))
    for name in ("default head", "report's Fisher head", "wide Fisher head"):
        expect(main.get_by_text(re.compile(f"^{name} — .* of 16 survive")).first).to_be_visible()

    with contextlib.suppress(TimeoutError):  # a fast machine is at the end by itself
        tab.get_by_role("button", name="Cancel").click(timeout=5_000)
    expect(main.get_by_text("What it says")).to_be_visible()
    expect(tab.get_by_role("button", name="Run the demo again")).to_be_enabled()
    assert viewer.get_attribute("data-kept") == "yes", "the viewer was mounted anew"

    # Three molecules, really drawn; those that have not failed really move: looked at last, when
    # the processor is free. The weak model's own heads fail early, and what failed stands still.
    heads = ("default head", "report's Fisher head", "wide Fisher head")
    for name, view in zip(heads, views(tab, 3), strict=True):
        failed = tab.get_by_role("button", name=f"Failure of {name}").count()
        assert failed or moves(tab, view), f"the molecule of the {name} does not move"
    assert not failed, "the wide head holds"


def test_a_long_run_is_paused_survives_a_refresh_and_is_cancelled(
    tab: Page, address: str, profile: BrowserContext
) -> None:
    """A run that does not end while the test looks at it, whatever the machine."""
    tab.goto(f"{address}/simulate")
    wanted = {"Replicas": 4, "Steps": 1_000_000, "Temperature (K)": 300, "Record every (steps)": 50}
    for name, value in wanted.items():
        fill(tab, name, value)
    expect(tab.get_by_text("4 trajectories of 500 ps")).to_be_visible()
    tab.get_by_role("button", name="Simulate", exact=True).click()
    main = tab.locator("[data-testid=stMain]")
    expect(main.get_by_text("Begin all the same?")).to_be_in_viewport()
    tab.get_by_role("button", name="Begin it").click()
    # Its status comes into view, and into the sidebar of this very page.
    expect(tab.locator("[data-testid=stSidebar]").get_by_text("simulate:")).to_be_visible()
    expect(main.get_by_role("heading", name="Simulations")).to_be_in_viewport()
    tab.wait_for_timeout(1000)  # it scrolls smoothly, and not behind the page's own header
    header = tab.locator("[data-testid=stHeader]").bounding_box()
    status = main.get_by_role("heading", name="Simulations").bounding_box()
    assert header is not None and status is not None and status["y"] >= header["height"]
    expect(main.get_by_text("running").first).to_be_visible()
    wait_above(tab, STEP, 0)
    assert re.search(r"[\d.]+ steps/s", main.inner_text())

    # Paused at its end, the molecules stand still while the run goes on; played, they move again.
    tab.get_by_role("link", name="Watch the drift and the molecules").click()
    expect(tab.get_by_role("heading", name="Drift and 3D")).to_be_attached()
    views(tab)
    viewer, play = tab.locator(".fd"), tab.get_by_test_id("play")
    viewer.locator("input[type=range]").press("End")
    grown_beyond(viewer, "frame", frame_of(viewer))
    play.click()
    expect(play).to_have_text("Pause")
    play.click()
    expect(play).to_have_text("Play")
    shown = moment(viewer)
    grown_beyond(viewer, "frames", int(viewer.get_attribute("data-frames") or 0))
    assert moment(viewer) == shown

    # A refresh and a second tab find the same run further on.
    tab.goto(f"{address}/simulate")
    reached = wait_above(tab, STEP, 0)
    tab.reload()
    assert wait_above(tab, STEP, reached) > reached
    other = profile.new_page()
    other.goto(f"{address}/simulate")
    assert wait_above(other, STEP, reached) > reached
    other.close()

    tab.get_by_role("button", name="Cancel").first.click()
    expect(main.get_by_text("cancelled").first).to_be_visible()


def wait_seen(page: Page, chart: Locator, right: Callable[[np.ndarray], bool]) -> None:
    """Wait until the chart looks right: a number may be shown a moment before its points."""
    for _ in range(100):
        if right(pixels(chart)):
            return
        page.wait_for_timeout(200)
    raise AssertionError("the points of the chart were not seen")


def frame_of(viewer: Locator) -> int:
    """The frame that the viewer shows, counted from 0."""
    return int(viewer.get_attribute("data-frame") or 0)


def moment(viewer: Locator) -> str:
    """The time that the viewer shows, with its unit."""
    text = viewer.locator("input[type=range]").get_attribute("aria-valuetext")
    return str(text).split(" (")[0]


def grown_beyond(viewer: Locator, number: str, least: int) -> None:
    """Wait until ``frame`` or the count of ``frames`` of the viewer is above ``least``."""
    viewer.page.wait_for_function(
        "([root, number, least]) => Number(root.dataset[number]) > least",
        arg=[viewer.element_handle(), number, least],
    )


def moves(page: Page, view: Locator) -> bool:
    """Whether the picture changes while the viewer plays; one frame may look like the next."""
    play = page.locator(".fd [data-testid=play]")
    if play.inner_text() == "Play":
        play.click()
    first, deadline = pixels(view), time.monotonic() + PATIENCE / 1000
    while time.monotonic() < deadline:
        if differ(pixels(view), first):
            return True
    return False


def test_trajectories_play_in_step_and_follow_the_slider(tab: Page, address: str) -> None:
    tab.goto(f"{address}/trajectories?run=planted")
    expect(tab.get_by_role("heading", name="Drift and 3D")).to_be_attached()
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
