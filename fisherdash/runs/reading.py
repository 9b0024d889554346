"""Reading a run: its energies at once, its frames when they are asked for."""

import threading
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fisherdash.errors import InputError
from fisherdash.runs import files, hold
from fisherdash.runs.header import Status, read_header

if TYPE_CHECKING:
    from fisherdash.analyse import Trajectories


class Energies(NamedTuple):
    """What is in memory of a run at one moment; never changed, only replaced as a whole.

    Another thread that reads while new chunks come in sees the old state or the new one.
    """

    times: np.ndarray
    potential: np.ndarray
    kinetic: np.ndarray
    died_step: np.ndarray
    broken_bond: np.ndarray
    step: int = 0
    speeds: tuple[float, ...] = ()
    ends: tuple[int, ...] = ()
    """Number of frames up to the end of each chunk."""


class Run:
    """A run on disk: energies in memory, frames fetched when asked for.

    ``refresh()`` reads the chunks that have come since; H heads, R replicas, K frames, N atoms.

    Attributes:
        folder: where it lies.
        header: what run.json says.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self.header, self._fields = read_header(self.folder)
        heads, replicas = self.header.shape
        none, alive = np.zeros((heads, replicas, 0)), np.full((heads, replicas), -1, np.int64)
        self._now = self._nothing = Energies(np.zeros(0), none, none, alive, alive)
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
        if status == "running" and not hold.is_held(self.folder, self._fields.get("writer", {})):
            return "interrupted"
        return status

    @property
    def times(self) -> np.ndarray:
        """Of the recorded frames, (K,) fs."""
        return self._now.times

    @property
    def potential(self) -> np.ndarray:
        """(H, R, K) eV, NaN from a replica's death on."""
        return self._now.potential

    @property
    def kinetic(self) -> np.ndarray:
        """(H, R, K) eV, NaN from a replica's death on."""
        return self._now.kinetic

    @property
    def died_step(self) -> np.ndarray:
        """(H, R) step of death, −1 for the living."""
        return self._now.died_step

    @property
    def broken_bond(self) -> np.ndarray:
        """(H, R) index into ``header.bonds``, −1 for the living, −2 for what is not finite."""
        return self._now.broken_bond

    @property
    def step(self) -> int:
        """Last step done."""
        return self._now.step

    @property
    def steps_per_second(self) -> float:
        """At the last chunk; 0 while unknown."""
        return self._now.speeds[-1] if self._now.speeds else 0.0

    @property
    def typical_speed(self) -> float:
        """Median of the steps per second over the run; 0 while unknown."""
        known = [speed for speed in self._now.speeds if speed > 0]
        return float(np.median(known)) if known else 0.0

    def refresh(self) -> bool:
        """Read what has come since; whether anything has. InputError when a file is damaged."""
        with self._lock:
            return self._refresh()

    def _refresh(self) -> bool:
        self.header, self._fields = read_header(self.folder)
        count = sum(1 for _ in self.folder.glob("chunk-*.npz"))
        if count < len(self._now.ends):  # a run from before its states had numbers goes on
            self._now = self._nothing
        now, fresh = self._now, []
        while (path := self.folder / files.CHUNK.format(len(now.ends) + len(fresh))).exists():
            fresh.append(self._energies(path))
        beyond = count - len(now.ends) - len(fresh)
        if beyond > 0 and not path.exists():
            raise InputError(f"the run in {self.folder} is damaged: {path.name} is missing")
        if not fresh:
            return False
        last, end = fresh[-1], now.ends[-1] if now.ends else 0

        def joined(name: str) -> np.ndarray:
            return np.concatenate([getattr(now, name), *(chunk[name] for chunk in fresh)], axis=-1)

        self._now = Energies(
            times=joined("times"),
            potential=joined("potential"),
            kinetic=joined("kinetic"),
            died_step=last["died_step"],
            broken_bond=last["broken_bond"],
            step=int(last["step"]),
            speeds=(*now.speeds, *(float(chunk["steps_per_second"]) for chunk in fresh)),
            ends=(*now.ends, *(end + np.cumsum([len(chunk["times"]) for chunk in fresh]))),
        )
        return True

    def frames(
        self, head: int, replica: int, indices: np.ndarray, what: str = "positions"
    ) -> np.ndarray:
        """Positions (Å) or velocities (Å/fs) of one trajectory, shape (len(indices), N, 3)."""
        indices, now = np.asarray(indices, np.int64), self._now
        if np.any((indices < 0) | (indices >= len(now.times))):
            raise InputError(f"the run has frames 0 to {len(now.times) - 1}, asked for {indices}")
        found = np.zeros((len(indices), self.header.num_atoms, 3), np.float32)
        chunks = np.searchsorted(now.ends, indices, side="right")
        for number in np.unique(chunks):
            wanted = chunks == number
            begin = now.ends[number - 1] if number else 0
            block = self._frames(self.folder / files.CHUNK.format(int(number)), what)
            found[wanted] = block[head, replica, indices[wanted] - begin]
        return found

    @property
    def now(self) -> Energies:
        """Everything in memory as of one moment, whatever comes in meanwhile."""
        return self._now

    def block(self, number: int, what: str = "positions") -> np.ndarray:
        """Positions (Å) or velocities (Å/fs) of all trajectories of one chunk, (H, R, K, N, 3)."""
        return self._frames(self.folder / files.CHUNK.format(number), what)

    def trajectories(self) -> "Trajectories":
        """The energies so far, as the analysis takes them."""
        from fisherdash.analyse import Trajectories

        now = self._now
        return Trajectories(
            names=self.header.names,
            times=now.times,
            potential=now.potential,
            kinetic=now.kinetic,
            died_step=now.died_step,
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
