"""For whom something is done: nobody in particular on one's own machine, a user on a server.

A user is a short word of hexadecimal digits that also names a folder of the workspace; "" is
everybody, who sees everything. Whoever serves pages says how to find out (:func:`ask_with`); a
worker thread says for whom it works (:func:`acting_for`).
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
    """From now on ``question()`` says who the user of a thread is that works for none by itself."""
    _asked[:] = [question]


@contextlib.contextmanager
def acting_for(user: str) -> Iterator[None]:
    """Within this block the thread works for ``user``."""
    token = _acting.set(checked(user))
    try:
        yield
    finally:
        _acting.reset(token)


def named(identity: str) -> str:
    """The user of an identity (an account, a browser): the same one always, not to be guessed."""
    return hashlib.sha256(identity.encode("utf-8", "replace")).hexdigest()[:16]


def checked(user: str) -> str:
    """``user`` if it is one; ValueError otherwise, since it becomes a folder."""
    if not _USER.fullmatch(user):
        raise ValueError("a user is a word of 16 hexadecimal digits, or nobody in particular")
    return user
