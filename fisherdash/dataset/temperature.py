"""The temperature of a sample: what a file says of it, and how a user sets it.

Frames alone do not tell it. What every frame's comment names alike is taken; what only hints at a
temperature becomes a note.
"""

import dataclasses
import math
import numbers
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from fisherdash.dataset.core import Dataset, check_temperature
from fisherdash.dataset.npz import save

_KEYS = ("temperature", "temperature_k", "temp")
_IN_NAME = re.compile(r"(?<![0-9.])([1-9][0-9]{2,3})\s?K(?![A-Za-z0-9])")
_BY_HAND = "The temperature was set by hand."
_UNKNOWN_BY_HAND = "The temperature was declared unknown by hand."
_BY_NAME = "The file's name says"
_BY_COMMENTS = ("The temperature of", "Comments name")


def from_comments(
    comments: Iterable[Mapping[str, Any]], wished: float | None
) -> tuple[float | None, list[str]]:
    """The temperature that the comments of all frames name alike, K, and notes about it.

    Args:
        comments: key and value of every frame's comment.
        wished: what the user says, which counts.
    """
    if wished is not None:
        return wished, []
    said = [_number(comment) for comment in comments]
    found = [value for value in said if value is not None]
    if not found:
        return None, []
    low, high = min(found), max(found)
    if len(found) == len(said) and high - low <= 1e-6 * high:
        return low, [f"{_BY_COMMENTS[0]} {low:g} K is what every frame's comment says."]
    span = f"{low:g} K" if low == high else f"from {low:g} to {high:g} K"
    return None, [
        f"{_BY_COMMENTS[1]} a temperature of {span} in {len(found)} of {len(said)} frames, those "
        "of moments or of several samples; give that of the thermostat, if there was one."
    ]


def hinted(dataset: Dataset, name: str) -> Dataset:
    """With a note where the temperature is unknown and the file's name seems to say it."""
    found = _IN_NAME.findall(Path(name).stem.replace("_", " "))
    said = any(note.startswith((_BY_NAME, _BY_HAND, _UNKNOWN_BY_HAND)) for note in dataset.notes)
    if said or dataset.temperature is not None or len(found) != 1:
        return dataset
    note = (
        f"{_BY_NAME} {found[0]} K, nothing in it does: the temperature stays unknown "
        "until you give it."
    )
    return dataclasses.replace(dataset, notes=(*dataset.notes, note))


def set_temperature(dataset: Dataset, temperature: float | None, path: Path) -> Dataset:
    """The same frames at another temperature (K, None if unknown), written to a FisherDash npz.

    The fingerprint stays, so runs and models of these frames still know them. InputError for a
    temperature that is none, or when the file cannot be written.
    """
    outdated = (_BY_HAND, _UNKNOWN_BY_HAND, _BY_NAME, *_BY_COMMENTS)
    notes = [note for note in dataset.notes if not note.startswith(outdated)]
    note = _BY_HAND if temperature is not None else _UNKNOWN_BY_HAND
    changed = dataclasses.replace(
        dataset, temperature=check_temperature(temperature), notes=(*notes, note)
    )
    save(changed, path)
    return changed


def _number(comment: Mapping[str, Any]) -> float | None:
    for key, value in comment.items():
        if key.lower() in _KEYS and isinstance(value, numbers.Real) and not isinstance(value, bool):
            number = float(value)
            return number if math.isfinite(number) and number > 0 else None
    return None
