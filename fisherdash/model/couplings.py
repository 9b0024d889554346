"""Clebsch–Gordan couplings as constants: which products of components a network really needs.

A component is (p, l, m) in the layout of E3x: parity slice p, degree l, order m. Before the last
message-passing step only those components matter that can still reach a scalar; the tables below
leave the others out, which for the report's network halves the work of the middle step.
"""

import dataclasses
import functools
import math

import e3x
import jax
import numpy as np
from jaxtyping import Float

from fisherdash.model.config import ModelConfig

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


def is_odd(irrep: Irrep, has_parity: bool) -> bool:
    """Parity under reflection: a lone parity slice holds proper tensors, odd when l is odd."""
    slice_, degree = irrep
    return bool(slice_) if has_parity else degree % 2 == 1


def kernel_name(irrep: Irrep, has_parity: bool) -> str:
    """The name that E3x gives to the Dense kernel of this irrep, such as ``1-``."""
    return f"{irrep[1]}{'-' if is_odd(irrep, has_parity) else '+'}"


@functools.lru_cache
def clebsch_gordan(degree: int) -> Float[np.ndarray, "l l l"]:
    """Coefficients for all degrees up to ``degree``, double precision."""
    with jax.ensure_compile_time_eval():
        return np.asarray(e3x.so3.clebsch_gordan(degree, degree, degree), np.float64)


def _irreps(max_degree: int, has_parity: bool) -> list[Irrep]:
    return [(p, degree) for p in range(1 + has_parity) for degree in range(max_degree + 1)]


def _couples(filter_degree: int, x: Irrep, x_par: bool, y: Irrep, y_par: bool) -> bool:
    parity = (filter_degree % 2 == 1) ^ is_odd(x, x_par) == is_odd(y, y_par)
    return parity and abs(filter_degree - x[1]) <= y[1] <= filter_degree + x[1]


@functools.lru_cache
def steps(config: ModelConfig) -> tuple[Step, ...]:
    """The message-passing steps of a network, each with only the components that matter."""
    degree, last = config.max_degree, config.iterations - 1
    degrees, parity = [0], [False]
    for iteration in range(config.iterations):
        final = iteration == last
        scalar_only = not parity[-1] and (degrees[-1] == 0 or degree == 0)
        parity.append(not final and not scalar_only)
        degrees.append(0 if final else max(degrees[-1], degree))

    needed: tuple[Irrep, ...] = ((0, 0),)
    built: list[Step] = []
    for iteration in reversed(range(config.iterations)):
        x_par, y_par = parity[iteration], parity[iteration + 1]
        outputs = needed
        inputs = []
        for x in _irreps(degrees[iteration], x_par):
            feeds = any(_couples(f, x, x_par, y, y_par) for f in range(degree + 1) for y in outputs)
            # The residual connection carries a component over, where it has the same parity.
            carried = any(x[1] == y[1] and is_odd(x, x_par) == is_odd(y, y_par) for y in outputs)
            if feeds or carried:
                inputs.append(x)
        kernel_shape = (
            *(1, degree + 1),
            *(1 + x_par, degrees[iteration] + 1),
            *(1 + y_par, degrees[iteration + 1] + 1),
        )
        table = _table(kernel_shape, tuple(inputs), x_par, outputs, y_par)
        built.append(Step(tuple(inputs), outputs, x_par, y_par, table))
        needed = tuple(inputs)
    return tuple(reversed(built))


def _table(
    kernel_shape: tuple[int, ...],
    inputs: tuple[Irrep, ...],
    x_par: bool,
    outputs: tuple[Irrep, ...],
    y_par: bool,
) -> Float[np.ndarray, "paths a b c"]:
    degree = kernel_shape[1] - 1
    highest = max(degree, *(x[1] for x in inputs), *(y[1] for y in outputs))
    cg = clebsch_gordan(highest)
    paths = np.arange(np.prod(kernel_shape)).reshape(kernel_shape)
    table = np.zeros((paths.size, (degree + 1) ** 2, width(inputs), width(outputs)))

    def block(degree: int) -> slice:
        return slice(degree**2, (degree + 1) ** 2)

    for f in range(degree + 1):
        b = 0
        for x in inputs:
            c = 0
            for y in outputs:
                if _couples(f, x, x_par, y, y_par):
                    path = paths[0, f, x[0], x[1], y[0], y[1]]
                    table[path, block(f), b : b + 2 * x[1] + 1, c : c + 2 * y[1] + 1] = cg[
                        block(f), block(x[1]), block(y[1])
                    ]
                c += 2 * y[1] + 1
            b += 2 * x[1] + 1
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
    with jax.ensure_compile_time_eval():
        unit = np.asarray(e3x.so3.spherical_harmonics(np.eye(3), 1), np.float64)[:, 1:4].T
        probe = np.array([[0.48, 0.6, 0.64]])
        exact = np.asarray(e3x.so3.spherical_harmonics(probe, max_degree), np.float64)[0]
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
