"""SchNet as SchNetPack evaluates it: scalars x of every atom, in rounds.

K. T. Schütt et al., J. Chem. Phys. 148, 241722 (2018). In every round a message from the neighbours
j, ⊙ the product feature by feature, φ the radial basis and f the cutoff:

    W_ij = f(d_ij) (A₂ act(A₁ φ(d_ij))),    x_i += B₂ act(B₁ Σ_j W_ij ⊙ C x_j)

The features h are the input of the last linear layer on x; the energy has no other part.
"""

import dataclasses
from typing import ClassVar

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
class SchNet(Network):
    """The network of one configuration, a :class:`~fisherdash.potentials.potential.Potential`.

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

    def per_atom(
        self, params: Parameters, atomic_numbers: Array, positions: Array
    ) -> Float[Array, "frames atoms features"]:
        """h of every atom."""
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
        return output(self, params, x)

    @property
    def numbers_of_a_pair(self) -> int:
        """Numbers of its filter, between two layers and after the second."""
        return 2 * self.filters
