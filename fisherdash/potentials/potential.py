"""The interface of a potential, by which re-fit, dynamics, evaluation and export know it.

A potential gives, for every frame, features h of each atom and a fixed part U₀ of the energy that
no head changes; a head of some form (:mod:`fisherdash.potentials.head`) makes the rest of the
energy from h. What JAX cannot evaluate itself is called out of its programs.

Networks that evaluate all pairs of a molecule share its geometry: r_ij = x_j − x_i is the
displacement from atom i to atom j, and d_ij its length. An atom with itself has no weight:
molecules are small beside the cutoff.
"""

import dataclasses
import logging
import math
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, Protocol, TypeVar, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.buffer_callback import buffer_callback
from jaxtyping import Array, Float, Integer

from fisherdash.errors import InputError
from fisherdash.settings import MAX_ATOMIC_NUMBER

Parameters = Any
"""A pytree of arrays, in the precision in which the potential is to be evaluated."""

Neighbours = Any
"""What a potential's features take beside positions, see :meth:`Potential.with_neighbours`."""

Result = TypeVar("Result")

EXACT: Any = jax.lax.Precision.HIGHEST
"""On accelerators the default would round float32 products to fewer bits than forces bear."""


class PerAtom(NamedTuple):
    """What a potential gives for a batch of frames.

    Attributes:
        features: h of every atom.
        fixed: U₀ of every frame in eV; None where it is zero, so that it costs nothing.
    """

    features: Float[Array, "frames atoms features"]
    fixed: Float[Array, " frames"] | None = None


@runtime_checkable
class Potential(Protocol):
    """Everything about a potential that is not an array.

    Frozen and hashable, equal for equal computations: it is a static argument of compiled
    functions. The arrays are a pytree of parameters beside it.
    """

    @property
    def family(self) -> str:
        """Name of the kind of potential, as it stands in files."""
        ...

    @property
    def num_features(self) -> int:
        """Number of features F of an atom."""
        ...

    @property
    def cutoff(self) -> float:
        """Distance in Å beyond which two atoms do not see each other."""
        ...

    @property
    def elements(self) -> tuple[int, ...]:
        """Atomic numbers for which it has features."""
        ...

    @property
    def precisions(self) -> tuple[str, ...]:
        """Precisions in which it can be evaluated: "float32", "float64" or both."""
        ...

    @property
    def taylor(self) -> bool:
        """Whether ``jet`` may push Taylor series through the features; else ``jvp`` of ``jvp``."""
        ...

    def to_json(self) -> dict[str, Any]:
        """The fields that rebuild it, JSON-able, see ``checkpoint.potential_of``."""
        ...

    def shapes(self) -> Parameters:
        """The parameters' shapes: a nested dict of ``jax.ShapeDtypeStruct``."""
        ...

    def features(
        self,
        params: Parameters,
        atomic_numbers: Integer[Array, " atoms"],
        positions: Float[Array, "frames atoms 3"],
        *,
        neighbours: Neighbours = None,
        forward_mode: bool = False,
    ) -> PerAtom:
        """Features and U₀, a pure function that JAX can differentiate.

        Args:
            params: of the potential.
            atomic_numbers: the same in every frame.
            positions: in Å; differences are formed in their precision before they are rounded.
            neighbours: what :meth:`with_neighbours` found, or None.
            forward_mode: whether derivatives will be pushed forward (``jvp``, ``linearize``,
                ``jet``) and not pulled back.
        """
        ...

    def with_neighbours(
        self,
        evaluate: Callable[[Float[Array, "frames atoms 3"], Neighbours], Result],
        positions: Float[Array, "frames atoms 3"],
    ) -> Result:
        """``evaluate(positions, neighbours)`` with what makes the features fast there.

        ``evaluate`` may differentiate; what is found is constant to it.
        """
        ...

    def frames_per_block(self, atoms: int) -> int:
        """Frames of so many atoms that a CPU evaluates together."""
        ...


@runtime_checkable
class Trainable(Potential, Protocol):
    """A potential whose parameters can be learned here."""

    def init(self, seed: int) -> Parameters:
        """Fresh parameters, float32."""
        ...


@runtime_checkable
class OnceDifferentiable(Potential, Protocol):
    """A potential without second derivatives; asking for one raises InputError."""

    @property
    def once(self) -> Literal[True]:
        """That it has first derivatives only."""
        ...


class WithoutNeighbours:
    """Members of a :class:`Potential` that takes no lists of neighbours."""

    precisions: tuple[str, ...] = ("float32", "float64")
    # With JAX 0.10 on CPUs, the products with zeros that jet makes of layers give numbers that were
    # never written, at some sizes and silently.
    taylor = False

    def shapes(self) -> Parameters:
        """None: the weights are elsewhere, if there are any."""
        return {}

    def per_atom(
        self,
        params: Parameters,
        atomic_numbers: Integer[Array, " atoms"],
        positions: Float[Array, "frames atoms 3"],
    ) -> PerAtom:
        """h of every atom and U₀ in eV."""
        raise NotImplementedError

    def features(
        self,
        params: Parameters,
        atomic_numbers: Integer[Array, " atoms"],
        positions: Float[Array, "frames atoms 3"],
        *,
        neighbours: Neighbours = None,
        forward_mode: bool = False,
    ) -> PerAtom:
        """The same, however it is differentiated."""
        del neighbours, forward_mode
        return self.per_atom(params, jnp.asarray(atomic_numbers), positions)

    def with_neighbours(
        self,
        evaluate: Callable[[Float[Array, "frames atoms 3"], Neighbours], Result],
        positions: Float[Array, "frames atoms 3"],
    ) -> Result:
        """There is nothing to find."""
        return evaluate(positions, None)


def displacements(
    positions: Float[Array, "frames atoms 3"], cutoff: float, dtype: Any
) -> tuple[Float[Array, "frames atoms atoms 3"], Float[Array, "frames atoms atoms"]]:
    """r_ij and d_ij in Å, formed in the precision of the positions and then rounded.

    An atom is as far from itself as the cutoff, where nothing is singular and weights vanish.
    """
    r = (positions[:, None, :, :] - positions[:, :, None, :]).astype(dtype)
    same = jnp.eye(positions.shape[1], dtype=dtype)
    return r, jnp.sqrt(jnp.sum(r * r, axis=-1) + same * cutoff**2)


def cosine_cutoff(
    d: Float[Array, "frames atoms atoms"], cutoff: float
) -> Float[Array, "frames atoms atoms"]:
    """(1 + cos(πd / r_c)) / 2 below r_c, zero beyond and where i is j.

    It has a continuous slope at the cutoff and a curvature that jumps there.
    """
    near = jnp.where(d < cutoff, 1 - jnp.eye(d.shape[-1], dtype=d.dtype), 0)
    return 0.5 * (1 + jnp.cos(d * (math.pi / cutoff))) * near


def rising(value: Any, what: str) -> tuple[int, ...]:
    """Atomic numbers as a tuple; InputError unless they are different and in rising order."""
    good = isinstance(value, (list, tuple)) and all(
        type(z) is int and 1 <= z <= MAX_ATOMIC_NUMBER for z in value
    )
    if not good or list(value) != sorted(set(value)):
        raise InputError(
            f"{what} must be different atomic numbers in rising order, received {value!r:.60}"
        )
    return tuple(value)


def as_shapes(tree: Any) -> Any:
    """Nested shapes as ``jax.ShapeDtypeStruct``."""
    return jax.tree.map(
        lambda shape: jax.ShapeDtypeStruct(shape, jnp.float32),
        tree,
        is_leaf=lambda one: isinstance(one, tuple),
    )


def as_precision(potential: Potential, params: Parameters, precision: str) -> Parameters:
    """The parameters on the device in "float32" or "float64"; InputError for any other."""
    if precision not in potential.precisions:
        raise InputError(
            f"the precision is {' or '.join(potential.precisions)}, received {precision!r}"
        )
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, precision), params)


Shapes = tuple[jax.ShapeDtypeStruct, ...]


def _not_told_already(record: logging.LogRecord) -> bool:
    """JAX logs what is raised in a call out of its programs; an InputError is told elsewhere."""
    return not (record.exc_info and isinstance(record.exc_info[1], InputError))


logging.getLogger("jax._src.callback").addFilter(_not_told_already)


def called(
    function: Callable[..., tuple[np.ndarray, ...]], shapes: Shapes, *arrays: Array
) -> tuple[Array, ...]:
    """What a function of NumPy arrays returns, in a program that JAX compiles.

    On a CPU the arrays are looked at where they lie. ``pure_callback`` would make arrays of JAX of
    them and wait for these in a thread of XLA's pool; large ones are copied by that same pool, and
    as many calls at once as there are cores wait for ever.

    Args:
        function: hashable, equal for equal functions, so that programs are shared.
        shapes: of its results.
        arrays: that it is given.
    """
    if jax.default_backend() == "cpu":
        call = buffer_callback(_InPlace(function), shapes, vmap_method="sequential")
        return call(*arrays)  # pyright: ignore[reportReturnType]
    return jax.pure_callback(function, shapes, *arrays, vmap_method="sequential")


@dataclasses.dataclass(frozen=True)
class _InPlace:
    """A function that writes its results where XLA wants them."""

    function: Callable[..., tuple[np.ndarray, ...]]

    def __call__(self, _: Any, outputs: Any, *arrays: Any) -> None:
        found = self.function(*map(np.asarray, arrays))
        for output, one in zip(outputs, found, strict=True):
            np.asarray(output)[...] = one
