"""The weights of the network by name, and the Clebsch–Gordan couplings that it needs.

A component is (p, l, m) in the layout of E3x: parity slice p, degree l, order m. Before the last
message-passing step only components matter that can still reach a scalar; the tables leave the
others out, which for the report's network halves the work of the middle step.

The numbers are E3x's own, kept in a file: importing E3x takes as long as importing JAX, and a
checkpoint is opened and run without it.
"""

import dataclasses
import functools
import itertools
import math
from importlib import resources
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

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
