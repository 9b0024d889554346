"""Sums of messages over all neighbours, and the weights and couplings that they need.

There are three forms of one sum, each where it is fastest:

    m[f,c,n,i] = Σ_jab  K[f,b,a,c] R_l(a)[f,n,i,j] Y_a[n,i,j] x[f,b,n,j]

(f feature, n frame, i and j atoms, a, b, c angular components, l(a) the degree of a.) In general
(``gather_and_couple``) the filters R Y are written for every feature and the rest is two batched
products. Where inputs or outputs are scalars alone, in the first and the last step, a component
couples to one other with one weight K_l for its degree, by Schur's lemma. That weight joins the
radial weights, and the angular part is a product for which no Y need be copied for every feature
(``from_scalars``, ``to_scalars``).

A component is (p, l, m) in the layout of E3x: parity slice p, degree l, order m. Before the last
message-passing step only components matter that can still reach a scalar; the tables leave the
others out, which for the report's network halves the work of the middle step.

The Clebsch–Gordan couplings are E3x's own numbers, kept in a file: importing E3x takes as long as
importing JAX, and a checkpoint is opened and run without it.
"""

import dataclasses
import functools
import itertools
import math
from collections.abc import Callable
from importlib import resources
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from fisherdash.settings import MAX_ATOMIC_NUMBER, ModelConfig

Body = dict[str, Any]
"""Nested dict of weight arrays, with the names that flax gives to the modules of
:class:`fisherdash.potentials.e3x.network.Network`."""

Irrep = tuple[int, int]
"""(p, l): parity slice and degree, as in an E3x feature array with its parity axis."""


@dataclasses.dataclass(frozen=True)
class Step:
    """Constants of one message-passing step.

    Attributes:
        inputs: irreps of the atom features that enter the step.
        outputs: irreps that leave it.
        outputs_have_parity: whether E3x keeps both parities after this step.
        inputs_have_parity: the same before it.
        table: shape (paths, a, b, c): Clebsch–Gordan coefficient of filter component a, feature
            component b and output component c, one-hot in the path, which runs over the entries
            of the E3x kernel without its last axis, flattened.
    """

    inputs: tuple[Irrep, ...]
    outputs: tuple[Irrep, ...]
    inputs_have_parity: bool
    outputs_have_parity: bool
    table: Float[np.ndarray, "paths a b c"]


def width(irreps: tuple[Irrep, ...]) -> int:
    """Number of components of these irreps."""
    return sum(2 * degree + 1 for _, degree in irreps)


def starts(irreps: tuple[Irrep, ...]) -> tuple[int, ...]:
    """First component of each of these irreps."""
    return tuple(width(irreps[:count]) for count in range(len(irreps)))


def is_odd(irrep: Irrep, has_parity: bool) -> bool:
    """Parity under reflection: a lone parity slice holds proper tensors, odd when l is odd."""
    slice_, degree = irrep
    return bool(slice_) if has_parity else degree % 2 == 1


def kernel_name(irrep: Irrep, has_parity: bool) -> str:
    """The name that E3x gives to the Dense kernel of this irrep, such as ``1-``."""
    return f"{irrep[1]}{'-' if is_odd(irrep, has_parity) else '+'}"


@functools.lru_cache
def _constants() -> dict[str, np.ndarray]:
    """E3x's coefficients and harmonics, see ``tools/e3x_constants.py``."""
    file = resources.files("fisherdash.potentials.e3x").joinpath("couplings.npz")
    with file.open("rb") as opened, np.load(opened, allow_pickle=False) as archive:
        return dict(archive)


def clebsch_gordan(degree: int) -> Float[np.ndarray, "l l l"]:
    """Coefficients for all degrees up to ``degree``, double precision."""
    size = (degree + 1) ** 2
    return _constants()["clebsch_gordan"][:size, :size, :size]


def _couples(filter_degree: int, x: Irrep, x_par: bool, y: Irrep, y_par: bool) -> bool:
    parity = (filter_degree % 2 == 1) ^ is_odd(x, x_par) == is_odd(y, y_par)
    return parity and abs(filter_degree - x[1]) <= y[1] <= filter_degree + x[1]


@dataclasses.dataclass(frozen=True)
class Layout:
    """What E3x keeps of the atom features between two steps: parity slices and highest degree."""

    has_parity: bool
    degree: int

    @property
    def irreps(self) -> tuple[Irrep, ...]:
        """All irreps, in the order of the feature array."""
        slices = range(1 + self.has_parity)
        return tuple((p, degree) for p in slices for degree in range(self.degree + 1))

    @property
    def shape(self) -> tuple[int, int]:
        """The two axes that a tensor kernel has for features of this layout."""
        return 1 + self.has_parity, self.degree + 1


def _layouts(config: ModelConfig) -> tuple[Layout, ...]:
    """Layouts of the features before the first step and after each one."""
    found = [Layout(has_parity=False, degree=0)]
    for iteration in range(config.iterations):
        last, before = iteration == config.iterations - 1, found[-1]
        # Scalars coupled with proper tensors cannot give pseudotensors; E3x leaves them out.
        proper = not before.has_parity and (before.degree == 0 or config.max_degree == 0)
        degree = 0 if last else max(before.degree, config.max_degree)
        found.append(Layout(has_parity=not last and not proper, degree=degree))
    return tuple(found)


def _kernel_shape(config: ModelConfig, before: Layout, after: Layout) -> tuple[int, ...]:
    """Shape of E3x's tensor kernel of a step, without the axis of features."""
    return (*Layout(has_parity=False, degree=config.max_degree).shape, *before.shape, *after.shape)


def body_shapes(config: ModelConfig) -> dict[str, Any]:
    """Shapes of the body's arrays, as a nested dict of ``jax.ShapeDtypeStruct``.

    Written down rather than asked of the modules: tracing them would take seconds, and every
    checkpoint that is opened is checked against these shapes.
    """
    size = config.features

    def array(*shape: int) -> jax.ShapeDtypeStruct:
        """A shape in single precision."""
        return jax.ShapeDtypeStruct(shape, jnp.float32)

    shapes: dict[str, Any] = {"Embed_0": {"embedding": array(MAX_ATOMIC_NUMBER + 1, 1, 1, size)}}
    for index, (before, after) in enumerate(itertools.pairwise(_layouts(config))):
        shapes[f"MessagePass_{index}"] = {
            "filter": {
                kernel_name(irrep, False): {"kernel": array(config.basis, size)}
                for irrep in Layout(False, config.max_degree).irreps
            },
            "tensor": {"kernel": array(*_kernel_shape(config, before, after), size)},
        }
        for dense in (2 * index, 2 * index + 1):
            layers = {
                kernel_name(irrep, after.has_parity): {"kernel": array(size, size)}
                for irrep in after.irreps
            }
            layers["0+"]["bias"] = array(size)
            shapes[f"Dense_{dense}"] = layers
    return shapes


@functools.lru_cache
def steps(config: ModelConfig) -> tuple[Step, ...]:
    """The message-passing steps of a network, each with only the components that matter."""
    needed: tuple[Irrep, ...] = ((0, 0),)
    built: list[Step] = []
    for before, after in reversed(list(itertools.pairwise(_layouts(config)))):
        x_par, y_par = before.has_parity, after.has_parity
        outputs = needed
        inputs = []
        for x in before.irreps:
            feeds = any(
                _couples(f, x, x_par, y, y_par)
                for f in range(config.max_degree + 1)
                for y in outputs
            )
            # The residual connection carries a component over, where it has the same parity.
            carried = any(x[1] == y[1] and is_odd(x, x_par) == is_odd(y, y_par) for y in outputs)
            if feeds or carried:
                inputs.append(x)
        shape = _kernel_shape(config, before, after)
        table = _table(shape, tuple(inputs), x_par, outputs, y_par)
        built.append(Step(tuple(inputs), outputs, x_par, y_par, table))
        needed = tuple(inputs)
    return tuple(reversed(built))


def _table(
    shape: tuple[int, ...],
    inputs: tuple[Irrep, ...],
    x_par: bool,
    outputs: tuple[Irrep, ...],
    y_par: bool,
) -> Float[np.ndarray, "paths a b c"]:
    degree = shape[1] - 1
    highest = max(degree, *(x[1] for x in inputs), *(y[1] for y in outputs))
    cg = clebsch_gordan(highest)
    paths = np.arange(np.prod(shape)).reshape(shape)
    table = np.zeros((paths.size, (degree + 1) ** 2, width(inputs), width(outputs)))

    def block(degree: int) -> slice:
        """Components of one degree."""
        return slice(degree**2, (degree + 1) ** 2)

    for f in range(degree + 1):
        for x, b in zip(inputs, starts(inputs), strict=True):
            for y, c in zip(outputs, starts(outputs), strict=True):
                if _couples(f, x, x_par, y, y_par):
                    path = paths[0, f, x[0], x[1], y[0], y[1]]
                    table[path, block(f), b : b + 2 * x[1] + 1, c : c + 2 * y[1] + 1] = cg[
                        block(f), block(x[1]), block(y[1])
                    ]
    return table


@functools.lru_cache
def harmonics_recursion(
    max_degree: int,
) -> tuple[Float[np.ndarray, "m 3"], tuple[Float[np.ndarray, "lower 3 m"], ...]]:
    """How to build spherical harmonics of a unit vector degree by degree.

    Returns:
        The matrix from a unit vector to Y_1, and for every degree l > 1 the coefficients
        c[m', m'', m] of Y_l,m = Σ c Y_{l−1,m'} Y_{1,m''}. The product of two harmonics couples to
        a multiple of the harmonic of the summed degree; the multiple is read off E3x's own
        harmonics at one direction, so that normalisation and order of components are theirs.
    """
    constants = _constants()
    unit, exact = constants["unit"], constants["harmonics"]
    cg = clebsch_gordan(max(max_degree, 1))
    products = []
    for degree in range(2, max_degree + 1):
        lower, upper = slice((degree - 1) ** 2, degree**2), slice(degree**2, (degree + 1) ** 2)
        coefficients = cg[lower, 1:4, upper]
        coupled = np.einsum("a,b,abc->c", exact[lower], exact[1:4], coefficients)
        scale = np.dot(exact[upper], coupled) / np.dot(coupled, coupled)
        products.append(np.where(np.abs(coefficients) < 1e-12, 0.0, scale * coefficients))
    return unit, tuple(products)


@functools.lru_cache
def log_binomials(n: int) -> Float[np.ndarray, " k"]:
    """ln C(n, k) for k = 0 … n."""
    return np.array([math.log(math.comb(n, k)) for k in range(n + 1)])


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
        names = [kernel_name((0, degree), False) for degree in range(len(self.harmonics))]
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
    blocks = dict(zip(starts(step.inputs), split(step.inputs, x), strict=True))
    return jnp.concatenate([blocks[int(partner[degree**2])] for degree in range(degrees)], axis=1)


def by_atom(x: Float[Array, "features b frames atoms"]) -> Float[Array, "atoms b features"]:
    """Atoms of all frames first, features last."""
    return jnp.transpose(x.reshape(*x.shape[:2], -1), (2, 1, 0))


def split(
    irreps: tuple[Irrep, ...], x: Float[Array, "features m frames atoms"]
) -> list[Float[Array, "features irrep frames atoms"]]:
    """One array for each irrep; the reverse of a split is a concatenation, of a slice a padding."""
    return jnp.split(x, starts(irreps)[1:], axis=1)


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
