"""Recorded trajectories of several heads and replicas: of a simulation, a run, every statistic."""

import dataclasses
from collections.abc import Sequence
from typing import Final

import numpy as np
from jaxtyping import Bool, Float, Int

from fisherdash.errors import InputError
from fisherdash.units import BOLTZMANN

SURVIVING: Final = -1
"""``failed_step`` and ``cause`` of a replica that has not failed."""

NOT_FINITE: Final = -2
"""``cause`` of a failure by a number that is not finite."""

CLASH: Final = -3
"""``cause`` of a clash of the atoms i < j is CLASH − (i · N + j)."""

KIND_WORDS: Final = {"bond": "broken bond", "clash": "clash", "not_finite": "not finite"}
"""Kinds of failure, and what a table calls them: a bond off its length, two atoms without a bond
too near, a number that is not finite."""

FAILURES: Final = tuple(KIND_WORDS)


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
        cause: of the failure: index of the bond that broke, NOT_FINITE, or CLASH less the number
            i · N + j of two atoms; SURVIVING for survivors; shape (H, R); None where it is unknown,
            which counts as a bond.
        positions: Å, shape (H, R, K, N, 3), float32; None where they are not in memory.
        velocities: Å/fs, shape (H, R, K, N, 3), float32; None where they are not in memory.
        reference_energy: of survivors' last frames, by the potential that labelled the data, in
            standard deviations of the data from their mean; NaN where unknown; shape (H, R); None
            where no frame was judged.

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
    cause: Int[np.ndarray, "heads replicas"] | None = None
    positions: Float[np.ndarray, "heads replicas frames atoms 3"] | None = None
    velocities: Float[np.ndarray, "heads replicas frames atoms 3"] | None = None
    reference_energy: Float[np.ndarray, "heads replicas"] | None = None

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
        expected |= dict.fromkeys(("failed_step", "cause", "reference_energy"), energies[:2])
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

    @property
    def kinds(self) -> Int[np.ndarray, "heads replicas"]:
        """Kind of every failure, an index into FAILURES; −1 for survivors."""
        cause = np.zeros_like(self.failed_step) if self.cause is None else np.asarray(self.cause)
        kinds = np.select([cause <= CLASH, cause == NOT_FINITE], [1, 2], 0)
        return np.where(self.survivors, -1, kinds)

    def failure_counts(self) -> dict[str, dict[str, int]]:
        """Failures of every head, by kind; together all that do not survive."""
        return {
            name: {kind: int(np.sum(row == k)) for k, kind in enumerate(FAILURES)}
            for name, row in zip(self.names, self.kinds, strict=True)
        }

    def clash(self, head: int, replica: int) -> tuple[int, int] | None:
        """The two atoms of a clash; None where a trajectory has not failed by one."""
        cause = -1 if self.cause is None else int(self.cause[head, replica])
        return divmod(CLASH - cause, self.num_atoms) if cause <= CLASH else None

    def surviving_counts(self) -> Int[np.ndarray, "heads frames"]:
        """Number of surviving replicas at every frame."""
        return self.surviving.sum(axis=1)

    def kinetic_temperature(self) -> Float[np.ndarray, "heads frames"]:
        """2⟨K⟩/(k_B · degrees of freedom) over the survivors, K; NaN without any."""
        count = self.surviving_counts()
        total = np.where(self.surviving, self.kinetic, 0.0).sum(axis=1)
        mean = np.where(count > 0, total / np.maximum(count, 1), np.nan)
        return 2.0 * mean / (max(self.degrees_of_freedom or 1, 1) * BOLTZMANN)

    def of(self, heads: Sequence[int], names: Sequence[str] | None = None) -> "Trajectories":
        """The trajectories of some heads alone, in this order, under other names if given."""
        rows = list(heads)
        fields = ("potential", "kinetic", "failed_step", "cause", "positions", "velocities")
        fields += ("reference_energy",)
        arrays = {name: getattr(self, name) for name in fields}
        chosen = {name: array[rows] for name, array in arrays.items() if array is not None}
        names = names or [self.names[row] for row in rows]
        return dataclasses.replace(self, names=tuple(names), **chosen)

    def followed_by(self, *later: "Trajectories") -> "Trajectories":
        """The energies of consecutive pieces as one; failures are those of the last.

        Raises InputError when the pieces do not fit together.
        """
        pieces = (self, *later)
        if len({piece.failed_step.shape for piece in pieces}) > 1:
            raise InputError("pieces of trajectories must agree in heads and replicas")
        return dataclasses.replace(
            pieces[-1],
            times=np.concatenate([piece.times for piece in pieces]),
            potential=np.concatenate([piece.potential for piece in pieces], axis=2),
            kinetic=np.concatenate([piece.kinetic for piece in pieces], axis=2),
            positions=None,
            velocities=None,
        )
