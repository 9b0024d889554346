"""The dashboard as a user meets it: the demo from its button to its end, and the doors."""

import re

import pytest
from playwright.sync_api import BrowserContext, Locator, Page, TimeoutError, expect

from tests.browser.seeing import differ, has_colour, pixels, views

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


def test_a_bookmark_opened_first_finds_the_whole_app(tab: Page, address: str) -> None:
    """The first request of a fresh server: a folder called pages/ would be taken for the app."""
    tab.goto(f"{address}/drift?run=planted")
    expect(tab.get_by_role("heading", name="Drift")).to_be_visible()
    links = tab.locator("[data-testid=stSidebarNav] a")
    expect(links).to_contain_text(
        [
            "Home",
            "Data",
            "Train",
            "Re-fit",
            "Simulate",
            "Drift",
            "Trajectories",
            "Compare",
            "Learn",
        ]
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

    # The live curves: both heads are there, and points keep coming without anything being rebuilt.
    first = wait_above(tab, POINTS, 0)
    viewer, chart = tab.locator(".fd"), tab.get_by_test_id("chart-drift")
    viewer.evaluate("element => { element.dataset.kept = 'yes' }")
    before = pixels(chart)
    second = wait_above(tab, POINTS, first + 5)
    assert second > first + 5
    after = pixels(chart)
    for _ in range(100):  # the count of points may be shown a moment before the points are
        if differ(before, after):
            break
        tab.wait_for_timeout(100)
        after = pixels(chart)
    assert differ(before, after)
    assert has_colour(after, "#2f7ed8") and has_colour(after, "#e0620d")
    for name in ("default head: ", "Fisher head: "):
        expect(tab.locator(".fd .legend").get_by_text(name)).to_contain_text("of 16 alive")

    # Paused, the molecules stand still while the run goes on.
    play = tab.get_by_test_id("play")
    if play.inner_text() == "Pause":
        play.click()
    expect(play).to_have_text("Play")
    paused = viewer.get_attribute("data-frame")
    wait_above(tab, POINTS, number(tab, POINTS))
    assert viewer.get_attribute("data-frame") == paused
    assert viewer.get_attribute("data-kept") == "yes", "the viewer was mounted anew"

    # A refresh and a second tab find the same run further on.
    reached = number(tab, STEP)
    tab.reload()
    assert wait_above(tab, STEP, reached) > reached
    other = profile.new_page()
    other.goto(f"{address}/drift")
    expect(other.get_by_role("heading", name="Drift")).to_be_visible()
    assert wait_above(other, STEP, reached) > reached
    other.close()

    try:
        tab.get_by_role("button", name="Cancel").click(timeout=5_000)
    except TimeoutError:  # on a slow machine it has come to its end meanwhile: another one
        tab.get_by_role("button", name="Run the demo").click()
        expect(main.get_by_text("running").first).to_be_visible()
        wait_above(tab, POINTS, 0)
        tab.get_by_role("button", name="Cancel").click()
    expect(main.get_by_text("cancelled").first).to_be_visible()
    expect(main.get_by_text("What it says")).to_be_visible()
    expect(tab.get_by_role("button", name="Run the demo again")).to_be_enabled()

    # Two molecules, really drawn and really moving: looked at last, when the processor is free.
    moved = [frame_changes(tab, view) for view in views(tab)]
    assert all(moved), "the molecules do not move while playing"


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
