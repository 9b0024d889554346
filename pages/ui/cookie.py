"""The cookie that tells the browsers of a shared server apart: a random token, and its signature.

Only this server can sign, with a key of its own beside the users' folders, so that nobody can give
somebody else a token of their choice.
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

from fisherdash import storage
from fisherdash.workspace import paths, users

NAME = "fisherdash_visitor"
_KEY = ".visitors-key"
_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")


def identity(cookies: Mapping[str, str]) -> str | None:
    """Whom the cookies of a browser are of, for :func:`users.named`; None without a valid one."""
    token, _, signature = cookies.get(NAME, "").partition(".")
    right = _TOKEN.fullmatch(token) and hmac.compare_digest(signature.encode(), _sign(token))
    return _identity(token) if right else None


def renewed(cookies: Mapping[str, str]) -> str:
    """The value of the cookie to be set: with the token that the browser has, or a new one."""
    token = cookies.get(NAME, "").partition(".")[0]
    if identity(cookies) is None and not _unsigned(cookies.get(NAME, "")):
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
    path = paths.made(paths.everybodys()) / _KEY
    if not path.exists():
        with storage.telling(path):
            handle, part = tempfile.mkstemp(dir=path.parent, prefix=storage.PART)
            with os.fdopen(handle, "wb") as file:
                file.write(secrets.token_bytes(32))
            with contextlib.suppress(FileExistsError):  # somebody else was first
                os.link(part, path)
            Path(part).unlink()
    return path.read_bytes()
