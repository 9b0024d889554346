"""Names and texts from strangers, on every page where they appear: shown as they are, and inert.

A workspace is planted in which everything that carries a name carries markup, a script, a link or
a picture; then every page is opened, also with hostile addresses. Nothing may run, nothing may be
asked of another server, and no element may come of it.
"""

import io
import json
import re
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Locator, Page, expect

from fisherdash import dataset
from fisherdash.potentials import checkpoint
from fisherdash.potentials.e3x import ModelConfig
from tests.browser import chromium
from tests.browser.conftest import plant_run
from tests.randomised import ETHANOL, displaced_ethanol, random_checkpoint

pytestmark = [pytest.mark.browser, pytest.mark.slow]

IMAGE = "<img src=x onerror=\"document.title='owned'\">"
PICTURE = "![p](https://evil.example/p.png)"
LINK = "[l](javascript:alert(1)) www.evil.example"
SCRIPT = "</script><script>alert(1)</script>"
ALL = f"{IMAGE} {PICTURE} {LINK} {SCRIPT} :red[c] $x^2$ `c` {{{{7*7}}}}"
FILE = ALL.replace("/", "∕")
"""The same as a file may be called: only the slash is another sign."""

HOSTILE = (
    "img[src=x], img[src*=evil], iframe[src*=evil], a[href*=evil], a[href^=javascript], "
    "[onerror], [onload], math, .katex, object, embed"
)


def plant(workspace: Path) -> None:
    """Data, models and a run, all with hostile names and texts."""
    for kind in ("datasets", "checkpoints"):
        (workspace / kind).mkdir(parents=True)
    positions = displaced_ethanol(30)
    forces = np.random.default_rng(0).normal(size=positions.shape)
    data = dataset.Dataset(positions, forces[:, 0, 0], forces, ETHANOL, 300.0, ALL, (ALL, "## b"))
    dataset.save(data, workspace / "datasets" / f"{FILE[:60]}.npz")
    config = ModelConfig(features=4, max_degree=1, iterations=1, basis=4, cutoff=3.0)
    made = random_checkpoint(config, dtype=np.float32)
    told = {"frames": 30, "data": ALL, "parent": ALL, "made_by": ALL, "device": ALL, ALL: ALL}
    model = checkpoint.Checkpoint(**{**vars(made), "name": ALL, "provenance": told})
    for name in ("a ", ""):
        checkpoint.save(model, workspace / "checkpoints" / f"{name}{FILE[:60]}.safetensors")
    run = workspace / "runs" / FILE[:60]
    plant_run(run)
    fields = json.loads((run / "run.json").read_text())
    fields |= {
        "title": ALL, "names": [ALL, f"b {ALL}"], "device": ALL, "notes": [ALL, "# big"],
        "command": ALL, "versions": {ALL: ALL}, "dataset": {"source": ALL},
    }  # fmt: skip
    fields["settings"]["precision"] = ALL
    (run / "run.json").write_text(json.dumps(fields))


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an app with the planted workspace."""
    folder = tmp_path_factory.mktemp("hostile")
    plant(folder / "workspace")
    with chromium.serving(folder / "workspace", folder / "app.log") as found:
        yield found


@pytest.fixture
def victim(tab: Page) -> Iterator[Page]:
    """A tab in which no dialog may open."""
    opened: list[str] = []

    def note(dialog: object) -> None:
        opened.append(dialog.message)  # type: ignore[attr-defined]
        dialog.dismiss()  # type: ignore[attr-defined]

    tab.on("dialog", note)
    yield tab
    assert opened == [], "a script ran"


def settled(page: Page) -> Locator:
    """The main part, once the page has run and nothing hostile has come of it."""
    page.get_by_role("heading", level=1).first.wait_for(state="attached")
    page.locator("[data-test-script-state=notRunning]").first.wait_for(state="attached")
    page.wait_for_timeout(300)
    main = page.locator("[data-testid=stMain]")
    assert page.locator(HOSTILE).evaluate_all("all => all.map(one => one.outerHTML)") == []
    assert page.title() != "owned"
    assert "Traceback" not in main.inner_text()
    return main


def unfold(page: Page) -> None:
    """Open what is folded away."""
    folded = page.locator("[data-testid=stMain] details:not([open]) > summary")
    folded.evaluate_all("all => all.forEach(one => one.click())")


PAGES = ("", "data", "train", "refit", "simulate", "drift", "compare", "files", "study")
CHOSEN = urllib.parse.urlencode({"data": FILE[:60], "model": FILE[:60], "run": FILE[:60]})


@pytest.mark.parametrize("name", PAGES)
def test_names_and_texts_are_inert_and_shown_as_they_are(
    victim: Page, hostile: str, name: str
) -> None:
    victim.goto(f"{hostile}/{name}?{CHOSEN}")
    main = settled(victim)
    tabs = victim.locator("[data-testid=stMain]").get_by_role("tab")
    words = ""
    for number in range(max(1, tabs.count())):
        if tabs.count():
            tabs.nth(number).click()
        unfold(victim)
        settled(victim)
        words += main.inner_text()
    shown = {
        "data": (PICTURE, LINK),  # the source and the notes of the frames
        "refit": (PICTURE, LINK),  # what the model says of itself
        "drift": (IMAGE, PICTURE, LINK, SCRIPT),  # title, heads, device, notes, versions
    }
    # Addresses are divided by a sign without width, so that no link comes of them.
    words = " ".join(words.replace("\u2060", "").split())
    for text in shown.get(name, ()):
        assert text in words, f"{text} is not shown as it is"


@pytest.mark.parametrize(
    "value",
    [IMAGE, "../../etc/passwd", "/etc/passwd", "a\0b", PICTURE, "9" * 400, "inf", "[]"],
)
def test_addresses_are_inert(victim: Page, hostile: str, value: str) -> None:
    keys = ("data", "run", "model", "models", "replica", "evaluated", value)
    address = urllib.parse.urlencode(dict.fromkeys(keys, value))
    for name in ("drift", "simulate"):
        victim.goto(f"{hostile}/{name}?{address}")
        main = settled(victim)
        assert "root:" not in main.inner_text()
        said = main.get_by_role("alert").all_inner_texts()
        gone = [one for one in said if "there is no run called" in one]
        assert said == gone and len(gone) == (name == "drift")


def npz_with_hostile_keys() -> bytes:
    """An npz that is refused with a list of its keys."""
    stream = io.BytesIO()
    np.savez(stream, **{key: [1.0] for key in (PICTURE, LINK[:38], "<img src=x onerror=alert(1)>")})
    return stream.getvalue()


XYZ = (
    f"3\nProperties=species:S:1:pos:R:3 {PICTURE.replace('=', '')}_energy=1 {IMAGE}\n"
    + "\n".join(f"{IMAGE if row == 2 else 'H'} 0 0 {row}" for row in range(3))
)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        (f"../../{IMAGE}.xyz", XYZ.encode(), "names an unknown element"),
        (f"{PICTURE}.npz", b"no zip", "is not a readable npz file"),
        ("keys.npz", npz_with_hostile_keys(), "keys.npz has no positions"),
        (f"{LINK}.npz", b"", "is empty"),
    ],
    ids=["xyz", "picture", "keys", "link"],
)
def test_what_a_refusal_quotes_is_inert(
    victim: Page, hostile: str, name: str, content: bytes, words: str
) -> None:
    victim.goto(f"{hostile}/data")
    victim.get_by_text("Load a file").click()
    victim.locator("input[type=file]").set_input_files(
        {"name": name, "mimeType": "application/octet-stream", "buffer": content}
    )
    # Its size stands beside its name once it has arrived.
    expect(victim.get_by_text(re.compile(r"^[\d.]+[KM]?B$"))).to_be_visible()
    victim.wait_for_timeout(500)
    victim.get_by_role("button", name="Load", exact=True).click()
    expect(victim.get_by_role("alert").first).to_contain_text(words)
    settled(victim)


def test_a_job_and_its_charts_are_inert(victim: Page, hostile: str) -> None:
    victim.goto(f"{hostile}/compare?{CHOSEN}")
    victim.get_by_text("Models", exact=True).first.click()
    victim.get_by_role("combobox", name="Models").first.fill("a <img")
    victim.keyboard.press("Enter")
    victim.keyboard.press("Escape")
    victim.get_by_role("button", name="Evaluate").click()
    victim.get_by_text("finished").first.wait_for()
    main = settled(victim)
    expect(main.get_by_text("1 model on").first).to_contain_text("<img src=x onerror")
    victim.goto(f"{hostile}/drift?{CHOSEN}")
    settled(victim)
    chart = victim.get_by_test_id("chart-drift")
    box = chart.bounding_box()
    assert box is not None
    for part in (0.3, 0.5, 0.7):  # the tooltip names the heads
        victim.mouse.move(box["x"] + part * box["width"], box["y"] + box["height"] / 2)
        victim.wait_for_timeout(200)
    settled(victim)
