"""Pictures of the real dashboard: every page, wide and narrow, light and dark, and the README's.

    python tools/screenshots.py               the README's pictures, to docs/images/
    python tools/screenshots.py --all FOLDER  every page at 1920, 1280 and 400, light and dark

The demo is run first in a fresh workspace, so the curves and the molecules are real.
"""

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from playwright.sync_api import BrowserContext, Page, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.browser import chromium  # noqa: E402 - found through the line above

PAGES = (
    "",
    "data",
    "train",
    "refit",
    "simulate",
    "drift",
    "drift?part=Structure",
    "drift?part=Origin of the drift",
    "compare",
    "files",
    "study",
    "learn",
)
SCHEMES = ("light", "dark")
WIDTHS = (1920, 1280, 400)
MINUTE = 60_000
PICTURES = {"dashboard": ""}
"""Pictures for README and docs: name and address."""


@contextmanager
def browser(width: int, scheme: str) -> Iterator[BrowserContext]:
    """A fresh browser of that width."""
    path = chromium.find()
    if path is None:
        raise SystemExit("no Chromium on this machine: install it to take pictures")
    profile = tempfile.mkdtemp()
    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            profile,
            executable_path=path,
            args=list(chromium.FLAGS),
            viewport={"width": width, "height": 1000},
            color_scheme="dark" if scheme == "dark" else "light",
        )
        context.set_default_timeout(5 * MINUTE)
        try:
            yield context
        finally:
            context.close()
            shutil.rmtree(profile, ignore_errors=True)


def settle(page: Page, seconds: float = 2.5) -> None:
    """Wait until the page has stopped running, then for charts and molecules to be drawn."""
    page.get_by_role("heading", level=1).wait_for(timeout=MINUTE)
    page.locator("[data-test-script-state=notRunning]").first.wait_for(
        state="attached", timeout=MINUTE
    )
    time.sleep(seconds)


def shoot(page: Page, path: Path, most: int | None = None) -> None:
    """The whole page: the window is made as tall as the content first."""
    measure = "document.querySelector('[data-testid=stMainBlockContainer]').scrollHeight"
    size = page.viewport_size or {"width": 1400, "height": 1000}
    height = max(700, int(page.evaluate(measure)) + 40)
    page.set_viewport_size({"width": size["width"], "height": min(height, most or height)})
    time.sleep(1.5)
    page.screenshot(path=path)
    page.set_viewport_size(size)


def demo(address: str) -> None:
    """Run the demo to its end."""
    with browser(1400, "light") as context:
        page = context.new_page()
        page.goto(address)
        page.get_by_role("button", name="Run the demo").click(timeout=MINUTE)
        page.get_by_role("heading", name="What it says").wait_for(timeout=15 * MINUTE)


def everything(address: str, folder: Path) -> None:
    """All pages, widths and schemes."""
    folder.mkdir(parents=True, exist_ok=True)
    for width in WIDTHS:
        for scheme in SCHEMES:
            with browser(width, scheme) as context:
                page = context.new_page()
                for name in PAGES:
                    page.goto(f"{address}/{name}")
                    settle(page)
                    stem = name.replace("?part=", "-").replace(" ", "-") or "home"
                    shoot(page, folder / f"{stem}-{width}-{scheme}.png")


def readme(address: str, folder: Path) -> None:
    """The pictures of README and docs."""
    folder.mkdir(parents=True, exist_ok=True)
    with browser(1400, "light") as context:
        page = context.new_page()
        for name, place in PICTURES.items():
            page.goto(f"{address}/{place}")
            settle(page, 4.0)
            path = folder / f"{name}.png"
            shoot(page, path)
            # A palette of 256 colours is enough for a page and a third of the size.
            Image.open(path).convert("RGB").quantize(256).save(path, optimize=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve, run the demo, take the pictures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--all", metavar="FOLDER", type=Path, help="every page into FOLDER")
    parser.add_argument("--address", help="of an app that runs already; its demo is not started")
    options = parser.parse_args(arguments)
    scratch = Path(tempfile.mkdtemp())
    if options.address:
        take(options.address, options.all)
        return 0
    with chromium.serving(scratch / "workspace", scratch / "app.log") as address:
        demo(address)
        take(address, options.all)
    shutil.rmtree(scratch, ignore_errors=True)
    return 0


def take(address: str, folder: Path | None) -> None:
    """Take the pictures that were asked for."""
    if folder is not None:
        everything(address, folder)
    else:
        readme(address, ROOT / "docs" / "images")


if __name__ == "__main__":
    sys.exit(main())
