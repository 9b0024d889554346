"""Whom the server answers to, by HTTP and by websocket."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest
from streamlit import net_util
from streamlit.web.server import server_util

from fisherdash.errors import InputError
from pages.ui import server

HERE = "localhost:8501"


def answer(kind: str, path: str = "/", **headers: str | list[str]) -> str:
    """What becomes of a request: "served", or the status and the first words of the refusal."""
    sent = []

    async def app(scope, receive, send):
        await send({"type": "served"})

    async def receive():
        return {"type": f"{kind}.connect"}

    async def note(message):
        sent.append(message)

    raw = [
        (name.encode(), value.encode())
        for name, values in headers.items()
        for value in ([values] if isinstance(values, str) else values)
    ]
    scope = {"type": kind, "method": "GET", "path": path, "scheme": "http", "headers": raw}
    # In a thread of its own: a browser test before this one may have left a loop in this one.
    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, server.Gate(app)(scope, receive, note)).result()
    first = sent[0]
    if first["type"] == "served":
        return "served"
    return "closed" if first["type"] == "websocket.close" else str(first["status"])


@pytest.mark.parametrize("kind", ["http", "websocket"])
@pytest.mark.parametrize(
    ("host", "origin"),
    [
        (HERE, None),
        (HERE, f"http://{HERE}"),
        ("127.0.0.1:8501", "http://127.0.0.1:8501"),
        ("[::1]:8501", "http://[::1]:8501"),
        ("LocalHost", "http://localhost:80"),
        ("localhost:443", "https://localhost"),
    ],
)
def test_its_own_pages_are_answered(kind, host, origin):
    assert answer(kind, host=host, **({"origin": origin} if origin else {})) == "served"


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("evil.example:8501", "http://evil.example:8501"),  # its name points to this machine
        ("evil.example", None),
        ("localhost.evil.example", None),
        ("", None),
        ([HERE, HERE], None),
        ("[::1", None),
        ("[::1]evil.example", None),
        ("[::1]evil.example:8501", "http://[::1]evil.example:8501"),
        ("localhost:port", None),
        ("evil@localhost:8501", None),
        ("localhost:8501@evil.example", None),
    ],
)
def test_another_name_is_not_answered_to(host, origin):
    """Any Host was once served: a name that is made to point here (DNS rebinding) reads it all."""
    more = {"origin": origin} if origin else {}
    assert answer("http", host=host, **more) == "421"
    assert answer("websocket", "/_stcore/stream", host=host, **more) == "closed"
    assert answer("http") == "421"


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example", "null", "file://", f"ftp://{HERE}", "http://localhost",
        f"http://evil@{HERE}", "http://localhost:3000", "http://127.0.0.1:8501", "http://localhost:x",
        [f"http://{HERE}", "http://evil.example"],
    ],
)  # fmt: skip
def test_pages_of_other_sites_are_refused(origin):
    """Another port of this machine is another site."""
    assert answer("http", host=HERE, origin=origin) == "403"
    assert answer("websocket", "/_stcore/stream", host=HERE, origin=origin) == "closed"


def test_the_counters_of_the_server_are_not_public():
    """Anybody could once read them."""
    assert answer("http", "/_stcore/metrics", host=HERE) == "404"
    assert answer("http", "/base/_stcore/metrics", host=HERE) == "404"


def test_other_names_are_those_that_were_configured(monkeypatch):
    monkeypatch.setenv(server.HOSTS, "Fisherdash.example.org, [fd00::1]")
    for host in ("fisherdash.example.org", "fisherdash.example.org.", "[fd00::1]:443", HERE):
        assert answer("http", host=host) == "served"
    assert answer("http", host="example.org") == "421"
    for wrong in ("https://a.example", "a.example:80", "*"):
        monkeypatch.setenv(server.HOSTS, wrong)
        with pytest.raises(InputError, match="FISHERDASH_HOSTS must be names of hosts"):
            server.allowed_hosts()


@pytest.mark.parametrize(
    ("origin", "own"),
    [
        ("https://fisherdash.example.org", True), ("http://[::1]:8501", True),
        ("http://127.0.0.1:8501", True), ("http://evil.example", False), ("null", False),
    ],
)  # fmt: skip
def test_no_origin_makes_the_server_ask_another_one(monkeypatch, origin, own):
    """Streamlit would look its own address up on the internet, and wait."""
    asked = []
    monkeypatch.setattr(net_util, "_make_blocking_http_get", lambda url, **_: asked.append(url))
    monkeypatch.setattr(net_util, "_external_ip", None)
    monkeypatch.setenv(server.HOSTS, "fisherdash.example.org")
    server.ask_nobody()
    assert server_util.is_url_from_allowed_origins(origin) is own
    assert asked == []
