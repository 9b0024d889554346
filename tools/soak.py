"""A crowd on one server: visitors without a browser and real browsers, all at work at once.

    python tools/soak.py --users 30 --browsers 3 --minutes 20 [--hostile 2]

First one visitor does once what the crowd will do, so that every program is compiled. Then each
visitor again and again looks at data, re-fits, launches dynamics, looks at the drift, cancels, and
comes back as after a refresh. Counted: failures of pages, of jobs and of the server; how fast pages
answer; how much memory the server has over time. Exit status 1 when anything failed, or, in a soak
of more than eight minutes, when what the server holds between jobs grows from the second third of
the time to the last.

With hostile users the same crowd comes twice to the same server, at first without them. They ask
for jobs without end and for the longest that are allowed, upload what nobody asked for, and open
websockets from other sites, all as fast as they are answered. How fast pages answer the others is
printed beside what it was before.
"""

import argparse
import asyncio
import os
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import psutil
from playwright.async_api import Error, Playwright, async_playwright

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.browser import chromium  # noqa: E402 - found through the line above
from tests.browser.wire import Visitor  # noqa: E402
from tools import attack  # noqa: E402

GROWTH = 4.0
"""MiB a minute that what the server holds between jobs may grow."""
JUDGED = 8.0
"""Minutes up to which growth is shown and not judged."""
REPLICAS = (1, 4, 32)
"""What the crowd simulates: 1 and 4 without a browser, the page's own 32 in one."""
BREATH = 2.0
"""Mean seconds that a visitor looks at a page before doing something else."""
MINUTE = 60_000


class Crowd:
    """What all visitors together have seen."""

    def __init__(self, address: str, end: float) -> None:
        self.address, self.end = address, end
        self.did: Counter[str] = Counter()
        self.runs: list[float] = []
        self.problems: list[str] = []
        self.refused: Counter[str] = Counter()

    @property
    def goes_on(self) -> bool:
        """Whether there is time left."""
        return time.monotonic() < self.end


async def rehearse(address: str) -> list[str]:
    """Do once, to its end, what the crowd does, so that what is measured is not the compiler.

    Dynamics of one head and, once there is a re-fit, of two; each number of replicas is a program.
    Returns what went wrong.
    """
    visitor = Visitor(address)
    for page, button in (("simulate", ""), ("refit", "Re-fit"), ("", "Run the demo")):
        await visitor.arrive()
        await visitor.open(page)
        if button:
            await visitor.click(button)
            await ended(visitor)
            await visitor.leave()
            await visitor.arrive()  # a new tab begins with the models that were just made
        for replicas in REPLICAS:
            await visitor.open("simulate")
            visitor.fill("Steps", 20)
            visitor.fill("Replicas", replicas)
            await visitor.click("Simulate")
            await ended(visitor)
        await visitor.leave()
    return visitor.problems + visitor.alerts


async def ended(visitor: Visitor) -> None:
    """Wait until the job that a page shows has ended."""
    page = visitor.page
    async with asyncio.timeout(300):
        while visitor.has("button", "Cancel"):
            await asyncio.sleep(0.5)
            await visitor.open(page)


async def look(chance: random.Random) -> None:
    """Read what is on the page."""
    await asyncio.sleep(chance.expovariate(1 / BREATH))


async def user(crowd: Crowd, number: int) -> None:
    """One visitor without a browser."""
    chance = random.Random(number)
    await asyncio.sleep(0.3 * number)
    visitor = Visitor(crowd.address)
    while crowd.goes_on:
        try:
            await visitor.arrive()
            crowd.did["arrived"] += 1
            for _ in range(chance.randint(2, 5)):
                if not crowd.goes_on:
                    break
                await act(crowd, visitor, chance)
                await look(chance)
            await visitor.leave()
        except (OSError, TimeoutError, EOFError) as error:
            crowd.problems.append(f"user {number} on {visitor.page!r}: {type(error).__name__}")
            await visitor.leave()
        crowd.runs += visitor.runs
        take_note(crowd, visitor)


def take_note(crowd: Crowd, visitor: Visitor) -> None:
    """Take over what a visitor was refused and met, and begin anew with it."""
    for alert in visitor.alerts:
        crowd.refused[alert[:60]] += 1
    crowd.problems += visitor.problems
    for gathered in (visitor.runs, visitor.problems, visitor.alerts):
        gathered.clear()


async def act(crowd: Crowd, visitor: Visitor, chance: random.Random) -> None:
    """Something that people do."""
    what = chance.choice(("read", "re-fit", "simulate", "simulate", "cancel", "drift", "compare"))
    crowd.did[what] += 1
    if what in ("read", "drift", "compare"):
        await visitor.open({"read": "data"}.get(what, what))
    elif what == "re-fit":
        await visitor.open("refit")
        if visitor.has("button", "Re-fit"):
            await visitor.click("Re-fit")
    elif what == "simulate":
        await visitor.open("simulate")
        if visitor.has("number_input", "Steps"):
            visitor.fill("Steps", chance.choice((20, 200, 2000)))
            visitor.fill("Replicas", chance.choice((1, 4)))
            await visitor.click("Simulate")
    else:
        await visitor.open(chance.choice(("refit", "simulate")))
        if visitor.has("button", "Cancel"):
            await visitor.click("Cancel")


LONG_JOB = (("Steps", 100_000), ("Replicas", 32))
"""Of a hostile user: within the limits, and longer than anybody else's."""
AT_ONCE = 10
"""Websockets of another site that a hostile user opens at a time."""


async def enemy(crowd: Crowd, number: int) -> None:
    """One hostile user; what is refused is counted, pages that fail are problems."""
    visitor = Visitor(crowd.address)
    while crowd.goes_on:
        try:
            await visitor.arrive()
            for page, field, value, button in attack.ENDLESS:
                await visitor.open(page)
                if visitor.has("number_input", field):
                    visitor.fill(field, value)
                    await visitor.click(button)
                    crowd.did["endless job asked for"] += 1
            await visitor.open("simulate")
            if visitor.has("button", "Simulate"):
                for field, value in LONG_JOB:
                    visitor.fill(field, value)
                await visitor.click("Simulate")
                crowd.did["long job asked for"] += 1
            knocks = [
                asyncio.to_thread(
                    attack.foreign_socket, crowd.address, Origin="http://evil.example"
                )
                for _ in range(AT_ONCE)
            ]
            answers = await asyncio.gather(*knocks)
            crowd.did["foreign websocket"] += len(answers)
            crowd.problems += [
                f"a foreign websocket: {one}" for one in answers if " 403" not in one
            ]
            for what, held, seen in await asyncio.to_thread(
                lambda: [*attack.uploads(crowd.address)]
            ):
                crowd.did["upload nobody asked for"] += 1
                if not held:
                    crowd.problems.append(f"{what}: {seen}")
            await visitor.leave()
        except (OSError, TimeoutError, EOFError) as error:
            crowd.problems.append(f"enemy {number} on {visitor.page!r}: {type(error).__name__}")
            await visitor.leave()
        take_note(crowd, visitor)  # times are those of the others


async def browse(crowd: Crowd, playwright: Playwright, number: int) -> None:
    """One real browser: the same, with a refresh in the middle, and its JavaScript errors."""
    path = chromium.find()
    if path is None:
        raise SystemExit("no Chromium on this machine: call with --browsers 0")
    profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
    context = await playwright.chromium.launch_persistent_context(
        profile.name, executable_path=path, args=list(chromium.FLAGS)
    )
    context.set_default_timeout(2 * MINUTE)
    page = await context.new_page()
    page.on("pageerror", lambda error: crowd.problems.append(f"browser {number}: {error}"[:300]))
    chance = random.Random(1000 + number)
    while crowd.goes_on:
        name = chance.choice(("", "data", "refit", "simulate", "drift", "trajectories", "compare"))
        try:
            await page.goto(f"{crowd.address}/{name}")
            await page.get_by_role("heading", level=1).first.wait_for()
            button = {"refit": "Re-fit", "simulate": "Simulate", "": "Run the demo"}.get(name)
            pressed = page.get_by_role("button", name=button or "Cancel", exact=True).first
            if await pressed.count() and await pressed.is_enabled():
                await pressed.click()
                crowd.did["browser clicked"] += 1
            await look(chance)
            await page.reload()
            await page.get_by_role("heading", level=1).first.wait_for()
            crowd.did["browser refreshed"] += 1
            if await page.get_by_test_id("stException").count():
                crowd.problems.append(f"browser {number}: an exception on {name!r}")
        except Error as error:
            crowd.problems.append(f"browser {number} on {name!r}: {error.message.splitlines()[0]}")
        await look(chance)
    await context.close()
    profile.cleanup()


async def weigh(crowd: Crowd, server: psutil.Process, weights: list[tuple[float, float]]) -> None:
    """MiB of the server every few seconds, with the time in minutes."""
    began = time.monotonic()
    while crowd.goes_on:
        weights.append(((time.monotonic() - began) / 60, server.memory_info().rss / 2**20))
        await asyncio.sleep(2.0)


async def gather(
    crowd: Crowd, server: psutil.Process, users: int, browsers: int, hostile: int
) -> np.ndarray:
    """Everybody at once; (n, 2) minutes and MiB."""
    weights: list[tuple[float, float]] = []
    async with async_playwright() as playwright, asyncio.TaskGroup() as group:
        group.create_task(weigh(crowd, server, weights))
        for number in range(users):
            group.create_task(user(crowd, number))
        for number in range(hostile):
            group.create_task(enemy(crowd, number))
        for number in range(browsers):
            group.create_task(browse(crowd, playwright, number))
    return np.array(weights)


def report(crowd: Crowd, weights: np.ndarray, log: str) -> bool:
    """Print what was counted; whether all is well."""
    held = [part[part[:, 1].argmin()] for part in np.array_split(weights, 3)]
    minutes, more = held[2] - held[1]
    slope = more / max(minutes, 1 / 60)
    tracebacks = Counter(_endings(log))
    print("done            ", ", ".join(f"{n} {what}" for what, n in sorted(crowd.did.items())))
    if crowd.runs:
        median, most = np.percentile(crowd.runs, (50, 95))
        print(f"runs of pages    {len(crowd.runs)}, median {median:.2f} s, p95 {most:.2f} s")
    print(f"memory           {weights[0, 1]:.0f} MiB at first, {weights[:, 1].max():.0f} at most, "
          f"{weights[-1, 1]:.0f} at the end")  # fmt: skip
    least = ", ".join(f"{least:.0f} (minute {minute:.0f})" for minute, least in held)
    print(f"between jobs     {least} MiB, the least of each third of the time")
    print(f"growth           {slope:+.1f} MiB a minute from the second third to the last")
    for words, count in crowd.refused.most_common(5):
        print(f"refused          {count} × {words}")
    for name, found in (("tracebacks", tracebacks), ("errors", Counter(crowd.problems))):
        print(f"{name:<17}{found.total()}")
        for words, count in found.most_common(10):
            print(f"                 {count} × {words}")
    grows = weights[-1, 0] > JUDGED and slope > GROWTH
    return not crowd.problems and not tracebacks and not grows


def _endings(log: str) -> list[str]:
    """The last line of every traceback in a log, and where it came from."""
    found, place = [], ""
    for line in log.split("Traceback (most recent call last)")[1:]:
        for text in line.splitlines()[1:]:
            if text.startswith("  File"):
                place = text.strip()
            elif text and not text.startswith(" "):
                found.append(f"{text} ({place})"[:300])
                break
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve, let the crowd in, print the summary."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--users", type=int, default=30, help="visitors without a browser")
    parser.add_argument("--browsers", type=int, default=3, help="real browsers")
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--hostile", type=int, default=0, help="of the users without a browser")
    options = parser.parse_args(arguments)
    os.environ["FISHERDASH_SHARED"] = "1"
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        log = Path(folder) / "app.log"
        before = set(psutil.Process().children())
        with chromium.serving(Path(folder) / "workspace", log) as address:
            (server,) = set(psutil.Process().children()) - before
            began = time.monotonic()
            problems = asyncio.run(rehearse(address))
            print(f"rehearsed in {time.monotonic() - began:.0f} s", *problems, sep="\n", flush=True)
            well, runs = not problems, {}
            for hostile in sorted({0, options.hostile}):
                crowd = Crowd(address, time.monotonic() + 60 * options.minutes)
                seen = len(log.read_text(errors="replace"))
                users = options.users - hostile
                print(f"{users} users, {hostile} hostile ones, {options.browsers} browsers, "
                      f"{options.minutes:g} min", flush=True)  # fmt: skip
                weights = asyncio.run(gather(crowd, server, users, options.browsers, hostile))
                good = report(crowd, weights, log.read_text(errors="replace")[seen:])
                well, runs[hostile] = well and good, crowd.runs
    for hostile, seconds in runs.items() if options.hostile else ():
        median, most = np.percentile(seconds, (50, 95)) if seconds else (np.nan, np.nan)
        print(f"pages of the others beside {hostile} hostile users: median {median:.2f} s, "
              f"p95 {most:.2f} s, {len(seconds)} runs")  # fmt: skip
    print("all is well" if well else "not well")
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
