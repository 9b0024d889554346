"""A trained force field: a potential, a head on it, and where both come from.

On disk it is one safetensors file, in which nothing can run. The header holds JSON (configuration,
element set, units, provenance), the payload the arrays: the weights of the body under ``body/…``,
the head θ (with its covariance where a re-fit left one, and principal directions where its form has
any) and the element biases. Reading checks every key, shape and value against the configuration
before anything is used.

It is the one place that knows all kinds of potentials by their names.
"""

import dataclasses
import hashlib
import json
import os
import reprlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final, get_args

import jax
import jax.numpy as jnp
import numpy as np
import safetensors
import safetensors.numpy
from ase.data import chemical_symbols
from jaxtyping import Float, Integer

from fisherdash import __version__, storage
from fisherdash.errors import InputError
from fisherdash.potentials.ani import Ani
from fisherdash.potentials.calculated import Calculated
from fisherdash.potentials.e3x import E3x
from fisherdash.potentials.head import SHARED, Basis, Head, HeadForm, rewritten
from fisherdash.potentials.origin import read_name, read_provenance, writable, writable_name
from fisherdash.potentials.potential import Parameters, Potential, Trainable, as_precision
from fisherdash.potentials.schnetpack import PaiNN, SchNet
from fisherdash.potentials.worker import Outside
from fisherdash.settings import MAX_ATOMIC_NUMBER, ModelConfig
from fisherdash.settings.data import OutsideFamily
from fisherdash.text import joined

DEFAULT_FAMILY: Final = "e3x"
"""The family of files that name none."""

FAMILIES: Final[Mapping[str, Callable[[Any], Potential]]] = {
    E3x.family: lambda fields: E3x(ModelConfig.from_json(fields)),
    PaiNN.family: PaiNN.from_json,
    SchNet.family: SchNet.from_json,
    Ani.family: Ani.from_json,
    Calculated.family: Calculated.from_json,
    **{family: Outside.reader(family) for family in get_args(OutsideFamily)},
}
"""Name → what makes the potential of the fields in a file."""


def potential_of(family: str, fields: Any) -> Potential:
    """The potential whose ``to_json`` gave these fields; InputError for others."""
    if not isinstance(family, str) or family not in FAMILIES:
        raise InputError(
            f"the family of a potential is one of {', '.join(map(repr, FAMILIES))}, received "
            f"{family!r:.60}"
        )
    return FAMILIES[family](fields)


def trainable(config: ModelConfig) -> Trainable:
    """The network that a training of this configuration learns."""
    return E3x(config)


_OPTIONAL = ("head_covariance", "head_basis")
"""Arrays that not every file has."""


def _symbols(numbers: Iterable[int]) -> str:
    return joined(chemical_symbols[z] for z in numbers)


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """A body with a head, and where they come from.

    Attributes:
        potential: everything about the body that is not an array.
        body: the potential's parameters, a nested dict of float32 arrays.
        head: weights θ of the descriptors φ of ``form``, float64, in eV: U = U₀ + θ·φ +
            Σ_i element_bias[Z_i].
        element_bias: shape (119,), float64, eV; the energy reference is in it.
        elements: atomic numbers that the training data contained.
        name: what the user sees.
        provenance: JSON-able: data fingerprint, settings, seed, versions, errors, parent.
        head_covariance: posterior of θ in eV², a square matrix, where a re-fit left one; it gives
            forces their error bars and changes no force.
        form: of the head.
        head_basis: the principal directions of a form with reduced features, (features, r).
    """

    potential: Potential
    body: Parameters
    head: Float[np.ndarray, " descriptors"]
    element_bias: Float[np.ndarray, " elements"]
    elements: tuple[int, ...]
    name: str = "model"
    provenance: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    head_covariance: Float[np.ndarray, "descriptors descriptors"] | None = None
    form: HeadForm = SHARED
    head_basis: Basis = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "head", np.asarray(self.head, np.float64))
        object.__setattr__(self, "element_bias", np.asarray(self.element_bias, np.float64))
        if self.head_basis is not None:
            object.__setattr__(self, "head_basis", np.asarray(self.head_basis, np.float64))
        object.__setattr__(self, "elements", tuple(int(z) for z in self.elements))
        self.form.check_basis(self.head_basis, self.potential.num_features)
        _check_arrays(self)
        if not self.elements or not set(self.elements) <= set(self.potential.elements):
            raise InputError(
                f"a checkpoint needs elements with atomic numbers from 1 to {MAX_ATOMIC_NUMBER} "
                f"that its potential knows, received {self.elements}"
            )

    @property
    def num_parameters(self) -> int:
        """Number of trainable numbers: the body, the head and a bias per known element."""
        body = sum(leaf.size for leaf in jax.tree.leaves(self.body))
        return int(body + self.head.size + self.element_bias.size)

    def check_head(self) -> None:
        """Raises InputError if there is no head to re-fit."""
        if getattr(self.potential, "headless", False):
            raise InputError(
                f"{self.name!r} has no last layer to re-fit: a calculator computes its energies; "
                "it can be simulated and compared"
            )

    @property
    def fingerprint(self) -> str:
        """Hex digest of everything that determines energies and forces."""
        digest = hashlib.sha256(json.dumps(_description(self), sort_keys=True).encode())
        arrays = _flat_arrays(self)
        arrays.pop("head_covariance", None)  # it changes no energy and no force
        for key, array in sorted(arrays.items()):
            digest.update(key.encode() + array.tobytes())
        return digest.hexdigest()[:16]

    def check_elements(self, atomic_numbers: Integer[np.ndarray, " atoms"]) -> None:
        """Raises InputError if the molecule has an element that the training data had not."""
        unknown = sorted(set(map(int, atomic_numbers)) - set(self.elements))
        if unknown:
            raise InputError(
                f"the molecule contains {_symbols(unknown)}, which the model '{self.name}' was "
                f"never trained on; it knows {_symbols(self.elements)}"
            )
        headless = sorted(set(map(int, atomic_numbers)) - set(self.form.elements))
        if self.form.elements and headless:
            raise InputError(
                f"the molecule contains {_symbols(headless)}, for which '{self.name}' has no head; "
                f"it has heads for {_symbols(self.form.elements)}"
            )

    def constant(self, atomic_numbers: Integer[np.ndarray, " atoms"]) -> float:
        """The part of the energy that does not depend on positions, in eV."""
        return float(self.element_bias[np.asarray(atomic_numbers)].sum())

    def in_form(self, form: HeadForm, basis: Basis = None) -> "Checkpoint":
        """The same energies and forces, written with a head of a form that covers this one.

        A shared head is repeated for every element; a linear one is given products with zeros.

        Raises:
            InputError: if the form needs weights of an element that has none, or is a narrower one.
        """
        if form == self.form and np.array_equal(basis, self.head_basis):  # pyright: ignore
            return self
        if self.form.elements:
            self.check_elements(np.array(form.elements))
        features = self.potential.num_features
        head = rewritten(self.head, self.form, self.head_basis, form, basis, features)
        return dataclasses.replace(
            self, form=form, head=head, head_basis=basis, head_covariance=None
        )

    def by_element(self, elements: Iterable[int]) -> "Checkpoint":
        """:meth:`in_form` with a linear head for each of these elements."""
        return self.in_form(HeadForm("by element", tuple(sorted({int(z) for z in elements}))))

    def on_device(self, precision: str | None = None) -> tuple[Parameters, Head]:
        """Body and head as :mod:`fisherdash.potentials.head` takes them.

        Args:
            precision: of the body, "float32" or "float64"; None for that of its arrays. The head
                and the sums over its descriptors are double precision in any case.
        """
        if precision is None:
            params = jax.tree.map(jnp.asarray, self.body)
        else:
            params = as_precision(self.potential, self.body, precision)
        features = self.potential.num_features
        head = Head.of(self.form, features, self.head, self.head_basis)
        return params, jax.tree.map(jnp.asarray, head)

    def with_head(
        self,
        head: Float[np.ndarray, " descriptors"],
        element_bias: Float[np.ndarray, " elements"],
        name: str,
        provenance: Mapping[str, Any],
        covariance: Float[np.ndarray, "descriptors descriptors"] | None = None,
    ) -> "Checkpoint":
        """The same body under another head; its provenance names this one as parent, or its own."""
        return dataclasses.replace(
            self,
            head=head,
            head_covariance=covariance,
            element_bias=element_bias,
            name=name,
            provenance={
                **{name: self.provenance[name] for name in FOREIGN if name in self.provenance},
                "parent": self.name,
                "parent_fingerprint": self.fingerprint,
                **provenance,
            },
        )


FOREIGN = ("library", "file", "file_sha256", "energy_unit", "precision")
"""Of the provenance of another program's model, what stays true under another head."""


def energy_reference(
    mean_energy: float, atomic_numbers: Integer[np.ndarray, " atoms"]
) -> Float[np.ndarray, " elements"]:
    """Element biases (119,) in eV whose sum over the molecule is ``mean_energy``.

    One composition does not determine the biases; the smallest ones that do it are taken, so that
    they are proportional to the number of atoms of each element.
    """
    counts = np.bincount(np.asarray(atomic_numbers), minlength=MAX_ATOMIC_NUMBER + 1).astype(float)
    return mean_energy * counts / np.dot(counts, counts)


def _flat_arrays(checkpoint: Checkpoint) -> dict[str, np.ndarray]:
    """All arrays by the names that they have in the file, the body's under ``body/…``."""
    arrays = {"body/" + path: np.asarray(leaf) for path, leaf in _paths(checkpoint.body).items()}
    arrays |= _head_arrays(checkpoint)
    # safetensors writes the bytes as they lie in memory, whatever the strides.
    return {name: np.ascontiguousarray(array) for name, array in arrays.items()}


def _head_arrays(checkpoint: Checkpoint) -> dict[str, np.ndarray]:
    arrays = {name: getattr(checkpoint, name) for name in ("head", "element_bias", *_OPTIONAL)}
    return {name: array for name, array in arrays.items() if array is not None}


def _description(checkpoint: Checkpoint) -> dict[str, Any]:
    """Potential and form as they stand in files; what files of old did not say is left out."""
    fields = checkpoint.potential.to_json()
    if checkpoint.potential.family != DEFAULT_FAMILY:
        fields["family"] = checkpoint.potential.family
    if checkpoint.form.kind == "quadratic":
        fields["head"] = checkpoint.form.to_json()
    elif checkpoint.form.elements:
        fields["head_elements"] = checkpoint.form.elements
    return fields


def _described(fields: Any) -> tuple[Potential, HeadForm]:
    """Inverse of :func:`_description`; raises InputError."""
    form = SHARED
    family = DEFAULT_FAMILY
    if isinstance(fields, dict):
        family = fields.pop("family", family)
        if "head" in fields:
            form = HeadForm.from_json(fields.pop("head"))
        elif (elements := fields.pop("head_elements", [])) != []:
            form = HeadForm("by element", elements)
    return potential_of(family, fields), form


def _check_arrays(checkpoint: Checkpoint) -> None:
    expected = _paths(checkpoint.potential.shapes())
    received = _paths(checkpoint.body)
    if set(expected) != set(received):
        missing = sorted(set(expected) - set(received))
        unknown = sorted(set(received) - set(expected))
        raise InputError(
            "the weights do not fit the configuration: "
            f"missing {missing[:3] or 'none'}, unknown {unknown[:3] or 'none'}"
        )
    features = checkpoint.potential.num_features
    size = checkpoint.form.size(features)
    shapes = {key: leaf.shape for key, leaf in expected.items()} | {
        "head": (size,),
        "head_covariance": (size, size),
        "head_basis": (features, checkpoint.form.reduce),
        "element_bias": (MAX_ATOMIC_NUMBER + 1,),
    }
    for key, array in (received | _head_arrays(checkpoint)).items():
        if array.shape != shapes[key]:
            raise InputError(
                f"the array {key} must have the shape {shapes[key]} for this "
                f"configuration, received {array.shape}"
            )
        if not np.issubdtype(array.dtype, np.floating) or not np.isfinite(array).all():
            raise InputError(f"the array {key} must hold finite floating-point numbers")


def _paths(tree: Any) -> dict[str, Any]:
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    return {"/".join(str(k.key) for k in path): leaf for path, leaf in leaves}


FORMAT = "fisherdash-checkpoint"
FORMAT_VERSION = 1
UNITS = {"length": "angstrom", "energy": "eV"}
MAX_BYTES = 200_000_000
LONGEST_HEADER = 2_000_000
"""Bytes; a model of hundreds of arrays has some 100,000."""
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
        "name": writable_name(checkpoint.name),
        "config": json.dumps(_description(checkpoint)),
        "elements": json.dumps(checkpoint.elements),
        "units": json.dumps(UNITS),
        "provenance": json.dumps(writable(checkpoint.provenance)),
    }
    data = safetensors.numpy.save(_sketched(_flat_arrays(checkpoint)), metadata)
    with storage.replacing(path) as part:
        part.write_bytes(data)


WHOLE_COVARIANCE = 512
"""Weights up to which a file holds the covariance of the head itself, 2 MB."""
SKETCH = 40
"""Columns that stand for the covariance of larger heads in a file."""
MOST_COVARIANCE = 4096
"""Weights beyond which a file holds none."""


def _sketched(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The arrays of a file, the covariance Σ = LLᵀ of many weights as S = LR/√k.

    R holds k = SKETCH columns of random signs, so that gᵀSSᵀg is gᵀΣg with a standard error of
    √(2/k), and an error bar of a force is off by 11 % (W. B. Johnson and J. Lindenstrauss, Contemp.
    Math. 26, 189 (1984)). Σ itself would take tens of megabytes.
    """
    covariance = arrays.get("head_covariance")
    if covariance is None or len(covariance) <= WHOLE_COVARIANCE:
        return arrays
    arrays = {name: array for name, array in arrays.items() if name != "head_covariance"}
    if len(covariance) <= MOST_COVARIANCE:
        values, vectors = np.linalg.eigh(covariance)
        signs = np.random.default_rng(0).choice([-1.0, 1.0], size=(len(values), SKETCH))
        root = vectors * np.sqrt(np.maximum(values, 0.0))
        arrays["head_covariance_root"] = root @ signs / np.sqrt(SKETCH)
    return arrays


def _covariance(root: np.ndarray | None, head: np.ndarray, source: str) -> np.ndarray | None:
    """SSᵀ of the sketch in a file; raises InputError for one of another shape."""
    if root is None:
        return None
    shape = (len(head), SKETCH)
    if root.shape != shape or len(head) > MOST_COVARIANCE or root.dtype != np.float64:
        raise InputError(
            f"head_covariance_root of {source} must have the shape {shape} and double precision, "
            f"received {root.shape} of {root.dtype}"
        )
    return root @ root.T


def load(path: str | os.PathLike[str]) -> Checkpoint:
    """Reads a checkpoint; raises InputError for a file that is not a sound one."""
    path = Path(path)
    try:
        _check_size(path.stat().st_size, path.name)
        data = storage.content(path, MAX_BYTES)
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
    _check_header(data, source)
    try:
        arrays = safetensors.numpy.load(data)
        metadata = _metadata(data)
    except (safetensors.SafetensorError, ValueError, KeyError, AttributeError) as error:
        raise InputError(
            f"{source} is not a FisherDash checkpoint: it is not a readable safetensors file"
        ) from error
    _check_format(metadata, source)
    potential, form, elements, provenance = _header(metadata, source)
    head = _head(arrays, source)
    return Checkpoint(
        potential,
        _nested(arrays),
        elements=elements,
        name=read_name(metadata.get("name", "model"), source),
        provenance=provenance,
        form=form,
        **head,
    )


def _check_format(metadata: Mapping[str, str], source: str) -> None:
    """InputError for the header of another kind of file, of a newer version, or an endless one."""
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


def _header(
    metadata: Mapping[str, str], source: str
) -> tuple[Potential, HeadForm, tuple[int, ...], dict[str, Any]]:
    """Potential, form, elements and provenance; raises InputError."""
    try:
        potential, form = _described(json.loads(metadata["config"]))
        elements = tuple(json.loads(metadata["elements"]))
        units = json.loads(metadata["units"])
        provenance = read_provenance(metadata["provenance"], source)
    except InputError:
        raise
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise InputError(f"the header of {source} is damaged: {error!s:.200}") from error
    if not all(type(z) is int for z in elements) or units != UNITS:
        raise InputError(
            f"the header of {source} is damaged: elements {elements!r:.60}, units {units!r:.60}; "
            f"units must be {UNITS}"
        )
    return potential, form, elements, provenance


def _head(arrays: dict[str, np.ndarray], source: str) -> dict[str, Any]:
    """Takes the arrays of the head out of a file's; InputError where one is missing or integer."""
    try:
        head, element_bias = arrays.pop("head"), arrays.pop("element_bias")
    except KeyError as error:
        raise InputError(f"{source} lacks the array {error}") from error
    if not all(np.issubdtype(array.dtype, np.floating) for array in (head, element_bias)):
        raise InputError(
            f"head and element_bias of {source} must hold floating-point numbers, "
            f"received {head.dtype} and {element_bias.dtype}"
        )
    root = arrays.pop("head_covariance_root", None)
    optional = {name: arrays.pop(name, None) for name in _OPTIONAL}
    if optional["head_covariance"] is None:
        optional["head_covariance"] = _covariance(root, head, source)
    return {"head": head, "element_bias": element_bias, **optional}


def _check_size(size: int, source: str) -> None:
    if size > MAX_BYTES:
        raise InputError(f"{source} has {size} bytes; a checkpoint has at most {MAX_BYTES}")


def _check_header(data: bytes, source: str) -> None:
    """InputError for a header longer than any model's: it takes a multiple of that in memory."""
    length = int.from_bytes(data[:8], "little")
    if LONGEST_HEADER < length < len(data):
        raise InputError(
            f"the header of {source} is damaged: it has {length:,} bytes, of which a model needs "
            f"at most {LONGEST_HEADER:,}"
        )


def _metadata(data: bytes) -> dict[str, str]:
    length = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + length]).get("__metadata__", {})


def _nested(arrays: Mapping[str, np.ndarray]) -> Parameters:
    body: dict[str, Any] = {}
    for key, array in arrays.items():
        *path, last = key.removeprefix("body/").split("/")
        node = body
        for part in path:
            node = node.setdefault(part, {})
            if not isinstance(node, dict):
                raise InputError(f"the array name {key!r} of the checkpoint contradicts another")
        node[last] = array
    return body
