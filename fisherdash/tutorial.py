"""Reads the parameter file that the public E3x tutorial on ethanol writes.

The file is ``flax.serialization.to_bytes(params)``: a msgpack of arrays that says nothing of
hyperparameters or units. All but the cutoff follow from the shapes of the arrays; cutoff and units
have to be asked for. The elements are those whose bias has moved away from its initial zero.
"""

import msgpack
import numpy as np
from flax import serialization

from fisherdash.checkpoint import Checkpoint, energy_reference
from fisherdash.errors import InputError
from fisherdash.model import MAX_ATOMIC_NUMBER, Body, ModelConfig
from fisherdash.units import HARTREE, KCAL_PER_MOL

ENERGY_UNITS = {"eV": 1.0, "kcal/mol": KCAL_PER_MOL, "hartree": HARTREE}
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
        body, head, bias = _take_apart(params)
        config = _configuration(body, cutoff)
    except (KeyError, AttributeError, IndexError, TypeError) as error:
        raise InputError(f"not a tutorial parameter file (no {error}); {_HINT}") from error
    elements = tuple(int(z) for z in np.flatnonzero(bias)) or tuple(range(1, len(bias)))
    element_bias = np.zeros(MAX_ATOMIC_NUMBER + 1)
    element_bias[: len(bias)] = bias
    reference = energy_reference(mean_energy, np.array(elements)) if mean_energy else 0.0
    return Checkpoint(
        config=config,
        body=body,
        head=head.astype(np.float64) * unit,
        element_bias=(element_bias + reference) * unit,
        elements=elements,
        name=name,
        provenance={"made_by": "E3x tutorial", "energy_unit": energy_unit, "cutoff": cutoff},
    )


def _restore(data: bytes) -> Body:
    try:
        tree = serialization.msgpack_restore(data)
    except (ValueError, TypeError, msgpack.UnpackException, AttributeError) as error:
        raise InputError(f"not a readable msgpack file; {_HINT}") from error
    if not isinstance(tree, dict):
        raise InputError(f"a {type(tree).__name__} instead of a tree of parameters; {_HINT}")
    return tree.get("params", tree)


def _take_apart(params: Body) -> tuple[Body, np.ndarray, np.ndarray]:
    """Body, head and element biases; the embedding is filled up to all elements."""
    body = dict(params)
    bias = np.asarray(body.pop("element_bias"))
    iterations = sum(key.startswith("MessagePass_") for key in body)
    head = np.asarray(body.pop(f"Dense_{2 * iterations}")["kernel"])
    embedding = np.asarray(body["Embed_0"]["embedding"])
    missing = MAX_ATOMIC_NUMBER + 1 - len(embedding)
    if bias.ndim != 1 or len(bias) != len(embedding) or missing < 0 or embedding.ndim != 4:
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
