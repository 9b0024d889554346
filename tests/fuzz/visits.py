"""What comes through the network: cookies, names of hosts, query strings, websocket frames.

A sentence, a status or a closed socket is an answer; an exception, a page that failed or a server
that is gone is none. The server is a real one, started at the first frame, on 127.0.0.1.
"""

import atexit
import contextlib
import functools
import os
import random
import re
import tempfile
import urllib.parse
import urllib.request
from http.cookies import CookieError
from pathlib import Path

from starlette.requests import cookie_parser
from streamlit.proto.BackMsg_pb2 import BackMsg
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

from fisherdash.errors import InputError
from tests.fuzz.damage import _TEXTS

ROOT = Path(__file__).resolve().parents[2]
PAGES = ("", "data", "refit", "simulate", "drift", "compare", "study", "files")


def cookies() -> list[bytes]:
    """A cookie that the server has signed, and others beside it."""
    from pages.ui import server

    value = f"{server.COOKIE}={server.renewed({})}"
    return [value.encode(), f"a=b; {value}; _streamlit_xsrf=2|x".encode()]


def read_cookie(data: bytes, chance: random.Random) -> object:
    """Whom a browser is taken for, and the cookie that it gets: signed, one line."""
    from pages.ui import server

    try:
        given = cookie_parser(data.decode("latin-1"))
    except CookieError as error:
        raise InputError("no cookies") from error
    fresh = server.renewed(given)
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}\.[0-9a-f]{64}", fresh), fresh
    assert server.identity({server.COOKIE: fresh}) is not None
    if server.identity(given) is None:
        assert fresh != given.get(server.COOKIE)
        raise InputError("not signed")
    return fresh


def hosts() -> list[bytes]:
    """Host and Origin of requests to this server."""
    names = (b"localhost:8501", b"127.0.0.1", b"[::1]:8501", b"LOCALHOST.:8501")
    return [name + b"\nhttp://" + name for name in names]


def host_made(chance: random.Random, data: bytes) -> bytes:
    """Names that are nearly this server's."""
    host, _, origin = data.decode("latin-1").partition("\n")
    ways = (
        lambda name: f"{name}.evil.example", lambda name: f"evil.example#{name}",
        lambda name: f"{name}@evil.example", lambda name: f"evil.example\\@{name}",
        lambda name: name.replace("localhost", "localhost%00"), lambda name: f"//{name}",
        lambda name: name.replace(":", "::"), lambda name: f"{name}/../evil", lambda name: "null",
        lambda name: f"evil.example:80@{name}:80", lambda name: "[::ffff:1.2.3.4]",
        lambda name: name.upper(), lambda name: "", lambda name: f"{name}:{10**30}",
    )  # fmt: skip
    one, other = (chance.choice((chance.choice(ways), str))(part) for part in (host, origin))
    return f"{one}\n{other}".encode("latin-1", "replace")


def read_host(data: bytes, chance: random.Random) -> object:
    """Whether a request is let through: a stranger's name or page never is."""
    from pages.ui import server

    host, _, origin = data.partition(b"\n")
    headers = [(b"host", host)] + ([(b"origin", origin)] if origin else [])
    scope = {"type": "http", "path": "/", "headers": headers}
    if (refused := server.refusal(scope, server.allowed_hosts())) is not None:
        raise InputError(refused.sentence)
    for part in (host, origin.partition(b"://")[2]):
        name = urllib.parse.urlsplit("//" + part.decode("latin-1")).hostname or "localhost"
        assert name.rstrip(".") in server.LOOPBACK, data
    return host


def queries() -> list[bytes]:
    """A page and what its address says."""
    texts = (
        "drift?run=r&replica=3&time=0.5", "drift?heads=a&part=x&replica=1", "compare?models=a,b",
        "refit?model=a&data=b", "simulate?models=a&data=b", "study?study=x", "data?data=x",
        "files?a=b",
    )  # fmt: skip
    return [text.encode() for text in texts]


def query_made(chance: random.Random, data: bytes) -> bytes:
    """Values that make no sense, also many of them."""
    page, _, query = data.decode("utf-8", "replace").partition("?")
    pairs = urllib.parse.parse_qsl(query) or [("a", "b")]
    for _ in range(chance.choice((1, 1, 2, 50))):
        name = chance.choice(pairs)[0]
        pairs.append((name, chance.choice((*_TEXTS, "-1", "0", "9" * 400, "nan", "inf", "1e999"))))
    chance.shuffle(pairs)
    return f"{page}?{urllib.parse.urlencode(pairs)}".encode()


def read_query(data: bytes, chance: random.Random) -> object:
    """A page with that query string; it may refuse, but not fail."""
    from streamlit.testing.v1 import AppTest

    page, _, query = data.decode("utf-8", "replace").partition("?")
    _workspace()
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=30)
    for name, values in urllib.parse.parse_qs(query).items():
        app.query_params[name] = values[0] if len(values) == 1 else values
    app.run()
    if page in PAGES[1:]:
        app.switch_page(f"pages/{page}.py").run()
    assert not app.exception, app.exception[0].value[:200]
    if app.error:
        raise InputError(app.error[0].value or "refused")
    return page


@functools.cache
def _workspace() -> None:
    """A run, a model and data, so that pages have something to show."""
    from fisherdash import dataset
    from fisherdash.potentials import checkpoint
    from fisherdash.workspace import RunWriter, paths
    from tests import networks
    from tests.workspace import recorded

    dataset.save(networks.water(), paths.folder("datasets") / "b.npz")
    checkpoint.save(networks.checkpoint(0), paths.folder("checkpoints") / "a.safetensors")
    writer = RunWriter(paths.folder("runs") / "r", recorded.header())
    writer.append(recorded.chunk(0))
    writer.finish("finished")


def frames() -> list[bytes]:
    """What a browser sends: runs of pages, and the small messages."""
    found = []
    for page in PAGES:
        message = BackMsg()
        message.rerun_script.page_name = page
        message.rerun_script.query_string = "run=x&replica=1"
        state = message.rerun_script.widget_states.widgets.add()
        state.id, state.int_value = "$$ID-0-Steps", 10
        found.append(message.SerializeToString())
    for name in ("clear_cache", "stop_script", "load_git_info", "debug_disconnect_websocket"):
        message = BackMsg()
        setattr(message, name, True)
        found.append(message.SerializeToString())
    return found


def read_frame(data: bytes, chance: random.Random) -> object:
    """A session that begins with that frame; the server is well afterwards."""
    address, _ = _server()
    place = urllib.parse.urlsplit(address).netloc
    try:
        with connect(
            f"ws://{place}/_stcore/stream", origin=address, subprotocols=["streamlit"],  # pyright: ignore
            open_timeout=30, close_timeout=2, max_size=None,
        ) as socket:  # fmt: skip
            socket.send(data)
            with contextlib.suppress(TimeoutError):
                socket.recv(timeout=0.05)
    except (OSError, WebSocketException) as error:
        raise InputError("closed") from error
    finally:
        with urllib.request.urlopen(f"{address}/_stcore/health", timeout=30) as answer:
            assert answer.status == 200
    return place


@functools.cache
def _server() -> tuple[str, Path]:
    from tests.browser import chromium

    stack = contextlib.ExitStack()
    atexit.register(stack.close)
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
    before = os.environ.get("FISHERDASH_SHARED")
    os.environ["FISHERDASH_SHARED"] = "1"
    try:
        address = stack.enter_context(chromium.serving(folder / "workspace", folder / "log"))
    finally:
        os.environ.pop("FISHERDASH_SHARED")
        if before is not None:
            os.environ["FISHERDASH_SHARED"] = before
    return address, folder / "log"
