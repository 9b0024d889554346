"""Curves and molecules are one view: a click, the slider or a failure moves all of them."""

import base64
import contextlib
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from tests.browser.conftest import planted_positions
from tests.browser.seeing import differ, has_colour, pixels, show, views

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture
def page(tab: Page, address: str) -> Page:
    """The planted run with its curves and both molecules drawn."""
    tab.goto(f"{address}/trajectories?run=planted")
    views(tab)
    tab.wait_for_selector(".fd .plot .main-svg")
    return tab


def point(page: Page, trace: str, time: float) -> tuple[float, float]:
    """Where a trace is drawn at a time: what the pointer has to meet."""
    show(page.get_by_test_id("chart-drift"))
    x, y = page.evaluate(
        """([name, time]) => {
          const node = document.querySelector("[data-testid=chart-drift] .node");
          const { xaxis, yaxis } = node._fullLayout, box = node.getBoundingClientRect();
          const trace = node._fullData.find((one) => one.name === name);
          let best = 0;
          trace.x.forEach((x, i) => {
            if (Math.abs(x - time) <= Math.abs(trace.x[best] - time)) best = i;
          });
          return [
            box.x + xaxis._offset + xaxis.l2p(trace.x[best]),
            box.y + yaxis._offset + yaxis.l2p(trace.y[best]),
          ];
        }""",
        [trace, time],
    )
    return x, y


def click_at(page: Page, trace: str, time: float) -> None:
    """Click a point, again where a redraw took it from under the pointer."""
    before, viewer = frame(page), page.locator(".fd")
    for _ in range(10):
        x, y = point(page, trace, time)
        page.mouse.move(x - 3, y)
        page.mouse.move(x, y)
        page.wait_for_selector(".fd .plot .hoverlayer .hovertext")
        page.mouse.down()
        page.mouse.up()
        with contextlib.suppress(AssertionError):
            expect(viewer).not_to_have_attribute("data-frame", str(before), timeout=2000)
            return
    raise AssertionError(f"no click at {time} ps reached {trace}")


def axis_range(page: Page, axis: str = "xaxis") -> list[float]:
    node = "document.querySelector('[data-testid=chart-drift] .node')"
    return page.evaluate(f"Array.from({node}._fullLayout.{axis}.range)")


def frame(page: Page) -> int:
    return int(page.locator(".fd").get_attribute("data-frame") or -1)


def cursors(page: Page) -> set[str | None]:
    """The moment that each chart marks."""
    return {one.get_attribute("data-cursor") for one in page.locator(".fd .plot").all()}


def test_a_click_on_a_curve_brings_its_replica_at_its_moment(page: Page) -> None:
    page.locator("label").filter(has_text="All replicas").click()
    page.wait_for_function(
        "new Set(document.querySelector('[data-testid=chart-drift] .node')._fullData"
        ".flatMap((one) => [...(one.customdata ?? [])])).size === 3"
    )
    before = [pixels(view) for view in views(page)]
    click_at(page, "Fisher head, replicas", 0.3)  # the last of its replicas
    expect(page.locator(".fd")).to_have_attribute("data-subject", "2")
    captions = page.locator(".fd figcaption")
    expect(captions.first).to_have_text("default head, replica 3")
    expect(captions.last).to_have_text("Fisher head, replica 3")
    assert frame(page) == 30 and cursors(page) == {"0.3"}
    assert all(map(differ, before, [pixels(view) for view in views(page)]))
    expect(page.get_by_role("spinbutton", name="Replica")).to_have_value("3")
    # The address reopens the same replica.
    expect(page).to_have_url(re.compile("replica=3"))
    expect(page).to_have_url(re.compile("time=0.3"))
    expect(page).to_have_url(re.compile("run=planted"))
    page.reload()
    expect(page.locator(".fd")).to_have_attribute("data-frame", "30")
    expect(page.locator(".fd figcaption").first).to_have_text("default head, replica 3")


def test_the_slider_and_the_keys_move_the_cursor_of_the_chart(page: Page) -> None:
    slider = page.locator(".fd input[type=range]")
    slider.press("End")
    assert cursors(page) == {"0.39"}
    page.get_by_test_id("fit").press("Home")
    assert frame(page) == 0 and cursors(page) == {"0"} and slider.input_value() == "0"
    page.get_by_test_id("fit").press("ArrowRight")
    assert frame(page) == 1


def test_zoom_is_kept_through_new_data_and_a_double_click_resets_it(page: Page) -> None:
    whole = axis_range(page)
    left, y = point(page, "default head: 0 meV/atom/ps", 0.1)
    right, _ = point(page, "default head: 0 meV/atom/ps", 0.3)
    page.mouse.move(left, y)
    page.mouse.down()
    page.mouse.move(right, y, steps=5)
    page.mouse.up()
    zoomed = axis_range(page)
    assert zoomed == pytest.approx([0.1, 0.3], abs=0.02)
    page.get_by_role("spinbutton", name="Replica").fill("2")
    page.get_by_role("spinbutton", name="Replica").press("Enter")
    expect(page.locator(".fd")).to_have_attribute("data-subject", "1")
    assert axis_range(page) == zoomed
    for _ in range(10):  # a redraw between two clicks makes Plotly forget the first of them
        page.mouse.dblclick((left + right) / 2, y)
        page.wait_for_timeout(2000)
        if axis_range(page) == whole:
            break
    assert axis_range(page) == whole


def test_the_screen_of_a_run_fits_into_720_pixels(page: Page) -> None:
    page.set_viewport_size({"width": 1280, "height": 720})
    page.reload()
    views(page)
    page.wait_for_selector(".fd .plot .main-svg")
    page.evaluate("window.scrollTo(0, 0)")
    page.wait_for_timeout(1000)
    for seen in (".fd .plot", ".fd .panes", ".st-key-card-0", ".st-key-card-1"):
        box = page.locator(seen).first.bounding_box()
        assert box is not None and box["y"] >= 0 and box["y"] + box["height"] <= 720, seen
        assert box["x"] + box["width"] <= 1280, seen


def test_the_buttons_of_the_chart_are_as_small_as_its_own_style_has_them(page: Page) -> None:
    page.get_by_test_id("chart-drift").hover()
    boxes = [one.bounding_box() for one in page.locator(".fd .modebar-btn").all()]
    assert len(boxes) >= 4 and all(box is not None and box["width"] < 40 for box in boxes)


def test_the_molecule_is_seen_broadside_and_fills_its_view(page: Page) -> None:
    def filled() -> tuple[float, float]:
        image = pixels(views(page)[1])[8:-8, 8:-8]  # without the frame
        drawn = np.nonzero(np.abs(image - image[2, 2]).max(axis=2) > 20)
        high, wide = (float(np.ptp(part)) for part in drawn)
        return high / image.shape[0], wide / image.shape[1]

    page.wait_for_timeout(500)
    fitted = filled()
    assert 0.5 < max(fitted) < 0.98
    page.set_viewport_size({"width": 1400, "height": 700})  # other views are fitted again
    page.wait_for_timeout(1500)
    assert 0.5 < max(filled()) < 0.98
    page.set_viewport_size({"width": 1400, "height": 1000})


def test_the_wheel_zooms_in_upwards(page: Page) -> None:
    view = views(page)[0]
    before = pixels(view)
    view.hover()
    page.mouse.wheel(0, -400)
    page.wait_for_timeout(500)
    background = before[2, 2]

    def filled(image: np.ndarray) -> float:
        return float(np.mean(np.abs(image - background).max(axis=2) > 20))

    assert filled(pixels(view)) > 1.1 * filled(before)


def test_a_link_to_a_run_that_is_gone_shows_nothing_else(tab: Page, address: str) -> None:
    tab.goto(f"{address}/drift?run=nonexistent")
    expect(tab.get_by_text("there is no run called nonexistent")).to_be_visible()
    expect(tab.locator(".fd")).to_have_count(0)


def failing(image: np.ndarray) -> np.ndarray:
    """Where pixels have the colour of a broken bond: much red, some blue, hardly any green."""
    red, green, blue = (image[..., k].astype(float) for k in range(3))
    return (red > 80) & (blue > 1.8 * green) & (blue < 0.7 * red)


def test_a_failure_is_one_click_away_and_its_bond_is_seen(page: Page) -> None:
    assert not any(failing(pixels(view)).any() for view in views(page))
    page.get_by_role("button", name="Failure of default head").click()
    expect(page.locator(".fd")).to_have_attribute("data-frame", "20")
    expect(page.locator(".fd figcaption").first).to_contain_text("C1–C2 bond broke at 0.2 ps")
    expect(page.locator(".fd")).to_have_attribute("data-turned", "true")
    left, right = (failing(pixels(view)) for view in views(page))
    assert left.sum() > 30 and not right.any()
    # The camera has turned: the bond lies across the longer side of the view, all of it inside.
    across, along = sorted(map(np.ptp, np.nonzero(left)))
    assert along > 3 * across and along > 40


def test_a_cross_leads_to_the_replica_that_died(page: Page) -> None:
    page.get_by_role("spinbutton", name="Replica").fill("2")
    page.get_by_role("spinbutton", name="Replica").press("Enter")
    expect(page.locator(".fd")).to_have_attribute("data-subject", "1")
    expect(page.get_by_role("button", name="Failure of default head")).to_have_count(0)
    click_at(page, "default head, failures", 0.2)
    expect(page.locator(".fd")).to_have_attribute("data-subject", "0")
    assert frame(page) == 20


def test_both_heads_can_be_laid_over_each_other(page: Page) -> None:
    page.get_by_test_id("overlay").click()
    figures = page.locator(".fd figure")
    expect(figures.nth(1)).to_be_hidden()
    expect(figures.first).to_contain_text("Fisher head, replica 1")
    page.locator(".fd input[type=range]").press("End")
    both = pixels(page.locator(".fd .canvas canvas").first)
    assert has_colour(both, "#2f7ed8", 60) and has_colour(both, "#e0620d", 60)
    page.get_by_test_id("overlay").click()
    expect(figures.nth(1)).to_be_visible()
    alone = pixels(views(page)[1])
    assert not has_colour(alone, "#2f7ed8", 60)


def test_a_distance_and_an_angle_are_measured_over_time(page: Page) -> None:
    view = views(page)[0]
    image = pixels(view)
    red = (image[..., 0] > 120) & (image[..., 1] < 90) & (image[..., 2] < 90)
    rows, columns = np.nonzero(red)  # only the oxygen atom is red
    view.click(position={"x": float(np.median(columns)), "y": float(np.median(rows))})
    expect(page.locator(".fd")).to_have_attribute("data-chosen", "2")
    page.get_by_label("Measure: second atom").select_option(label="C2")
    default, fisher = planted_positions()[:, 0, 0]
    lengths = [float(np.linalg.norm(x[2] - x[1])) for x in (default, fisher)]
    measured = page.get_by_test_id("measured")
    expect(measured).to_have_text(
        f"default head O3–C2 {lengths[0]:.3f} Å, Fisher head O3–C2 {lengths[1]:.3f} Å"
    )
    chart = page.get_by_test_id("chart-measure")
    expect(chart).to_be_visible()
    picture = pixels(chart)
    assert has_colour(picture, "#2f7ed8") and has_colour(picture, "#e0620d")
    page.get_by_label("Measure: third atom").select_option(label="C1")
    one, two = default[2] - default[1], default[0] - default[1]
    angle = np.degrees(np.arccos(one @ two / np.linalg.norm(one) / np.linalg.norm(two)))
    expect(measured).to_contain_text(f"default head O3–C2–C1 {angle:.1f}°")


def test_another_run_with_fewer_frames_takes_its_place(page: Page) -> None:
    page.locator(".fd input[type=range]").press("End")
    runs = page.get_by_role("combobox", name="Run")
    runs.click()
    runs.press_sequentially("shorter")
    page.get_by_role("option", name="shorter").click()
    expect(page.locator(".fd")).to_have_attribute("data-frames", "7")
    assert frame(page) == 0
    page.locator(".fd input[type=range]").press("End")
    assert cursors(page) == {"0.06"}
    views(page)


def test_forces_are_drawn_and_colour_the_atoms_by_their_difference(page: Page) -> None:
    """The second head is −2 times the first, so every arrow turns round and grows."""
    bare = [pixels(view) for view in views(page)]
    page.get_by_test_id("arrows").click()
    scale = page.get_by_test_id("force-scale")
    expect(scale).to_contain_text("1 Å of an arrow:")
    drawn = [pixels(view) for view in views(page)]
    assert all(map(differ, bare, drawn))
    assert has_colour(drawn[0], "#2f7ed8", 60) and has_colour(drawn[1], "#d95f0e", 60)
    page.get_by_test_id("arrows").click()
    assert not any(map(differ, bare, [pixels(view) for view in views(page)]))
    page.get_by_test_id("paint").select_option("error")
    expect(scale).to_contain_text("difference from the other head's forces: 0")
    assert all(map(differ, bare, [pixels(view) for view in views(page)]))
    # Another replica has its own, at once.
    page.get_by_role("spinbutton", name="Replica").fill("2")
    page.get_by_role("spinbutton", name="Replica").press("Enter")
    expect(page.locator(".fd")).to_have_attribute("data-subject", "1")
    expect(scale).to_contain_text("eV/Å")


def test_the_playback_is_taken_away_as_a_film_and_a_picture(page: Page) -> None:
    with page.expect_download() as picture:
        page.get_by_test_id("picture").click()
    image = np.asarray(Image.open(picture.value.path()).convert("RGB"), np.int16)
    assert picture.value.suggested_filename == "molecules.png"
    assert has_colour(image, "#2f7ed8", 60) and has_colour(image, "#d95f0e", 60)  # both captions
    page.get_by_label("Speed").select_option("4")
    with page.expect_download() as film:
        page.get_by_test_id("film").click()
    assert film.value.suggested_filename == "molecules.webm"
    content = Path(film.value.path()).read_bytes()
    assert content[:4] == b"\x1a\x45\xdf\xa3"  # EBML, as every WebM begins
    seen = page.evaluate(
        """async (text) => {
          const video = document.createElement("video");
          video.muted = true;
          video.src = `data:video/webm;base64,${text}`;
          const look = () => {
            const canvas = document.createElement("canvas");
            [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
            const paper = canvas.getContext("2d");
            paper.drawImage(video, 0, 0);
            return [...paper.getImageData(0, 0, canvas.width, canvas.height).data];
          };
          await new Promise((done) => (video.onloadeddata = done));
          const first = look();
          await Promise.all([new Promise((done) => (video.onended = done)), video.play()]);
          const last = look();
          const changed = first.filter((value, i) => Math.abs(value - last[i]) > 40).length;
          return [video.videoWidth, video.videoHeight, changed];
        }""",
        base64.b64encode(content).decode(),
    )
    stage = page.locator(".fd .panes").bounding_box()
    assert stage is not None and abs(seen[0] - stage["width"]) <= 2 and seen[1] > 100
    assert seen[2] > 1000, "the film does not move"
