"""A visitor without a browser: speaks with the server as the page's JavaScript would.

Only what a click needs of Streamlit's protocol: run a page, collect the widgets that it draws, set
one, and run again. Messages are protobuf over a websocket.
"""

import asyncio
import time
import urllib.parse
import urllib.request
from typing import Any

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState
from websockets.asyncio.client import ClientConnection, connect

PATIENCE = 120.0
_HOURS = 1 << 30


class Visitor:
    """One browser's worth of cookies and one session.

    Attributes:
        runs: seconds of every run of a page.
        problems: exceptions that a page showed; there should be none.
        alerts: refusals that a page showed, which are answers.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self.runs: list[float] = []
        self.problems: list[str] = []
        self.alerts: list[str] = []
        self.widgets: dict[str, tuple[str, Any]] = {}
        self._cookie = ""
        self._hashes: dict[str, str] = {}
        self._known: dict[str, ForwardMsg] = {}
        self._values: dict[str, WidgetState] = {}
        self._socket: ClientConnection | None = None
        self.page = ""

    async def arrive(self) -> None:
        """Open the page as a browser does: its HTML, which brings the cookie, then the socket."""
        if not self._cookie:
            # Only whoever asks for a page is given a cookie: others would be new in each session.
            page = urllib.request.Request(self.address, headers={"Accept": "text/html"})
            answer = await asyncio.to_thread(urllib.request.urlopen, page, timeout=PATIENCE)
            with answer:
                self._cookie = (answer.headers.get("Set-Cookie") or "").split(";")[0]
        host = urllib.parse.urlsplit(self.address).netloc
        self._socket = await connect(
            f"ws://{host}/_stcore/stream",
            additional_headers={"Cookie": self._cookie},
            origin=self.address,  # pyright: ignore[reportArgumentType] - a plain text is fine
            subprotocols=["streamlit", "PLACEHOLDER_AUTH_TOKEN"],  # pyright: ignore
            max_size=_HOURS,
            open_timeout=PATIENCE,
        )
        self._values.clear()
        await self.open("")

    async def leave(self) -> None:
        """Close the tab."""
        if self._socket is not None:
            await self._socket.close()
            self._socket = None

    async def open(self, page: str) -> float:
        """Go to a page by its name in the address; seconds that its run took."""
        self.page = page
        self._values.clear()
        return await self._run({})

    def has(self, kind: str, label: str) -> bool:
        """Whether the page shows such a widget that can be used."""
        return any(key == f"{kind} {label}" for key in self.widgets)

    async def click(self, label: str) -> float:
        """Press a button; KeyError when the page has none of that label."""
        identity, _ = self.widgets[f"button {label}"]
        pressed = WidgetState(id=identity, trigger_value=True)
        return await self._run({identity: pressed})

    def fill(self, label: str, value: int) -> None:
        """Write a whole number into a field; it counts from the next run on."""
        identity, _ = self.widgets[f"number_input {label}"]
        self._values[identity] = WidgetState(id=identity, int_value=value)

    async def _run(self, triggers: dict[str, WidgetState]) -> float:
        assert self._socket is not None
        message = BackMsg()
        message.rerun_script.query_string = ""
        message.rerun_script.page_name = self.page
        if self.page in self._hashes:
            message.rerun_script.page_script_hash = self._hashes[self.page]
        states = {**self._values, **triggers}
        message.rerun_script.widget_states.widgets.extend(states.values())
        began = time.monotonic()
        await self._socket.send(message.SerializeToString())
        self.widgets = {}
        async with asyncio.timeout(PATIENCE):
            while True:
                answer = ForwardMsg.FromString(await self._socket.recv(decode=False))
                if self._hear(answer):
                    break
        seconds = time.monotonic() - began
        self.runs.append(seconds)
        return seconds

    def _hear(self, answer: ForwardMsg) -> bool:
        """Take one message in; whether it ends a run of the whole page."""
        kind = answer.WhichOneof("type")
        if kind == "ref_hash":
            answer = self._known[answer.ref_hash]
            kind = answer.WhichOneof("type")
        elif answer.hash:
            self._known[answer.hash] = answer
        if kind == "navigation":
            for page in answer.navigation.app_pages:
                self._hashes["" if page.is_default else page.url_pathname] = page.page_script_hash
        elif kind == "delta" and answer.delta.WhichOneof("type") == "new_element":
            self._see(answer.delta.new_element)
        elif kind == "script_finished":
            status = ForwardMsg.ScriptFinishedStatus.Name(answer.script_finished)
            if status == "FINISHED_WITH_COMPILE_ERROR":
                self.problems.append(f"{self.page}: {status}")
            return status in ("FINISHED_SUCCESSFULLY", "FINISHED_WITH_COMPILE_ERROR")
        return False

    def _see(self, element: Any) -> None:
        kind = element.WhichOneof("type")
        if kind == "exception":
            shown = element.exception
            self.problems.append(f"{self.page}: {shown.type}: {shown.message}"[:300])
        elif kind == "alert" and element.alert.format == element.alert.ERROR:
            self.alerts.append(element.alert.body)
        elif kind in ("button", "number_input"):
            widget = getattr(element, kind)
            if not widget.disabled:
                self.widgets[f"{kind} {widget.label}"] = (widget.id, widget)
