"""The dashboard as a server: Streamlit's, with headers that browsers obey and a visitor's cookie.

The cookie is given out only where many share a server (``FISHERDASH_SHARED=1``) and tells their
browsers apart; it says nothing about them. Who wants accounts configures sign-in.
"""

import secrets
from pathlib import Path

import streamlit as st
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fisherdash.runs import limits
from pages._ui.visitor import COOKIE

_YEAR = 365 * 24 * 3600
_NOT_PAGES = ("/_stcore/", "/static/", "/media/", "/component/", "/app/static/")

_CDN = "https://cdn.jsdelivr.net"
"""Where the 3D library is looked for when it was not installed at set-up."""

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    # Addresses of pages hold names of data sets and runs.
    "Referrer-Policy": "same-origin",
    # What somebody has written into a file's name can make no browser ask another server.
    "Content-Security-Policy": "; ".join(
        (
            f"default-src 'self' data: blob: 'unsafe-inline' 'unsafe-eval' {_CDN}",
            "img-src 'self' data: blob:",
            "object-src 'none'",
            "base-uri 'self'",
            "form-action 'self'",
            "frame-ancestors 'self'",
        )
    ),
}


class Visitors:
    """Adds :data:`HEADERS` to every answer, and the cookie to a page for whoever has none."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request; what is no HTTP passes as it is."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        cookie = _new_cookie(scope)

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                if cookie:
                    headers.append("Set-Cookie", cookie)
                    headers["Cache-Control"] = "no-store"
            await send(message)

        await self.app(scope, receive, answer)


def _new_cookie(scope: Scope) -> str | None:
    """The cookie for a browser that asks for a page without one; None where none is due."""
    headers = Headers(scope=scope)
    sent = headers.get("cookie", "")
    asks_for_page = scope["method"] == "GET" and not scope["path"].startswith(_NOT_PAGES)
    if not limits.is_shared() or not asks_for_page or f"{COOKIE}=" in sent:
        return None
    value = secrets.token_urlsafe(32)
    words = [f"{COOKIE}={value}", "Path=/", "HttpOnly", "SameSite=Lax", f"Max-Age={_YEAR}"]
    if "https" in (scope["scheme"], headers.get("x-forwarded-proto")):
        words.append("Secure")
    return "; ".join(words)


app = st.App(
    Path(__file__).resolve().parents[2] / "app.py",
    middleware=[Middleware(Visitors)],
)
