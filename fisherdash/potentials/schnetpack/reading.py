"""From a file that SchNetPack wrote to a potential, its weights and its head, and a head back.

SchNetPack 2 saves ``NeuralNetworkPotential``: a representation (PaiNN or SchNet), output modules (a
small network on every atom whose outputs are summed to the energy, and forces by differentiation)
and postprocessors (offsets of the energy). Everything that is in the file is either taken over or
refused by its name: nothing that changes the energy is passed over.

To take a head back the file is copied entry by entry, and only the numbers of the last layer, and
of the single atoms' energies where it has them, are others. Nothing of the file is run.
"""

import io
import reprlib
import zipfile
from typing import Any

import numpy as np
from jaxtyping import Float

from fisherdash.errors import InputError
from fisherdash.potentials import inert
from fisherdash.potentials.inert import Named, Record, Tensor
from fisherdash.potentials.inert.records import DTYPES, Archive
from fisherdash.potentials.origin import Found
from fisherdash.potentials.potential import Parameters
from fisherdash.potentials.schnetpack.networks import PaiNN, SchNet
from fisherdash.settings import MAX_ATOMIC_NUMBER

ROOT = "NeuralNetworkPotential"
REPRESENTATIONS = ("PaiNN", "SchNet")
_BASES = {"GaussianRBF": "gaussian", "BesselRBF": "bessel"}
_ACTIVATIONS = {
    "torch.nn.functional.silu": "silu",
    "torch.nn.modules.activation.SiLU": "silu",
    "schnetpack.nn.activations.shifted_softplus": "shifted_softplus",
}
_IDENTITY = "torch.nn.modules.linear.Identity"
_HARMLESS = {"CastTo64", "CastTo32", "PairwiseDistances", "Forces"}
"""Modules that change no energy: casts, distances, and forces as the gradient of the energy."""


def is_schnetpack(model: Any) -> bool:
    """Whether a file is one of SchNetPack's."""
    return isinstance(model, Record) and model.name.startswith("schnetpack.")


def read(model: Record) -> Found:
    """The potential; InputError, with the reason, for what is not supported."""
    if model.kind != ROOT:
        raise InputError(
            f"the file holds {_name(model)}; of SchNetPack's models {ROOT} is read, which its "
            "training saves as best_model"
        )
    only(part(model, "input_modules"), {"PairwiseDistances"}, "before the network")
    representation = part(model, "representation")
    if representation.kind not in REPRESENTATIONS:
        raise InputError(
            f"the network is {_name(representation)}; of SchNetPack's networks "
            f"{' and '.join(REPRESENTATIONS)} are read"
        )
    atomwise = _readout(part(model, "output_modules"))
    layers = in_order(part(atomwise, "outnet"))
    if not layers:
        raise InputError("the network that makes the energy of an atom has no layers")
    common, body = _common(representation, layers)
    network = _painn if representation.kind == "PaiNN" else _schnet
    made, arrays = network(representation, common)
    head, last_bias = _last(layers[-1])
    bias, elements, notes = _offsets(model, _word(atomwise, "output_key"))
    bias[1:] += last_bias
    hidden = [f"{array(layer, 'weight', 2).shape[-1]}" for layer in layers]
    return Found(
        library="SchNetPack",
        potential=made,
        body=body | arrays,
        head=head,
        element_bias=bias,
        elements=elements,
        parameters=sum(part.trained() for part in model.modules()),
        precision=str(body["embedding"].dtype),
        hint="SchNetPack's rMD17 models: kcal/mol",
        readout=f"sum over atoms of a network {' → '.join([*hidden, '1'])}, linear at its end",
        notes=notes,
    )


def last_layer(model: Record) -> Record:
    """The layer whose weights are the head, of a file that :func:`read` takes."""
    return in_order(part(_readout(part(model, "output_modules")), "outnet"))[-1]


# The energy. --------------------------------------------------------------------------------------


def _readout(modules: Record) -> Record:
    """The module that makes the energy; InputError if there is none or another part of it."""
    found = in_order(modules)
    energies = [one for one in found if one.kind == "Atomwise"]
    others = [one for one in found if one.kind not in ("Atomwise", "Forces")]
    if len(energies) != 1 or others:
        raise InputError(
            f"the outputs of the file are {', '.join(map(_name, found)) or 'none'}; one Atomwise "
            "and its Forces are read, for any other may be a part of the energy"
        )
    atomwise = energies[0]
    way, outputs = atomwise.get("aggregation_mode"), atomwise.get("n_out", 1)
    if way != "sum" or outputs != 1:
        raise InputError(
            f"the energy is made of {reprlib.repr(outputs)} outputs of every atom by "
            f"{reprlib.repr(way)}; only a sum of one output over the atoms is linear in the "
            "weights of its last layer"
        )
    wanted = _word(atomwise, "output_key")
    for forces in found:
        if forces.kind == "Forces" and _word(forces, "energy_key") != wanted:
            raise InputError(
                f"forces are made of {_word(forces, 'energy_key')} and not of {wanted}"
            )
    return atomwise


def _last(layer: Record) -> tuple[np.ndarray, float]:
    """θ and the constant of the last layer, which has to be linear."""
    activation = layer.get("activation")
    if _function(activation) != _IDENTITY:
        raise InputError(
            f"the last layer ends with {_function(activation)}, so the energy is not linear in its "
            "weights"
        )
    weight, bias = array(layer, "weight", 2), layer.get("bias")
    if weight.shape[0] != 1:
        raise InputError(f"the last layer has {weight.shape[0]} outputs; the energy is one")
    return weight[0].astype(np.float64), float(array(layer, "bias")[0]) if bias is not None else 0.0


def _offsets(
    model: Record, energy: str
) -> tuple[np.ndarray, tuple[int, ...] | None, tuple[str, ...]]:
    """Constants of the energy by element, the elements that have one, and notes."""
    bias = np.zeros(MAX_ATOMIC_NUMBER + 1)
    elements = None
    for one in in_order(part(model, "postprocessors")):
        if one.kind in _HARMLESS:
            continue
        if one.kind != "AddOffsets" or _word(one, "_property") != energy:
            raise InputError(f"the file processes its results by {_name(one)}, which is not read")
        if not one.get("is_extensive", True):
            raise InputError("the offset of the energy does not grow with the number of atoms")
        if one.get("add_mean"):
            bias[1:] += float(array(one, "mean").reshape(-1)[0])
        if one.get("add_atomrefs"):
            references = array(one, "atomref").reshape(-1)[: len(bias)].astype(np.float64)
            bias[: len(references)] += references
            elements = tuple(int(z) for z in np.flatnonzero(references) if z) or None
    bias[0] = 0.0
    if model.get("do_postprocessing", True) is not False:
        return bias, elements, ()
    note = "the file switches its own offsets of the energy off, so they are left out"
    return np.zeros_like(bias), elements, (note,)


# The networks. ------------------------------------------------------------------------------------


def _common(representation: Record, layers: list[Record]) -> tuple[dict[str, Any], Parameters]:
    """Fields and weights that all networks have: embedding, radial functions, output layers."""
    if in_order(representation.get("electronic_embeddings") or Record("none")):
        raise InputError("the network has electronic embeddings (charge, spin), which are not read")
    embedding = part(representation, "embedding")
    if embedding.kind != "Embedding":
        raise InputError(f"the atoms are embedded by {_name(embedding)}, which is not read")
    basis, cutoff = part(representation, "radial_basis"), part(representation, "cutoff_fn")
    if basis.kind not in _BASES:
        raise InputError(
            f"the radial functions are {_name(basis)}; {' and '.join(_BASES)} are read"
        )
    if cutoff.kind != "CosineCutoff":
        raise InputError(f"the cutoff is {_name(cutoff)}; CosineCutoff is read")
    table = array(embedding, "weight", 2)[: MAX_ATOMIC_NUMBER + 1]
    if _BASES[basis.kind] == "gaussian":
        radial = {name: array(basis, name, 1) for name in ("offsets", "widths")}
        if np.any(radial["widths"] == 0):
            raise InputError("a radial function of the file has no width")
    else:
        radial = {"frequencies": array(basis, "freqs", 1)}
    hidden = [linear(layer) for layer in layers[:-1]]
    fields = {
        "width": table.shape[-1],
        "radial": next(iter(radial.values())).size,
        "basis": _BASES[basis.kind],
        "cutoff": float(array(cutoff, "cutoff").reshape(-1)[0]),
        "activation": _one_activation(layers[:-1]),
        "hidden": tuple(layer["weight"].shape[1] for layer in hidden),
        "embeddings": len(table),
    }
    body: Parameters = {"embedding": table, "radial": radial}
    if hidden:
        body["output"] = {str(n): layer for n, layer in enumerate(hidden)}
    return fields, body


def _painn(representation: Record, common: dict[str, Any]) -> tuple[PaiNN, Parameters]:
    rounds = in_order(part(representation, "interactions"))
    mixing = in_order(part(representation, "mixing"))
    if len(rounds) != len(mixing):
        raise InputError(
            f"the network has {len(rounds)} rounds of messages and {len(mixing)} of mixing"
        )
    filters = part(representation, "filter_net")
    if _function(filters.get("activation")) != _IDENTITY:
        raise InputError(f"the filters end with {_function(filters.get('activation'))}")
    arrays: Parameters = {"filters": linear(filters)}
    inner: list[Record] = []
    for n, (message, mix) in enumerate(zip(rounds, mixing, strict=True)):
        first, second = _two_layers(part(message, "interatomic_context_net"))
        arrays[f"message_{n}"] = {"first": linear(first), "second": linear(second)}
        inner.append(first)
        first, second = _two_layers(part(mix, "intraatomic_context_net"))
        vectors = linear(part(mix, "mu_channel_mix"))
        arrays[f"mixing_{n}"] = {
            "first": linear(first),
            "second": linear(second),
            "vectors": vectors,
        }
        inner.append(first)
    epsilons = {_number(mix, "epsilon", 1e-8) for mix in mixing}
    fields = common | {
        "activation": _only_activation(inner, common),
        "iterations": len(rounds),
        "shared_filters": bool(representation.get("share_filters")),
        "epsilon": epsilons.pop() if len(epsilons) == 1 else 0.0,  # as none: it is refused
    }
    return PaiNN(**fields), arrays


def _schnet(representation: Record, common: dict[str, Any]) -> tuple[SchNet, Parameters]:
    rounds = in_order(part(representation, "interactions"))
    arrays: Parameters = {}
    inner: list[Record] = []
    for n, message in enumerate(rounds):
        filters = _two_layers(part(message, "filter_network"))
        outward = _two_layers(part(message, "f2out"))
        inner += [filters[0], outward[0]]
        arrays[f"message_{n}"] = {
            "filter_first": linear(filters[0]),
            "filter_second": linear(filters[1]),
            "inward": linear(part(message, "in2f")),
            "outward_first": linear(outward[0]),
            "outward_second": linear(outward[1]),
        }
    fields = common | {
        "activation": _only_activation(inner, common),
        "iterations": len(rounds),
        "filters": arrays["message_0"]["inward"]["weight"].shape[1] if rounds else 0,
    }
    return SchNet(**fields), arrays


def _only_activation(inner: list[Record], common: dict[str, Any]) -> str:
    """The activation of these layers and those of the output; InputError if they differ."""
    if not inner:
        raise InputError("the network has no rounds of messages")
    used = {_one_activation([layer]) for layer in inner}
    if common["hidden"]:
        used.add(common["activation"])
    if len(used) != 1:
        raise InputError(f"the network has different activations, {sorted(used)}; one is read")
    return used.pop()


# Records. -----------------------------------------------------------------------------------------


def part(record: Record, name: str) -> Record:
    """A module within another; InputError if there is none."""
    found = record.get(name)
    if not isinstance(found, Record):
        raise InputError(f"{_name(record)} of the file has no part {name!r}")
    return found


def in_order(record: Record) -> list[Record]:
    """The modules of a list or a sequence."""
    found = list(record.parts().values())
    if not all(isinstance(one, Record) for one in found):
        raise InputError(f"{_name(record)} of the file has parts that are no modules")
    return found


def only(record: Record, kinds: set[str], where: str) -> None:
    """InputError for a module of another kind."""
    for one in in_order(record):
        if one.kind not in kinds:
            raise InputError(f"the file has {_name(one)} {where}, which is not read")


def array(record: Record, name: str, dimensions: int | None = None) -> Float[np.ndarray, "..."]:
    """Numbers of a module, in the precision that they have; InputError if there are none.

    Or if they have not so many dimensions as are asked for.
    """
    found = record.get(name)
    values = found.array() if isinstance(found, Tensor) else np.zeros(0)
    if not values.size or not np.issubdtype(values.dtype, np.floating):
        raise InputError(f"{_name(record)} of the file has no numbers {name!r}")
    if dimensions not in (None, values.ndim):
        raise InputError(
            f"the numbers {name!r} of {_name(record)} have the shape {values.shape}, which has not "
            f"{dimensions} dimensions"
        )
    if not np.isfinite(values).all():
        raise InputError(f"the numbers {name!r} of {_name(record)} are not all finite")
    return values.astype(np.float32) if values.dtype == np.float16 else values


def linear(record: Record) -> dict[str, np.ndarray]:
    """Weight as (inputs, outputs), and the bias where there is one."""
    weight = array(record, "weight", 2)
    found = {"weight": np.ascontiguousarray(weight.T)}
    return found if record.get("bias") is None else found | {"bias": array(record, "bias", 1)}


def _two_layers(record: Record) -> tuple[Record, Record]:
    """A layer with an activation and a linear one behind it."""
    found = in_order(record)
    if len(found) != 2 or _function(found[1].get("activation")) != _IDENTITY:
        raise InputError(f"{_name(record)} of the file is not two layers, the second one linear")
    return found[0], found[1]


def _one_activation(layers: list[Record]) -> str:
    """What is between these layers; InputError for an unknown one, or several."""
    found = {_function(layer.get("activation")) for layer in layers}
    if not found:
        return "silu"  # none is needed
    unknown = sorted(found - set(_ACTIVATIONS))
    if unknown or len({_ACTIVATIONS[one] for one in found}) > 1:
        raise InputError(
            f"the activations of the file are {', '.join(sorted(found))}; one of silu and "
            "shifted_softplus is read"
        )
    return _ACTIVATIONS[found.pop()]


def _function(value: Any) -> str:
    return value.name if isinstance(value, (Named, Record)) else reprlib.repr(value)


def _word(record: Record, attribute: str) -> str:
    """An attribute that is a word; anything else as it may be shown."""
    value = record.get(attribute)
    return value[:100] if isinstance(value, str) else reprlib.repr(value)


def _number(record: Record, attribute: str, default: float) -> float:
    """An attribute that is a number; 0 for anything else."""
    value = record.get(attribute, default)
    return value if isinstance(value, float) else 0.0


def _name(record: Record) -> str:
    return record.name[:100]


# Another head in the file. ----------------------------------------------------------------------

Numbers = dict[str, bytes | memoryview]
"""Content of the entries of an archive by their names."""
_DAY = (1980, 1, 1, 0, 0, 0)  # of every entry, as torch has it


def with_head(
    data: bytes,
    source: str,
    head: Float[np.ndarray, " features"],
    change: Float[np.ndarray, " elements"],
) -> tuple[bytes, bool]:
    """The file with another head.

    Args:
        data: the file.
        source: what it is called, for sentences.
        head: in the file's unit.
        change: what is added to the constants by atomic number, in the file's unit.

    Returns:
        The new file, and whether it holds the constants: without energies of single atoms in it
        they stay what they were.
    """
    model = inert.load_bytes(data, source)
    archive = Archive.of(data, source)
    numbers: Numbers = {name: archive.read(name) for name in archive.entries}
    _write(numbers, last_layer(model), "weight", head[None])
    references = _references(model)
    if references is not None:
        known = references.get("atomref").array()
        count = min(known.size, len(change))
        flat = known.reshape(-1).astype(np.float64)
        flat[:count] += change[:count]
        _write(numbers, references, "atomref", flat.reshape(known.shape))
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as out:
        for name, content in numbers.items():
            out.writestr(zipfile.ZipInfo(name, _DAY), bytes(content))
    return stream.getvalue(), references is not None


def _references(model: Record) -> Record | None:
    """What adds the energies of single atoms, where something does."""
    return next(
        (one for one in in_order(part(model, "postprocessors"))
         if one.kind == "AddOffsets" and one.get("add_atomrefs")
         and model.get("do_postprocessing", True) is not False),
        None,
    )  # fmt: skip


def _write(numbers: Numbers, record: Record, name: str, values: np.ndarray) -> None:
    """Puts the values where the numbers of a tensor lie."""
    tensor = record.get(name)
    if not isinstance(tensor, Tensor) or tensor.shape != values.shape:
        raise InputError(f"the file has no numbers {name!r} of the shape {values.shape}")
    entry, kind = tensor.storage.entry, DTYPES[tensor.storage.kind]
    flat = np.frombuffer(numbers[entry], kind).copy()
    strides = tuple(stride * flat.itemsize for stride in tensor.strides)
    place = np.lib.stride_tricks.as_strided(flat[tensor.offset :], tensor.shape, strides)
    place[...] = values
    numbers[entry] = flat.tobytes()
