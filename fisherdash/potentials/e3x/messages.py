"""Messages of all neighbours, summed and coupled: three forms of one sum, each where it is fastest.

    m[f,c,n,i] = Σ_jab  K[f,b,a,c] R_l(a)[f,n,i,j] Y_a[n,i,j] x[f,b,n,j]

(f feature, n frame, i and j atoms, a, b, c angular components, l(a) the degree of a.) In general
(:func:`_gather_and_couple`) the filters R Y are written for every feature and the rest is two
batched products. Where the inputs or the outputs are scalars alone, which is so in the first and in
the last step, a component couples to one other with one weight K_l for its degree, by Schur's
lemma. That weight joins the radial weights, and the angular part is a product for which no Y need
be copied for every feature (:func:`_from_scalars`, :func:`_to_scalars`).
"""

import math
from collections.abc import Callable
from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from fisherdash.potentials.e3x import couplings
from fisherdash.potentials.e3x.body import Body


class Forms(NamedTuple):
    """The three functions that sum messages, of all pairs or of a list of neighbours."""

    from_scalars: Callable[..., Array]
    to_scalars: Callable[..., Array]
    gather_and_couple: Callable[..., Array]


class Neighbourhood(Protocol):
    """Who is told by whom: :class:`Pairs`, or those of :mod:`fisherdash.potentials.e3x.sparse`."""

    @property
    def harmonics(self) -> list[list[Array]]:
        """Of the directions between atoms, by degree and order."""
        ...

    @property
    def forms(self) -> Forms:
        """How its messages are summed."""
        ...


class Pairs(NamedTuple):
    """What does not depend on the step: radial basis and spherical harmonics of all pairs.

    Attributes:
        basis: of the distances.
        harmonics: of the direction from i to j, by degree and order.
        multiply: :func:`batched` or :func:`batched_for_reverse`.
    """

    basis: Float[Array, "basis pairs"]
    harmonics: list[list[Float[Array, "frames j i"]]]
    multiply: Callable[[Array, Array], Array]

    @property
    def forms(self) -> Forms:
        """How messages of all pairs are summed."""
        return Forms(_from_scalars, _to_scalars, _gather_and_couple)


def message(
    weights: Body,
    step: couplings.Step,
    pairs: Neighbourhood,
    x: Float[Array, "features b frames atoms"],
) -> Float[Array, "features c frames atoms"]:
    """What every atom is told by the others."""
    kernel = weights["tensor"]["kernel"].reshape(-1, len(x))
    irreps = [(0, degree) for degree in range(len(pairs.harmonics))]
    names = [couplings.kernel_name(irrep, has_parity=False) for irrep in irreps]
    radial = [weights["filter"][name]["kernel"] for name in names]
    couples = np.asarray(step.table.any(axis=0))
    inputs, outputs = couples.shape[1:]
    if inputs == 1 and np.array_equal(couples[:, 0], np.eye(len(couples), outputs)):
        return pairs.forms.from_scalars(kernel, step, radial, pairs, x)
    if outputs == 1 and (couples[..., 0].sum(axis=1) == 1).all():
        return pairs.forms.to_scalars(kernel, step, radial, pairs, x)
    return pairs.forms.gather_and_couple(kernel, step, radial, pairs, x)


def _from_scalars(
    kernel: Float[Array, "paths features"],
    step: couplings.Step,
    radial: list[Float[Array, "basis features"]],
    pairs: Pairs,
    x: Float[Array, "features 1 frames atoms"],
) -> Float[Array, "features c frames atoms"]:
    """Σ_jl Y_cjl (K_l R_l x_j): batched over atoms i, with the features last."""
    features, _, frames, atoms = x.shape
    outputs = step.table.shape[-1]
    weights, degrees = outward(kernel, step, radial)
    filters = dot(pairs.basis, 0, weights, 0).reshape(frames, atoms, -1)
    sources = jnp.moveaxis(x[:, 0], 0, -1)[:, :, None]
    sources = jnp.broadcast_to(sources, (frames, atoms, degrees, features))
    terms = filters * sources.reshape(frames, 1, -1)
    y = by_degree(pairs.harmonics[:degrees])  # n j i a l
    y = jnp.transpose(y, (0, 2, 3, 1, 4)).reshape(frames * atoms, outputs, -1)
    told = pairs.multiply(y, terms.reshape(frames * atoms, atoms * degrees, features))
    return jnp.transpose(told, (2, 1, 0)).reshape(features, outputs, frames, atoms)


def _to_scalars(
    kernel: Float[Array, "paths features"],
    step: couplings.Step,
    radial: list[Float[Array, "basis features"]],
    pairs: Pairs,
    x: Float[Array, "features b frames atoms"],
) -> Float[Array, "features 1 frames atoms"]:
    """Σ_l Σ_j K_l R_l (Σ_a Y_ila x_a): batched over atoms j, with the features last."""
    features, _, frames, atoms = x.shape
    degrees = len(pairs.harmonics)
    x = by_atom(partners(step, degrees, x))
    y = jnp.swapaxes(by_degree(pairs.harmonics), 3, 4)  # n j i l a
    sent = pairs.multiply(y.reshape(frames * atoms, atoms * degrees, -1), x)
    weights = inward(kernel, step, radial)
    terms = dot(pairs.basis, 0, weights, 0) * sent.reshape(-1, degrees * features)
    ones = jnp.ones((frames, 1, atoms), x.dtype)
    told = pairs.multiply(ones, terms.reshape(frames, atoms, -1))
    told = sum(jnp.split(told.reshape(frames, atoms, -1), degrees, axis=-1))
    return jnp.moveaxis(told, -1, 0)[:, None]


def _gather_and_couple(
    kernel: Float[Array, "paths features"],
    step: couplings.Step,
    radial: list[Float[Array, "basis features"]],
    pairs: Pairs,
    x: Float[Array, "features b frames atoms"],
) -> Float[Array, "features c frames atoms"]:
    """S[f,n,b,a,i] = Σ_j x[f,n,b,j] (R Y)[f,n,j,a,i], then m = Σ_ba K S."""
    features, inputs, frames, atoms = x.shape
    copies = iter(_for_every_feature(pairs.harmonics, features))
    filters = []
    for w, ys in zip(radial, pairs.harmonics, strict=True):
        of_degree = dot(w, 0, pairs.basis, 0)
        filters += [of_degree * next(copies) for _ in ys]
    filters = jnp.stack(filters, axis=1).reshape(features, -1, frames, atoms, atoms)
    filters = jnp.transpose(filters, (0, 2, 3, 1, 4)).reshape(features * frames, atoms, -1)
    sources = jnp.swapaxes(x, 1, 2).reshape(features * frames, inputs, atoms)
    gathered = pairs.multiply(sources, filters).reshape(features, frames, -1, atoms)
    gathered = jnp.swapaxes(gathered, 1, 2).reshape(features, -1, frames * atoms)
    return couple(kernel, step, gathered).reshape(features, -1, frames, atoms)


def couple(
    kernel: Float[Array, "paths features"],
    step: couplings.Step,
    gathered: Float[Array, "features b*a atoms"],
) -> Float[Array, "features c atoms"]:
    """Σ_ba K S."""
    used = np.flatnonzero(step.table.any(axis=(1, 2, 3)))
    table = jnp.asarray(np.swapaxes(step.table[used], 1, 2), kernel.dtype)
    coupling = dot(kernel[used], 0, table.reshape(len(table), -1), 0)
    coupling = coupling.reshape(len(gathered), gathered.shape[1], -1)
    return dot(coupling, 1, gathered, 1, batch=1)


def _for_every_feature(
    harmonics: list[list[Float[Array, "frames j i"]]], features: int
) -> Float[Array, "m features pairs"]:
    """Copies of the harmonics, made by a product with a matrix of zeros and ones.

    So they are in memory when the filters are multiplied with them. From a broadcast XLA would make
    every harmonic again in every such product, and its reverse would be a slow reduction.
    """
    rows = jnp.stack([y.reshape(-1) for degree in harmonics for y in degree])
    # Made by operations: as a literal, XLA takes the product apart again.
    copies = jnp.repeat(jnp.eye(len(rows), dtype=rows.dtype), features, axis=1)
    return dot(copies, 0, rows, 0).reshape(len(rows), features, -1)


def by_degree(
    harmonics: list[list[Float[Array, "*pairs"]]],
) -> Float[Array, "*pairs a degrees"]:
    """Every component in the column of its degree, beside zeros.

    A product with it takes care of all degrees at once.
    """
    columns = [
        [y if column == degree else jnp.zeros_like(y) for column in range(len(harmonics))]
        for degree, ys in enumerate(harmonics)
        for y in ys
    ]
    return jnp.stack([jnp.stack(column, axis=-1) for column in columns], axis=-2)


def outward(
    kernel: Float[Array, "paths features"],
    step: couplings.Step,
    radial: list[Float[Array, "basis features"]],
) -> tuple[Float[Array, "basis degrees*features"], int]:
    """K_l R_l of a step whose inputs are scalars, and how many degrees that is.

    Higher degrees of the filters couple to nothing that is kept.
    """
    outputs = step.table.shape[-1]
    weights = _coupled(kernel, step.table[:, :outputs].sum(axis=(2, 3)), radial)
    return weights, weights.shape[1] // kernel.shape[1]


def inward(
    kernel: Float[Array, "paths features"],
    step: couplings.Step,
    radial: list[Float[Array, "basis features"]],
) -> Float[Array, "basis degrees*features"]:
    """K_l R_l of a step whose outputs are scalars."""
    return _coupled(kernel, step.table.sum(axis=(2, 3)), radial)


def partners(
    step: couplings.Step, degrees: int, x: Float[Array, "features b frames atoms"]
) -> Float[Array, "features a frames atoms"]:
    """The inputs in the order of the filters' components that they couple to, one each."""
    partner = np.asarray(step.table.any(axis=(0, 3))).argmax(axis=1)  # of a, in the inputs
    blocks = dict(zip(couplings.starts(step.inputs), split(step.inputs, x), strict=True))
    return jnp.concatenate([blocks[int(partner[degree**2])] for degree in range(degrees)], axis=1)


def by_atom(x: Float[Array, "features b frames atoms"]) -> Float[Array, "atoms b features"]:
    """Atoms of all frames first, features last."""
    return jnp.transpose(x.reshape(*x.shape[:2], -1), (2, 1, 0))


def _coupled(
    kernel: Float[Array, "paths features"],
    table: Float[np.ndarray, "paths components"],
    radial: list[Float[Array, "basis features"]],
) -> Float[Array, "basis degrees*features"]:
    """Radial weights times the coupling of each degree, which all of its orders share."""
    first = np.arange(math.isqrt(table.shape[1])) ** 2
    coupling = dot(jnp.asarray(table[:, first], kernel.dtype), 0, kernel, 0)
    parts = [w * of_degree for w, of_degree in zip(radial, coupling, strict=False)]
    return jnp.concatenate(parts, axis=1)


def split(
    irreps: tuple[couplings.Irrep, ...], x: Float[Array, "features m frames atoms"]
) -> list[Float[Array, "features irrep frames atoms"]]:
    """One array for each irrep; the reverse of a split is a concatenation, of a slice a padding."""
    return jnp.split(x, couplings.starts(irreps)[1:], axis=1)


def batched(x: Float[Array, "m p q"], y: Float[Array, "m q r"]) -> Float[Array, "m p r"]:
    """A product of matrices for each m."""
    return dot(x, 2, y, 1, batch=1)


@jax.custom_jvp
def batched_for_reverse(
    x: Float[Array, "m p q"], y: Float[Array, "m q r"]
) -> Float[Array, "m p r"]:
    """The same, with a derivative whose reverse is such a product, too.

    What comes back to y is xᵀ times what comes back. Libraries are slow at products whose left side
    is transposed; the copy that is made of x here is small.
    """
    return batched(x, y)


@batched_for_reverse.defjvp
def _batched_jvp(
    primals: tuple[Array, Array], tangents: tuple[Array, Array]
) -> tuple[Array, Array]:
    (x, y), (dx, dy) = primals, tangents
    # Put together from its rows: XLA would fold a plain transposition into the product.
    turned = jnp.stack([x[:, row] for row in range(x.shape[1])], axis=-1)
    return batched_for_reverse(x, y), batched_for_reverse(dx, y) + dot(turned, 1, dy, 1, batch=1)


def dot(x: Array, x_axis: int, y: Array, y_axis: int, *, batch: int = 0) -> Array:
    """Sum of products over one axis of each; the first ``batch`` axes go along unsummed."""
    batches = tuple(range(batch))
    # On accelerators the default would round float32 products to fewer bits than forces bear.
    precision = jax.lax.Precision.HIGHEST
    dimensions = (((x_axis,), (y_axis,)), (batches, batches))
    return jax.lax.dot_general(x, y, dimensions, precision=precision)
