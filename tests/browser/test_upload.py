"""Files of strangers on the Data page: warned of, keys chosen from a list, any name, kept once."""

import pytest
from playwright.sync_api import Page, expect

from tests.dataset.outputs import outcar
from tests.dataset.people import springs, xyz

DFT = "Properties=species:S:1:pos:R:3:forces_dft:R:3 "
MIME = "application/octet-stream"


@pytest.fixture
def page(tab: Page, address: str) -> Page:
    """The Data page with the uploader open."""
    tab.goto(f"{address}/data")
    tab.get_by_text("Load a file").click()
    return tab


def choose(page: Page, name: str, content: bytes) -> None:
    page.locator("input[type=file]").set_input_files(
        {"name": name, "mimeType": MIME, "buffer": content}
    )


def test_what_speaks_against_a_file_is_a_warning_before_it_is_kept(page: Page) -> None:
    choose(page, "gradients of water.xyz", xyz(springs(), (1, -1, 1)))
    warning = page.get_by_test_id("stAlertContentWarning")
    expect(warning).to_contain_text("these are gradients, not forces")
    expect(page.get_by_text("before it is kept")).to_be_visible()
    page.get_by_text("Forces are gradients", exact=True).click()
    expect(warning).to_have_count(0)
    page.get_by_role("button", name="Load", exact=True).click()
    expect(page.get_by_role("combobox", name="Data set")).to_have_value("gradients-of-water")


def test_keys_are_chosen_in_select_boxes(page: Page) -> None:
    choose(page, "dft.xyz", xyz(springs(), head=DFT, comment="energy_dft={e:.9f}"))
    expect(page.get_by_role("alert")).to_contain_text("it has energy_dft, forces_dft")
    for label, key in (("Key of the energies", "energy_dft"), ("Key of the forces", "forces_dft")):
        page.get_by_role("combobox", name=label).click()
        page.get_by_role("option", name=key).click()
    expect(page.get_by_role("alert")).to_have_count(0)
    page.get_by_role("button", name="Load", exact=True).click()
    expect(page.get_by_role("combobox", name="Data set")).to_have_value("dft")


def test_a_file_that_nothing_speaks_against_is_kept_at_once_and_once(page: Page) -> None:
    """An output without an ending too; another click on Load keeps no second copy."""
    water = springs()
    text = outcar({**water, "positions": water["positions"] + 5.0})
    choose(page, "OUTCAR", text.encode())
    chosen = page.get_by_role("combobox", name="Data set")
    expect(chosen).to_have_value("OUTCAR")
    page.get_by_role("button", name="Load", exact=True).click()
    expect(page.get_by_test_id("stStatusWidget")).to_have_count(0)
    expect(chosen).to_have_value("OUTCAR")
    expect(page.get_by_text("before it is kept")).to_have_count(0)
    expect(page.get_by_test_id("stAlertContentWarning")).to_have_count(0)
