"""The dashboard as a server: Streamlit's, with security headers, and the user of a session.

On one's own machine all sessions are one user. Where sign-in is configured (Streamlit's own,
``[auth]`` in ``.streamlit/secrets.toml``), the user is the account; on a shared server without it
(``FISHERDASH_SHARED=1``) the browser, by a random cookie that only this server can sign, so that
nobody can give somebody else a token of their choice. Without either, the session.

The server speaks to whoever calls it by its name, from a page of its own. Somebody else's name may
be made to point at this machine (DNS rebinding), and a page of any site may open a websocket here.
Both are refused, in one sentence, before anything is done for them; so are the server's own
counters, which are not for the public.
"""

import contextlib
import hashlib
import hmac
import os
import re
import secrets
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import plotly
import streamlit as st
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware import Middleware
from starlette.requests import Request, cookie_parser
from starlette.responses import FileResponse, PlainTextResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from streamlit import config, net_util
from streamlit.runtime.scriptrunner import get_script_run_ctx

from fisherdash import storage
from fisherdash.errors import InputError
from fisherdash.workspace import limits, paths, users
from pages.ui.messages import keep_pages_whole
from pages.ui.uploads import Uploads

HOSTS = "FISHERDASH_HOSTS"
"""Environment variable: further names that the server answers to, beside the loopback ones."""

LOOPBACK = ("localhost", "127.0.0.1", "::1")

_NAME = re.compile(r"[a-z0-9._-]+|[0-9a-f:]+")
_METRICS = "/_stcore/metrics"
_PORTS = {"http": 80, "https": 443}


class Refusal(NamedTuple):
    """The status of an answer, and its sentence."""

    status: int
    sentence: str


class _Place(NamedTuple):
    host: str
    port: int | None


def allowed_hosts() -> frozenset[str]:
    """Names that the server answers to; InputError when the variable holds something else."""
    given = [word.strip().lower() for word in os.environ.get(HOSTS, "").split(",")]
    names = [word.strip("[]").rstrip(".") for word in given if word]
    for name in names:
        if not _NAME.fullmatch(name):
            raise InputError(
                f"{HOSTS} must be names of hosts with commas between them, without port or "
                f"https://, received {name!r}"
            )
    return frozenset((*LOOPBACK, *names))


class Gate:
    """Lets through what :func:`refusal` has nothing against."""

    def __init__(self, app: ASGIApp) -> None:
        self.app, self.hosts = app, allowed_hosts()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request or websocket."""
        found = refusal(scope, self.hosts) if scope["type"] in ("http", "websocket") else None
        if found is None:
            await self.app(scope, receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008, "reason": found.sentence})
        else:
            await PlainTextResponse(found.sentence, found.status)(scope, receive, send)


def refusal(scope: Scope, hosts: frozenset[str]) -> Refusal | None:
    """Why a request is not answered; None where it is."""
    headers = Headers(scope=scope)
    named, origins = headers.getlist("host"), headers.getlist("origin")
    place = _place(f"//{named[0]}") if len(named) == 1 else None
    if place is None or place.host not in hosts:
        return Refusal(
            421, f"This server does not answer to that name; whoever runs it can add it to {HOSTS}."
        )
    if any(not _same(place, origin) for origin in origins):
        return Refusal(403, "This server answers to its own pages only.")
    if scope["path"].endswith(_METRICS):
        return Refusal(404, "There is nothing here.")
    return None


def _place(address: str) -> _Place | None:
    try:
        parts = urlsplit(address)
        behind = parts.netloc.partition("]")[2]
        # A name before the name, or something behind an address in brackets, which Python skips.
        if "@" in parts.netloc or (behind and not behind.startswith(":")):
            return None
        return _Place((parts.hostname or "").rstrip("."), parts.port)
    except ValueError:
        return None


def _same(place: _Place, origin: str) -> bool:
    """Whether an origin is that of the host that was asked, with its scheme's port left out."""
    scheme, found = origin.partition("://")[0], _place(origin)
    if found is None or scheme not in _PORTS or found.host != place.host:
        return False
    usual = _PORTS[scheme]
    return (found.port or usual) == (place.port or usual)


def user() -> str:
    """The user of the session that this thread runs for; everybody in any other thread."""
    session = get_script_run_ctx(suppress_warning=True)
    if session is None:
        return users.EVERYBODY
    whom = None
    if needs_sign_in():
        # The provider's own, never reused name of the account where it gives one.
        subject = st.user.get("sub") or st.user.get("email")
        if st.user.is_logged_in and subject:
            whom = f"account {st.user.get('iss')} {subject}"
    elif limits.is_shared():
        whom = identity(st.context.cookies)
    else:
        return users.EVERYBODY
    return users.named(whom or f"session {session.session_id}")


def needs_sign_in() -> bool:
    """Whether this server was told to let in only those who have signed in."""
    # Streamlit adds the key where, and only where, [auth] is configured.
    return "is_logged_in" in st.user


def may_enter() -> bool:
    """Whether the pages may be shown to whoever looks."""
    return not needs_sign_in() or bool(st.user.is_logged_in)


def sign_in() -> None:
    """All that somebody sees who has to sign in first."""
    st.title("FisherDash")
    st.markdown("Sign in to see your data, models and runs.")
    section: Mapping[str, object] = st.secrets["auth"]
    named = [name for name, value in section.items() if isinstance(value, Mapping)]
    for provider in named or [""]:  # one that has no name
        label = f"Sign in with {provider}" if provider else "Sign in"
        arguments = (provider,) if provider else ()
        st.button(label, icon=":material/login:", on_click=st.login, args=arguments)


def sign_out() -> None:
    """Who has signed in, with a way out; nothing where nobody has to."""
    if needs_sign_in():
        st.caption("Signed in")
        st.text(str(st.user.get("name") or st.user.get("email") or "without a name"))
        st.button("Sign out", icon=":material/logout:", on_click=st.logout)


_YEAR = 365 * 24 * 3600
_ROOT = Path(__file__).resolve().parents[2]

_CDN = "" if (_ROOT / "static/vendor/3Dmol-min.js").exists() else "https://cdn.jsdelivr.net"
"""Where the 3D library is looked for, only when it was not installed at set-up."""

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    # Addresses of pages hold names of data sets and runs.
    "Referrer-Policy": "same-origin",
    # What somebody has written into a file's name can make no browser ask another server.
    "Content-Security-Policy": "; ".join(
        (
            f"default-src 'self' data: blob: 'unsafe-inline' 'unsafe-eval' {_CDN}".rstrip(),
            "img-src 'self' data: blob:",
            "object-src 'none'",
            "base-uri 'self'",
            "form-action 'self'",
            "frame-ancestors 'self'",
        )
    ),
}


class Visitors:
    """Adds :data:`HEADERS` to every answer, and the cookie to a page of a shared server."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request; what is no HTTP passes as it is."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        due = _cookie_due(scope)

        async def answer(message: Message) -> None:
            """Adds headers and cookie to the answer."""
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                if due:
                    headers.append("Set-Cookie", due)
                    headers["Cache-Control"] = "no-store"
            await send(message)

        await self.app(scope, receive, answer)


def _cookie_due(scope: Scope) -> str | None:
    """The cookie, with the visitor's token, for a browser that asks for a page; else None."""
    headers = Headers(scope=scope)
    asks_for_page = scope["method"] == "GET" and "text/html" in headers.get("accept", "")
    if not limits.is_shared() or not asks_for_page:
        return None
    value = renewed(cookie_parser(headers.get("cookie", "")))
    words = [f"{COOKIE}={value}", "Path=/", "HttpOnly", "SameSite=Lax", f"Max-Age={_YEAR}"]
    if "https" in (scope["scheme"], headers.get("x-forwarded-proto")):
        words.append("Secure")
    return "; ".join(words)


_PLOTLY = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"


async def plotly_js(request: Request) -> FileResponse:
    """Plotly.js for the linked viewer, from the Python package."""
    return FileResponse(
        _PLOTLY, media_type="text/javascript", headers={"Cache-Control": "max-age=86400"}
    )


def ask_nobody() -> None:
    """Let Streamlit know the names of this server, so that it looks for none on the internet.

    It compares the Origin of a websocket with the addresses of this machine, one of which it asks
    another server for: at every websocket, where that does not answer.
    """
    net_util.get_external_ip = net_util.get_internal_ip = lambda: None
    names = (f"[{name}]" if ":" in name else name for name in sorted(allowed_hosts()))
    origins = [f"{scheme}://{name}" for name in names for scheme in ("http", "https")]
    config.set_option("server.corsAllowedOrigins", origins)


ask_nobody()
keep_pages_whole()
app = st.App(
    _ROOT / "app.py",
    routes=[Route("/app/plotly.min.js", plotly_js)],
    middleware=[Middleware(Gate), Middleware(Visitors), Middleware(Uploads)],
)


COOKIE = "fisherdash_visitor"
_KEY = ".visitors-key"
_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")


def identity(cookies: Mapping[str, str]) -> str | None:
    """Whom the cookies of a browser are of, for :func:`users.named`; None without a valid one."""
    token, _, signature = cookies.get(COOKIE, "").partition(".")
    right = _TOKEN.fullmatch(token) and hmac.compare_digest(signature.encode(), _sign(token))
    return _identity(token) if right else None


def renewed(cookies: Mapping[str, str]) -> str:
    """The value of the cookie to be set: with the token that the browser has, or a new one."""
    token = cookies.get(COOKIE, "").partition(".")[0]
    if identity(cookies) is None and not _unsigned(cookies.get(COOKIE, "")):
        token = secrets.token_urlsafe(32)
    return f"{token}.{_sign(token).decode()}"


def _identity(token: str) -> str:
    return f"browser {token}"


def _unsigned(value: str) -> bool:
    """Whether a cookie is from before there were signatures, of somebody who has files here."""
    folder = paths.everybodys() / paths.USERS / users.named(_identity(value))
    return bool(_TOKEN.fullmatch(value)) and folder.is_dir()


def _sign(token: str) -> bytes:
    return hmac.new(_key(), token.encode(), hashlib.sha256).hexdigest().encode()


def _key() -> bytes:
    """The server's own secret, made at the first use and readable by its account alone."""
    path = storage.made(paths.everybodys()) / _KEY
    if not path.exists():
        with storage.telling(path):
            handle, part = tempfile.mkstemp(dir=path.parent, prefix=storage.PART)
            with os.fdopen(handle, "wb") as file:
                file.write(secrets.token_bytes(32))
            with contextlib.suppress(FileExistsError):  # somebody else was first
                os.link(part, path)
            Path(part).unlink()
    return path.read_bytes()
