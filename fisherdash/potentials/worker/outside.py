"""A potential that another Python evaluates, as a function that JAX can differentiate once.

Its features h and fixed part U₀ are one call out of compiled code. Their
derivative is a linear map with a transpose of its own (``jax.custom_derivatives.linear_call``): a
direction is pushed forward, or a cotangent pulled back, by the library's own differentiation at the
other end, which keeps what it computed for the values. There is no second derivative: asking for
one is refused while the program is traced.
"""

import dataclasses
import functools
import re
from collections.abc import Callable
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from fisherdash.errors import InputError
from fisherdash.potentials.potential import (
    Parameters,
    PerAtom,
    WithoutNeighbours,
    called,
    rising,
)
from fisherdash.potentials.worker import client, trusted
from fisherdash.settings import Settings, setting
from fisherdash.settings.data import Energy, OutsideFamily
from fisherdash.units import ENERGY_UNITS

ATOMS_PER_BLOCK = 600
"""Atoms that are evaluated together: more make no step faster, and the other end holds a graph."""

Values = tuple[Float[Array, "frames atoms features"], Float[Array, " frames"]]


@dataclasses.dataclass(frozen=True)
class Outside(WithoutNeighbours, Settings):
    """A model that is not here, a :class:`~fisherdash.potentials.potential.Potential`.

    Whatever precision is asked for, it is evaluated in double.

    Attributes:
        family: of the model.
        sha256: of its file, which has to be trusted on this machine.
        num_features: F.
        cutoff: Å.
        elements: that the model has numbers for.
        fixed: whether there is a U₀.
        energy_unit: of the library.
        mace_head: of a MACE with several, "" for the only one.
        charge: of the molecule in e, for models that ask.
        unpaired: electrons of the molecule, for models that ask.
    """

    family: OutsideFamily = setting("mace")
    sha256: str = "0" * 64
    num_features: int = setting(1, low=1, high=4096)
    cutoff: float = setting(5.0, above=0, high=1000)
    elements: tuple[int, ...] = (1,)
    fixed: bool = setting(False)
    energy_unit: Energy = setting("eV")
    mace_head: str = ""
    charge: int = setting(0, low=-100, high=100)
    unpaired: int = setting(0, low=0, high=100)

    FIELDS: ClassVar[str] = "a model that another Python evaluates has the fields"
    FLOATS: ClassVar[bool] = True
    once = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.sha256, str) or not re.fullmatch("[0-9a-f]{64}", self.sha256):
            raise InputError(f"a SHA-256 has 64 hexadecimal digits, received {self.sha256!r:.80}")
        name = self.mace_head
        if not isinstance(name, str) or len(name) > 100 or not name.isprintable():
            raise InputError(f"the name of a head has at most 100 letters, received {name!r:.80}")
        object.__setattr__(self, "elements", rising(self.elements or None, "elements"))

    @classmethod
    def reader(cls, family: str) -> Callable[[Any], "Outside"]:
        """What makes one of a family from the fields in a file."""
        return lambda fields: cls.from_json(
            fields | {"family": family} if isinstance(fields, dict) else fields
        )

    @property
    def options(self) -> dict[str, Any]:
        """What the other end is told beside the file."""
        if self.family == "mace":
            return {"mace_head": self.mace_head}
        if self.family == "so3lr":
            return {"charge": self.charge, "unpaired": self.unpaired}
        return {}

    def per_atom(self, params: Parameters, atomic_numbers: Array, positions: Array) -> PerAtom:
        """h, and U₀ in eV; InputError, while it is traced, where the other Python does not start.

        What happens to it later raises from compiled code; :func:`fisherdash.errors.within` finds
        the sentence.
        """
        self.client()
        numbers, x = atomic_numbers.astype(jnp.int64), positions.astype(jnp.float64)
        h, fixed = _values(self, numbers, x)
        return PerAtom(h, fixed * ENERGY_UNITS[self.energy_unit] if self.fixed else None)

    def frames_per_block(self, atoms: int) -> int:
        """So many that each call is worth its price."""
        return max(1, ATOMS_PER_BLOCK // atoms)

    def client(self) -> client.Client:
        """The process that evaluates it, started where need be; InputError where it does not."""
        found = client.running(trusted.find(self.sha256, self.family), self.options)
        facts = found.facts
        told = (facts.get("features"), facts.get("elements"), bool(facts.get("fixed_terms")))
        if told != (self.num_features, list(self.elements), self.fixed):
            raise InputError(
                f"{found.trusted.name} is not the model of this checkpoint: it has "
                f"{told[0]!r:.20} features, not {self.num_features}, other elements, or other terms"
            )
        return found


@dataclasses.dataclass(frozen=True)
class _Call:
    """A request as a function of arrays, equal for equal requests so that programs are shared."""

    potential: Outside
    request: str

    def __call__(self, numbers: Any, positions: Any, *rest: Any) -> Any:
        names = {"pull": ("h", "fixed"), "push": ("tangent",)}.get(self.request, ())[: len(rest)]
        arrays = {"numbers": np.asarray(numbers), "positions": np.asarray(positions)}
        arrays |= {name: np.asarray(one) for name, one in zip(names, rest, strict=True)}
        shape = arrays["positions"].shape
        outputs = self.shapes(shape)
        expected = {name: one.shape for name, one in outputs.items()}
        found = self.potential.client().ask(self.request, arrays, expected)
        if self.request == "push" and not all(np.isfinite(one).all() for one in found.values()):
            raise InputError(
                "the library's derivatives of the features are not finite; frames where atoms "
                "coincide have none"
            )
        return tuple(found[name] for name in outputs)

    def shapes(self, positions: tuple[int, ...]) -> dict[str, jax.ShapeDtypeStruct]:
        """Of the answer."""
        if self.request == "pull":
            return {"x": jax.ShapeDtypeStruct(positions, jnp.float64)}
        shapes: dict[str, tuple[int, ...]]
        shapes = {"h": (*positions[:2], self.potential.num_features)}
        if self.potential.fixed:
            shapes["fixed"] = positions[:1]
        return {name: jax.ShapeDtypeStruct(one, jnp.float64) for name, one in shapes.items()}

    def traced(self, numbers: Array, positions: Array, *rest: Array) -> tuple[Array, ...]:
        """The call in a program that JAX compiles."""
        return called(self, tuple(self.shapes(positions.shape).values()), numbers, positions, *rest)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _values(potential: Outside, numbers: Array, positions: Array) -> Values:
    h, *fixed = _Call(potential, "per_atom").traced(numbers, positions)
    return h, fixed[0] if fixed else jnp.zeros(len(h))


@_values.defjvp
def _values_jvp(potential: Outside, primals: Any, tangents: Any) -> tuple[Values, Values]:
    numbers, positions = primals
    positions = _once(positions)

    def push(at: tuple[Array, Array], tangent: Array) -> Values:
        """Derivatives along a direction."""
        h, *fixed = _Call(potential, "push").traced(*at, tangent)
        return h, fixed[0] if fixed else jnp.zeros(len(h))

    def pull(at: tuple[Array, Array], cotangents: Values) -> Array:
        """The transpose: cotangents pulled back to positions."""
        given = cotangents if potential.fixed else cotangents[:1]
        return _Call(potential, "pull").traced(*at, *given)[0]

    found = _values(potential, numbers, positions)
    at = (numbers, positions)
    return found, jax.custom_derivatives.linear_call(push, pull, at, tangents[1])


@jax.custom_jvp
def _once(positions: Array) -> Array:
    """The positions, at which a derivative was taken already."""
    return positions


@_once.defjvp
def _once_jvp(primals: Any, tangents: Any) -> Any:
    raise InputError(
        "a model that another Python evaluates has first derivatives only, and this needs second "
        "ones: take --method forces"
    )
