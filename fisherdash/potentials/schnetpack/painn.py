"""PaiNN as SchNetPack evaluates it: scalars q and vectors μ of every atom, in rounds.

K. T. Schütt, O. T. Unke, M. Gastegger, ICML 2021 (arXiv:2102.03150). In every round a message from
the neighbours j and a mixing of an atom's own numbers, ⊙ the product feature by feature and W_ij
linear in the radial basis, times the cutoff:

    [a, b, c]_j = A₂ act(A₁ q_j)
    q_i += Σ_j W¹_ij ⊙ a_j,    μ_i += Σ_j (W²_ij ⊙ b_j) r_ij/d_ij + (W³_ij ⊙ c_j) ⊙ μ_j
    V, W = B μ_i,    [a, b, c] = C₂ act(C₁ [q_i, √(|V|² + ε)])
    q_i += a + c ⊙ (V·W),    μ_i += b ⊙ W

The features h are the input of the last linear layer on q; the energy has no other part.
"""

import dataclasses
from typing import Any, ClassVar

import jax.numpy as jnp
from jaxtyping import Array, Float

from fisherdash.potentials.pairs import as_shapes
from fisherdash.potentials.potential import Parameters
from fisherdash.potentials.schnetpack.layers import (
    ACTIVATIONS,
    Network,
    Pairs,
    common_shapes,
    dense,
    dense_shapes,
    output,
)
from fisherdash.settings import setting


@dataclasses.dataclass(frozen=True)
class PaiNN(Network):
    """The network of one configuration, a :class:`~fisherdash.potentials.potential.Potential`.

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

    def per_atom(
        self, params: Parameters, atomic_numbers: Array, positions: Array
    ) -> Float[Array, "frames atoms features"]:
        """h of every atom."""
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
        return output(self, params, q)

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
