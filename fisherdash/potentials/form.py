"""The form of a head: which descriptors of the per-atom features its weights multiply.

With h_i the features of atom i (length F) and y_i = Vᵀh_i their r principal directions (all of
them where V is None), the energy U = w·φ is linear in the weights w of every form:

    shared       φ = Σ_i h_i                                    F descriptors
    by element   φ = [Σ_{i of z} h_i for each element z]         E F
    quadratic    by element, and behind it
                 [Σ_{i of z} vech(y_i y_iᵀ) for each element z]  E F + E r(r+1)/2

vech lists the entries on and above the diagonal row by row. Nothing here needs JAX.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from fisherdash.errors import InputError
from fisherdash.settings import MAX_ATOMIC_NUMBER

Kind = Literal["shared", "by element", "quadratic"]
KINDS: tuple[Kind, ...] = ("shared", "by element", "quadratic")
Basis = Float[np.ndarray, "features r"] | None
"""V, orthonormal columns; None where the features are taken as they are."""


@dataclasses.dataclass(frozen=True)
class HeadForm:
    """What fixes the shape of a head, beside the number of features.

    Attributes:
        kind: "shared", "by element" or "quadratic".
        elements: atomic numbers that have weights of their own, rising; empty for "shared".
        reduce: number r of principal directions in the products; 0 takes all features.
    """

    kind: Kind = "shared"
    elements: tuple[int, ...] = ()
    reduce: int = 0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise InputError(f"the form of a head is one of {KINDS}, received {self.kind!r}")
        object.__setattr__(self, "elements", _elements(self.elements))
        if bool(self.elements) == (self.kind == "shared"):
            raise InputError(
                f"a head of the form {self.kind!r} has "
                f"{'no elements' if self.kind == 'shared' else 'elements'} of its own, received "
                f"{self.elements}"
            )
        whole = type(self.reduce) is int and self.reduce >= 0
        if not whole or (self.reduce and self.kind != "quadratic"):
            raise InputError(
                "only a quadratic head has reduced features, a whole number of them; received "
                f"{self.reduce!r} for {self.kind!r}"
            )

    def linear(self, features: int) -> int:
        """Number of the weights that multiply features themselves; they come first."""
        return features * max(1, len(self.elements))

    def directions(self, features: int) -> int:
        """r, the length of y; 0 where the head has no products."""
        return (self.reduce or features) if self.kind == "quadratic" else 0

    def size(self, features: int) -> int:
        """Number of weights."""
        r = self.directions(features)
        return self.linear(features) + len(self.elements) * r * (r + 1) // 2

    def check_basis(self, basis: Basis, features: int) -> None:
        """Raises InputError unless these are the principal directions that the form needs."""
        shape = (features, self.reduce) if self.reduce else None
        received = None if basis is None else np.shape(basis)
        if received != shape:
            raise InputError(
                f"a head of this form needs principal directions of the shape {shape}, received "
                f"{received}"
            )

    def covering(self, other: "HeadForm") -> "HeadForm":
        """The narrowest form in which heads of both can be written, reduced features apart."""
        kind = KINDS[max(KINDS.index(self.kind), KINDS.index(other.kind))]
        return HeadForm(kind, tuple(sorted({*self.elements, *other.elements})))

    def to_json(self) -> dict[str, Any]:
        """The fields as a JSON-able dict."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, fields: Any) -> "HeadForm":
        """Inverse of :meth:`to_json`; raises InputError for missing or unknown fields."""
        names = {field.name for field in dataclasses.fields(cls)}
        if not isinstance(fields, dict) or set(fields) != names:
            received = sorted(fields) if isinstance(fields, dict) else fields
            raise InputError(f"the form of a head has the fields {sorted(names)}, not {received!r}")
        return cls(**fields)


def rewritten(
    weights: Float[np.ndarray, " p"],
    form: HeadForm,
    basis: Basis,
    wanted: HeadForm,
    wanted_basis: Basis,
    features: int,
) -> Float[np.ndarray, " q"]:
    """The weights of the same energy in a form that covers the one they are in.

    Raises:
        InputError: for an element that has no weights, or a form that cannot hold the energy.
    """
    wanted.check_basis(wanted_basis, features)
    narrower = KINDS.index(wanted.kind) < KINDS.index(form.kind)
    missing = sorted(set(wanted.elements) - set(form.elements)) if form.elements else []
    if narrower or missing:
        raise InputError(
            f"a head of the form {form.kind!r} for the elements {list(form.elements)} cannot be "
            f"written as {wanted.kind!r} for {list(wanted.elements)}"
        )
    count = form.linear(features)
    rows = [form.elements.index(z) if form.elements else 0 for z in wanted.elements] or [0]
    linear = weights[:count].reshape(-1, features)[rows].ravel()
    r = wanted.directions(features)
    if not r:
        return linear
    products = np.zeros((len(rows), r, r))
    if form.kind == "quadratic":
        change = _change(basis, wanted_basis, features)
        packed = weights[count:].reshape(len(form.elements), -1)[rows]
        matrices = matrices_of(packed, form.directions(features))
        products = np.einsum("ri,eij,sj->ers", change, matrices, change)
    i, j = np.triu_indices(r)
    return np.append(linear, (products[:, i, j] * np.where(i == j, 1.0, 2.0)).ravel())


def joint_basis(bases: Sequence[Basis], features: int) -> Basis:
    """Principal directions that span all of these; None where that is every feature."""
    if any(basis is None for basis in bases):
        return None
    first = bases[0]
    if all(np.array_equal(first, other) for other in bases):  # pyright: ignore
        return first
    directions, sizes, _ = np.linalg.svd(np.hstack(bases), full_matrices=False)  # pyright: ignore
    kept = directions[:, sizes > 1e-9 * sizes[0]]
    return None if kept.shape[1] == features else kept


def matrices_of(packed: Any, r: int) -> Any:
    """Symmetric Q, shape (…, r, r), with Σ w_ij y_i y_j = yᵀQy; NumPy and JAX arrays alike."""
    i, j = np.triu_indices(r)
    where = np.zeros((r, r), int)
    where[i, j] = where[j, i] = np.arange(len(i))
    return packed[..., where] * (0.5 + 0.5 * np.eye(r))


def _change(basis: Basis, wanted: Basis, features: int) -> Float[np.ndarray, "q r"]:
    """W with V = V'W: how directions are written in others that span them."""
    old = np.eye(features) if basis is None else basis
    new = np.eye(features) if wanted is None else wanted
    change = np.linalg.lstsq(new, old)[0]
    if not np.allclose(new @ change, old, rtol=0, atol=1e-9):
        raise InputError("the wanted principal directions do not span those of the head")
    return change


def _elements(value: Any) -> tuple[int, ...]:
    good = isinstance(value, (list, tuple)) and all(
        type(z) is int and 1 <= z <= MAX_ATOMIC_NUMBER for z in value
    )
    if not good or list(value) != sorted(set(value)):
        raise InputError(
            f"the elements of a head must be different atomic numbers in rising order, received "
            f"{value!r}"
        )
    return tuple(value)


SHARED = HeadForm()
"""The published report's: one weight a feature, the same for all atoms."""
