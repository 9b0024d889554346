"""What a browser may upload: where a page has asked for a file, and only so much at a time.

Streamlit keeps what is uploaded in memory, for any session and any file that a request names, until
the page that asked for it is drawn without it. What was read from it, or from a file of the
workspace, may take twenty times as much: it lies on a shelf that all sessions share.
"""

import collections
import contextlib
import re
import threading
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Any

import streamlit as st
from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from streamlit import config, runtime
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.scriptrunner import get_script_run_ctx

from fisherdash.dataset import Dataset
from fisherdash.text import in_bytes
from fisherdash.workspace import limits

MOST_FILES = 6
"""Files of a session that are held or on their way at a time, in all fields together."""

_ADDRESS = re.compile(r"/_stcore/upload_file/([^/]+)/[^/]+/?$")
_MB = 2**20
_REMEMBERED = 10_000

_asked: collections.OrderedDict[str, None] = collections.OrderedDict()
"""Sessions whose pages have asked for a file, the last to ask at the end."""


def file_uploader(label: str, **options: Any) -> Any:
    """``st.file_uploader``, which the server then lets this session use."""
    session = get_script_run_ctx(suppress_warning=True)
    if session is not None:
        _asked[session.session_id] = None
        _asked.move_to_end(session.session_id)
        while len(_asked) > _REMEMBERED:
            _asked.popitem(last=False)
    return st.file_uploader(label, **options)


class Shelf:
    """What was read last, whosever it is, up to so many bytes; what is gone is read again."""

    TURN = 1_000_000
    """Bytes of a file from which on no two are read at a time."""

    def __init__(self) -> None:
        self._kept: collections.OrderedDict[Hashable, Dataset] = collections.OrderedDict()
        self._lock, self._turn = threading.Lock(), threading.Lock()

    def get(self, key: Hashable, read: Callable[[], Dataset], size: int) -> Dataset:
        """What ``read`` gives, which is called where it is not there any more.

        Args:
            key: of what is read, also of the state it is in.
            read: called by one page at a time where the file is large.
            size: bytes of the file.
        """
        if (found := self._look(key)) is not None:
            return found
        with self._turn if size > self.TURN else contextlib.nullcontext():
            found = self._look(key)  # another page may have read it meanwhile
            if found is None:
                found = read()
                self._put(key, found)
            return found

    def _look(self, key: Hashable) -> Dataset | None:
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)

    def _put(self, key: Hashable, found: Dataset) -> None:
        most = limits.of_server(limits.UPLOADS_GB) * limits.GB
        with self._lock:
            self._kept[key] = found
            total = sum(map(_bytes, self._kept.values()))
            while total > most or len(self._kept) > _ON_SHELF:
                total -= _bytes(self._kept.popitem(last=False)[1])


def _bytes(data: Dataset) -> int:
    return data.positions.nbytes + data.forces.nbytes + data.energies.nbytes


_ON_SHELF = 24
shelf = Shelf()


class Uploads:
    """Refuses uploads that no page has asked for, and those that are too many or too large."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._coming: collections.defaultdict[str, list[int]] = collections.defaultdict(list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request; what is no upload passes as it is."""
        upload = scope["type"] == "http" and scope["method"] == "PUT"
        address = _ADDRESS.search(scope["path"]) if upload else None
        if address is None:
            await self.app(scope, receive, send)
            return
        session, size = address[1], Headers(scope=scope).get("content-length", "")
        refused = self._refusal(session, size)
        if refused is not None:
            await PlainTextResponse(refused[1], refused[0])(scope, receive, send)
            return
        with self._on_its_way(session, int(size)):
            await self.app(scope, receive, send)

    def _refusal(self, session: str, size: str) -> tuple[int, str] | None:
        """Status and sentence; None where the upload may come."""
        if session not in _asked:
            return 403, "No page of this session asks for a file."
        if not size.isascii() or not size.isdigit():
            return 411, "An upload has to say how long it is."
        largest = config.get_option("server.maxUploadSize") * _MB
        if int(size) > largest + _MB:  # with the form around it
            return 413, f"A file may have {in_bytes(largest)}."
        held = _held()
        files = len(held.get(session, ())) + len(self._coming[session])
        if files >= MOST_FILES:
            return 429, f"This session holds {files} uploads already; remove one first."
        total = sum(map(sum, held.values())) + sum(map(sum, self._coming.values()))
        most = limits.of_server(limits.UPLOADS_GB) * limits.GB
        if total + int(size) > most:
            return 503, f"All uploads together have {in_bytes(total)}; try again later."
        return None

    @contextmanager
    def _on_its_way(self, session: str, size: int) -> Iterator[None]:
        self._coming[session].append(size)
        try:
            yield
        finally:
            self._coming[session].remove(size)
            if not self._coming[session]:
                del self._coming[session]


def _held() -> dict[str, list[int]]:
    """Bytes of the files that Streamlit holds, by session."""
    manager = runtime.get_instance().uploaded_file_mgr if runtime.exists() else None
    if not isinstance(manager, MemoryUploadedFileManager):
        return {}
    held = list(manager.file_storage.items())
    return {name: [len(file.data) for file in list(files.values())] for name, files in held}
