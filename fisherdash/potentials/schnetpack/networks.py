"""PaiNN and SchNet as SchNetPack evaluates them: numbers of every atom, in rounds of messages.

With r_ij = x_j − x_i the displacement from atom i to atom j, d_ij its length and r_c the cutoff:

    Gaussian basis   φ_k(d) = exp(−(d − μ_k)² / 2σ_k²)
    Bessel basis     φ_k(d) = sin(ω_k d) / d
    cutoff           f(d) = (1 + cos(πd / r_c)) / 2 below r_c, zero beyond

All pairs of a molecule are evaluated. The features h are the
input of the last linear layer on the scalars; the energy has no other part.
"""

import dataclasses
import itertools
import math
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final, Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from fisherdash.errors import InputError
from fisherdash.potentials.potential import (
    EXACT,
    Parameters,
    PerAtom,
    WithoutNeighbours,
    as_shapes,
    cosine_cutoff,
    displacements,
)
from fisherdash.settings import MAX_ATOMIC_NUMBER, Settings, setting

PAIR_NUMBERS: Final = 300_000
"""Numbers between the layers, for all pairs of a block of frames, that stay in a CPU's cache."""

Layer = Mapping[str, Float[Array, "..."]]
Basis = Literal["gaussian", "bessel"]
Activation = Literal["silu", "shifted_softplus"]


def shifted_softplus(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """ln(1 + eˣ) − ln 2."""
    return jax.nn.softplus(x) - math.log(2.0)


ACTIVATIONS: Final[Mapping[str, Callable[[Array], Array]]] = {
    "silu": jax.nn.silu,
    "shifted_softplus": shifted_softplus,
}


@dataclasses.dataclass(frozen=True)
class Network(WithoutNeighbours, Settings):
    """What SchNetPack's networks have in common; the names are ours.

    Attributes:
        width: numbers per atom between the layers.
        iterations: rounds of messages.
        radial: number of radial functions.
        basis: kind of the radial functions.
        cutoff: in Å.
        activation: between the layers.
        hidden: widths of the layers between the network and the last, linear one; the last of them
            is the number of features.
        embeddings: atomic numbers below this have an embedding.
    """

    width: int = setting(128, low=1, high=2048)
    iterations: int = setting(3, low=1, high=16)
    radial: int = setting(20, low=1, high=512)
    basis: Basis = setting("gaussian")
    cutoff: float = setting(5.0, low=0.5, high=50)
    activation: Activation = setting("silu")
    hidden: tuple[int, ...] = (64,)
    embeddings: int = setting(100, low=2, high=MAX_ATOMIC_NUMBER + 1)

    def __post_init__(self) -> None:
        super().__post_init__()
        whole = isinstance(self.hidden, (list, tuple)) and len(self.hidden) <= 8
        if not whole or not all(type(n) is int and 1 <= n <= 2048 for n in self.hidden):
            raise InputError(
                "hidden must be at most 8 whole numbers from 1 to 2048, received "
                f"{self.hidden!r:.60}"
            )
        object.__setattr__(self, "hidden", tuple(self.hidden))
        object.__setattr__(self, "cutoff", float(self.cutoff))

    @property
    def num_features(self) -> int:
        """Number of features F: the input of the last layer."""
        return self.hidden[-1] if self.hidden else self.width

    @property
    def elements(self) -> tuple[int, ...]:
        """Elements that have an embedding, trained or not."""
        return tuple(range(1, self.embeddings))

    @property
    def numbers_of_a_pair(self) -> int:
        """Numbers between the layers for one pair of atoms."""
        raise NotImplementedError

    def frames_per_block(self, atoms: int) -> int:
        """As many as keep the numbers of all pairs in a CPU's cache."""
        return max(1, PAIR_NUMBERS // (atoms * atoms * self.numbers_of_a_pair))


def dense_shapes(inputs: int, outputs: int, bias: bool = True) -> dict[str, tuple[int, ...]]:
    """Shapes of one layer."""
    shapes: dict[str, tuple[int, ...]] = {"weight": (inputs, outputs)}
    return shapes | ({"bias": (outputs,)} if bias else {})


def dense(layer: Layer, x: Float[Array, "... inputs"]) -> Float[Array, "... outputs"]:
    """xW + b."""
    found = jnp.matmul(x, layer["weight"], precision=EXACT)
    return found + layer["bias"] if "bias" in layer else found


def common_shapes(network: Network) -> dict[str, Any]:
    """Shapes of the embedding, the radial functions and the layers before the last one."""
    of_basis = ("offsets", "widths") if network.basis == "gaussian" else ("frequencies",)
    widths = (network.width, *network.hidden)
    output = {str(n): dense_shapes(*pair) for n, pair in enumerate(itertools.pairwise(widths))}
    return {
        "embedding": (network.embeddings, network.width),
        "radial": dict.fromkeys(of_basis, (network.radial,)),
        **({"output": output} if output else {}),
    }


def output(network: Network, params: Any, q: Float[Array, "frames atoms width"]) -> Array:
    """h, the input of the last layer: the layers between the network and that one."""
    activation = ACTIVATIONS[network.activation]
    for n in range(len(network.hidden)):
        q = activation(dense(params["output"][str(n)], q))
    return q


@dataclasses.dataclass(frozen=True)
class Pairs:
    """Geometry of all pairs i, j of atoms.

    Attributes:
        directions: r_ij / d_ij; anything where i is j.
        basis: φ_k(d_ij).
        cutoff: f(d_ij), zero where i is j.
    """

    directions: Float[Array, "frames atoms atoms 3"]
    basis: Float[Array, "frames atoms atoms k"]
    cutoff: Float[Array, "frames atoms atoms"]

    @classmethod
    def of(cls, network: Network, radial: Layer, positions: Array, dtype: Any) -> "Pairs":
        """From positions in Å; differences are formed in their precision and then rounded."""
        r, d = displacements(positions, network.cutoff, dtype)
        cutoff = cosine_cutoff(d, network.cutoff)
        return cls(r / d[..., None], _basis(network.basis, radial, d), cutoff)


def _basis(kind: Basis, radial: Layer, d: Array) -> Float[Array, "frames atoms atoms k"]:
    if kind == "bessel":
        return jnp.sin(d[..., None] * radial["frequencies"]) / d[..., None]
    away = (d[..., None] - radial["offsets"]) / radial["widths"]
    return jnp.exp(-0.5 * away * away)


@dataclasses.dataclass(frozen=True)
class PaiNN(Network):
    """Scalars q and vectors μ, a :class:`~fisherdash.potentials.potential.Potential`.

    K. T. Schütt, O. T. Unke, M. Gastegger, ICML 2021 (arXiv:2102.03150). In every round a message
    from the neighbours j and a mixing of an atom's own numbers, ⊙ the product feature by feature
    and W_ij linear in the radial basis, times the cutoff:

        [a, b, c]_j = A₂ act(A₁ q_j)
        q_i += Σ_j W¹_ij ⊙ a_j,    μ_i += Σ_j (W²_ij ⊙ b_j) r_ij/d_ij + (W³_ij ⊙ c_j) ⊙ μ_j
        V, W = B μ_i,    [a, b, c] = C₂ act(C₁ [q_i, √(|V|² + ε)])
        q_i += a + c ⊙ (V·W),    μ_i += b ⊙ W

    Attributes:
        shared_filters: whether all rounds have the same W_ij.
        epsilon: ε, in the unit of μ².
    """

    shared_filters: bool = setting(False)
    epsilon: float = setting(1e-8, above=0, high=1)

    FIELDS: ClassVar[str] = "a PaiNN configuration has the fields"
    family = "schnetpack-painn"

    def shapes(self) -> Parameters:
        """Shapes of the weights; those of layers as (inputs, outputs)."""
        width, rounds = self.width, range(self.iterations)
        filters = 3 * width * (1 if self.shared_filters else self.iterations)
        message = {"first": dense_shapes(width, width), "second": dense_shapes(width, 3 * width)}
        mixing = {
            "first": dense_shapes(2 * width, width),
            "second": dense_shapes(width, 3 * width),
            "vectors": dense_shapes(width, 2 * width, bias=False),
        }
        shapes = common_shapes(self) | {"filters": dense_shapes(self.radial, filters)}
        shapes |= {f"message_{n}": message for n in rounds} | {
            f"mixing_{n}": mixing for n in rounds
        }
        return as_shapes(shapes)

    def per_atom(self, params: Parameters, atomic_numbers: Array, positions: Array) -> PerAtom:
        """h of every atom; there is no fixed part."""
        dtype = params["embedding"].dtype
        pairs = Pairs.of(self, params["radial"], positions, dtype)
        q = jnp.broadcast_to(
            params["embedding"][atomic_numbers], (*positions.shape[:2], self.width)
        )
        mu = None
        for n in range(self.iterations):
            w = self._filters(params["filters"], pairs, n)
            q, mu = self._message(params[f"message_{n}"], pairs, w, q, mu)
            q, mu = self._mixing(params[f"mixing_{n}"], q, mu)
        return PerAtom(output(self, params, q))

    def _filters(self, layer: Any, pairs: Pairs, n: int) -> list[Array]:
        """W¹, W² and W³ of round n, each (frames, atoms, atoms, width)."""
        first = 0 if self.shared_filters else 3 * self.width * n
        part = {name: array[..., first : first + 3 * self.width] for name, array in layer.items()}
        return jnp.split(dense(part, pairs.basis) * pairs.cutoff[..., None], 3, axis=-1)

    def _message(
        self, layers: Any, pairs: Pairs, w: list[Array], q: Array, mu: Array | None
    ) -> tuple[Array, Array]:
        activation = ACTIVATIONS[self.activation]
        sent = dense(layers["second"], activation(dense(layers["first"], q)))
        a, b, c = jnp.split(sent, 3, axis=-1)
        q = q + jnp.sum(w[0] * a[:, None], axis=2)
        along = w[1] * b[:, None]
        found = [jnp.sum(along * pairs.directions[..., k, None], axis=2) for k in range(3)]
        if mu is not None:  # before the first round all vectors are zero
            carried = c[:, :, None] * mu
            found = [
                one + jnp.sum(w[2] * carried[:, None, :, k], axis=2) for k, one in enumerate(found)
            ]
        change = jnp.stack(found, axis=2)
        return q, change if mu is None else mu + change

    def _mixing(self, layers: Any, q: Array, mu: Array) -> tuple[Array, Array]:
        activation = ACTIVATIONS[self.activation]
        v, w = jnp.split(dense(layers["vectors"], mu), 2, axis=-1)
        length = jnp.sqrt(jnp.sum(v * v, axis=2) + self.epsilon)
        context = jnp.concatenate([q, length], axis=-1)
        found = dense(layers["second"], activation(dense(layers["first"], context)))
        a, b, c = jnp.split(found, 3, axis=-1)
        return q + a + c * jnp.sum(v * w, axis=2), mu + b[:, :, None] * w

    @property
    def numbers_of_a_pair(self) -> int:
        """Numbers of its three filters."""
        return 3 * self.width


@dataclasses.dataclass(frozen=True)
class SchNet(Network):
    """Scalars x, a :class:`~fisherdash.potentials.potential.Potential`.

    K. T. Schütt et al., J. Chem. Phys. 148, 241722 (2018). In every round a message from the
    neighbours j, ⊙ the product feature by feature, φ the radial basis and f the cutoff:

        W_ij = f(d_ij) (A₂ act(A₁ φ(d_ij))),    x_i += B₂ act(B₁ Σ_j W_ij ⊙ C x_j)

    Attributes:
        filters: numbers of a message.
    """

    filters: int = setting(128, low=1, high=2048)

    FIELDS: ClassVar[str] = "a SchNet configuration has the fields"
    family = "schnetpack-schnet"

    def shapes(self) -> Parameters:
        """Shapes of the weights; those of layers as (inputs, outputs)."""
        one = {
            "filter_first": dense_shapes(self.radial, self.filters),
            "filter_second": dense_shapes(self.filters, self.filters),
            "inward": dense_shapes(self.width, self.filters, bias=False),
            "outward_first": dense_shapes(self.filters, self.width),
            "outward_second": dense_shapes(self.width, self.width),
        }
        rounds = {f"message_{n}": one for n in range(self.iterations)}
        return as_shapes(common_shapes(self) | rounds)

    def per_atom(self, params: Parameters, atomic_numbers: Array, positions: Array) -> PerAtom:
        """h of every atom; there is no fixed part."""
        activation = ACTIVATIONS[self.activation]
        pairs = Pairs.of(self, params["radial"], positions, params["embedding"].dtype)
        x = jnp.broadcast_to(
            params["embedding"][atomic_numbers], (*positions.shape[:2], self.width)
        )
        for n in range(self.iterations):
            layers = params[f"message_{n}"]
            w = activation(dense(layers["filter_first"], pairs.basis))
            w = dense(layers["filter_second"], w) * pairs.cutoff[..., None]
            arrived = jnp.sum(w * dense(layers["inward"], x)[:, None], axis=2)
            arrived = activation(dense(layers["outward_first"], arrived))
            x = x + dense(layers["outward_second"], arrived)
        return PerAtom(output(self, params, x))

    @property
    def numbers_of_a_pair(self) -> int:
        """Numbers of its filter, between two layers and after the second."""
        return 2 * self.filters
