"""The E3x network as a potential: features h_i, no fixed part, evaluated fast.

The weights, and the numbers, are those of :mod:`fisherdash.potentials.e3x.network`.

For small molecules every atom sees nearly every other, so all pairs are taken, and the whole
network becomes a chain of matrix products: radial basis and harmonics of all pairs once, here; the
messages of each step in :mod:`fisherdash.potentials.e3x.messages`; between them the dense layers,
with the features in front (f feature, n frame, i and j atoms, a, b, c angular components). For
large ones a list of neighbours takes the place of all pairs, in the messages too
(:mod:`fisherdash.potentials.e3x.sparse`).

Three rules keep the compiled program lean, and its derivatives too. Every product is a dot of
arrays with at most one batch, one free and one summed axis each: with more, XLA copies the operands
of the reverse product into another order. Nothing is broadcast whose reverse would be a reduction
over a middle axis, many times slower than the arithmetic in it: such products are written component
by component, or as a product with a vector of ones. And arrays are split, not sliced: the reverse
of a slice is a sum of padded arrays.

The sum over neighbours is taken before the Clebsch–Gordan coupling, so that the coupling works on
atoms instead of pairs, and its constants join the learned weights of the paths once per call. The
reverse of a product is a product, hence forces and training cost what they should.
"""

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Integer

from fisherdash.potentials.e3x import messages, sparse
from fisherdash.potentials.e3x.messages import (
    Body,
    Pairs,
    batched,
    batched_for_reverse,
    body_shapes,
    dot,
    split,
)
from fisherdash.potentials.e3x.sparse import Neighbours, anywhere, choose, from_neighbours, slots
from fisherdash.potentials.potential import PerAtom, Result
from fisherdash.settings import MAX_ATOMIC_NUMBER, ModelConfig

# Frames that go through the network together on a CPU: enough to keep the matrix products busy,
# few enough that what lies between them stays in the cache (see docs/performance.md).
CPU_BLOCK = 32

# With a list of neighbours it is so many slots of it that keep a CPU busy, at least one frame's.
CPU_SLOTS = 1300


@dataclasses.dataclass(frozen=True)
class E3x:
    """The network of one configuration.

    Attributes:
        config: its hyperparameters.
    """

    config: ModelConfig
    family = "e3x"
    elements = tuple(range(1, MAX_ATOMIC_NUMBER + 1))
    precisions = ("float32", "float64")
    taylor = True

    @property
    def num_features(self) -> int:
        """Number of features F of an atom."""
        return self.config.features

    @property
    def cutoff(self) -> float:
        """Distance in Å."""
        return self.config.cutoff

    def to_json(self) -> dict[str, Any]:
        """The configuration."""
        return self.config.to_json()

    def shapes(self) -> Body:
        """Shapes of the weights."""
        return body_shapes(self.config)

    def init(self, seed: int) -> Body:
        """Fresh weights, float32."""
        from fisherdash.potentials.e3x.network import init  # E3x: as long an import as JAX

        return init(self.config, seed)

    def features(
        self,
        params: Body,
        atomic_numbers: Integer[Array, " atoms"],
        positions: Float[Array, "frames atoms 3"],
        *,
        neighbours: Neighbours | None = None,
        forward_mode: bool = False,
    ) -> PerAtom:
        """h, of all pairs of atoms or of a list; a list needs reverse mode.

        The network runs in the precision of ``params``; displacements are formed in that of
        ``positions`` before they are rounded to it.
        """
        config = self.config
        dtype = params["Embed_0"]["embedding"].dtype
        frames, atoms = positions.shape[:2]
        distances, unit = _displacements(positions, dtype, neighbours)
        basis = _radial_basis(config, distances).reshape(config.basis, -1)
        harmonics = _harmonics(config.max_degree, unit)
        if neighbours is None:
            pairs = Pairs(basis, harmonics, batched if forward_mode else batched_for_reverse)
        else:
            pairs = sparse.Pairs(basis, harmonics, batched_for_reverse, neighbours)
        embedding = jnp.take(params["Embed_0"]["embedding"][:, 0, 0, :], atomic_numbers, axis=0)
        x = jnp.broadcast_to(embedding.T[:, None, None, :], (config.features, 1, frames, atoms))
        for iteration, step in enumerate(messages.steps(config)):
            sent = pairs.messages(params[f"MessagePass_{iteration}"], step, x)
            y = _dense(params[f"Dense_{2 * iteration}"], step, _add_carried(step, x, sent))
            gate = jax.nn.sigmoid(y[:, :1])
            gated = jnp.concatenate(
                [part * gate for part in jnp.split(y, y.shape[1], axis=1)], axis=1
            )
            x = _add_carried(step, x, _dense(params[f"Dense_{2 * iteration + 1}"], step, gated))
        return PerAtom(jnp.moveaxis(x[:, 0], 0, -1))

    def with_neighbours(
        self,
        evaluate: Callable[[Float[Array, "frames atoms 3"], Neighbours | None], Result],
        positions: Float[Array, "frames atoms 3"],
    ) -> Result:
        """In large molecules with a list of neighbours, unless it cannot be used; else without."""
        room = slots(self.config.cutoff, positions.shape[1])
        if room is None:
            return evaluate(positions, None)
        neighbours, unusable = choose(self.config.cutoff, room, positions)
        # Differentiated, a `cond` keeps what either of its branches would keep for the way back.
        # All pairs would be much for a branch that is hardly ever taken: it is evaluated again.
        all_pairs = jax.checkpoint(lambda x: evaluate(x, None))
        return jax.lax.cond(
            anywhere(unusable),
            lambda: all_pairs(positions),
            lambda: evaluate(positions, neighbours),
        )

    def frames_per_block(self, atoms: int) -> int:
        """:data:`CPU_BLOCK`, fewer with a list of neighbours."""
        room = slots(self.config.cutoff, atoms)
        return CPU_BLOCK if room is None else max(1, CPU_SLOTS // (atoms * room))


def _displacements(
    positions: Float[Array, "frames atoms 3"], dtype: jnp.dtype, neighbours: Neighbours | None
) -> tuple[Float[Array, "frames j i"], tuple[Float[Array, "frames j i"], ...]]:
    """Distances r_ji and the components of (x_j − x_i)/r_ji; an atom is far from itself.

    With a list the axes are frames, i and its slots, with neighbour j in them.
    """
    coordinates = jnp.moveaxis(positions, -1, 0)
    # Beyond any cutoff, in no particular direction: the diagonal and the empty slots contribute
    # nothing, and their derivatives are finite.
    if neighbours is None:
        displacement = (coordinates[:, :, :, None] - coordinates[:, :, None, :]).astype(dtype)
        self_distance = 1e6 * jnp.eye(positions.shape[1], dtype=dtype)
    else:
        theirs = [from_neighbours(neighbours, x.reshape(-1)) for x in coordinates]
        theirs = jnp.stack(theirs).reshape(3, *neighbours.atom.shape)
        displacement = (theirs - coordinates[..., None]).astype(dtype)
        self_distance = 1e6 * neighbours.empty.astype(dtype)
    squared = jnp.sum(displacement**2, axis=0) + self_distance
    inverse = 1 / jnp.sqrt(squared)
    return squared * inverse, tuple(displacement * inverse)


def _harmonics(
    max_degree: int, unit: tuple[Float[Array, "frames atoms atoms"], ...]
) -> list[list[Float[Array, "frames atoms atoms"]]]:
    """Real spherical harmonics by degree and order, in E3x's normalisation and order."""
    matrix, products = messages.harmonics_recursion(max_degree)

    zero = jnp.zeros_like(unit[0])

    def combined(terms: Iterable[tuple[float, Array]]) -> Array:
        """Σ c·term over the coefficients that are not zero."""
        return sum((float(c) * term for c, term in terms if c), zero)

    first = [combined(zip(row, unit, strict=True)) for row in matrix]
    components = [[jnp.ones_like(zero)], first]
    for table in products:
        lower = components[-1]
        places = [np.argwhere(table[..., c]) for c in range(table.shape[2])]
        components.append(
            [
                combined((table[a, b, c], lower[a] * first[b]) for a, b in nonzero)
                for c, nonzero in enumerate(places)
            ]
        )
    return components[: max_degree + 1]


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
    exponent = dot(powers, 0, terms.reshape(3, -1), 0).reshape(-1, *distances.shape)
    log_binomial = jnp.asarray(messages.log_binomials(n), dtype)[:, None, None, None]
    return jnp.where(inside, jnp.exp(exponent + log_binomial), 0)


def _add_carried(
    step: messages.Step,
    x: Float[Array, "features b frames atoms"],
    y: Float[Array, "features c frames atoms"],
) -> Float[Array, "features c frames atoms"]:
    """The residual connection: an output irrep with the symmetry of an input has it added."""
    by_symmetry = {
        (irrep[1], messages.is_odd(irrep, step.inputs_have_parity)): part
        for irrep, part in zip(step.inputs, split(step.inputs, x), strict=True)
    }
    parts = []
    for irrep, part in zip(step.outputs, split(step.outputs, y), strict=True):
        symmetry = irrep[1], messages.is_odd(irrep, step.outputs_have_parity)
        parts.append(part + by_symmetry[symmetry] if symmetry in by_symmetry else part)
    return jnp.concatenate(parts, axis=1)


def _dense(
    weights: Body, step: messages.Step, x: Float[Array, "features c frames atoms"]
) -> Float[Array, "features c frames atoms"]:
    """One matrix per irrep, a bias on the scalars."""
    parts = []
    for irrep, part in zip(step.outputs, split(step.outputs, x), strict=True):
        layer = weights[messages.kernel_name(irrep, step.outputs_have_parity)]
        part = dot(layer["kernel"], 0, part.reshape(len(part), -1), 0).reshape(part.shape)
        if "bias" in layer:
            part = part + layer["bias"][:, None, None, None]
        parts.append(part)
    return jnp.concatenate(parts, axis=1)
