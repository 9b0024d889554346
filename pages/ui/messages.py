"""What the server has to say to a browser and has not sent yet: no part of a page gets lost in it.

When a part of a page (a fragment) runs again, Streamlit takes what it said before out of the queue.
On a busy machine a run of the whole page may still wait there, with its end. The browser then hears
that the page is complete without that part, and removes it; once the part speaks again, it is
mounted anew: a viewer loses its zoom, its moment and its WebGL, and a chart begins to jump.
"""

from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.runtime import app_session
from streamlit.runtime.forward_msg_queue import ForwardMsgQueue


class Unsent(ForwardMsgQueue):
    """Messages of one session that wait for its browser, in their order."""

    def clear(
        self, retain_lifecycle_msgs: bool = False, fragment_ids_this_run: list[str] | None = None
    ) -> None:
        """As Streamlit's own; but a whole page that waits goes out whole before its parts do."""
        if fragment_ids_this_run and any(_ends_a_page(message) for message in self._queue):
            self._delta_index_map = {}  # what comes from now on is of another run
        else:
            super().clear(retain_lifecycle_msgs, fragment_ids_this_run)


def _ends_a_page(message: ForwardMsg) -> bool:
    return (
        message.WhichOneof("type") == "script_finished"
        and message.script_finished == ForwardMsg.FINISHED_SUCCESSFULLY
    )


def keep_pages_whole() -> None:
    """Let sessions that begin from now on queue their messages so."""
    app_session.ForwardMsgQueue = Unsent  # pyright: ignore[reportPrivateImportUsage]
