"""ANI: what surrounds an atom, as symmetry functions, and a network for each element.

J. S. Smith, O. Isayev, A. E. Roitberg, Chem. Sci. 8, 3192 (2017). With f(d) = (1 + cos(πd/r_c)) / 2
below a cutoff r_c and zero beyond, d the distances from atom i, and θ_jk = arccos(0.95 cos ∠jik):

    radial    Σ_{j of s}       ¼ exp(−η_R (d_ij − R_k)²) f_R(d_ij)
    angular   Σ_{j<k of s, t}  2 ((1 + cos(θ_jk − θ_l)) / 2)^ζ
                               exp(−η_A ((d_ij + d_ik)/2 − R_m)²) f_A(d_ij) f_A(d_ik)

for every element s, and every pair of elements s, t. All of them are the input of the network of
the element of i, whose layers have the activation CELU with α = 0.1. The features h are the input
of the last, linear layer; every element has its own, so that the head is one by element. Layers of
different widths are filled up with zeros, which changes nothing: CELU(0) = 0. Members of an
ensemble have the symmetry functions in common; their features stand side by side, and its energy,
the mean of theirs, is as linear in them.
"""

import dataclasses
import itertools
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from fisherdash.errors import InputError
from fisherdash.potentials.pairs import EXACT, AllPairs, as_shapes, cosine_cutoff, displacements
from fisherdash.potentials.potential import Parameters
from fisherdash.settings import MAX_ATOMIC_NUMBER, Settings, setting

ALPHA = 0.1
"""Of CELU."""
TRIPLE_NUMBERS = 400_000
"""Numbers of all triples of a block of frames that stay in a CPU's cache."""


@dataclasses.dataclass(frozen=True)
class Ani(AllPairs, Settings):
    """The networks of one configuration, a :class:`~fisherdash.potentials.potential.Potential`.

    Attributes:
        species: atomic numbers in the order of the symmetry functions.
        widths: of the layers before the last one, the widest of all elements.
        radial_cutoff, angular_cutoff: in Å.
        radial_eta, angular_eta: η in Å⁻².
        zeta: ζ, a whole number.
        radial_shifts, angular_shifts, angles: how many R_k, R_m and θ_l there are.
        members: networks of the ensemble.
    """

    species: tuple[int, ...] = (1, 6, 7, 8)
    widths: tuple[int, ...] = (160, 128, 96)
    radial_cutoff: float = setting(5.2, low=0.5, high=50)
    angular_cutoff: float = setting(3.5, low=0.5, high=50)
    radial_eta: float = setting(16.0, above=0, high=1e4)
    angular_eta: float = setting(8.0, above=0, high=1e4)
    zeta: int = setting(32, low=1, high=1024)
    radial_shifts: int = setting(16, low=1, high=256)
    angular_shifts: int = setting(4, low=1, high=64)
    angles: int = setting(8, low=1, high=64)
    members: int = setting(1, low=1, high=64)

    FIELDS: ClassVar[str] = "an ANI configuration has the fields"
    FLOATS: ClassVar[bool] = True
    family = "ani"

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, most, highest in (("species", 16, MAX_ATOMIC_NUMBER), ("widths", 8, 2048)):
            value = getattr(self, name)
            whole = isinstance(value, (list, tuple)) and 1 <= len(value) <= most
            if not whole or not all(type(n) is int and 1 <= n <= highest for n in value):
                raise InputError(
                    f"{name} must be up to {most} whole numbers from 1 to {highest}, received "
                    f"{value!r:.60}"
                )
            object.__setattr__(self, name, tuple(value))
        if len(set(self.species)) < len(self.species):
            raise InputError(f"species must be different elements, received {self.species}")

    @property
    def num_features(self) -> int:
        """Number of features F: the widest input of a last layer, of every member."""
        return self.members * self.widths[-1]

    @property
    def cutoff(self) -> float:
        """The larger of the two cutoffs, Å."""
        return max(self.radial_cutoff, self.angular_cutoff)

    @property
    def elements(self) -> tuple[int, ...]:
        """Elements that have a network."""
        return tuple(sorted(self.species))

    @property
    def inputs(self) -> int:
        """Number of symmetry functions."""
        s = len(self.species)
        angular = s * (s + 1) // 2 * self.angular_shifts * self.angles
        return s * self.radial_shifts + angular

    def shapes(self) -> Parameters:
        """Shapes of the weights, (members · species, inputs, outputs), and of the shifts."""
        count, sizes = self.members * len(self.species), (self.inputs, *self.widths)
        shapes = {
            f"layer_{n}": {"weight": (count, *pair), "bias": (count, pair[1])}
            for n, pair in enumerate(itertools.pairwise(sizes))
        }
        shapes["symmetry"] = {
            "radial_shifts": (self.radial_shifts,),
            "angular_shifts": (self.angular_shifts,),
            "angles": (self.angles,),
        }
        return as_shapes(shapes)

    def per_atom(
        self, params: Parameters, atomic_numbers: Array, positions: Array
    ) -> Float[Array, "frames atoms features"]:
        """h of every atom."""
        of = jnp.asarray(self.species)[None] == atomic_numbers[:, None]
        species = jnp.argmax(of, axis=1)
        x = self._symmetry(params["symmetry"], of, positions, params["layer_0"]["weight"].dtype)
        members = range(0, self.members * len(self.species), len(self.species))
        return jnp.concatenate([self._layers(params, first + species, x) for first in members], -1)

    def _layers(
        self, params: Parameters, networks: Array, x: Float[Array, "frames atoms inputs"]
    ) -> Float[Array, "frames atoms width"]:
        """h of one member; ``networks`` (atoms,) says which layers are whose."""
        for n in range(len(self.widths)):
            layer = params[f"layer_{n}"]
            weight, bias = layer["weight"][networks], layer["bias"][networks]
            x = _celu(jnp.einsum("nai,aio->nao", x, weight, precision=EXACT) + bias)
        return x

    def _symmetry(
        self, shifts: Any, of: Array, positions: Array, dtype: Any
    ) -> Float[Array, "frames atoms inputs"]:
        """All symmetry functions; ``of`` (atoms, species) says which atom is of which element."""
        frames, atoms = positions.shape[:2]
        r, d = displacements(positions, self.cutoff, dtype)
        radial = jnp.exp(-self.radial_eta * (d[..., None] - shifts["radial_shifts"]) ** 2)
        radial = 0.25 * radial * cosine_cutoff(d, self.radial_cutoff)[..., None]
        members = of.astype(dtype)
        radial = jnp.einsum("nijk,js->nisk", radial, members, precision=EXACT)
        found = [radial.reshape(frames, atoms, -1)]
        if atoms > 2:
            found.append(self._angular(shifts, members, r, d))
        else:
            s = len(self.species)
            size = s * (s + 1) // 2 * self.angular_shifts * self.angles
            found.append(jnp.zeros((frames, atoms, size), dtype))
        return jnp.concatenate(found, axis=-1)

    def _angular(self, shifts: Any, members: Array, r: Array, d: Array) -> Array:
        frames, atoms = d.shape[:2]
        first, second = np.triu_indices(atoms, 1)  # every pair of other atoms once
        near = cosine_cutoff(d, self.angular_cutoff)
        weight = 2 * near[..., first] * near[..., second]
        unit = r / d[..., None]
        cosine = 0.95 * jnp.sum(unit[:, :, first] * unit[:, :, second], axis=-1)
        sine = jnp.sqrt(1 - cosine * cosine)  # of angles from 0 to π
        angles = shifts["angles"]
        turned = cosine[..., None] * jnp.cos(angles) + sine[..., None] * jnp.sin(angles)
        bent = (0.5 * (1 + turned)) ** self.zeta
        middle = 0.5 * (d[..., first] + d[..., second])
        away = jnp.exp(-self.angular_eta * (middle[..., None] - shifts["angular_shifts"]) ** 2)
        terms = (weight[..., None] * away)[..., :, None] * bent[..., None, :]
        terms = terms.reshape(*terms.shape[:3], -1)
        s, t = np.triu_indices(len(self.species))
        one, other = members[first], members[second]
        kinds = jnp.where(
            s == t, one[:, s] * other[:, t], one[:, s] * other[:, t] + one[:, t] * other[:, s]
        )
        found = jnp.einsum("nipk,pt->nitk", terms, kinds, precision=EXACT)
        return found.reshape(frames, atoms, -1)

    @property
    def numbers_of_a_triple(self) -> int:
        """Angular terms of an atom and two others."""
        return self.angular_shifts * self.angles

    def frames_per_block(self, atoms: int) -> int:
        """As many as keep the terms of all triples in the cache."""
        triples = max(1, atoms * atoms * (atoms - 1) // 2)
        return max(1, TRIPLE_NUMBERS // (triples * self.numbers_of_a_triple))


def _celu(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """x above zero, α(exp(x/α) − 1) below; its curvature jumps at zero."""
    return jnp.maximum(x, 0) + ALPHA * jnp.expm1(jnp.minimum(x, 0) / ALPHA)
