"""The dashboard as a server: Streamlit's, with security headers, and the user of a session.

On one's own machine all sessions are one user. Where sign-in is configured (Streamlit's own,
``[auth]`` in ``.streamlit/secrets.toml``), the user is the account; on a shared server without it
(``FISHERDASH_SHARED=1``) the browser, by a random cookie. Without either, the session.
"""

from collections.abc import Mapping
from pathlib import Path

import plotly
import streamlit as st
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware import Middleware
from starlette.requests import Request, cookie_parser
from starlette.responses import FileResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from streamlit import config, net_util
from streamlit.runtime.scriptrunner import get_script_run_ctx

from fisherdash.workspace import limits, users
from pages.ui import cookie
from pages.ui.gate import Gate, allowed_hosts
from pages.ui.uploads import Uploads


def user() -> str:
    """The user of the session that this thread runs for; everybody in any other thread."""
    session = get_script_run_ctx(suppress_warning=True)
    if session is None:
        return users.EVERYBODY
    identity = None
    if needs_sign_in():
        # The provider's own, never reused name of the account where it gives one.
        subject = st.user.get("sub") or st.user.get("email")
        if st.user.is_logged_in and subject:
            identity = f"account {st.user.get('iss')} {subject}"
    elif limits.is_shared():
        identity = cookie.identity(st.context.cookies)
    else:
        return users.EVERYBODY
    return users.named(identity or f"session {session.session_id}")


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
    value = cookie.renewed(cookie_parser(headers.get("cookie", "")))
    words = [f"{cookie.NAME}={value}", "Path=/", "HttpOnly", "SameSite=Lax", f"Max-Age={_YEAR}"]
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
app = st.App(
    _ROOT / "app.py",
    routes=[Route("/app/plotly.min.js", plotly_js)],
    middleware=[Middleware(Gate), Middleware(Visitors), Middleware(Uploads)],
)
