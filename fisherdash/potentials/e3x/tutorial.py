"""Reads the parameter file that the public E3x tutorial on ethanol writes.

The file is ``flax.serialization.to_bytes(params)``: a msgpack of arrays that says nothing of
hyperparameters or units. All but the cutoff follow from the shapes of the arrays; cutoff and units
have to be asked for. The elements are those whose bias has moved away from its initial zero.
"""

from collections.abc import Callable, Iterator
from typing import Any

import msgpack
import numpy as np
from flax import serialization

from fisherdash.errors import InputError
from fisherdash.potentials.checkpoint import MAX_BYTES, Checkpoint, energy_reference
from fisherdash.potentials.e3x import Body, E3x
from fisherdash.settings import MAX_ATOMIC_NUMBER, ModelConfig
from fisherdash.units import HARTREE, KCAL_PER_MOL

ENERGY_UNITS = {"eV": 1.0, "kcal/mol": KCAL_PER_MOL, "hartree": HARTREE}
MOST_PARTS = 10_000
"""Maps and lists in a file, and entries of each: an empty map takes a byte, and 64 in memory."""
_HINT = "expected the bytes that flax.serialization.to_bytes(params) gives in the E3x tutorial"


def load_bytes(
    data: bytes,
    *,
    cutoff: float,
    energy_unit: str,
    mean_energy: float = 0.0,
    name: str = "tutorial",
) -> Checkpoint:
    """A checkpoint from the tutorial's parameters.

    Args:
        data: the file.
        cutoff: in Å, as it was in training (the tutorial's is 5.0).
        energy_unit: of the energies in training: "eV", "kcal/mol" or "hartree".
        mean_energy: what was subtracted from the training energies, in ``energy_unit``; without
            it energies are right up to a constant.
        name: for the checkpoint.

    Raises:
        InputError: if the bytes are not such a file, or cutoff or unit make no sense.
    """
    if energy_unit not in ENERGY_UNITS:
        raise InputError(f"energy_unit must be one of {list(ENERGY_UNITS)}, received {energy_unit}")
    unit = ENERGY_UNITS[energy_unit]
    params = _restore(data)
    try:
        # The configuration has limits, which hold before the embedding is filled up.
        config = _configuration(params, cutoff)
        body, head, bias = _take_apart(params, config)
    except (KeyError, AttributeError, IndexError, TypeError) as error:
        raise InputError(f"not a tutorial parameter file (no {error}); {_HINT}") from error
    elements = tuple(int(z) for z in np.flatnonzero(bias)) or tuple(range(1, len(bias)))
    element_bias = np.zeros(MAX_ATOMIC_NUMBER + 1)
    element_bias[: len(bias)] = bias
    reference = energy_reference(mean_energy, np.array(elements)) if mean_energy else 0.0
    return Checkpoint(
        potential=E3x(config),
        body=body,
        head=head.astype(np.float64) * unit,
        element_bias=(element_bias + reference) * unit,
        elements=elements,
        name=name,
        provenance={"made_by": "E3x tutorial", "energy_unit": energy_unit, "cutoff": cutoff},
    )


def _restore(data: bytes) -> Body:
    if len(data) > MAX_BYTES:
        raise InputError(
            f"a file of {len(data)} bytes; parameters have at most {MAX_BYTES}; {_HINT}"
        )
    try:
        left = iter(range(MOST_PARTS))
        _count_parts(data, left, lambda _, array: _count_parts(array, left))
        tree = serialization.msgpack_restore(data)
    except (ValueError, TypeError, LookupError, AttributeError, AssertionError, RecursionError,
            MemoryError, msgpack.UnpackException) as error:  # fmt: skip
        raise InputError(f"not a readable msgpack file; {_HINT}") from error
    if not isinstance(tree, dict):
        raise InputError(f"a {type(tree).__name__} instead of a tree of parameters; {_HINT}")
    params = tree.get("params", tree)
    _check_leaves(params, depth=0)
    return params


def _count_parts(
    data: bytes, left: Iterator[int], array: Callable[[int, bytes], object] = msgpack.ExtType
) -> None:
    """ValueError for more maps and lists than are ``left``; ``array`` is called with each array,
    which is a message of its own."""

    def one_more(_: Any) -> None:
        """Called with every map or list; nothing of it is kept."""
        if next(left, None) is None:
            raise ValueError("too many parts")

    msgpack.unpackb(
        data,
        object_pairs_hook=one_more,
        list_hook=one_more,
        ext_hook=array,
        max_map_len=MOST_PARTS,
        max_array_len=MOST_PARTS,
        strict_map_key=False,
        raw=True,
    )


def _check_leaves(node: Any, depth: int) -> None:
    """Only named arrays of floating-point numbers, and no deeper than the tutorial nests them."""
    if isinstance(node, dict) and depth < 6:
        for key, inner in node.items():
            if not isinstance(key, str):
                raise InputError(f"a key of type {type(key).__name__} among the names; {_HINT}")
            _check_leaves(inner, depth + 1)
    elif not isinstance(node, np.ndarray) or not np.issubdtype(node.dtype, np.floating):
        kind = node.dtype if isinstance(node, np.ndarray) else type(node).__name__
        raise InputError(f"a {kind} in the place of an array of numbers; {_HINT}")


def _take_apart(params: Body, config: ModelConfig) -> tuple[Body, np.ndarray, np.ndarray]:
    """Body, head and element biases; the embedding is filled up to all elements."""
    body = dict(params)
    bias = body.pop("element_bias")
    head = body.pop(f"Dense_{2 * config.iterations}")["kernel"]
    embedding = body["Embed_0"]["embedding"]
    missing = MAX_ATOMIC_NUMBER + 1 - len(embedding)
    wide = embedding.shape[1:] == (1, 1, config.features)
    if bias.shape != embedding.shape[:1] or missing < 0 or not wide:
        raise InputError(
            f"element_bias has the shape {bias.shape} and the embedding {embedding.shape}; {_HINT}"
        )
    if head.ndim != 2 or head.shape[1] != 1:
        raise InputError(f"the head must have one column, received the shape {head.shape}; {_HINT}")
    body["Embed_0"] = {"embedding": np.pad(embedding, [(0, missing), (0, 0), (0, 0), (0, 0)])}
    return body, head[:, 0], bias


def _configuration(body: Body, cutoff: float) -> ModelConfig:
    filters = body["MessagePass_0"]["filter"]
    return ModelConfig(
        features=int(body["Embed_0"]["embedding"].shape[-1]),
        max_degree=len(filters) - 1,
        iterations=sum(key.startswith("MessagePass_") for key in body),
        basis=int(filters["0+"]["kernel"].shape[0]),
        cutoff=cutoff,
    )
