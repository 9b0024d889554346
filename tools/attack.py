"""The server under attack, as somebody on the internet or a hostile visitor would: what must hold.

    python tools/attack.py

It starts an app of its own, shared and with a workspace that is thrown away, and speaks to it on
127.0.0.1 alone; no other address can be given. Requests are counted and the whole is bounded in
time. Every line says what was tried, whether it held, and what was found; exit status 1 when
something did not. `tools/validate.py` runs it too.
"""

import asyncio
import base64
import contextlib
import http.client
import os
import socket
import sys
import tempfile
import threading
import time
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.browser import chromium  # noqa: E402 - found through the line above
from tests.browser.wire import Visitor  # noqa: E402

Finding = tuple[str, bool, str]
"""What was tried, whether the server held, and what was seen."""

SECONDS = 300.0
"""All of it takes at most so long."""
SOCKETS = 10
SLOW = 2.0
"""Seconds that a health check may take meanwhile."""
ENDLESS = (
    ("train", "Epochs", 10**9, "Train"),
    ("simulate", "Steps", 10**9, "Simulate"),
    ("simulate", "Replicas", 10**6, "Simulate"),
)
"""Page, field, value and button of jobs that would take years, or all of the memory."""


def ask(address: str, path: str = "/", **headers: str) -> http.client.HTTPResponse:
    """The answer to one request, read."""
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(address).netloc, timeout=30)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request("GET", path, headers={"Accept": "text/html", **named})
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer


def refusals(address: str) -> Iterator[Finding]:
    """Names and pages that are not the server's own."""
    for name, path, headers, wanted in (
        ("another name (DNS rebinding)", "/", {"Host": "evil.example"}, (421,)),
        ("a page of another site", "/", {"Origin": "http://evil.example"}, (403,)),
        ("a page without a site", "/", {"Origin": "null"}, (403,)),
        ("the server's counters", "/_stcore/metrics", {}, (404,)),
        ("a path out of the folder", "/app/static/../../pyproject.toml", {}, (400, 404)),
    ):
        answer = ask(address, path, **headers)
        yield name, answer.status in wanted, f"{answer.status}"
    answer = ask(address)
    policy = answer.getheader("Content-Security-Policy", "")
    yield "no foreign host in the policy", "http" not in policy, policy[:60]


def cookies(address: str) -> Iterator[Finding]:
    """Whatever is no cookie of ours is replaced by one that is."""
    name = "fisherdash_visitor"
    for value in ("", "short", "a" * 32, "a" * 43, "a" * 43 + "." + "0" * 64):
        given = ask(address, Cookie=f"{name}={value}").getheader("Set-Cookie", "")
        fresh = given.partition("=")[2].partition(";")[0]
        held = fresh.count(".") == 1 and bool(fresh) and fresh != value
        yield f"a made-up cookie of {len(value)} letters", held, given[:40]
    given = ask(address, Cookie=f"x{name}=1").getheader("Set-Cookie", "")
    yield "a cookie whose name ends like ours", name in given, given[:40]


def uploads(address: str) -> Iterator[Finding]:
    """A file that no page has asked for is not received, whatever its length is said to be."""
    for words, length in (("a small upload", "8"), ("one of a terabyte", str(10**12))):
        connection = http.client.HTTPConnection(urllib.parse.urlsplit(address).netloc, timeout=30)
        connection.putrequest("PUT", "/_stcore/upload_file/somebody/anything")
        connection.putheader("Content-Length", length)
        connection.endheaders()
        status = connection.getresponse().status
        connection.close()
        yield f"{words} that nobody asked for", status == 403, f"{status}"


def foreign_socket(address: str, **headers: str) -> str:
    """The first line of the answer to a websocket that is not ours to open."""
    place = urllib.parse.urlsplit(address)
    lines = {
        "Host": place.netloc,
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Protocol": "streamlit",
        **headers,
    }
    text = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    with socket.create_connection(("127.0.0.1", place.port or 80), 30) as connection:
        connection.sendall(f"GET /_stcore/stream HTTP/1.1\r\n{text}\r\n".encode())
        connection.settimeout(30)
        return connection.recv(200).split(b"\r\n")[0].decode("latin-1")


def sockets(address: str) -> Iterator[Finding]:
    """Websockets from other sites: refused at once, and nobody else waits."""
    answers: list[str] = []

    def knock() -> None:
        with contextlib.suppress(OSError):
            answers.append(foreign_socket(address, Origin="http://evil.example"))

    threads = [threading.Thread(target=knock) for _ in range(SOCKETS)]
    for thread in threads:
        thread.start()
    began = time.monotonic()
    ask(address, "/_stcore/health")
    took = time.monotonic() - began
    for thread in threads:
        thread.join(60)
    refused = [one for one in answers if " 403" in one]
    yield f"{SOCKETS} websockets of another site", len(refused) == SOCKETS, answers[0]
    yield "health meanwhile", took < SLOW, f"{took:.2f} s"
    port = urllib.parse.urlsplit(address).port
    rebound = {"Host": f"evil.example:{port}", "Origin": f"http://evil.example:{port}"}
    answer = foreign_socket(address, **rebound)
    yield "a websocket by another name", " 101" not in answer, answer


async def endless(address: str) -> list[Finding]:
    """Jobs without end are refused; the next visitor is served, whatever the first one tried."""
    found: list[Finding] = []
    hostile = Visitor(address)
    await hostile.arrive()
    for page, field, value, button in ENDLESS:
        await hostile.open(page)
        hostile.fill(field, value)
        hostile.alerts.clear()
        await hostile.click(button)
        said = " ".join(hostile.alerts)
        held = "this server allows" in said or "disk has" in said
        found.append((f"{field} = {value:.0e}", held, said[:100] or "no refusal"))
    await hostile.open("files")
    waiting = hostile.has("button", "Cancel")
    found.append(("nothing of it was begun", not waiting, "a job" if waiting else "no job"))
    await hostile.leave()
    other = Visitor(address)
    await other.arrive()
    for page in ("refit", "simulate", "compare", "files"):
        await other.open(page)
    await other.leave()
    problems = hostile.problems + other.problems
    found.append(("no page failed", not problems, "; ".join(problems)[:200] or "none did"))
    return found


def plant(workspace: Path) -> None:
    """Files that a visitor might share: each of them alone could once take a page away."""
    for kind, name in (
        ("checkpoints", "nothing.safetensors"),
        ("datasets", "nothing.npz"),
    ):
        (workspace / kind).mkdir(parents=True, exist_ok=True)
        (workspace / kind / name).write_bytes(b"nothing of the kind")


def attack() -> list[Finding]:
    """Everything, against an app that is started for it."""
    before = os.environ.get("FISHERDASH_SHARED")
    os.environ["FISHERDASH_SHARED"] = "1"
    try:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            workspace, log = Path(folder) / "workspace", Path(folder) / "app.log"
            plant(workspace)
            with chromium.serving(workspace, log) as address:
                found = [*refusals(address), *cookies(address), *uploads(address)]
                found += sockets(address)
                found += asyncio.run(asyncio.wait_for(endless(address), SECONDS))
            text = log.read_text(errors="replace")
            ended = text.count("Traceback (most recent call last)")
            found.append(("tracebacks in the log", not ended, str(ended)))
    finally:
        os.environ.pop("FISHERDASH_SHARED")
        if before is not None:
            os.environ["FISHERDASH_SHARED"] = before
    return found


def main() -> int:
    """Attack and tell."""
    found = attack()
    for name, held, seen in found:
        print("ok  " if held else "FAIL", f"{name}: {seen}")
    return 0 if all(held for _, held, _ in found) else 1


if __name__ == "__main__":
    sys.exit(main())
