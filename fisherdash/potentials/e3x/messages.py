"""Sums of messages over all neighbours, in three forms of one sum, each where it is fastest.

    m[f,c,n,i] = Σ_jab  K[f,b,a,c] R_l(a)[f,n,i,j] Y_a[n,i,j] x[f,b,n,j]

(f feature, n frame, i and j atoms, a, b, c angular components, l(a) the degree of a.) In general
(``gather_and_couple``) the filters R Y are written for every feature and the rest is two batched
products. Where inputs or outputs are scalars alone, in the first and the last step, a component
couples to one other with one weight K_l for its degree, by Schur's lemma. That weight joins the
radial weights, and the angular part is a product for which no Y need be copied for every feature
(``from_scalars``, ``to_scalars``).
"""

import dataclasses
import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from fisherdash.potentials.e3x import couplings
from fisherdash.potentials.e3x.couplings import Body, Step


class Weights(NamedTuple):
    """Weights and constants of one step: K by path, and radial weights by degree of the filter."""

    step: Step
    kernel: Float[Array, "paths features"]
    radial: list[Float[Array, "basis features"]]


@dataclasses.dataclass(frozen=True)
class Pairs:
    """All pairs of atoms: what does not depend on the step, and how their messages are summed.

    Attributes:
        basis: radial basis of the distances.
        harmonics: of the direction from i to j, by degree and order.
        multiply: :func:`batched` or :func:`batched_for_reverse`.
    """

    basis: Float[Array, "basis pairs"]
    harmonics: list[list[Float[Array, "frames j i"]]]
    multiply: Callable[[Array, Array], Array]

    def messages(
        self, layers: Body, step: Step, x: Float[Array, "features b frames atoms"]
    ) -> Float[Array, "features c frames atoms"]:
        """Summed messages to every atom."""
        names = [couplings.kernel_name((0, degree), False) for degree in range(len(self.harmonics))]
        radial = [layers["filter"][name]["kernel"] for name in names]
        weights = Weights(step, layers["tensor"]["kernel"].reshape(-1, len(x)), radial)
        couples = np.asarray(step.table.any(axis=0))
        inputs, outputs = couples.shape[1:]
        if inputs == 1 and np.array_equal(couples[:, 0], np.eye(len(couples), outputs)):
            return self.from_scalars(weights, x)
        if outputs == 1 and (couples[..., 0].sum(axis=1) == 1).all():
            return self.to_scalars(weights, x)
        return self.gather_and_couple(weights, x)

    def from_scalars(
        self, weights: Weights, x: Float[Array, "features 1 frames atoms"]
    ) -> Float[Array, "features c frames atoms"]:
        """Σ_jl Y_cjl (K_l R_l x_j): batched over atoms i, with the features last."""
        features, _, frames, atoms = x.shape
        outputs = weights.step.table.shape[-1]
        # Higher degrees of the filters couple to nothing that is kept.
        coupled = coupled_radial(weights, outputs)
        degrees = coupled.shape[1] // features
        filters = dot(self.basis, 0, coupled, 0).reshape(frames, atoms, -1)
        sources = jnp.moveaxis(x[:, 0], 0, -1)[:, :, None]
        sources = jnp.broadcast_to(sources, (frames, atoms, degrees, features))
        terms = filters * sources.reshape(frames, 1, -1)
        y = by_degree(self.harmonics[:degrees])  # n j i a l
        y = jnp.transpose(y, (0, 2, 3, 1, 4)).reshape(frames * atoms, outputs, -1)
        found = self.multiply(y, terms.reshape(frames * atoms, atoms * degrees, features))
        return jnp.transpose(found, (2, 1, 0)).reshape(features, outputs, frames, atoms)

    def to_scalars(
        self, weights: Weights, x: Float[Array, "features b frames atoms"]
    ) -> Float[Array, "features 1 frames atoms"]:
        """Σ_l Σ_j K_l R_l (Σ_a Y_ila x_a): batched over atoms j, with the features last."""
        features, _, frames, atoms = x.shape
        degrees = len(self.harmonics)
        x = by_atom(partners(weights.step, degrees, x))
        y = jnp.swapaxes(by_degree(self.harmonics), 3, 4)  # n j i l a
        sent = self.multiply(y.reshape(frames * atoms, atoms * degrees, -1), x)
        terms = dot(self.basis, 0, coupled_radial(weights), 0)
        terms = terms * sent.reshape(-1, degrees * features)
        ones = jnp.ones((frames, 1, atoms), x.dtype)
        found = self.multiply(ones, terms.reshape(frames, atoms, -1))
        found = sum(jnp.split(found.reshape(frames, atoms, -1), degrees, axis=-1))
        return jnp.moveaxis(found, -1, 0)[:, None]

    def gather_and_couple(
        self, weights: Weights, x: Float[Array, "features b frames atoms"]
    ) -> Float[Array, "features c frames atoms"]:
        """S[f,n,b,a,i] = Σ_j x[f,n,b,j] (R Y)[f,n,j,a,i], then m = Σ_ba K S."""
        features, inputs, frames, atoms = x.shape
        # Harmonics are copied for every feature by a product with a matrix of zeros and ones, so
        # that they are in memory when the filters are multiplied with them. From a broadcast XLA
        # would make every harmonic again in every such product, and its reverse would be a slow
        # reduction. The matrix is made by operations: as a literal, XLA takes the product apart.
        rows = jnp.stack([y.reshape(-1) for degree in self.harmonics for y in degree])
        ones = jnp.repeat(jnp.eye(len(rows), dtype=rows.dtype), features, axis=1)
        copies = iter(dot(ones, 0, rows, 0).reshape(len(rows), features, -1))
        filters = []
        for w, ys in zip(weights.radial, self.harmonics, strict=True):
            of_degree = dot(w, 0, self.basis, 0)
            filters += [of_degree * next(copies) for _ in ys]
        filters = jnp.stack(filters, axis=1).reshape(features, -1, frames, atoms, atoms)
        filters = jnp.transpose(filters, (0, 2, 3, 1, 4)).reshape(features * frames, atoms, -1)
        sources = jnp.swapaxes(x, 1, 2).reshape(features * frames, inputs, atoms)
        gathered = self.multiply(sources, filters).reshape(features, frames, -1, atoms)
        gathered = jnp.swapaxes(gathered, 1, 2).reshape(features, -1, frames * atoms)
        return couple(weights, gathered).reshape(features, -1, frames, atoms)


def couple(
    weights: Weights, gathered: Float[Array, "features b*a atoms"]
) -> Float[Array, "features c atoms"]:
    """Σ_ba K S."""
    all_paths, kernel = weights.step.table, weights.kernel
    used = np.flatnonzero(all_paths.any(axis=(1, 2, 3)))
    table = jnp.asarray(np.swapaxes(all_paths[used], 1, 2), kernel.dtype)
    coupling = dot(kernel[used], 0, table.reshape(len(table), -1), 0)
    coupling = coupling.reshape(len(gathered), gathered.shape[1], -1)
    return dot(coupling, 1, gathered, 1, batch=1)


def by_degree(harmonics: list[list[Float[Array, "*pairs"]]]) -> Float[Array, "*pairs a degrees"]:
    """Every component in the column of its degree, beside zeros.

    A product with it takes care of all degrees at once.
    """
    columns = [
        [y if column == degree else jnp.zeros_like(y) for column in range(len(harmonics))]
        for degree, ys in enumerate(harmonics)
        for y in ys
    ]
    return jnp.stack([jnp.stack(column, axis=-1) for column in columns], axis=-2)


def coupled_radial(
    weights: Weights, components: int | None = None
) -> Float[Array, "basis degrees*features"]:
    """K_l R_l of a step with scalars on one side, for the first components of the filters.

    All orders of a degree share one coupling.
    """
    table = weights.step.table[:, :components].sum(axis=(2, 3))
    first = np.arange(math.isqrt(table.shape[1])) ** 2
    coupling = dot(jnp.asarray(table[:, first], weights.kernel.dtype), 0, weights.kernel, 0)
    parts = [w * of_degree for w, of_degree in zip(weights.radial, coupling, strict=False)]
    return jnp.concatenate(parts, axis=1)


def partners(
    step: Step, degrees: int, x: Float[Array, "features b frames atoms"]
) -> Float[Array, "features a frames atoms"]:
    """The inputs in the order of the filters' components that they couple to, one each."""
    partner = np.asarray(step.table.any(axis=(0, 3))).argmax(axis=1)  # of a, in the inputs
    blocks = dict(zip(couplings.starts(step.inputs), split(step.inputs, x), strict=True))
    return jnp.concatenate([blocks[int(partner[degree**2])] for degree in range(degrees)], axis=1)


def by_atom(x: Float[Array, "features b frames atoms"]) -> Float[Array, "atoms b features"]:
    """Atoms of all frames first, features last."""
    return jnp.transpose(x.reshape(*x.shape[:2], -1), (2, 1, 0))


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
