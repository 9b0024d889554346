"""The same network as :mod:`fisherdash.model.network`, evaluated fast.

For small molecules every atom sees nearly every other, so all pairs are taken, and the whole
network becomes a chain of matrix products with the features in front (f feature, n frame, i and j
atoms, a, b, c angular components):

    R_l[f,n,i,j]   = Σ_k W_l[k,f] g_k(r_ij)                    radial filters, one product for all l
    G[f,n,i,a,j]   = R_l(a) Y_a(r̂_ij)                          filters
    S[f,n,i,a,b]   = Σ_j G[f,n,i,a,j] x[f,n,b,j]               gather messages: batched product
    m[f,n,i,c]     = Σ_ab S[f,n,i,a,b] K[f,a,b,c]              couple: batched product

Two rules keep the compiled program lean, and its derivatives too. Every product is a dot of arrays
with at most one batch, one free and one summed axis each (:func:`_dot`): with more, XLA copies the
operands of the reverse product into another order. And nothing is broadcast whose reverse would be
a reduction over a middle axis, many times slower than the arithmetic in it: such products are
written component by component, or as a product with a vector of ones.

The sum over neighbours is taken before the Clebsch–Gordan coupling, so that the coupling works on
atoms instead of pairs, and K joins its constants to the learned weights of the paths once per call.
The reverse of a product is a product, hence forces and training cost what they should.
"""

import itertools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Integer

from fisherdash.model import couplings
from fisherdash.model.body import Body, pool
from fisherdash.model.config import ModelConfig


def descriptors(
    config: ModelConfig,
    body: Body,
    atomic_numbers: Integer[Array, " atoms"],
    positions: Float[Array, "frames atoms 3"],
) -> Float[Array, "frames descriptors"]:
    """D = Σ_i h_i, the vector that the head multiplies (one for each element with its own head).

    The network runs in the precision of ``body``; displacements are formed in that of
    ``positions`` before they are rounded to it.
    """
    h = features(config, body, atomic_numbers, positions)
    return pool(config, atomic_numbers, jnp.moveaxis(h, 0, -1))


def features(
    config: ModelConfig,
    body: Body,
    atomic_numbers: Integer[Array, " atoms"],
    positions: Float[Array, "frames atoms 3"],
) -> Float[Array, "features frames atoms"]:
    """Scalar features h of every atom, features first."""
    dtype = body["Embed_0"]["embedding"].dtype
    frames, atoms = positions.shape[:2]
    distances, unit = _pairs(positions, dtype)
    ones = jnp.ones((1, config.features), dtype)
    harmonics = [
        [_dot(ones, 0, y.reshape(1, -1), 0).reshape(-1, *y.shape) for y in degree]
        for degree in _harmonics(config.max_degree, unit)
    ]
    radial = _radial(config, body, distances)

    embedding = jnp.take(body["Embed_0"]["embedding"][:, 0, 0, :], atomic_numbers, axis=0)
    x = jnp.broadcast_to(embedding.T[:, None, None, :], (config.features, 1, frames, atoms))
    for iteration, step in enumerate(couplings.steps(config)):
        filters = jnp.stack(
            [r * y for r, ys in zip(radial[iteration], harmonics, strict=True) for y in ys], axis=3
        )
        message = _message(body[f"MessagePass_{iteration}"]["tensor"]["kernel"], step, filters, x)
        y = _dense(body[f"Dense_{2 * iteration}"], step, _add_carried(step, x, message))
        gate = jax.nn.sigmoid(y[:, 0])
        gated = jnp.stack([y[:, c] * gate for c in range(y.shape[1])], axis=1)
        x = _add_carried(step, x, _dense(body[f"Dense_{2 * iteration + 1}"], step, gated))
    return x[:, 0]


def _pairs(
    positions: Float[Array, "frames atoms 3"], dtype: jnp.dtype
) -> tuple[Float[Array, "frames atoms atoms"], tuple[Float[Array, "frames atoms atoms"], ...]]:
    """Distances r_ij and the components of (x_j − x_i)/r_ij; an atom is far from itself."""
    coordinates = jnp.moveaxis(positions, -1, 0)
    displacement = (coordinates[:, :, None, :] - coordinates[:, :, :, None]).astype(dtype)
    # Beyond any cutoff, in no particular direction: the diagonal contributes nothing, and its
    # derivatives are finite.
    self_distance = 1e6 * jnp.eye(positions.shape[1], dtype=dtype)
    squared = jnp.sum(displacement**2, axis=0) + self_distance
    inverse = 1 / jnp.sqrt(squared)
    return squared * inverse, tuple(displacement * inverse)


def _harmonics(
    max_degree: int, unit: tuple[Float[Array, "frames atoms atoms"], ...]
) -> list[list[Float[Array, "frames atoms atoms"]]]:
    """Real spherical harmonics by degree and order, in E3x's normalisation and order."""
    matrix, products = couplings.harmonics_recursion(max_degree)

    def combine(terms: list[tuple[float, Array]]) -> Array:
        return sum((float(c) * term for c, term in terms if c), jnp.zeros_like(unit[0]))

    components = [
        [jnp.ones_like(unit[0])],
        [combine(list(zip(row, unit, strict=True))) for row in matrix],
    ]
    for table in products:
        lower, first = components[-1], components[1]
        components.append(
            [
                combine(
                    [
                        (table[a, b, c], lower[a] * first[b])
                        for a in range(table.shape[0])
                        for b in range(3)
                        if table[a, b, c]
                    ]
                )
                for c in range(table.shape[2])
            ]
        )
    return components[: max_degree + 1]


def _radial(
    config: ModelConfig, body: Body, distances: Float[Array, "frames i j"]
) -> list[list[Float[Array, "features frames i j"]]]:
    """Learned radial filters of every step and degree, one matrix product each."""
    basis = _radial_basis(config, distances).reshape(config.basis, -1)

    def radial(iteration: int, degree: int) -> Array:
        name = couplings.kernel_name((0, degree), has_parity=False)
        weights = body[f"MessagePass_{iteration}"]["filter"][name]["kernel"]
        return _dot(weights, 0, basis, 0).reshape(config.features, *distances.shape)

    degrees = range(config.max_degree + 1)
    return [[radial(step, degree) for degree in degrees] for step in range(config.iterations)]


def _radial_basis(
    config: ModelConfig, distances: Float[Array, "frames i j"]
) -> Float[Array, "basis frames i j"]:
    """Bernstein polynomials of r/(1+r) times the smooth cutoff, as in E3x.

    g_k(r) = C(n,k) t^k (1−t)^(n−k) exp(1 − 1/(1−(r/r_c)²)), t = r/(1+r), n = basis − 1; the
    logarithm of the product is summed before it is exponentiated.
    """
    dtype = distances.dtype
    n = config.basis - 1
    k = jnp.arange(config.basis, dtype=dtype)
    scaled = distances / config.cutoff
    inside = scaled < 1
    safe = jnp.where(inside, scaled, 0)
    # Two atoms on top of each other are not a case to be exact for, only finite.
    r = jnp.where(inside, jnp.maximum(distances, 1e-6), 1)
    terms = jnp.stack([-jnp.log1p(1 / r), -jnp.log1p(r), 1 - 1 / (1 - safe * safe)])
    powers = jnp.stack([k, n - k, jnp.ones_like(k)])
    exponent = _dot(powers, 0, terms.reshape(3, -1), 0).reshape(-1, *distances.shape)
    log_binomial = jnp.asarray(couplings.log_binomials(n), dtype)[:, None, None, None]
    return jnp.where(inside, jnp.exp(exponent + log_binomial), 0)


def _message(
    kernel: Float[Array, "p1 l1 p2 l2 p3 l3 features"],
    step: couplings.Step,
    filters: Float[Array, "features frames i a j"],
    x: Float[Array, "features b frames j"],
) -> Float[Array, "features c frames i"]:
    """Messages of all neighbours, coupled to the output components."""
    f, n, i, a, j = filters.shape
    paths, table = kernel.reshape(-1, f), jnp.asarray(step.table, kernel.dtype)
    b, c = table.shape[2:]
    if c < b:  # couple first
        table = jnp.moveaxis(table, 1, 2).reshape(len(table), -1)
        coupling = _dot(paths, 0, table, 0).reshape(f, b, a * c)
        coupled = _dot(coupling, 1, x.reshape(f, b, n * j), 1, batch=1).reshape(f, a, c, n, j)
        coupled = jnp.transpose(coupled, (0, 3, 2, 1, 4)).reshape(f * n, c, a * j)
        message = _dot(filters.reshape(f * n, i, a * j), 2, coupled, 2, batch=1)
        return jnp.moveaxis(message.reshape(f, n, i, c), -1, 1)
    coupling = _dot(paths, 0, table.reshape(len(table), -1), 0).reshape(f, a * b, c)
    sources = jnp.swapaxes(x, 1, 2).reshape(f * n, b, j)
    gathered = _dot(filters.reshape(f * n, i * a, j), 2, sources, 2, batch=1)
    message = _dot(coupling, 1, gathered.reshape(f, n * i, a * b), 2, batch=1)
    return message.reshape(f, c, n, i)


def _blocks(irreps: tuple[couplings.Irrep, ...]) -> list[slice]:
    edges = [0]
    for _, degree in irreps:
        edges.append(edges[-1] + 2 * degree + 1)
    return [slice(*pair) for pair in itertools.pairwise(edges)]


def _carried(
    step: couplings.Step, x: Float[Array, "features b frames atoms"]
) -> list[Float[Array, "features m frames atoms"] | None]:
    """For every output irrep the input that the residual connection adds to it, if there is one."""
    by_symmetry = {
        (irrep[1], couplings.is_odd(irrep, step.inputs_have_parity)): block
        for irrep, block in zip(step.inputs, _blocks(step.inputs), strict=True)
    }
    found = [
        by_symmetry.get((irrep[1], couplings.is_odd(irrep, step.outputs_have_parity)))
        for irrep in step.outputs
    ]
    return [None if block is None else x[:, block] for block in found]


def _add_carried(
    step: couplings.Step,
    x: Float[Array, "features b frames atoms"],
    y: Float[Array, "features c frames atoms"],
) -> Float[Array, "features c frames atoms"]:
    carried = _carried(step, x)
    parts = [
        y[:, block] if part is None else y[:, block] + part
        for block, part in zip(_blocks(step.outputs), carried, strict=True)
    ]
    return jnp.concatenate(parts, axis=1)


def _dense(
    weights: Body, step: couplings.Step, x: Float[Array, "features c frames atoms"]
) -> Float[Array, "features c frames atoms"]:
    """One matrix per irrep, a bias on the scalars."""
    parts = []
    for irrep, block in zip(step.outputs, _blocks(step.outputs), strict=True):
        layer = weights[couplings.kernel_name(irrep, step.outputs_have_parity)]
        part = x[:, block]
        part = _dot(layer["kernel"], 0, part.reshape(len(part), -1), 0).reshape(part.shape)
        if "bias" in layer:
            part = part + layer["bias"][:, None, None, None]
        parts.append(part)
    return jnp.concatenate(parts, axis=1)


def _dot(x: Array, x_axis: int, y: Array, y_axis: int, *, batch: int = 0) -> Array:
    """Sum of products over one axis of each; the first ``batch`` axes go along unsummed."""
    batches = tuple(range(batch))
    # On accelerators the default would round float32 products to fewer bits than forces bear.
    precision = jax.lax.Precision.HIGHEST
    dimensions = (((x_axis,), (y_axis,)), (batches, batches))
    return jax.lax.dot_general(x, y, dimensions, precision=precision)
