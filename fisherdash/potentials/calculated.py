"""A potential that an ASE calculator computes, to stand beside networks in dynamics and errors.

It is GFN2-xTB, or a calculator of the user's that the owner of the machine has named: a file can
name any, and importing it would run it. There is nothing to re-fit: all of the energy is U₀, and
the one feature is zero. A frame that the calculator cannot do is not finite, which is a failure.
"""

import dataclasses
import functools
import os
import threading
from typing import TYPE_CHECKING, Any, ClassVar

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
)
from fisherdash.settings import MAX_ATOMIC_NUMBER, Settings
from fisherdash.settings.data import HEAVIEST, METHOD

if TYPE_CHECKING:
    from fisherdash.reference import Labeller

ALLOWED = "FISHERDASH_CALCULATORS"
"""Environment variable: ``module:object`` of calculators that models may name, with commas."""


@dataclasses.dataclass(frozen=True)
class Calculated(WithoutNeighbours, Settings):
    """A :class:`~fisherdash.potentials.potential.Potential`, in double precision in any case.

    Attributes:
        calculator: GFN2-xTB, or ``module:object``.
    """

    calculator: str = METHOD

    FIELDS: ClassVar[str] = "a potential that a calculator computes has the fields"
    family = "calculator"
    num_features = 1
    cutoff = 100.0
    once = True
    headless = True

    def __post_init__(self) -> None:
        super().__post_init__()
        name = self.calculator
        if not isinstance(name, str) or len(name) > 200 or not name.isprintable():
            raise InputError(f"a calculator is {METHOD} or module:object, received {name!r:.80}")

    @property
    def elements(self) -> tuple[int, ...]:
        """Of GFN2-xTB those up to radon; what others know is not known."""
        last = HEAVIEST if self.calculator == METHOD else MAX_ATOMIC_NUMBER
        return tuple(range(1, last + 1))

    def per_atom(self, params: Parameters, atomic_numbers: Array, positions: Array) -> PerAtom:
        """Zero, and U₀ in eV; InputError, while it is traced, where it is not allowed."""
        self.labeller()
        numbers, x = atomic_numbers.astype(jnp.int64), positions.astype(jnp.float64)
        return PerAtom(jnp.zeros((*x.shape[:2], 1)), _energies(self, numbers, x))

    def frames_per_block(self, atoms: int) -> int:
        """Frames are computed one by one, and those that have failed are left out by blocks."""
        return 1

    def labeller(self) -> "Labeller":
        """What computes it; InputError for a calculator that the machine's owner has not named."""
        named = {one.strip() for one in os.environ.get(ALLOWED, "").split(",")}
        if self.calculator not in {METHOD, *named}:
            raise InputError(
                f"this model names the calculator {self.calculator!r}, which is a program: if you "
                f"trust it, name it in the environment variable {ALLOWED}"
            )
        return _labeller(self.calculator)

    def label(self, numbers: np.ndarray, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Energies, eV, and forces, eV/Å, as :class:`~fisherdash.reference.Labeller` gives them."""
        with _ONE_AT_A_TIME:
            return self.labeller().label(numbers, positions)


_ONE_AT_A_TIME = threading.Lock()
"""A calculator keeps its last frame."""


@functools.lru_cache(maxsize=4)
def _labeller(name: str) -> "Labeller":
    from fisherdash.reference import labeller  # slow to import

    return labeller(name)


@dataclasses.dataclass(frozen=True)
class _Label:
    """The call out of compiled programs, equal for equal potentials."""

    potential: Calculated

    def __call__(self, numbers: np.ndarray, positions: np.ndarray) -> tuple[np.ndarray, ...]:
        return self.potential.label(numbers, positions)


def _labels(potential: Calculated, numbers: Array, x: Array) -> tuple[Array, ...]:
    shapes = jax.ShapeDtypeStruct(x.shape[:1], x.dtype), jax.ShapeDtypeStruct(x.shape, x.dtype)
    return called(_Label(potential), shapes, numbers, x)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _energies(potential: Calculated, numbers: Array, x: Array) -> Float[Array, " frames"]:
    return _labels(potential, numbers, x)[0]


@_energies.defjvp
def _energies_jvp(potential: Calculated, primals: Any, tangents: Any) -> tuple[Array, Array]:
    energies, forces = _labels(potential, *primals)
    return energies, -jnp.sum(forces * tangents[1], axis=(1, 2))
