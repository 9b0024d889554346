"""What is on the screen: the pixels of an element and of the 3D views."""

import io
import time
from collections.abc import Callable
from typing import TypeVar

import numpy as np
from PIL import Image
from playwright.sync_api import Error, Locator, Page, expect

from tests.browser.conftest import PATIENCE

Seen = TypeVar("Seen")


def pixels(element: Locator) -> np.ndarray:
    """What is on the screen there, (height, width, 3)."""
    image = Image.open(io.BytesIO(_while_it_is_there(element.screenshot)))
    return np.asarray(image.convert("RGB"), np.int16)


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


def views(page: Page, count: int = 2) -> list[Locator]:
    """The 3D views, once something is drawn in them."""
    canvases = page.locator(".fd .canvas canvas")
    expect(canvases).to_have_count(count)
    show(canvases.first)
    deadline = time.monotonic() + PATIENCE / 1000
    while min(colours(pixels(view)) for view in canvases.all()) < 50:
        assert time.monotonic() < deadline, "nothing is drawn in the 3D views"
    return canvases.all()


def show(element: Locator) -> None:
    """Scroll to it."""
    _while_it_is_there(element.scroll_into_view_if_needed)


def _while_it_is_there(act: Callable[[], Seen]) -> Seen:
    """Do something with an element, again where the page puts a new one in its place meanwhile."""
    deadline = time.monotonic() + PATIENCE / 1000
    while True:
        try:
            return act()
        except Error as error:
            if "not attached" not in error.message or time.monotonic() > deadline:
                raise


def fill(page: Page, name: str, value: float) -> None:
    """Type a number into a field and leave it."""
    field = page.get_by_role("spinbutton", name=name, exact=True)
    field.fill(str(value))
    field.press("Enter")
