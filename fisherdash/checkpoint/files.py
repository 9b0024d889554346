"""A checkpoint on disk: one safetensors file, nothing in it that could run.

The header holds JSON (configuration, element set, units, provenance), the payload the arrays: the
weights of the body under ``body/…``, the head θ (with its covariance where a re-fit left one) and
the element biases. Reading checks every key, shape and value against the configuration before
anything is used.
"""

import json
import os
import reprlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import safetensors
import safetensors.numpy

from fisherdash import __version__, disk
from fisherdash.checkpoint.core import Checkpoint, flat_arrays
from fisherdash.errors import InputError
from fisherdash.model import Body, ModelConfig

FORMAT = "fisherdash-checkpoint"
FORMAT_VERSION = 1
UNITS = {"length": "angstrom", "energy": "eV"}
MAX_BYTES = 200_000_000
LONGEST_ENTRY = 1000
"""Characters of the header's configuration, elements or units: all elements there are fit in."""


def save(checkpoint: Checkpoint, path: str | os.PathLike[str]) -> None:
    """Writes the file atomically: a reader sees the old one or the new one, never half of one.

    Raises InputError, one sentence, when the disk refuses.
    """
    path = Path(path)
    metadata = {
        "format": FORMAT,
        "format_version": str(FORMAT_VERSION),
        "fisherdash": __version__,
        "name": checkpoint.name,
        "config": json.dumps(checkpoint.config.to_json()),
        "elements": json.dumps(checkpoint.elements),
        "units": json.dumps(UNITS),
        "provenance": json.dumps(checkpoint.provenance),
    }
    data = safetensors.numpy.save(flat_arrays(checkpoint), metadata)
    with disk.replacing(path) as part:
        part.write_bytes(data)


def load(path: str | os.PathLike[str]) -> Checkpoint:
    """Reads a checkpoint; raises InputError for a file that is not a sound one."""
    path = Path(path)
    try:
        _check_size(path.stat().st_size, path.name)
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read the checkpoint {path}: {error.strerror}") from error
    return load_bytes(data, path.name)


def load_bytes(data: bytes, source: str = "the upload") -> Checkpoint:
    """Reads a checkpoint from memory.

    Raises:
        InputError: for anything that is not a sound checkpoint: another format, a newer version,
            missing or unknown arrays, wrong shapes or types, values that are not finite.
    """
    _check_size(len(data), source)
    try:
        arrays = safetensors.numpy.load(data)
        metadata = _metadata(data)
    except (safetensors.SafetensorError, ValueError, KeyError, AttributeError) as error:
        raise InputError(
            f"{source} is not a FisherDash checkpoint: it is not a readable safetensors file"
        ) from error
    if metadata.get("format") != FORMAT:
        raise InputError(
            f"{source} is not a FisherDash checkpoint: its header names the format "
            f"{reprlib.repr(metadata.get('format'))} instead of {FORMAT!r}"
        )
    if metadata.get("format_version") != str(FORMAT_VERSION):
        raise InputError(
            f"{source} has checkpoint version {reprlib.repr(metadata.get('format_version'))}; "
            f"this program reads version {FORMAT_VERSION}"
        )
    for key in ("config", "elements", "units"):
        if len(metadata.get(key, "")) > LONGEST_ENTRY:
            raise InputError(
                f"the header of {source} is damaged: {key} has {len(metadata[key])} characters, "
                f"of which it needs at most {LONGEST_ENTRY}"
            )
    try:
        config = ModelConfig.from_json(json.loads(metadata["config"]))
        elements = tuple(json.loads(metadata["elements"]))
        units = json.loads(metadata["units"])
        provenance = json.loads(metadata["provenance"])
        well_formed = isinstance(provenance, dict) and all(type(z) is int for z in elements)
    except (KeyError, TypeError, json.JSONDecodeError, RecursionError) as error:
        raise InputError(f"the header of {source} is damaged: {error}") from error
    if not well_formed or units != UNITS:
        raise InputError(
            f"the header of {source} is damaged: elements {elements!r}, units {units!r}; "
            f"units must be {UNITS}"
        )
    try:
        head, element_bias = arrays.pop("head"), arrays.pop("element_bias")
    except KeyError as error:
        raise InputError(f"{source} lacks the array {error}") from error
    if not all(np.issubdtype(array.dtype, np.floating) for array in (head, element_bias)):
        raise InputError(
            f"head and element_bias of {source} must hold floating-point numbers, "
            f"received {head.dtype} and {element_bias.dtype}"
        )
    covariance = arrays.pop("head_covariance", None)
    name = metadata.get("name", "model")
    return Checkpoint(
        config, _nested(arrays), head, element_bias, elements, name, provenance, covariance
    )


def _check_size(size: int, source: str) -> None:
    if size > MAX_BYTES:
        raise InputError(f"{source} has {size} bytes; a checkpoint has at most {MAX_BYTES}")


def _metadata(data: bytes) -> dict[str, str]:
    length = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + length]).get("__metadata__", {})


def _nested(arrays: Mapping[str, np.ndarray]) -> Body:
    body: Body = {}
    for key, array in arrays.items():
        *path, last = key.removeprefix("body/").split("/")
        node = body
        for part in path:
            node = node.setdefault(part, {})
            if not isinstance(node, dict):
                raise InputError(f"the array name {key!r} of the checkpoint contradicts another")
        node[last] = array
    return body
