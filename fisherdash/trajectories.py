"""Recorded trajectories of several heads and replicas, checked once.

What a simulation hands out in pieces, what a run on disk holds, and what every statistic takes.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

from fisherdash.errors import InputError
from fisherdash.units import BOLTZMANN


@dataclasses.dataclass(frozen=True, eq=False)
class Trajectories:
    """K recorded frames of H heads times R replicas of a molecule of N atoms.

    Attributes:
        names: of the heads; comparisons are with the first.
        times: fs, increasing, shape (K,).
        potential: eV, any constant left out, shape (H, R, K).
        kinetic: eV, shape (H, R, K).
        failed_step: integrator step of the failure, −1 for survivors, shape (H, R).
        timestep: of the integrator, fs.
        num_atoms: N.
        temperature: at which the momenta were drawn, K, if known.
        degrees_of_freedom: of one molecule's internal motion; 3N − 6 unless given.
        broken_bond: index of the bond that broke, −1 for survivors, −2 for a number that is not
            finite, shape (H, R); None where it is not needed.
        positions: Å, shape (H, R, K, N, 3), float32; None where they are not in memory.
        velocities: Å/fs, shape (H, R, K, N, 3), float32; None where they are not in memory.

    Energies from the step of the failure on may be anything and are never used. Raises InputError
    for wrong shapes, times out of order, and energies of survivors that are not finite.
    """

    names: tuple[str, ...]
    times: Float[np.ndarray, " frames"]
    potential: Float[np.ndarray, "heads replicas frames"]
    kinetic: Float[np.ndarray, "heads replicas frames"]
    failed_step: Int[np.ndarray, "heads replicas"]
    timestep: float
    num_atoms: int
    temperature: float | None = None
    degrees_of_freedom: int | None = None
    broken_bond: Int[np.ndarray, "heads replicas"] | None = None
    positions: Float[np.ndarray, "heads replicas frames atoms 3"] | None = None
    velocities: Float[np.ndarray, "heads replicas frames atoms 3"] | None = None

    def __post_init__(self) -> None:
        set_ = object.__setattr__
        set_(self, "names", tuple(self.names))
        for name in ("times", "potential", "kinetic"):
            set_(self, name, np.asarray(getattr(self, name), np.float64))
        set_(self, "failed_step", np.asarray(self.failed_step, np.int64))
        if self.degrees_of_freedom is None:
            set_(self, "degrees_of_freedom", 3 * self.num_atoms - (6 if self.num_atoms > 2 else 5))
        self._check_shapes()
        self._check_values()

    def _check_shapes(self) -> None:
        heads, frames, shape = len(self.names), self.times.size, self.potential.shape
        replicas = shape[1] if len(shape) == 3 else 0
        energies = (heads, replicas, frames)
        expected: dict[str, tuple[int, ...]] = {"times": (frames,)}
        expected |= dict.fromkeys(("potential", "kinetic"), energies)
        expected |= dict.fromkeys(("failed_step", "broken_bond"), energies[:2])
        expected |= dict.fromkeys(("positions", "velocities"), (*energies, self.num_atoms, 3))
        for name, shape in expected.items():
            array = getattr(self, name)
            if array is not None and array.shape != shape:
                raise InputError(f"{name} must have the shape {shape}, received {array.shape}")
        if len(set(self.names)) != heads or not heads or not replicas:
            raise InputError(
                "trajectories need heads of different names with at least one replica, received "
                f"{self.names} with {replicas} replicas"
            )

    def _check_values(self) -> None:
        if not np.isfinite(self.timestep) or self.timestep <= 0:
            raise InputError(f"the time step must be above 0 fs, received {self.timestep}")
        if not np.all(np.isfinite(self.times)) or np.any(np.diff(self.times) <= 0):
            raise InputError("recorded times must be finite and increase from frame to frame")
        surviving = self.surviving
        for name in ("potential", "kinetic"):
            if not np.all(np.isfinite(getattr(self, name)[surviving])):
                raise InputError(f"the {name} energy of a surviving replica is not finite")

    @property
    def replicas(self) -> int:
        """Number of replicas of every head."""
        return self.potential.shape[1]

    @property
    def duration(self) -> float:
        """Time of the last frame, ps; 0 before there is one."""
        return float(self.times[-1]) * 1e-3 if len(self.times) else 0.0

    @property
    def surviving(self) -> Bool[np.ndarray, "heads replicas frames"]:
        """Whether a replica has not failed at a frame."""
        failure = (self.failed_step - 0.5) * self.timestep  # half a step: times are rounded numbers
        return (self.failed_step[..., None] < 0) | (self.times < failure[..., None])

    @property
    def survivors(self) -> Bool[np.ndarray, "heads replicas"]:
        """Whether a replica has not failed."""
        return self.failed_step < 0

    def surviving_counts(self) -> Int[np.ndarray, "heads frames"]:
        """Number of surviving replicas at every frame."""
        return self.surviving.sum(axis=1)

    def kinetic_temperature(self) -> Float[np.ndarray, "heads frames"]:
        """2⟨K⟩/(k_B · degrees of freedom) over the survivors, K; NaN without any."""
        count = self.surviving_counts()
        total = np.where(self.surviving, self.kinetic, 0.0).sum(axis=1)
        mean = np.full(total.shape, np.nan)
        np.divide(total, count, out=mean, where=count > 0)
        return 2.0 * mean / (max(self.degrees_of_freedom or 1, 1) * BOLTZMANN)

    def of(self, heads: Sequence[int], names: Sequence[str] | None = None) -> "Trajectories":
        """The trajectories of some heads alone, in this order, under other names if given."""
        rows = list(heads)
        arrays = ("potential", "kinetic", "failed_step", "broken_bond", "positions", "velocities")
        known = {name: getattr(self, name) for name in arrays}
        return dataclasses.replace(
            self,
            names=tuple(names or (self.names[row] for row in rows)),
            **{name: array[rows] for name, array in known.items() if array is not None},
        )

    def followed_by(self, *later: "Trajectories") -> "Trajectories":
        """The energies of consecutive pieces as one; failures are those of the last.

        Raises InputError when the pieces do not fit together.
        """
        pieces = (self, *later)
        if len({piece.failed_step.shape for piece in pieces}) > 1:
            raise InputError("pieces of trajectories must agree in heads and replicas")
        last = pieces[-1]
        return Trajectories(
            names=last.names,
            times=np.concatenate([piece.times for piece in pieces]),
            potential=np.concatenate([piece.potential for piece in pieces], axis=2),
            kinetic=np.concatenate([piece.kinetic for piece in pieces], axis=2),
            failed_step=last.failed_step,
            timestep=last.timestep,
            num_atoms=last.num_atoms,
            temperature=last.temperature,
            degrees_of_freedom=last.degrees_of_freedom,
            broken_bond=last.broken_bond,
        )
