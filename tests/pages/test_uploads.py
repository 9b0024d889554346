"""Uploads: only where a page has asked for a file, only so many, only so large."""

import asyncio
import time
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from streamlit import config
from streamlit.testing.v1 import AppTest

from fisherdash.dataset import Dataset
from fisherdash.errors import InputError
from pages.ui import uploads

MB = 2**20


@pytest.fixture(autouse=True)
def asked(monkeypatch):
    """Session "one" has asked for a file; nothing is held yet."""
    held: dict[str, list[int]] = {}
    monkeypatch.setattr(uploads, "_asked", OrderedDict(one=None))
    monkeypatch.setattr(uploads, "_held", lambda: held)
    monkeypatch.delenv("FISHERDASH_SHARED", raising=False)
    return held


def put(*sizes: object, session: str = "one", method: str = "PUT") -> list[int]:
    """The statuses of uploads that all begin before the first of them has come."""
    gate, sent = asyncio.Event(), []

    async def streamlit(scope, receive, send):
        await gate.wait()
        await send({"type": "http.response.start", "status": 204})

    async def every() -> None:
        app = uploads.Uploads(streamlit)

        async def one(number: int, size: object) -> None:
            async def note(message):
                if message["type"] == "http.response.start":
                    sent.append((number, message["status"]))

            headers = [] if size is None else [(b"content-length", str(size).encode())]
            path = f"/_stcore/upload_file/{session}/{number}"
            scope = {"type": "http", "method": method, "path": path, "headers": headers}
            await app(scope, asyncio.Event().wait, note)

        tasks = [asyncio.create_task(one(*pair)) for pair in enumerate(sizes)]
        await asyncio.sleep(0.05)
        gate.set()
        await asyncio.gather(*tasks)
        assert not app._coming  # nothing stays counted that has come

    with ThreadPoolExecutor(1) as pool:  # a browser test may have left a loop in this thread
        pool.submit(asyncio.run, every()).result()
    return [status for _, status in sorted(sent)]


def test_only_a_session_that_was_asked_may_upload():
    assert put(100) == [204]
    assert put(100, session="another") == [403]
    assert put(100, session="another", method="DELETE") == [204]


def test_a_length_is_said_and_is_that_of_a_file_at_most():
    largest = config.get_option("server.maxUploadSize") * MB
    assert put(largest) == [204]
    assert put(largest + 2 * MB) == [413]
    assert put(None) == put("-1") == put("1e3") == put("²") == [411]


def test_uploads_that_are_on_their_way_count_like_those_that_are_held(asked):
    few = uploads.MOST_FILES
    assert put(*[10] * (few + 2)) == [204] * few + [429] * 2
    asked["one"] = [10] * (few - 1)
    assert put(10, 10) == [204, 429]
    asked["one"].pop()
    asked["another"] = [10] * few  # others do not count against it
    assert put(10, 10) == [204, 204]


def test_all_uploads_of_a_shared_server_fit_into_its_memory(asked, monkeypatch):
    asked["another"] = [1_999_999_000]
    assert put(2000) == [204]  # one's own machine has no such limit
    monkeypatch.setenv("FISHERDASH_SHARED", "1")
    assert put(900, 200) == [204, 503]
    monkeypatch.setenv("FISHERDASH_MAX_UPLOADS_GB", "3")
    assert put(900, 200) == [204, 204]


def test_a_page_that_asks_for_a_file_says_so(monkeypatch):
    def page() -> None:
        from pages.ui.uploads import file_uploader

        file_uploader("A file")

    uploads._asked.clear()
    app = AppTest.from_function(page).run()
    assert not app.exception and len(uploads._asked) == 1


def test_streamlits_own_store_is_counted(monkeypatch):
    """What is looked at there is what Streamlit fills."""
    from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
    from streamlit.runtime.uploaded_file_manager import UploadedFileRec

    monkeypatch.undo()
    manager = MemoryUploadedFileManager("/_stcore/upload_file")
    manager.add_file("one", UploadedFileRec("1", "a.npz", "application/octet-stream", b"12345"))

    class Runtime:
        uploaded_file_mgr = manager

    monkeypatch.setattr(uploads.runtime, "exists", lambda: True)
    monkeypatch.setattr(uploads.runtime, "get_instance", Runtime)
    assert uploads._held() == {"one": [5]}


def frames(count: int) -> Dataset:
    """24 bytes a frame and atom and array, so some kilobytes."""
    positions = np.zeros((count, 2, 3))
    positions[:, 1, 0] = 1.0
    return Dataset(positions, np.zeros(count), np.ones((count, 2, 3)), np.array([1, 1]))


def test_what_was_read_is_held_up_to_so_many_bytes_for_all_sessions(monkeypatch):
    monkeypatch.setenv("FISHERDASH_MAX_UPLOADS_GB", "2.5e-5")  # 25 kB, two of the three
    shelf, read = uploads.Shelf(), []

    def get(name: str, count: int = 100) -> Dataset:
        return shelf.get(name, lambda: read.append(name) or frames(count), 100)

    first = get("one")
    assert get("one") is first and read == ["one"]
    for name in ("two", "one", "three"):
        get(name)
    assert get("one") is first and read == ["one", "two", "three"]
    get("two")  # it was not asked for longest
    assert read[3:] == ["two"]
    assert len(get("huge", 1000)) == len(get("huge", 1000)) == 1000  # given, and never held
    assert read[4:] == ["huge", "huge"]


def test_large_files_are_read_one_at_a_time_and_once():
    shelf, inside, most = uploads.Shelf(), [], []

    def read() -> Dataset:
        inside.append(1)
        most.append(len(inside))
        time.sleep(0.05)
        inside.pop()
        return frames(3)

    with ThreadPoolExecutor(6) as pool:
        asked = [pool.submit(shelf.get, name % 3, read, 50 * MB) for name in range(6)]
        found = [one.result() for one in asked]
    assert most == [1, 1, 1] and found[0] is found[3]
    with pytest.raises(InputError, match="damaged"):
        shelf.get("bad", lambda: _raise(InputError("damaged")), 50 * MB)
    assert len(shelf.get("later", read, 50 * MB)) == 3  # the turn was given back


def _raise(error: Exception) -> Dataset:
    raise error
