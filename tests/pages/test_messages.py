"""Messages that wait for a browser while parts of a page run again."""

import pytest
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.runtime.app_session import AppSession
from streamlit.runtime.forward_msg_queue import ForwardMsgQueue

from pages.ui import messages, server

PART = "a part"


def begun() -> ForwardMsg:
    """A run begins."""
    message = ForwardMsg()
    message.new_session.name = "app"
    return message


def said(text: str, place: int, part: str = "") -> ForwardMsg:
    """Some text at a place of the page, of a part or of the page itself."""
    message = ForwardMsg()
    message.metadata.delta_path.extend([0, place])
    message.delta.new_element.text.body = text
    message.delta.fragment_id = part
    return message


def ended(status: int) -> ForwardMsg:
    """A run ends."""
    message = ForwardMsg()
    message.script_finished = status
    return message


def texts(queue: ForwardMsgQueue) -> list[str]:
    """What a browser is sent, in its order."""
    kinds = {"new_session": "begun", "script_finished": "ended"}
    return [
        kinds.get(message.WhichOneof("type"), message.delta.new_element.text.body)
        for message in queue.flush()
    ]


def run_again(queue: ForwardMsgQueue, text: str) -> None:
    """The part runs again, as Streamlit's session does it."""
    queue.clear(retain_lifecycle_msgs=True, fragment_ids_this_run=[PART])
    for message in (begun(), said(text, 1, PART)):
        queue.enqueue(message)


@pytest.fixture
def page() -> messages.Unsent:
    """A whole page that waits: its own words and those of a part."""
    queue = messages.Unsent()
    for message in (begun(), said("title", 0), said("viewer", 1, PART), said("tabs", 2)):
        queue.enqueue(message)
    return queue


def test_a_whole_page_that_waits_keeps_its_parts(page):
    page.enqueue(ended(ForwardMsg.FINISHED_SUCCESSFULLY))
    run_again(page, "viewer later")
    # In two messages: in one, at the older place, the browser would take it for the older run's.
    assert texts(page) == [
        "begun", "title", "viewer", "tabs", "ended", "begun", "viewer later",
    ]  # fmt: skip


def test_a_part_alone_replaces_what_it_said_before():
    queue = messages.Unsent()
    for number in range(3):
        run_again(queue, f"viewer {number}")
        queue.enqueue(ended(ForwardMsg.FINISHED_FRAGMENT_RUN_SUCCESSFULLY))
    assert [text for text in texts(queue) if text.startswith("viewer")] == ["viewer 2"]


def test_another_run_of_the_whole_page_replaces_one_that_waits(page):
    page.enqueue(ended(ForwardMsg.FINISHED_SUCCESSFULLY))
    page.clear(retain_lifecycle_msgs=True)
    assert texts(page) == ["begun", "ended"]


def test_sessions_of_this_server_queue_so():
    assert server.keep_pages_whole is messages.keep_pages_whole
    assert AppSession.__init__.__globals__["ForwardMsgQueue"] is messages.Unsent
