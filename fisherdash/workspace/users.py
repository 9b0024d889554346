"""The user of a thread: everybody on one's own machine, one of many on a server.

A user is 16 hexadecimal digits, which also name a folder of the workspace; "" is everybody, who
sees everything. The server registers how to look up the user of a page (:func:`ask_with`); a worker
thread names the user for whom it works (:func:`acting_for`).
"""

import contextlib
import contextvars
import hashlib
import re
from collections.abc import Callable, Iterator

EVERYBODY = ""

_USER = re.compile(r"[0-9a-f]{16}|")

_acting: contextvars.ContextVar[str | None] = contextvars.ContextVar("acting", default=None)
_asked: list[Callable[[], str]] = []


def current() -> str:
    """The user for whom this thread works, or :data:`EVERYBODY`."""
    acting = _acting.get()
    if acting is not None:
        return acting
    return checked(_asked[-1]()) if _asked else EVERYBODY


def ask_with(question: Callable[[], str]) -> None:
    """Register the callback that names the user of a thread without :func:`acting_for`."""
    _asked[:] = [question]


@contextlib.contextmanager
def acting_for(user: str) -> Iterator[None]:
    """Make ``user`` the thread's user within the block."""
    token = _acting.set(checked(user))
    try:
        yield
    finally:
        _acting.reset(token)


def named(identity: str) -> str:
    """The user of an identity (an account, a browser): a hash, always the same."""
    return hashlib.sha256(identity.encode("utf-8", "replace")).hexdigest()[:16]


def checked(user: str) -> str:
    """``user``, or ValueError if it is none, since it becomes the name of a folder."""
    if not _USER.fullmatch(user):
        raise ValueError("a user is a word of 16 hexadecimal digits, or nobody in particular")
    return user
