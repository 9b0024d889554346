"""How long the dashboard takes to draw: a run that goes on, and a large finished one.

    python benchmarks/redraw.py [--updates 20] [--json]

In a headless Chromium, with WebGL in software. First a run of a million steps of 64 replicas and
two heads (made-up numbers) is opened five times: seconds from the address to the title of the page,
which is Streamlit's part, and to curves and molecules.
Then a run of 64 replicas and three heads goes on, and every update of its page is timed: on the
server (statistics, figure, molecules) and in the browser (curves). First with made-up numbers, one
chunk a second, so that the cores are the page's; then three sample networks compute on the same
cores meanwhile ("busy"). Wanted: 2 s to open, 300 ms for an update.
"""

import argparse
import functools
import json
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from playwright.sync_api import Page, sync_playwright  # noqa: E402 - found through the line above

from benchmarks.page_speed import large_run, made_up  # noqa: E402
from tests.browser import chromium  # noqa: E402

MODELS = ("ethanol-report", "ethanol-reference", "ethanol-undertrained")
REPLICAS = 64
OPENED = 5
MINUTES = 600_000
"""Milliseconds that compilation may take."""
SIZE: Any = {"width": 1280, "height": 720}


def serve(times: Path, options: Sequence[str], busy: bool) -> None:
    """Begins the run and becomes its server; notes the seconds of each update in ``times``."""
    from streamlit.web.cli import main as streamlit

    from pages.ui import progress

    watch = progress.watch

    def timed_watch(job: Any, draw: Callable[[], None], **more: Any) -> None:
        @functools.wraps(draw)
        def timed() -> None:
            begun = time.perf_counter()
            try:
                draw()
            finally:
                with times.open("a") as file:
                    file.write(f"{time.perf_counter() - begun}\n")

        watch(job, timed, **more)

    progress.watch = timed_watch
    (begin_networks if busy else begin_made_up)()
    streamlit(["run", "pages/ui/server.py", *options], prog_name="streamlit")


def begin_networks() -> None:
    """Three sample networks, 64 replicas each."""
    from fisherdash import dataset, submit
    from fisherdash.potentials import checkpoint
    from fisherdash.settings import MDSettings
    from fisherdash.workspace import limits

    samples = ROOT / "sample_models"
    paths = {name: samples / f"{name}.safetensors" for name in MODELS}
    file = samples / "ethanol_500K.npz"
    settings = MDSettings(replicas=REPLICAS, steps=200_000, temperature=300.0, record_every=20)
    models = {name: checkpoint.load(path) for name, path in paths.items()}
    with limits.agreed():  # it is stopped after a few updates
        submit.simulation(paths, file, models, dataset.load(file), settings)


def begin_made_up() -> None:
    """Made-up numbers of three heads, a chunk each second."""
    from fisherdash.workspace import jobs
    from fisherdash.workspace.jobs import JobProgress

    folder, written = made_up(200, heads=len(MODELS))

    def work(cancel: threading.Event) -> Iterator[JobProgress]:
        for number, _ in enumerate(written):
            yield JobProgress(min(1.0, number / 50), "running", f"chunk {number}")
            cancel.wait(1.0)

    jobs.submit("simulate", "made-up numbers", work, info={"run": folder})


@contextmanager
def browser() -> Iterator[Page]:
    """A page of a fresh headless Chromium."""
    path = chromium.find()
    if path is None:
        raise SystemExit("no Chromium on this machine: install it to measure what it draws")
    with sync_playwright() as playwright:
        window = playwright.chromium.launch(executable_path=path, args=list(chromium.FLAGS))
        try:
            yield window.new_page(viewport=SIZE)
        finally:
            window.close()


def open_large(scratch: Path) -> tuple[list[float], list[float]]:
    """Seconds from the address of the large run to the page's title, and to all that it shows."""
    os.environ["FISHERDASH_WORKSPACE"] = str(scratch)
    run, _ = large_run(200)
    titled, seconds = [], []
    with chromium.serving(scratch, scratch / "log") as address, browser() as page:
        page.goto(address)
        page.get_by_role("heading", level=1).wait_for(timeout=MINUTES)
        for _ in range(OPENED):
            page.goto("about:blank")
            begun = time.perf_counter()
            page.goto(f"{address}/drift?run={run}")
            page.get_by_role("heading", level=1).wait_for(timeout=MINUTES)
            titled.append(time.perf_counter() - begun)
            page.wait_for_selector(".fd .plot .main-svg", timeout=MINUTES)
            page.wait_for_selector(".fd .canvas canvas", timeout=MINUTES)
            seconds.append(time.perf_counter() - begun)
    return titled, seconds


OBSERVE = """() => {
  window.redraws = [];
  const root = document.querySelector("[data-redraw]");
  new MutationObserver(() => window.redraws.push(+root.dataset.redraw))
    .observe(root, { attributes: true, attributeFilter: ["data-redraw"] });
}"""


def watch_live(scratch: Path, updates: int, *, busy: bool) -> tuple[list[float], list[float]]:
    """Milliseconds of the server and of the browser for so many updates of a run that goes on."""
    times, how = scratch / "times", ["--busy"] if busy else []
    with (
        chromium.serving(
            scratch,
            scratch / "log",
            command=[sys.executable, __file__, *how, "--serve", str(times), "--server.port"],
        ) as address,
        browser() as page,
    ):
        page.goto(f"{address}/drift")
        page.wait_for_selector("[data-redraw]", timeout=MINUTES)
        page.evaluate(OBSERVE)
        page.wait_for_function(f"window.redraws.length >= {updates}", timeout=MINUTES)
        drawn = page.evaluate("window.redraws")
    return [1e3 * float(line) for line in times.read_text().split()][-updates:], drawn[:updates]


def main(arguments: Sequence[str] | None = None) -> int:
    """Open the large run, watch the live one, print a line each."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--updates", type=int, default=20, metavar="N")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--busy", action="store_true", help=argparse.SUPPRESS)
    options, rest = parser.parse_known_args(arguments)
    if options.serve:
        serve(options.serve, rest, options.busy)
        return 0
    found: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        found["title_s"], found["open_s"] = open_large(Path(scratch))
    for busy in (False, True):
        mark = "busy_" if busy else ""
        with tempfile.TemporaryDirectory() as scratch:
            server, drawn = watch_live(Path(scratch), options.updates, busy=busy)
        found |= {f"{mark}update_server_ms": server, f"{mark}update_browser_ms": drawn}
    if options.json:
        print(json.dumps(found))
        return 0
    for name, values in found.items():
        print(f"{name:<23} median {statistics.median(values):6.3g}, most {max(values):6.3g}, "
              f"{len(values)} times")  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
