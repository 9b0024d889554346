"""A trained force field: a body, a linear head, and where both come from."""

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

import jax
import numpy as np
from jaxtyping import Float, Integer

from fisherdash.errors import InputError
from fisherdash.model import MAX_ATOMIC_NUMBER, Body, ModelConfig, body_shapes


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """A body with a head, and where they come from.

    Attributes:
        config: hyperparameters of the network.
        body: nested dict of float32 arrays, named as E3x and flax name them.
        head: θ, shape (num_descriptors,), float64, in eV: U = θ·D + Σ_i element_bias[Z_i].
        element_bias: shape (119,), float64, eV; the energy reference is in it.
        elements: atomic numbers that the training data contained.
        name: what the user sees.
        provenance: JSON-able: data fingerprint, settings, seed, versions, errors, parent.
        head_covariance: posterior of θ in eV², shape (num_descriptors, num_descriptors), where a
            re-fit left one; it gives forces their error bars and changes no force.
    """

    config: ModelConfig
    body: Body
    head: Float[np.ndarray, " descriptors"]
    element_bias: Float[np.ndarray, " elements"]
    elements: tuple[int, ...]
    name: str = "model"
    provenance: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    head_covariance: Float[np.ndarray, "descriptors descriptors"] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "head", np.asarray(self.head, np.float64))
        object.__setattr__(self, "element_bias", np.asarray(self.element_bias, np.float64))
        object.__setattr__(self, "elements", tuple(int(z) for z in self.elements))
        _check_arrays(self.config, self.body, self.head, self.element_bias, self.head_covariance)
        if not self.elements or not all(1 <= z <= MAX_ATOMIC_NUMBER for z in self.elements):
            raise InputError(
                f"a checkpoint needs elements with atomic numbers from 1 to {MAX_ATOMIC_NUMBER}, "
                f"received {self.elements}"
            )

    @property
    def num_parameters(self) -> int:
        """Number of trainable numbers: the body, the head and a bias per known element."""
        body = sum(leaf.size for leaf in jax.tree.leaves(self.body))
        return int(body + self.head.size + self.element_bias.size)

    @property
    def fingerprint(self) -> str:
        """Hex digest of everything that determines energies and forces."""
        digest = hashlib.sha256(json.dumps(self.config.to_json(), sort_keys=True).encode())
        arrays = flat_arrays(self)
        arrays.pop("head_covariance", None)  # it changes no energy and no force
        for key, array in sorted(arrays.items()):
            digest.update(key.encode() + np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()[:16]

    def check_elements(self, atomic_numbers: Integer[np.ndarray, " atoms"]) -> None:
        """Raises InputError if the molecule has an element that the training data had not."""
        unknown = sorted(set(map(int, atomic_numbers)) - set(self.elements))
        if unknown:
            raise InputError(
                f"the molecule contains elements {unknown} (atomic numbers) that the model "
                f"'{self.name}' was never trained on; it knows {list(self.elements)}"
            )
        headless = sorted(set(map(int, atomic_numbers)) - set(self.config.head_elements))
        if self.config.head_elements and headless:
            raise InputError(
                f"the molecule contains elements {headless} (atomic numbers) for which "
                f"'{self.name}' has no head; it has heads for {list(self.config.head_elements)}"
            )

    def constant(self, atomic_numbers: Integer[np.ndarray, " atoms"]) -> float:
        """The part of the energy that does not depend on positions, in eV."""
        return float(self.element_bias[np.asarray(atomic_numbers)].sum())

    def by_element(self, elements: Iterable[int]) -> "Checkpoint":
        """The same energies and forces, written with a head for each of these elements.

        A shared head is repeated; heads that the checkpoint has are taken over.

        Raises:
            InputError: if it has heads by element, but none for one of these.
        """
        wanted = tuple(sorted({int(z) for z in elements}))
        if wanted == self.config.head_elements:
            return self
        rows = self.head.reshape(-1, self.config.features)
        if self.config.head_elements:
            self.check_elements(np.array(wanted))
            chosen = [self.config.head_elements.index(z) for z in wanted]
        else:
            chosen = [0] * len(wanted)
        return dataclasses.replace(
            self,
            config=dataclasses.replace(self.config, head_elements=wanted),
            head=rows[chosen].ravel(),
            head_covariance=None,
        )

    def with_head(
        self,
        head: Float[np.ndarray, " descriptors"],
        element_bias: Float[np.ndarray, " elements"],
        name: str,
        provenance: Mapping[str, Any],
        covariance: Float[np.ndarray, "descriptors descriptors"] | None = None,
    ) -> "Checkpoint":
        """The same body under another head; the parent is written into the provenance."""
        return dataclasses.replace(
            self,
            head=head,
            head_covariance=covariance,
            element_bias=element_bias,
            name=name,
            provenance={**provenance, "parent": self.name, "parent_fingerprint": self.fingerprint},
        )


def energy_reference(
    mean_energy: float, atomic_numbers: Integer[np.ndarray, " atoms"]
) -> Float[np.ndarray, " elements"]:
    """Element biases (119,) in eV whose sum over the molecule is ``mean_energy``.

    One composition does not determine the biases; the smallest ones that do it are taken, so that
    they are proportional to the number of atoms of each element.
    """
    counts = np.bincount(np.asarray(atomic_numbers), minlength=MAX_ATOMIC_NUMBER + 1).astype(float)
    return mean_energy * counts / np.dot(counts, counts)


def flat_arrays(checkpoint: Checkpoint) -> dict[str, np.ndarray]:
    """All arrays by the names that they have in the file, the body's under ``body/…``."""
    leaves = jax.tree_util.tree_flatten_with_path(checkpoint.body)[0]
    arrays = {"body/" + "/".join(k.key for k in path): np.asarray(leaf) for path, leaf in leaves}
    arrays |= {"head": checkpoint.head, "element_bias": checkpoint.element_bias}
    if checkpoint.head_covariance is not None:
        arrays["head_covariance"] = checkpoint.head_covariance
    return arrays


def _check_arrays(
    config: ModelConfig,
    body: Body,
    head: np.ndarray,
    element_bias: np.ndarray,
    covariance: np.ndarray | None,
) -> None:
    expected = _paths(body_shapes(config))
    received = _paths(body)
    if set(expected) != set(received):
        missing = sorted(set(expected) - set(received))
        unknown = sorted(set(received) - set(expected))
        raise InputError(
            "the weights do not fit the configuration: "
            f"missing {missing[:3] or 'none'}, unknown {unknown[:3] or 'none'}"
        )
    size = config.num_descriptors
    expected["head"], received["head"] = np.empty(size), head
    if covariance is not None:
        expected["head_covariance"] = np.empty((size, size))
        received["head_covariance"] = covariance
    expected["element_bias"] = np.empty(MAX_ATOMIC_NUMBER + 1)
    received["element_bias"] = element_bias
    for key, array in received.items():
        if array.shape != expected[key].shape:
            raise InputError(
                f"the array {key} must have the shape {expected[key].shape} for this "
                f"configuration, received {array.shape}"
            )
        if not np.issubdtype(array.dtype, np.floating) or not np.isfinite(array).all():
            raise InputError(f"the array {key} must hold finite floating-point numbers")


def _paths(tree: Any) -> dict[str, Any]:
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    return {"/".join(str(k.key) for k in path): leaf for path, leaf in leaves}
