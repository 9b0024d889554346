"""What only a server with much to do does to a page: late messages, threads that parse at once."""

import ast
import threading
from pathlib import Path

import pytest
from streamlit import config
from streamlit.runtime.forward_msg_queue import ForwardMsgQueue
from streamlit.runtime.scriptrunner.script_cache import ScriptCache

from fisherdash.workspace import jobs


def drawn(messages):
    """Draws as a browser does; a delta whose place has no predecessor is an error there."""
    tree = {}
    for message in messages:
        if not message.HasField("delta"):
            continue
        place = tree
        for index in message.metadata.delta_path:
            if index > len(place):
                raise IndexError(f"{index} should be between 0 and {len(place)}")
            place = place.setdefault(index, {})
    return tree


def test_no_place_is_missing_when_a_part_runs_again_before_it_was_sent(open_page, water, model):
    goes_on = threading.Event()

    def work(cancel):
        yield jobs.JobProgress(0.1, "solving")
        goes_on.wait(60)

    info = {"command": "python -m fisherdash solve", "checkpoint": Path("a"), "out": Path("b")}
    job = jobs.submit("refit", "a slow one", work, info=info)
    app, page = open_page(), []
    ForwardMsgQueue.on_before_enqueue_msg(page.append)
    try:
        app.switch_page("pages/refit.py").run()
    finally:
        ForwardMsgQueue.on_before_enqueue_msg(None)
        goes_on.set()
    assert job.wait(60)
    assert not app.exception
    parts = {message.delta.fragment_id for message in page if message.HasField("delta")} - {""}
    assert parts, "the job that goes on is watched"
    whole = drawn(page)
    for part in parts:
        queue = ForwardMsgQueue()
        for message in page:
            queue.enqueue(message)
        queue.clear(retain_lifecycle_msgs=True, fragment_ids_this_run=[part])
        left = drawn(queue.flush())
        assert left[0].keys() == whole[0].keys()
        assert left != whole, "the part itself is drawn anew"


def test_a_page_is_compiled_while_other_threads_read_arrays(root, monkeypatch):
    """NumPy parses the header of an array with ``ast``; CPython 3.11 stands one such at a time."""

    def parse(*_args, **_how):
        raise SystemError("AST constructor recursion depth mismatch")

    monkeypatch.setattr(ast, "parse", parse)
    page = str(root / "pages" / "simulate.py")
    assert ScriptCache().get_bytecode(page).co_filename == page
    monkeypatch.setattr(config, "get_option", lambda name: True)  # as Streamlit has it
    with pytest.raises(SystemError):
        ScriptCache().get_bytecode(page)
