"""What a head makes of per-atom features: energies, forces, descriptors and their derivatives.

The head's part of the energy is U = w·φ(h). Products of features are formed in double precision:
they are few beside the network's numbers, and weights of both signs cancel in them. The constant of
the energy (element biases and the energy reference) is not here: it has no gradient, and adding
some thousand eV would only cost digits.

The form of a head says which descriptors of the per-atom features its weights multiply. With h_i
the features of atom i (length F) and y_i = Vᵀh_i their r principal directions (all of them where V
is None), the energy U = w·φ is linear in the weights w of every form:

    shared       φ = Σ_i h_i                                    F descriptors
    by element   φ = [Σ_{i of z} h_i for each element z]         E F
    quadratic    by element, and behind it
                 [Σ_{i of z} vech(y_i y_iᵀ) for each element z]  E F + E r(r+1)/2

vech lists the entries on and above the diagonal row by row.
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.custom_derivatives import SymbolicZero
from jaxtyping import Array, Bool, Float, Integer

from fisherdash.errors import InputError
from fisherdash.potentials.potential import EXACT, Neighbours, Parameters, Potential, rising

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
        object.__setattr__(self, "elements", rising(self.elements, "the elements of a head"))
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


SHARED = HeadForm()
"""The published report's: one weight a feature, the same for all atoms."""


Evaluation = tuple[Float[Array, " frames"], Float[Array, "frames atoms 3"]]
"""Energies (eV, without the constant) and forces (eV/Å)."""


class Head(NamedTuple):
    """Arrays of one head as energies need them, or, with an axis of frames, one for each frame.

    Attributes:
        linear: weights of the features, eV.
        quadratic: symmetric matrix of every element for the products, eV; None for linear heads.
        basis: V, the same for all frames; None where all features enter the products.
    """

    linear: Float[Array, "*frames linear"]
    quadratic: Float[Array, "*frames elements r r"] | None = None
    basis: Float[Array, "features r"] | None = None

    @classmethod
    def of(cls, form: HeadForm, features: int, weights: Any, basis: Any = None) -> "Head":
        """From weights w of a form, shape (…, p); arrays of NumPy or JAX."""
        count, r = form.linear(features), form.directions(features)
        if not r:
            return cls(weights)
        packed = weights[..., count:]
        packed = packed.reshape(*packed.shape[:-1], len(form.elements), -1)
        return cls(weights[..., :count], matrices_of(packed, r), basis)


@dataclasses.dataclass(frozen=True, eq=False)
class Descriptors:
    """φ as a function of per-atom features.

    Derivatives along a direction in space are pushed through the potential first, and then through
    φ. What is pushed through the potential are the ``carried`` numbers: sums over atoms where φ is
    linear, which are few, and the features of all atoms where it is not.

    Attributes:
        form: of the head.
        basis: V of a form with reduced features, else None.
        atomic_numbers: of the atoms.
    """

    form: HeadForm
    basis: Float[Array, "features r"] | None
    atomic_numbers: Integer[Array, " atoms"]

    def carried(self, features: Float[Array, "frames atoms features"]) -> Array:
        """The numbers whose derivatives :meth:`push` needs."""
        return features if self._quadratic else self.linear(features)

    def values(self, carried: Array) -> Float[Array, "frames p"]:
        """φ."""
        if not self._quadratic:
            return carried
        y = self._reduced(carried)
        return self._joined(self.linear(carried), self._products(y, y))

    def push(self, carried: Array, tangent: Array) -> Float[Array, "frames p"]:
        """∂φ along a direction, from the tangent of the carried numbers: ∂(hh') = h∂h' + ∂h h'."""
        if not self._quadratic:
            return tangent
        products = self._products(self._reduced(carried), self._reduced(tangent))
        return self._joined(self.linear(tangent), products + jnp.swapaxes(products, -1, -2))

    def twice_squares(self, tangent: Array) -> Float[Array, "frames p"]:
        """What first derivatives add to the second along a direction: 2 ∂h∂h' of the products.

        So ∂²φ = push(∂²h) + twice_squares(∂h), which is Δ(hh') = hΔh' + h'Δh + 2∇h·∇h' summed.
        """
        if not self._quadratic:
            return jnp.zeros_like(tangent)
        y = self._reduced(tangent)
        return self._joined(jnp.zeros_like(self.linear(tangent)), 2 * self._products(y, y))

    def linear(
        self, features: Float[Array, "frames atoms features"]
    ) -> Float[Array, "frames linear"]:
        """Σ_i h_i over all atoms, or over the atoms of each element in turn."""
        if not self.form.elements:
            return jnp.sum(features, axis=1)
        sums = jnp.einsum("ea,naf->nef", self._members(features.dtype), features, precision=EXACT)
        return sums.reshape(len(features), -1)

    def energies(self, head: Head, features: Array) -> Float[Array, " frames"]:
        """w·φ of every frame in eV, in the precision of the head."""
        dtype = head.linear.dtype
        energies = jnp.sum(self.linear(features).astype(dtype) * head.linear, axis=-1)
        if head.quadratic is None:
            return energies
        members = self._members(dtype)
        return energies + _quadratic_form(members, head.quadratic, self._reduced(features))

    @property
    def _quadratic(self) -> bool:
        return self.form.kind == "quadratic"

    def _members(self, dtype: Any) -> Float[Array, "elements atoms"]:
        elements = jnp.asarray(self.form.elements)
        return (jnp.asarray(self.atomic_numbers) == elements[:, None]).astype(dtype)

    def _reduced(self, features: Array) -> Float[Array, "frames atoms r"]:
        features = features.astype(jnp.float64)
        return features if self.basis is None else features @ self.basis

    def _products(self, y: Array, z: Array) -> Float[Array, "frames elements r r"]:
        """Σ_i y_i z_iᵀ over the atoms of each element."""
        frames, _, r = y.shape
        of_element = self._members(y.dtype)[:, None, :] * jnp.swapaxes(y, 1, 2)[:, None]
        flat = of_element.reshape(frames, -1, y.shape[1])
        return jnp.matmul(flat, z, precision=EXACT).reshape(frames, -1, r, r)

    def _joined(self, linear: Array, products: Array) -> Float[Array, "frames p"]:
        i, j = np.triu_indices(products.shape[-1])
        packed = products[..., i, j].reshape(len(products), -1)
        return jnp.concatenate([linear.astype(packed.dtype), packed], axis=1)


@jax.custom_jvp
def _quadratic_form(
    members: Float[Array, "elements atoms"],
    matrices: Float[Array, "*frames elements r r"],
    y: Float[Array, "frames atoms r"],
) -> Float[Array, " frames"]:
    """Σ_i y_iᵀ Q_z(i) y_i; its slope 2 Q y is at hand where the value is, at no price."""
    return jnp.sum(y * _applied(members, matrices, y), axis=(1, 2))


def _quadratic_form_jvp(primals: tuple[Array, ...], tangents: tuple[Any, ...]) -> Any:
    (members, matrices, y), (_, d_matrices, dy) = primals, tangents
    slope = _applied(members, matrices, y)
    change = jnp.zeros(len(y), y.dtype)
    if not isinstance(dy, SymbolicZero):
        change = change + 2 * jnp.sum(slope * dy, axis=(1, 2))
    if not isinstance(d_matrices, SymbolicZero):
        change = change + jnp.sum(y * _applied(members, d_matrices, y), axis=(1, 2))
    return jnp.sum(y * slope, axis=(1, 2)), change


_quadratic_form.defjvp(_quadratic_form_jvp, symbolic_zeros=True)


def _applied(
    members: Float[Array, "elements atoms"],
    matrices: Float[Array, "*frames elements r r"],
    y: Float[Array, "frames atoms r"],
) -> Float[Array, "frames atoms r"]:
    """Q_z(i) y_i of every atom, Q symmetric: one product for each element, most of it unused."""
    frames, atoms, r = y.shape
    stacked = matrices.reshape(*matrices.shape[:-3], -1, r)
    if matrices.ndim == 3:  # of all frames
        found = jnp.matmul(y.reshape(-1, r), stacked.T, precision=EXACT)
    else:
        found = jnp.matmul(y, jnp.swapaxes(stacked, 1, 2), precision=EXACT)
    found = found.reshape(frames, atoms, -1, r)
    return jnp.sum(found * members.T[None, :, :, None], axis=2)


def energy_and_forces(
    potential: Potential,
    form: HeadForm,
    params: Parameters,
    head: Head,
    atomic_numbers: Integer[Array, " atoms"],
    positions: Float[Array, "frames atoms 3"],
    wanted: Bool[Array, " frames"] | None = None,
) -> Evaluation:
    """Energies (eV, without the constant) and forces (eV/Å) of a batch of frames.

    Args:
        potential, params: what gives the features; the parameters' precision is the network's.
        form, head: one head for all frames or one for each, always one pass through the potential.
        atomic_numbers: of the atoms, the same in every frame.
        positions: in Å. Their precision is that of the forces, so that a double-precision
            integrator can drive a single-precision network.
        wanted: frames whose numbers will be used, all by default; those of the others are finite
            and mean nothing. With it there is no derivative of the result.

    Large batches are evaluated in blocks on a CPU, as few as hold what is wanted. Pure; meant to
    be jitted by the caller with ``potential`` and ``form`` static.
    """
    frames, atoms = positions.shape[:2]

    def block(head: Head, x: Array) -> Evaluation:
        """Frames that are evaluated together."""
        fixed = functools.partial(together, potential, form, params, head, atomic_numbers)
        return potential.with_neighbours(fixed, x)

    most = potential.frames_per_block(atoms)
    if jax.default_backend() != "cpu" or frames <= most:
        return block(head, positions)
    if wanted is not None:
        return _of_wanted(block, head, positions, wanted, most)

    def in_blocks(values: Array) -> Array:
        """Rows in blocks, the last one filled up with its last row."""
        shape = values.shape[1:]
        fill = jnp.broadcast_to(values[-1:], (-frames % most, *shape))
        return jnp.concatenate([values, fill]).reshape(-1, most, *shape)

    if head.linear.ndim == 1:  # one head for all
        e, f = jax.lax.map(lambda x: block(head, x), in_blocks(positions))
    else:
        of_frames = head._replace(basis=None)
        e, f = jax.lax.map(
            lambda inputs: block(inputs[0]._replace(basis=head.basis), inputs[1]),
            (jax.tree.map(in_blocks, of_frames), in_blocks(positions)),
        )
    return e.reshape(-1)[:frames], f.reshape(-1, *positions.shape[1:])[:frames]


def _of_wanted(
    block: Callable[[Head, Array], Evaluation],
    head: Head,
    positions: Float[Array, "frames atoms 3"],
    wanted: Bool[Array, " frames"],
    most: int,
) -> Evaluation:
    """The wanted frames in blocks of ``most``, one head for each; zero for frames of no block."""
    frames = len(positions)
    # Wanted ones first; what fills the last block is read from the last frame and written nowhere.
    order = jnp.argsort(~wanted, stable=True)
    order = jnp.concatenate([order, jnp.full(-frames % most, frames, order.dtype)])

    def one_block(index: Array, found: Evaluation) -> Evaluation:
        """Writes one block of wanted frames into what was found."""
        rows = jax.lax.dynamic_slice_in_dim(order, index * most, most)
        arrays = head._replace(basis=None), positions
        of_rows, x = jax.tree.map(lambda leaf: jnp.take(leaf, rows, 0, mode="clip"), arrays)
        energies, forces = block(of_rows._replace(basis=head.basis), x)
        every, of_every = found
        return every.at[rows].set(energies, mode="drop"), of_every.at[rows].set(forces, mode="drop")

    blocks = (jnp.sum(wanted) + most - 1) // most
    shapes = jax.eval_shape(block, head, positions)
    nothing = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
    return jax.lax.fori_loop(0, blocks, one_block, nothing)


def together(
    potential: Potential,
    form: HeadForm,
    params: Parameters,
    head: Head,
    atomic_numbers: Integer[Array, " atoms"],
    positions: Float[Array, "frames atoms 3"],
    neighbours: Neighbours,
) -> Evaluation:
    """Energies and forces of frames in one go, with these neighbours."""
    phi = Descriptors(form, head.basis, atomic_numbers)

    def total(x: Array) -> tuple[Array, Array]:
        """Sum of the energies, whose slope are minus the forces, and the energies."""
        per_atom = potential.features(params, atomic_numbers, x, neighbours=neighbours)
        energies = phi.energies(head, per_atom.features)
        if per_atom.fixed is not None:
            energies = energies + per_atom.fixed.astype(energies.dtype)
        return jnp.sum(energies), energies

    gradient, energies = jax.grad(total, has_aux=True)(positions)
    return energies, -gradient


evaluate = jax.jit(energy_and_forces, static_argnums=(0, 1))
"""Compiled :func:`energy_and_forces`."""
