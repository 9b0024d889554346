"""Who may speak to the server: whoever calls it by its name, from a page of its own.

Somebody else's name may be made to point at this machine (DNS rebinding), and a page of any site
may open a websocket here. Both are refused, in one sentence, before anything is done for them; so
are the server's own counters, which are not for the public.
"""

import os
import re
from typing import NamedTuple
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from fisherdash.errors import InputError

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
        if "@" in parts.netloc:  # a name before the name
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
