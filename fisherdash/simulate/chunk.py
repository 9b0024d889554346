"""What a running simulation hands out: a stretch of recorded frames."""

import dataclasses
from typing import Literal

import numpy as np
from jaxtyping import Float, Int

from fisherdash.simulate.failure import Bonds
from fisherdash.simulate.state import State


@dataclasses.dataclass(frozen=True, eq=False)
class Chunk:
    """K consecutive recorded frames of every trajectory; H heads, R replicas, N atoms.

    Energies of a replica are NaN from the step of its death on; its positions and velocities stay
    those at its death. The first chunk of a run has the stage "compiling" and no frames; the first
    frame of a run that is not resumed is the start, t = 0.

    Attributes:
        stage: "compiling" or "running".
        step: last step done.
        steps: steps of the whole run.
        names: of the heads.
        times: of the frames, fs, shape (K,).
        potential: eV, without the constant of the checkpoint, shape (H, R, K).
        kinetic: eV, shape (H, R, K).
        positions: Å, float32, shape (H, R, K, N, 3).
        velocities: Å/fs, float32, shape (H, R, K, N, 3).
        died_step: step of death, −1 while alive, shape (H, R).
        broken_bond: index into ``bonds``, −1 while alive, −2 for a number that is not finite.
        steps_per_second: of the whole batch, without compilation; 0 while unknown.
        device: where it runs, in words.
        bonds: the bonds that are watched.
        degrees_of_freedom: of one molecule's internal motion, for temperatures.
        notes: what was decided about the start, plain sentences.
        state: the integrator's state after ``step``, on the host; a run goes on from it exactly.
            None while compiling.
    """

    stage: Literal["compiling", "running"]
    step: int
    steps: int
    names: tuple[str, ...]
    times: Float[np.ndarray, " frames"]
    potential: Float[np.ndarray, "heads replicas frames"]
    kinetic: Float[np.ndarray, "heads replicas frames"]
    positions: Float[np.ndarray, "heads replicas frames atoms 3"]
    velocities: Float[np.ndarray, "heads replicas frames atoms 3"]
    died_step: Int[np.ndarray, "heads replicas"]
    broken_bond: Int[np.ndarray, "heads replicas"]
    steps_per_second: float
    device: str
    bonds: Bonds
    degrees_of_freedom: int
    notes: tuple[str, ...] = ()
    state: State | None = None

    def __post_init__(self) -> None:
        heads, replicas = self.died_step.shape
        frames = len(self.times)
        expected = {
            "potential": (heads, replicas, frames),
            "kinetic": (heads, replicas, frames),
            "positions": (heads, replicas, frames, *self.positions.shape[3:]),
            "velocities": self.positions.shape,
            "broken_bond": (heads, replicas),
        }
        for name, shape in expected.items():
            if getattr(self, name).shape != shape:
                raise ValueError(f"{name} has shape {getattr(self, name).shape}, expected {shape}")
        if len(self.names) != heads:
            raise ValueError(f"{heads} heads have {len(self.names)} names: {self.names}")
