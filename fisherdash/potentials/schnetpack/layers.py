"""What SchNetPack's networks are made of: layers, radial functions, and the geometry of all pairs.

With r_ij = x_j − x_i the displacement from atom i to atom j, d_ij its length and r_c the cutoff:

    Gaussian basis   φ_k(d) = exp(−(d − μ_k)² / 2σ_k²)
    Bessel basis     φ_k(d) = sin(ω_k d) / d
    cutoff           f(d) = (1 + cos(πd / r_c)) / 2 below r_c, zero beyond

All pairs of a molecule are evaluated (:mod:`fisherdash.potentials.pairs`).
"""

import dataclasses
import itertools
import math
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from fisherdash.errors import InputError
from fisherdash.potentials.pairs import EXACT, AllPairs, cosine_cutoff, displacements
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
class Network(AllPairs, Settings):
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
