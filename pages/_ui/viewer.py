"""The 3D viewer on a page: a component that keeps its node while its frames change."""

from collections.abc import Callable
from typing import Any

import streamlit as st
from streamlit.components.v2 import component

from fisherdash.view import viewer

_COMPONENT = component("fisherdash_viewer", js=viewer.source(), css=viewer.stylesheet())


def show_molecules(
    payload: dict[str, Any], *, key: str, choose: Callable[[int], None] | None = None
) -> None:
    """Draw the payload of :func:`fisherdash.view.viewer.payload`.

    ``choose`` is called with the number of the replica whose curve was clicked.
    """

    def chosen() -> None:
        replica = st.session_state[key].replica
        if choose is not None and replica is not None:
            choose(int(replica))

    _COMPONENT(data=payload, key=key, height="content", on_replica_change=chosen)
