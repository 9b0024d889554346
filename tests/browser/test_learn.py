"""The lesson as a student meets it: drag, solve in one step, descend, let a ball roll."""

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from fisherdash import learn
from tests.browser.seeing import colours, differ, pixels, show
from tests.verlet import verlet

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def divergence(page: Page) -> float:
    return float(page.locator(".lesson").get_attribute("data-j") or "nan")


def test_theta_is_dragged_solved_and_descended(tab: Page, address: str) -> None:
    tab.goto(f"{address}/learn")
    plane, mine = tab.get_by_test_id("map-plane"), tab.get_by_test_id("map-mine")
    expect(plane).to_be_visible()
    made = learn.lesson("boltzmann", 1000, "own", 0.0)
    start = made.divergences()["default"]
    assert divergence(tab) == pytest.approx(start, rel=1e-9)
    before = pixels(mine)
    assert colours(before) > 50
    show(plane)
    area = plane.bounding_box()
    assert area is not None
    # From the default head at the upper right towards the bottom of the bowl at the lower left.
    side = area["width"] - 30  # the rest is for the labels of the axes
    tab.mouse.move(area["x"] + 30 + 0.8 * side, area["y"] + 8 + 0.2 * side)
    tab.mouse.down()
    tab.mouse.move(area["x"] + 30 + 0.22 * side, area["y"] + 8 + 0.76 * side, steps=5)
    tab.mouse.up()
    assert divergence(tab) < 0.5 * start
    assert differ(before, pixels(mine))
    at = divergence(tab)
    plane.press("ArrowLeft")
    assert divergence(tab) != at
    tab.get_by_test_id("to-closed").click()
    assert divergence(tab) == pytest.approx(0.0, abs=1e-9)
    tab.get_by_test_id("to-default").click()
    tab.get_by_test_id("to-descent").click()
    tab.wait_for_function(
        """least => [...document.querySelectorAll("*")].some(
            (one) => Number(one.shadowRoot?.querySelector(".lesson")?.dataset.j ?? 1e9) < least
        )""",
        arg=0.2 * start,
    )


def test_the_ball_of_the_browser_is_the_ball_of_the_science(tab: Page, address: str) -> None:
    tab.goto(f"{address}/learn")
    tab.get_by_test_id("run").click()
    root = tab.locator(".lesson")
    expect(root).to_have_attribute("data-step", str(learn.STEPS))
    made = learn.lesson("boltzmann", 1000, "own", 0.0)
    path = verlet(
        lambda x: made.basis.gradients(x) @ made.default,
        np.array([learn.START]), np.array([learn.PUSH]), learn.STEP, learn.STEPS,
    )  # fmt: skip
    shown = [float(word) for word in (root.get_attribute("data-ball") or "").split()]
    # One frame before the last step is drawn last.
    assert min(np.abs(path[-k, 0] - shown).max() for k in (1, 2, 3)) < 1e-6
