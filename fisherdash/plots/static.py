"""Charts as SVG pictures: Plotly draws them in a Chromium without a window, by Kaleido.

The same numbers give the same bytes from the same Chromium. Text stays text, so that a reader's
program can find and enlarge it.
"""

import contextlib
import functools
import re
import tempfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from fisherdash.errors import InputError
from fisherdash.plots.chart import HEIGHT, Chart, layout_of

WIDTH = 900
"""Pixels."""

_DRAWN_AS = re.compile(r'<defs id="\w+-([0-9a-f]{6})"')
_PATH = re.compile(r' (?:d|transform)="[^"]*"')
_LONG = re.compile(r"(\.\d)\d+")
"""Coordinates are pixels; a tenth of one is finer than anybody sees, and a third of the bytes."""


@functools.cache
def available() -> bool:
    """Whether there is a Chromium to draw with."""
    from choreographer.browsers.chromium import Chromium

    return Chromium.find_browser(skip_local=False) is not None


def check() -> None:
    """InputError where there is no Chromium."""
    if not available():
        raise InputError(
            "an SVG picture is drawn by Chromium, and there is none on this machine; install it, "
            "or take the HTML report, whose charts are as sharp"
        )


_alone = threading.RLock()  # Kaleido has one browser for all threads
_within = 0


@contextlib.contextmanager
def one_browser() -> Iterator[None]:
    """Draws every picture within it in one Chromium, which takes seconds to start."""
    import kaleido  # not by a page that draws nothing

    global _within
    with _alone:
        if not _within:
            kaleido.start_sync_server(mathjax=False)  # which would come from the internet
        _within += 1
        try:
            yield
        finally:
            _within -= 1
            if not _within:
                kaleido.stop_sync_server()


def picture(charts: Sequence[Chart], columns: int = 1, width: int = WIDTH) -> str:
    """The charts as one SVG, row by row; each row is as high as its highest chart.

    Raises:
        InputError: where there is no Chromium.
    """
    wide = width // columns
    rows = [charts[first : first + columns] for first in range(0, len(charts), columns)]
    parts, top = [], 0
    drawn = iter(_drawn(charts, wide))
    for row in rows:
        for column in range(len(row)):
            place = f'<svg x="{column * wide}" y="{top}" '
            parts.append(next(drawn).replace("<svg ", place, 1))
        top += max(map(_height, row))
    size = f'width="{width}" height="{top}" viewBox="0 0 {width} {top}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}>\n' + "\n".join(parts) + "\n</svg>\n"


def _height(made: Chart) -> int:
    return int(layout_of(made)["height"] or HEIGHT)


def _drawn(charts: Sequence[Chart], width: int) -> list[str]:
    """Each chart as an SVG, without the names that Plotly draws by lot."""
    check()
    import kaleido

    with tempfile.TemporaryDirectory() as folder, one_browser():
        files = [Path(folder) / f"{number}.svg" for number in range(len(charts))]
        kaleido.write_fig_from_object_sync(
            {
                "fig": _numbered(made),
                "path": file,
                "opts": {"format": "svg", "width": width, "height": _height(made)},
            }
            for made, file in zip(charts, files, strict=True)
        )
        texts = [file.read_text(encoding="utf-8") for file in files]
    return [_steady(text, number) for number, text in enumerate(texts)]


def _numbered(made: Chart) -> dict[str, Any]:
    """The chart with names of its traces that are not drawn by lot."""
    found = made.to_dict()
    for number, trace in enumerate(found["data"]):
        trace["uid"] = str(number)
    return found


def _steady(text: str, number: int) -> str:
    """The same names for the same chart, others for each chart of a picture; short numbers."""
    lot = _DRAWN_AS.search(text)
    if lot:
        text = text.replace(lot[1], f"chart{number}")
    return _PATH.sub(lambda path: _LONG.sub(r"\1", path.group()), text)
