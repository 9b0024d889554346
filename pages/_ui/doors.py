"""Errors at the door: a user's mistake is one sentence, and what was loaded stays."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import streamlit as st

from fisherdash.errors import InputError
from pages._ui.progress import plain


@contextlib.contextmanager
def door() -> Iterator[None]:
    """Show an InputError raised inside as its sentence and go on after the block."""
    try:
        yield
    except InputError as error:
        complain(error)


def complain(problem: object) -> None:
    """What was wrong, as text: a sentence may quote what was in somebody's file."""
    st.error(plain(str(problem)), icon=":material/error:")


def next_step(sentence: str, page: str, label: str) -> None:
    """What to do when a page has nothing to show yet."""
    st.info(sentence, icon=":material/info:")
    onward(page, label)


def onward(page: str, label: str) -> None:
    """A link to another page, by its file's name."""
    st.page_link(f"pages/{page}.py", label=plain(label), icon=":material/arrow_forward:")


def kept_as(path: Path) -> str:
    """What to say of a file that a job has written, also once it was renamed or deleted."""
    name = plain(path.stem)
    return f"Kept as {name}" if path.exists() else f"{name} was renamed or deleted since"


def command(*lines: str) -> None:
    """The shell commands behind the numbers above, folded away."""
    with st.expander("The same from a shell", icon=":material/terminal:"):
        st.code("\n".join(lines), language="bash", wrap_lines=True)
