"""The energies of a run, checked once so that every statistic can rely on them."""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from fisherdash.errors import InputError
from fisherdash.units import BOLTZMANN


@dataclasses.dataclass(frozen=True, eq=False)
class Trajectories:
    """Recorded energies of H heads times R replicas at K times.

    Attributes:
        names: of the heads; comparisons are with the first.
        times: fs, increasing, shape (K,).
        potential: eV, any constant left out, shape (H, R, K).
        kinetic: eV, shape (H, R, K).
        died_step: integrator step of death, −1 for survivors, shape (H, R).
        timestep: of the integrator, fs.
        atomic_numbers: shape (N,).
        temperature: at which the momenta were drawn, K, if known.
        degrees_of_freedom: of one molecule's internal motion; 3N − 6 unless given.

    Energies from the step of death on may be anything and are never used. Raises InputError for
    wrong shapes, times out of order, and energies of the living that are not finite.
    """

    names: tuple[str, ...]
    times: np.ndarray
    potential: np.ndarray
    kinetic: np.ndarray
    died_step: np.ndarray
    timestep: float
    atomic_numbers: np.ndarray
    temperature: float | None = None
    degrees_of_freedom: int | None = None

    def __post_init__(self) -> None:
        set_ = object.__setattr__
        set_(self, "names", tuple(self.names))
        for name in ("times", "potential", "kinetic"):
            set_(self, name, np.asarray(getattr(self, name), np.float64))
        for name in ("died_step", "atomic_numbers"):
            set_(self, name, np.asarray(getattr(self, name), np.int64))
        if self.degrees_of_freedom is None:
            atoms = len(self.atomic_numbers)
            set_(self, "degrees_of_freedom", 3 * atoms - (6 if atoms > 2 else 5))
        self._check_shapes()
        self._check_values()

    def _check_shapes(self) -> None:
        heads, frames = len(self.names), len(self.times)
        if self.potential.ndim != 3 or self.potential.shape[::2] != (heads, frames):
            raise InputError(
                f"potential energies of {heads} heads at {frames} times have the shape "
                f"({heads}, replicas, {frames}), received {self.potential.shape}"
            )
        for name, shape in (
            ("kinetic", self.potential.shape),
            ("died_step", self.potential.shape[:2]),
        ):
            if getattr(self, name).shape != shape:
                raise InputError(
                    f"{name} must have the shape {shape}, received {getattr(self, name).shape}"
                )
        if len(set(self.names)) != heads or not heads or not self.potential.shape[1]:
            raise InputError(
                "trajectories need heads of different names with at least one replica, received "
                f"{self.names} with {self.potential.shape[1]} replicas"
            )

    def _check_values(self) -> None:
        if not np.isfinite(self.timestep) or self.timestep <= 0:
            raise InputError(f"the time step must be above 0 fs, received {self.timestep}")
        if not np.all(np.isfinite(self.times)) or np.any(np.diff(self.times) <= 0):
            raise InputError("recorded times must be finite and increase from frame to frame")
        living = self.alive
        for name in ("potential", "kinetic"):
            if not np.all(np.isfinite(getattr(self, name)[living])):
                raise InputError(f"the {name} energy of a living replica is not finite")

    @property
    def replicas(self) -> int:
        """Number of replicas of every head."""
        return self.potential.shape[1]

    @property
    def num_atoms(self) -> int:
        """Atoms of the molecule."""
        return len(self.atomic_numbers)

    @property
    def duration(self) -> float:
        """Time of the last frame, ps; 0 before there is one."""
        return float(self.times[-1]) * 1e-3 if len(self.times) else 0.0

    def of(self, heads: Sequence[int], names: Sequence[str] | None = None) -> "Trajectories":
        """The trajectories of some heads alone, in this order, under other names if given."""
        rows = list(heads)
        return dataclasses.replace(
            self,
            names=tuple(names or (self.names[row] for row in rows)),
            potential=self.potential[rows],
            kinetic=self.kinetic[rows],
            died_step=self.died_step[rows],
        )

    @property
    def alive(self) -> Bool[np.ndarray, "heads replicas frames"]:
        """Whether a replica is alive at a frame."""
        death = (self.died_step - 0.5) * self.timestep  # half a step: times are rounded numbers
        return (self.died_step[..., None] < 0) | (self.times < death[..., None])

    @property
    def survivors(self) -> Bool[np.ndarray, "heads replicas"]:
        """Whether a replica has not died."""
        return self.died_step < 0

    def alive_counts(self) -> Int[np.ndarray, "heads frames"]:
        """Number of living replicas at every frame."""
        return self.alive.sum(axis=1)

    def kinetic_temperature(self) -> Float[np.ndarray, "heads frames"]:
        """2⟨K⟩/(k_B · degrees of freedom) over the living, K; NaN where nobody lives."""
        count = self.alive_counts()
        total = np.where(self.alive, self.kinetic, 0.0).sum(axis=1)
        mean = np.full(total.shape, np.nan)
        np.divide(total, count, out=mean, where=count > 0)
        return 2.0 * mean / (max(self.degrees_of_freedom or 1, 1) * BOLTZMANN)


def from_chunks(
    chunks: Iterable[Any],
    *,
    timestep: float,
    atomic_numbers: Int[np.ndarray, " atoms"],
    temperature: float | None = None,
) -> Trajectories:
    """The trajectories of the chunks that a simulation handed out, in their order."""
    chunks = list(chunks)
    if not chunks:
        raise InputError("trajectories need at least one chunk, received none")
    last = chunks[-1]
    return Trajectories(
        names=last.names,
        times=np.concatenate([chunk.times for chunk in chunks]),
        potential=np.concatenate([chunk.potential for chunk in chunks], axis=2),
        kinetic=np.concatenate([chunk.kinetic for chunk in chunks], axis=2),
        died_step=last.died_step,
        timestep=timestep,
        atomic_numbers=atomic_numbers,
        temperature=temperature,
        degrees_of_freedom=last.degrees_of_freedom,
    )
