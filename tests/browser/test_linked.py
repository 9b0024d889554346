"""Curves and molecules are one view: a click, the slider or a failure moves all of them."""

import re

import numpy as np
import pytest
from playwright.sync_api import FloatRect, Page, expect

from tests.browser.conftest import planted_positions
from tests.browser.seeing import differ, has_colour, pixels, show, views

pytestmark = [pytest.mark.browser, pytest.mark.slow]

LEFT, RIGHT = 60, 20  # margins of a chart in pixels


@pytest.fixture
def page(tab: Page, address: str) -> Page:
    """The planted run with its curves and both molecules drawn."""
    tab.goto(f"{address}/trajectories?run=planted")
    views(tab)
    return tab


def box(page: Page) -> FloatRect:
    """Where the chart of the energy drift is, scrolled into the window."""
    chart = page.get_by_test_id("chart-drift")
    show(chart)
    found = chart.bounding_box()
    assert found is not None
    return found


def point_at(page: Page, name: str, fraction: float) -> None:
    """Move the pointer down the chart at a fraction of its time until the tip names the curve."""
    area = box(page)
    x = area["x"] + LEFT + fraction * (area["width"] - LEFT - RIGHT)
    for y in range(8, 230, 2):
        page.mouse.move(x, area["y"] + y)
        tip = page.locator(".fd .tip")
        if tip.is_visible() and tip.inner_text().startswith(name):
            return
    raise AssertionError(f"no curve of {name} under the pointer")


def click_here(page: Page) -> None:
    page.mouse.down()
    page.mouse.up()


def frame(page: Page) -> int:
    return int(page.locator(".fd").get_attribute("data-frame") or -1)


def cursors(page: Page) -> set[str | None]:
    """The moment that each chart marks."""
    names = ("chart-drift", "chart-alive", "chart-temperature")
    return {page.get_by_test_id(name).get_attribute("data-cursor") for name in names}


def test_a_click_on_a_curve_brings_its_replica_at_its_moment(page: Page) -> None:
    before = [pixels(view) for view in views(page)]
    point_at(page, "Fisher head, replica 3", 0.75)
    click_here(page)
    expect(page.locator(".fd")).to_have_attribute("data-subject", "2")
    captions = page.locator(".fd figcaption")
    expect(captions.first).to_have_text("default head, replica 3")
    expect(captions.last).to_have_text("Fisher head, replica 3")
    assert frame(page) == pytest.approx(0.75 * 39, abs=1)
    assert cursors(page) == {f"{0.01 * frame(page):.2f}".rstrip("0")}
    assert all(map(differ, before, [pixels(view) for view in views(page)]))
    expect(page.get_by_role("spinbutton", name="Replica")).to_have_value("3")
    # The address reopens the same replica.
    expect(page).to_have_url(re.compile("replica=3"))
    page.reload()
    expect(page.locator(".fd figcaption").first).to_have_text("default head, replica 3")


def test_the_slider_and_dragging_move_the_cursor_of_every_chart(page: Page) -> None:
    slider = page.locator(".fd input[type=range]")
    slider.press("End")
    assert cursors(page) == {"0.39"}
    area = box(page)
    middle = area["y"] + 20
    page.mouse.move(area["x"] + LEFT + 300, middle)
    page.mouse.down()
    page.mouse.move(area["x"] + LEFT + 60, middle, steps=4)
    page.mouse.move(area["x"] + LEFT, middle, steps=4)
    page.mouse.up()
    assert frame(page) == 0 and cursors(page) == {"0"} and slider.input_value() == "0"


def failing(image: np.ndarray) -> int:
    """Pixels in the colour of a broken bond: much red, some blue, hardly any green."""
    red, green, blue = (image[..., k].astype(float) for k in range(3))
    return int(np.sum((red > 80) & (blue > 1.8 * green) & (blue < 0.7 * red)))


def test_a_failure_is_one_click_away_and_its_bond_is_coloured(page: Page) -> None:
    assert not any(failing(pixels(view)) for view in views(page))
    page.get_by_role("button", name="Failure of default head").click()
    expect(page.locator(".fd")).to_have_attribute("data-frame", "20")
    expect(page.locator(".fd figcaption").first).to_contain_text("C1–C2 bond broke at 0.2 ps")
    left, right = (pixels(view) for view in views(page))
    assert failing(left) > 30 and not failing(right)


def test_a_cross_leads_to_the_replica_that_died(page: Page) -> None:
    page.get_by_role("spinbutton", name="Replica").fill("2")
    page.get_by_role("spinbutton", name="Replica").press("Enter")
    expect(page.locator(".fd")).to_have_attribute("data-subject", "1")
    expect(page.get_by_role("button", name="Failure of default head")).to_have_count(0)
    point_at(page, "default head, replica 1: C1–C2 bond broke", 20 / 39)
    click_here(page)
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
