"""Reading a run: its energies at once, its frames when they are asked for."""

import threading
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fisherdash.errors import InputError
from fisherdash.runs import files
from fisherdash.runs.header import Status, read_header

if TYPE_CHECKING:
    from fisherdash.analyse import Trajectories


class Run:
    """A run on disk: energies in memory, frames fetched when asked for.

    ``refresh()`` reads the chunks that have come since; H heads, R replicas, K frames, N atoms.

    Attributes:
        header: what run.json says.
        times: (K,) fs.
        potential, kinetic: (H, R, K) eV, NaN from a replica's death on.
        died_step: (H, R), −1 for the living.
        broken_bond: (H, R) index into ``header.bonds``, −1 for the living, −2 not finite.
        step: last step done.
        steps_per_second: at the last chunk.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self.header, self._fields = read_header(self.folder)
        heads, replicas = self.header.shape
        self.times = np.zeros(0)
        self.potential = np.zeros((heads, replicas, 0))
        self.kinetic = np.zeros((heads, replicas, 0))
        self.died_step = np.full((heads, replicas), -1, np.int64)
        self.broken_bond = np.full((heads, replicas), -1, np.int64)
        self.step, self.steps_per_second = 0, 0.0
        self._speeds: list[float] = []
        self._ends: list[int] = []
        self._lock = threading.Lock()
        self.refresh()

    @property
    def id(self) -> str:
        """The folder's name."""
        return self.folder.name

    @property
    def steps(self) -> int:
        """Steps of the whole run."""
        return int(self.header.settings["steps"])

    @property
    def status(self) -> Status:
        """How far the run is; "interrupted" when its writer is gone without having said so."""
        status = self._fields.get("status", "interrupted")
        if status == "running" and not files.is_alive(self._fields.get("writer", {})):
            return "interrupted"
        return status

    @property
    def typical_speed(self) -> float:
        """Median of the steps per second over the run; 0 while unknown."""
        known = [speed for speed in self._speeds if speed > 0]
        return float(np.median(known)) if known else 0.0

    def refresh(self) -> bool:
        """Read what has come since; whether anything has. InputError when a file is damaged."""
        with self._lock:
            return self._refresh()

    def _refresh(self) -> bool:
        self.header, self._fields = read_header(self.folder)
        fresh = []
        while (path := self.folder / files.CHUNK.format(len(self._ends) + len(fresh))).exists():
            fresh.append(self._energies(path))
        beyond = len(list(self.folder.glob("chunk-*.npz"))) - len(self._ends) - len(fresh)
        if beyond > 0 and not path.exists():
            raise InputError(f"the run in {self.folder} is damaged: {path.name} is missing")
        if not fresh:
            return False
        for name, axis in (("times", 0), ("potential", 2), ("kinetic", 2)):
            parts = [getattr(self, name), *(chunk[name] for chunk in fresh)]
            setattr(self, name, np.concatenate(parts, axis=axis))
        end = self._ends[-1] if self._ends else 0
        self._ends += list(end + np.cumsum([len(chunk["times"]) for chunk in fresh]))
        last = fresh[-1]
        self.died_step, self.broken_bond = last["died_step"], last["broken_bond"]
        self._speeds += [float(chunk["steps_per_second"]) for chunk in fresh]
        self.step = int(last["step"])
        self.steps_per_second = float(last["steps_per_second"])
        return True

    def frames(
        self, head: int, replica: int, indices: np.ndarray, what: str = "positions"
    ) -> np.ndarray:
        """Positions (Å) or velocities (Å/fs) of one trajectory, shape (len(indices), N, 3)."""
        indices = np.asarray(indices, np.int64)
        if np.any((indices < 0) | (indices >= len(self.times))):
            raise InputError(f"the run has frames 0 to {len(self.times) - 1}, asked for {indices}")
        found = np.zeros((len(indices), self.header.num_atoms, 3), np.float32)
        chunks = np.searchsorted(self._ends, indices, side="right")
        for number in np.unique(chunks):
            wanted = chunks == number
            begin = self._ends[number - 1] if number else 0
            block = self._frames(self.folder / files.CHUNK.format(int(number)), what)
            found[wanted] = block[head, replica, indices[wanted] - begin]
        return found

    def trajectories(self) -> "Trajectories":
        """The energies so far, as the analysis takes them."""
        from fisherdash.analyse import Trajectories

        return Trajectories(
            names=self.header.names,
            times=self.times,
            potential=self.potential,
            kinetic=self.kinetic,
            died_step=self.died_step,
            timestep=float(self.header.settings["timestep"]),
            atomic_numbers=np.array(self.header.atomic_numbers),
            temperature=float(self.header.settings["temperature"]),
            degrees_of_freedom=self.header.degrees_of_freedom,
        )

    def _energies(self, path: Path) -> dict[str, np.ndarray]:
        names = ("times", "potential", "kinetic", "died_step", "broken_bond")
        found = files.load(path, (*names, "step", "steps_per_second"))
        heads, replicas = self.header.shape
        frames = len(np.atleast_1d(found["times"]))
        expected = {"potential": (heads, replicas, frames), "kinetic": (heads, replicas, frames)}
        expected |= {"died_step": (heads, replicas), "broken_bond": (heads, replicas)}
        for name, shape in expected.items():
            if found[name].shape != shape:
                raise files.damaged(path, f"{name} has shape {found[name].shape}, expected {shape}")
        return found

    def _frames(self, path: Path, what: str) -> np.ndarray:
        block = files.load(path, (what,))[what]
        if block.shape[:2] != self.header.shape or block.shape[3:] != (self.header.num_atoms, 3):
            raise files.damaged(path, f"{what} has shape {block.shape}")
        return block


def open_run(folder: Path) -> Run:
    """Open a run's folder, whole or still being written.

    Raises InputError, one sentence, when it is no run, of another version, or damaged.
    """
    return Run(folder)
