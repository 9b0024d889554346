"""Checkpoints of one's own on Compare: brought at once, evaluated, looked at point by point."""

import pytest
from playwright.sync_api import Page, expect

from fisherdash.workspace import paths

pytestmark = [pytest.mark.browser, pytest.mark.slow]

HEIGHT = 720


def test_models_come_at_once_and_a_point_leads_to_its_molecule(tab: Page, address: str) -> None:
    tab.set_viewport_size({"width": 1280, "height": HEIGHT})
    tab.goto(f"{address}/compare")
    tab.get_by_text("Models", exact=True).click()
    tab.get_by_text("Bring your own checkpoint").click()
    content = (paths.samples() / "ethanol-weak.safetensors").read_bytes()
    files = [f"{name} net.safetensors" for name in ("one", "two")]
    mime = "application/octet-stream"
    tab.locator("input[type=file]").first.set_input_files(
        [{"name": name, "mimeType": mime, "buffer": content} for name in files]
    )
    for name in ("one-net", "two-net"):
        expect(tab.get_by_test_id("stMultiSelect").get_by_text(name)).to_be_visible()

    # What came of it is in sight once it is there, without a turn of the wheel.
    tab.get_by_role("button", name="Evaluate").click()
    expect(tab.get_by_text("2 models on ethanol_500K", exact=True).first).to_be_in_viewport()
    expect(tab.get_by_text("Point by point")).to_be_visible()
    expect(tab.get_by_label("Errors", exact=True).first).to_be_in_viewport(ratio=1)

    charts = tab.get_by_test_id("stPlotlyChart")
    charts.nth(1).scroll_into_view_if_needed()
    x, y = (
        charts.nth(1)
        .locator(".js-plotly-plot")
        .evaluate(
            """(node) => {
          const { xaxis, yaxis } = node._fullLayout, box = node.getBoundingClientRect();
          const trace = node._fullData.find((one) => one.customdata);
          return [
            box.x + xaxis._offset + xaxis.l2p(trace.x[0]),
            box.y + yaxis._offset + yaxis.l2p(trace.y[0]),
          ];
        }"""
        )
    )
    tab.mouse.move(x - 2, y)
    tab.mouse.move(x, y)
    tab.mouse.click(x, y)
    expect(tab.locator(".fd .canvas canvas").first).to_be_in_viewport(ratio=1)
    expect(charts.nth(1)).to_be_in_viewport()
