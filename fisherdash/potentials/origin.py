"""The provenance in a checkpoint's file, checked: somebody else may have written it.

It is shown in tables and sentences, so every entry that the program knows has a type, and all of it
has a size. What the program does not know is kept, within the same bounds.

What is found in another program's file, before it becomes a checkpoint, is described here too.
"""

import dataclasses
import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float

from fisherdash.errors import InputError
from fisherdash.potentials.head import SHARED, HeadForm
from fisherdash.potentials.potential import Parameters, Potential


@dataclasses.dataclass(frozen=True)
class Found:
    """A model, its energies still in the unit of its file.

    Attributes:
        library: whose file it was.
        potential, body: the network and its weights.
        head: θ, of the form ``form``.
        element_bias: constants of the energy by atomic number, (119,).
        elements: that the file says it knows; None where it does not say.
        parameters: how many numbers were trained, as the library counts them.
        precision: of the numbers in the file.
        readout: in words, how the energy is made from features.
        hint: shown where the unit of energy has to be asked for.
        notes: what the user should know.
        form: of the head.
        fixed_terms: in words, what of the energy no head changes.
        energy_unit: of the library, where every model of it has the same.
        provenance: JSON-able, what else is to be remembered.
    """

    library: str
    potential: Potential
    body: Parameters
    head: Float[np.ndarray, " weights"]
    element_bias: Float[np.ndarray, " elements"]
    elements: tuple[int, ...] | None
    parameters: int
    precision: str
    readout: str
    hint: str
    notes: tuple[str, ...] = ()
    form: HeadForm = SHARED
    fixed_terms: tuple[str, ...] = ()
    energy_unit: str | None = None
    provenance: Mapping[str, str] = dataclasses.field(default_factory=dict)


LONGEST = 20_000
"""Characters of the JSON; a training writes some 800."""
LONGEST_TEXT = 1000
LONGEST_NAME = 200
DEEPEST = 4
LARGEST = 2**53

_TEXTS = (
    "made_by", "data", "data_fingerprint", "molecule", "parent", "parent_fingerprint", "device",
    "library", "energy_unit", "precision", "method", "head",
)  # fmt: skip
_COUNTS = ("frames", "frames_fit", "valid_frames", "epochs", "best_epoch", "parameters")
_NUMBERS = ("temperature_K", "seconds", "cutoff")
_TABLES = ("errors", "settings", "versions")


def read_provenance(text: str, source: str) -> dict[str, Any]:
    """The provenance of a file.

    Args: text: its JSON. source: the file's name, for the sentence.
    Raises: InputError, one sentence, for what is no JSON object, too large, or of another type than
        the program writes.
    """
    if len(text) > LONGEST:
        raise _damaged(source, f"has {len(text):,} characters, of which it needs at most {LONGEST}")
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:  # also an integer of thousands of digits
        raise _damaged(source, "is no JSON") from error
    if not isinstance(found, dict):
        raise _damaged(source, "is no JSON object")
    _check_plain(found, source, DEEPEST)
    for names, fits, words in (
        (_TEXTS, lambda value: isinstance(value, str), "text"),
        (_COUNTS, _is_count, "a whole number that is not negative"),
        (_NUMBERS, _is_number, "a number"),
        (_TABLES, lambda value: isinstance(value, dict), "a table"),
    ):
        for name in names:
            if found.get(name) is not None and not fits(found[name]):
                raise _damaged(source, f"must have {words} as {name!r}: {found[name]!r:.60}")
    for name, value in (found.get("errors") or {}).items():
        if value is not None and not _is_number(value):
            raise _damaged(source, f"must have numbers as errors, received {name!r:.60}")
    return found


def writable(value: Any) -> Any:
    """A provenance, or a part of it, as it may stand in a file: names of files are cut short."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()[:LONGEST_TEXT]
    if isinstance(value, Mapping):
        return {str(name): writable(part) for name, part in value.items()}
    return [writable(part) for part in value] if isinstance(value, list | tuple) else value


def writable_name(name: str) -> str:
    """A model's name as :func:`read_name` takes it."""
    line = "".join(letter if letter.isprintable() else "?" for letter in name)
    return line[:LONGEST_NAME]


def read_name(name: Any, source: str) -> str:
    """What a file calls its model; InputError for what is no line of text."""
    if not isinstance(name, str) or len(name) > LONGEST_NAME or not name.isprintable():
        raise InputError(
            f"the header of {source} is damaged: the name of a model has at most {LONGEST_NAME} "
            f"characters that can be printed, received {ascii(name)[:60]}"
        )
    return name


def _check_plain(value: Any, source: str, depth: int) -> None:
    """InputError for text that cannot be written, numbers without bounds, and nested tables."""
    if isinstance(value, str):
        if len(value) > LONGEST_TEXT or any("\ud800" <= letter <= "\udfff" for letter in value):
            raise _damaged(source, f"holds text that is too long or no text: {ascii(value)[:60]}")
    elif isinstance(value, int) and abs(value) > LARGEST:
        raise _damaged(source, f"holds a number beyond {LARGEST}")
    elif isinstance(value, Mapping | list):
        if depth == 0:
            raise _damaged(source, f"has tables within tables, more than {DEEPEST} deep")
        parts = [*value, *value.values()] if isinstance(value, Mapping) else value
        for part in parts:
            _check_plain(part, source, depth - 1)


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and not (isinstance(value, float) and math.isinf(value))


def _damaged(source: str, why: str) -> InputError:
    return InputError(f"the header of {source} is damaged: its provenance {why}")
