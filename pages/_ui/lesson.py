"""The drawing of the Learn page: a component that evaluates everything in the browser."""

from typing import Any

from streamlit.components.v2 import component

from fisherdash.view import lesson, viewer

_COMPONENT = component("fisherdash_lesson", js=lesson.source(), css=viewer.stylesheet())


def show_lesson(payload: dict[str, Any], *, key: str) -> None:
    """Draw the payload of :func:`fisherdash.view.lesson.payload`."""
    _COMPONENT(data=payload, key=key, height="content")
