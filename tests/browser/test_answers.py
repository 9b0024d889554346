"""Questions that are asked with a click and answered on the page: structure, origin, sharpness."""

import pytest
from playwright.sync_api import Page, expect

from tests.browser.seeing import colours, fill, pixels, show

pytestmark = [pytest.mark.browser, pytest.mark.slow]

CHART = "[data-testid=stPlotlyChart]:visible"


def drawn(page: Page, number: int) -> None:
    """Wait until the chart of this number has more than its frame on it."""
    chart = page.locator(CHART).nth(number)
    show(chart)
    expect(chart).to_be_visible()
    for _ in range(100):
        if colours(pixels(chart)) > 20:
            return
        page.wait_for_timeout(100)
    raise AssertionError("the chart is empty")


def test_structure_and_vibrations_of_a_run(tab: Page, address: str) -> None:
    tab.goto(f"{address}/drift?run=planted")
    tab.get_by_role("tab", name="Structure").click()
    expect(tab.get_by_text("Only like temperatures compare the models.")).to_be_visible()
    expect(tab.locator(CHART)).to_have_count(1)
    drawn(tab, 0)
    tab.get_by_role("radio", name="Bonds and angles").click()
    expect(tab.get_by_text("which is chance alone")).to_be_visible()
    expect(tab.get_by_role("combobox", name="Bond or angle")).to_be_visible()
    drawn(tab, 0)
    tab.get_by_role("radio", name="Vibrations").click()
    expect(tab.get_by_text("cm⁻¹").first).to_be_visible()
    drawn(tab, 0)
    assert tab.get_by_role("alert").filter(has_text="Traceback").count() == 0


def test_where_a_drift_comes_from_is_one_click(tab: Page, address: str) -> None:
    tab.goto(f"{address}/simulate")
    for name, value in (("Replicas", 8), ("Steps", 400), ("Temperature (K)", 300)):
        fill(tab, name, value)
    expect(tab.get_by_text("8 trajectories of 0.2 ps")).to_be_visible()
    tab.get_by_role("button", name="Simulate", exact=True).click()
    main = tab.locator("[data-testid=stMain]")
    expect(main.get_by_text("finished").first).to_be_visible()
    tab.get_by_role("link", name="Watch the drift and the molecules").click()
    tab.get_by_role("tab", name="Origin of the drift").click()
    tab.get_by_role("button", name="Run at half the time step").click()
    expect(tab.get_by_text("replicas that survive both")).to_be_visible()
    expect(tab.get_by_role("button", name="Run at half the time step")).to_have_count(0)
    expect(tab.get_by_role("button", name="Run in double precision")).to_be_enabled()


def test_the_landscape_around_a_model_is_mapped(tab: Page, address: str) -> None:
    tab.goto(f"{address}/compare")
    tab.get_by_role("radio", name="Loss landscape").click()
    expect(tab.get_by_role("button", name="Map the landscape")).to_be_disabled()
    tab.get_by_role("combobox", name="Models").click()
    tab.get_by_role("option", name="ethanol-undertrained (sample)").click()
    tab.keyboard.press("Escape")
    fill(tab, "Frames", 20)
    tab.get_by_text("More settings", exact=True).click()
    fill(tab, "Points along each", 3)
    tab.get_by_role("button", name="Map the landscape").click()
    expect(tab.get_by_text("Sharpness is the loss after one step")).to_be_visible()
    expect(tab.locator(CHART)).to_have_count(2)  # the map and the cut
    drawn(tab, 0)
    drawn(tab, 1)
    tab.get_by_text("The same from a shell", exact=True).click()
    expect(tab.get_by_text("python -m fisherdash landscape").first).to_be_visible()
