"""Text can be read: its contrast with what lies behind it, by the formula of WCAG 2."""

import pytest
from playwright.sync_api import Page, expect

pytestmark = [pytest.mark.browser, pytest.mark.slow]

# Text that stands on the page itself; sliders hide the labels of their ends until they are used.
TOO_FAINT = """least => {
  const brush = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = colour => {
    brush.clearRect(0, 0, 1, 1); brush.fillStyle = colour; brush.fillRect(0, 0, 1, 1);
    const [r, g, b, alpha] = brush.getImageData(0, 0, 1, 1).data;
    return [[r, g, b], alpha / 255];
  };
  const over = (ground, [colour, alpha]) =>
    ground.map((x, i) => x * (1 - alpha) + colour[i] * alpha);
  const ground = element => {
    const layers = [];
    for (let at = element; at; at = at.parentElement) {
      layers.push(rgba(getComputedStyle(at).backgroundColor));
      if (layers.at(-1)[1] === 1) break;
    }
    return layers.reverse().reduce(over, [255, 255, 255]);
  };
  const luminance = colour => colour
    .map(x => x / 255).map(x => x <= 0.03928 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4)
    .reduce((sum, x, i) => sum + x * [0.2126, 0.7152, 0.0722][i], 0);
  const faint = [];
  for (const element of document.querySelectorAll("[data-testid=stApp] *")) {
    const own = [...element.childNodes].some(one => one.nodeType === 3 && one.textContent.trim());
    const { width, height } = element.getBoundingClientRect();
    if (!own || !width || !height || element.closest("[disabled], svg, .stSlider")) continue;
    const behind = ground(element), text = over(behind, rgba(getComputedStyle(element).color));
    const [dark, light] = [luminance(behind), luminance(text)].sort((one, two) => one - two);
    const ratio = (light + 0.05) / (dark + 0.05);
    if (ratio < least) faint.push(`${element.textContent.trim()}: ${ratio.toFixed(2)}`);
  }
  return faint;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_what_is_chosen_can_be_read(tab: Page, address: str, scheme: str) -> None:
    """Buttons, segments, tabs and tags of the page with most of them; AA asks for 4.5."""
    tab.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    for path, seen in (("refit", "GCV"), ("drift?run=planted", "Statistics")):
        tab.goto(f"{address}/{path}")
        expect(tab.get_by_text(seen, exact=True).first).to_be_visible()
        tab.wait_for_timeout(500)  # buttons fade in
        assert tab.evaluate(TOO_FAINT, 4.5) == []
        assert len(tab.evaluate(TOO_FAINT, 22)) > 20, "the page was not looked at"
