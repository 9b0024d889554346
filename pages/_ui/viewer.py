"""The 3D viewer on a page: a component that keeps its node while its frames change."""

from typing import Any

from streamlit.components.v2 import component

from fisherdash.view import viewer

_COMPONENT = component("fisherdash_viewer", js=viewer.source(), css=viewer.stylesheet())


def show_molecules(payload: dict[str, Any], *, key: str) -> None:
    """Draw the payload of :func:`fisherdash.view.viewer.payload`."""
    _COMPONENT(data=payload, key=key, height="content")
