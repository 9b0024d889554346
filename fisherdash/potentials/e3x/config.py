"""Hyperparameters of the network, with the published report's values as defaults."""

import dataclasses
from typing import Any

from fisherdash.errors import InputError

MAX_ATOMIC_NUMBER = 118


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """What fixes the shape of a network.

    Attributes:
        features: number of features per atom, which is the number D of descriptors of one head.
        max_degree: highest degree of the equivariant features (0 to 3).
        iterations: number of message-passing steps.
        basis: number of radial basis functions (reciprocal Bernstein polynomials).
        cutoff: distance in Å beyond which two atoms do not see each other.
        head_elements: atomic numbers that have a head θ of their own, rising; empty where all
            atoms share one. The body knows nothing of it.
    """

    features: int = 32
    max_degree: int = 2
    iterations: int = 3
    basis: int = 32
    cutoff: float = 3.0
    head_elements: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        limits = {
            "features": (1, 1024),
            "max_degree": (0, 3),
            "iterations": (1, 8),
            "basis": (2, 128),
        }
        for name, (low, high) in limits.items():
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
                raise InputError(
                    f"{name} must be a whole number from {low} to {high}, received {value!r}"
                )
        cutoff = self.cutoff
        if not isinstance(cutoff, (int, float)) or not 0.5 <= cutoff <= 50.0:
            raise InputError(f"cutoff must be a distance from 0.5 to 50 Å, received {cutoff!r}")
        object.__setattr__(self, "cutoff", float(cutoff))
        object.__setattr__(self, "head_elements", _elements(self.head_elements))

    @property
    def num_descriptors(self) -> int:
        """Length of the head: ``features``, once for each element that has its own."""
        return self.features * max(1, len(self.head_elements))

    def to_json(self) -> dict[str, Any]:
        """The fields as a JSON-able dict; ``head_elements`` only where it says something."""
        fields = dataclasses.asdict(self)
        if not self.head_elements:
            del fields["head_elements"]
        return fields

    @classmethod
    def from_json(cls, fields: Any) -> "ModelConfig":
        """Inverse of :meth:`to_json`; raises InputError for missing or unknown fields."""
        names = {field.name for field in dataclasses.fields(cls)}
        if not isinstance(fields, dict) or set(fields) | {"head_elements"} != names:
            received = sorted(fields) if isinstance(fields, dict) else fields
            raise InputError(
                f"a model configuration has the fields {sorted(names)}, received {received!r}"
            )
        return cls(**fields)


def _elements(value: Any) -> tuple[int, ...]:
    good = isinstance(value, (list, tuple)) and all(
        type(z) is int and 1 <= z <= MAX_ATOMIC_NUMBER for z in value
    )
    if not good or list(value) != sorted(set(value)):
        raise InputError(
            f"head_elements must be different atomic numbers in rising order, received {value!r}"
        )
    return tuple(value)
