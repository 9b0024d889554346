"""One folder a run: ``run.json`` and numbered chunks, each written whole or not at all.

    run.json            header (fisherdash.workspace.headers), status, who writes it
    chunk-000000.npz    times (K,) fs; potential, kinetic (H, R, K) eV; positions (H, R, K, N, 3) Å;
    chunk-000001.npz    velocities (H, R, K, N, 3) Å/fs; died_step, broken_bond (H, R); step; …
    writer.lock         held by the process that writes (fisherdash.workspace.locks)
    state-000002.npz    the integrator's state after so many chunks, and
    model-00.safetensors, …   the heads in their order, for going on exactly

The chunks are plain uncompressed npz, so other tools can read them without FisherDash. Reading
energies leaves the frames on disk; they are fetched by head, replica and frame when asked for.

Reading a run: its energies at once, its frames when they are asked for.

Writing a run, chunk by chunk; every file appears complete or not at all.

Runs of the workspace that began from the same states as another one, only finer.

Positions and velocities of all living replicas at some frames of a run, each file read once.

One trajectory of a run as extended XYZ, for any other program.

Each frame carries its time, its energies and, per atom, position and velocity:
``Properties=species:S:1:pos:R:3:velo:R:3``. Velocities are in Å/fs. A frame at which the replica
was dead says ``alive=F`` and has no energies. The format is that of
https://github.com/libAtoms/extxyz.
"""

import dataclasses
import io
import threading
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fisherdash import storage
from fisherdash.errors import InputError
from fisherdash.potentials.checkpoint import Checkpoint, save
from fisherdash.workspace import headers, index, locks, paths
from fisherdash.workspace.headers import HEADER, RunHeader, Status, read_header
from fisherdash.workspace.index import Entry

if TYPE_CHECKING:
    from fisherdash.analysis import Trajectories


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
        if status == "running" and not locks.is_held(self.folder, self._fields.get("writer", {})):
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
        while (path := self.folder / headers.CHUNK.format(len(now.ends) + len(fresh))).exists():
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
            block = self._frames(self.folder / headers.CHUNK.format(int(number)), what)
            found[wanted] = block[head, replica, indices[wanted] - begin]
        return found

    @property
    def now(self) -> Energies:
        """Everything in memory as of one moment, whatever comes in meanwhile."""
        return self._now

    def block(self, number: int, what: str = "positions") -> np.ndarray:
        """Positions (Å) or velocities (Å/fs) of all trajectories of one chunk, (H, R, K, N, 3)."""
        return self._frames(self.folder / headers.CHUNK.format(number), what)

    def trajectories(self) -> "Trajectories":
        """The energies so far, as the analysis takes them."""
        from fisherdash.analysis import Trajectories

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
        found = headers.load(path, (*names, "step", "steps_per_second"))
        heads, replicas = self.header.shape
        frames = len(np.atleast_1d(found["times"]))
        expected = {"potential": (heads, replicas, frames), "kinetic": (heads, replicas, frames)}
        expected |= {"died_step": (heads, replicas), "broken_bond": (heads, replicas)}
        for name, shape in expected.items():
            if found[name].shape != shape:
                raise headers.damaged(
                    path, f"{name} has shape {found[name].shape}, expected {shape}"
                )
        return found

    def _frames(self, path: Path, what: str) -> np.ndarray:
        block = headers.load(path, (what,))[what]
        if block.shape[:2] != self.header.shape or block.shape[3:] != (self.header.num_atoms, 3):
            raise headers.damaged(path, f"{what} has shape {block.shape}")
        return block


def open_run(folder: Path) -> Run:
    """Open a run's folder, whole or still being written.

    Raises InputError, one sentence, when it is no run, of another version, or damaged.
    """
    return Run(folder)


_ARRAYS = (
    "times", "potential", "kinetic", "positions", "velocities", "died_step", "broken_bond"
)  # fmt: skip


class RunWriter:
    """Writes one run as its chunks come; every file appears complete."""

    def __init__(
        self,
        folder: Path,
        header: RunHeader,
        checkpoints: Mapping[str, Checkpoint] | None = None,
    ) -> None:
        """The run's folder appears, with copies of its models if they are given.

        With them it can go on whatever becomes of their files. InputError when the folder holds
        something already or the disk refuses.
        """
        self.folder, self._number = Path(folder), 0
        if (self.folder / HEADER).exists():
            raise InputError(f"{self.folder} already holds a run; choose another folder")
        self.header = dataclasses.replace(header, number=index.next_number(self.folder))
        with storage.new_folder(self.folder) as part:
            self._hold = locks.Hold(part)
            if checkpoints is not None:
                for number, name in enumerate(header.names):
                    save(checkpoints[name], part / headers.MODEL.format(number))
            self._write_header("running", part)

    @classmethod
    def reopened(
        cls, folder: Path, header: RunHeader, chunks: int, held: locks.Hold
    ) -> "RunWriter":
        """A writer that appends to a stopped run with so many chunks."""
        writer = cls.__new__(cls)
        writer.folder, writer.header, writer._number = Path(folder), header, chunks
        writer._hold = held
        writer._write_header("running")
        return writer

    def append(self, chunk: Any) -> None:
        """Write one chunk; one without frames (while compiling) only completes the header."""
        if self.header.bonds is None:
            self.header = dataclasses.replace(
                self.header,
                bonds=tuple(zip(*chunk.bonds.pairs.T.tolist(), chunk.bonds.lengths, strict=True)),
                degrees_of_freedom=int(chunk.degrees_of_freedom),
                device=chunk.device,
                notes=(*self.header.notes, *chunk.notes),
            )
            self._write_header("running")
        if not len(chunk.times):
            self._keep_state(chunk, self._number)
            return
        # State, chunk, old state, in this order: at every moment the last chunk has its state.
        self._keep_state(chunk, self._number + 1)
        arrays = {name: getattr(chunk, name) for name in _ARRAYS}
        arrays["step"] = np.int64(chunk.step)
        arrays["steps_per_second"] = np.float64(chunk.steps_per_second)
        headers.save(self.folder / headers.CHUNK.format(self._number), arrays)
        if chunk.state is not None:
            (self.folder / headers.STATE.format(self._number)).unlink(missing_ok=True)
        self._number += 1

    def _keep_state(self, chunk: Any, chunks: int) -> None:
        if chunk.state is not None:
            headers.save(self.folder / headers.STATE.format(chunks), chunk.state._asdict())

    def finish(self, status: Status) -> None:
        """Say how the run ended, and let others write its folder."""
        try:
            self._write_header(status)
        finally:
            self._hold.release()

    def _write_header(self, status: Status, folder: Path | None = None) -> None:
        fields = {**self.header.to_json(), "status": status, "writer": locks.this_writer()}
        headers.save_json((folder or self.folder) / HEADER, fields)


def record(
    chunks: Iterable[Any],
    folder: Path,
    header: RunHeader,
    checkpoints: Mapping[str, Checkpoint] | None = None,
) -> Iterator[Any]:
    """Pass a simulation's chunks through, each one written before it is handed on.

    The run's status ends as "finished" when all steps were done, "cancelled" when the simulation
    stopped early, "failed" when it raised. With its checkpoints beside it a run can be resumed.
    """
    writer = RunWriter(folder, header, checkpoints)
    yield from pass_through(chunks, writer, -1)


def pass_through(chunks: Iterable[Any], writer: RunWriter, step: int) -> Iterator[Any]:
    """Hands on what ``writer`` has written, from ``step`` on, and ends the run as it ended."""
    steps = int(writer.header.settings["steps"])
    status: Status = "failed"
    try:
        for chunk in chunks:
            writer.append(chunk)
            step = chunk.step
            yield chunk
        status = "finished" if step >= steps else "cancelled"
    except GeneratorExit:
        status = "cancelled"
        raise
    finally:
        writer.finish(status)


def list_runs() -> list[Entry]:
    """The runs of the workspace, newest first; damaged ones are listed with what is wrong."""
    return index.entries("runs")


def delete_run(folder: Path) -> None:
    """Delete a run of the workspace; InputError for anything else or while it is being written."""
    folder = Path(folder).resolve()
    if folder.parent != paths.place("runs") or not (folder / HEADER).is_file():
        raise InputError(f"{folder} is not a run of the workspace, so it is not deleted")
    _, fields = read_header(folder)
    if fields.get("status") == "running" and locks.is_held(folder, fields.get("writer")):
        raise InputError("the run is still being written; cancel it before deleting it")
    storage.remove_folder(folder)


_SAME = ("replicas", "temperature", "seed", "start")


def finer_run(run: Run, cause: str) -> Path | None:
    """The folder of the newest run like ``run`` with less of ``cause``; None if there is none.

    Args:
        run: any run of the workspace.
        cause: "time step" for the same at half the time step, "round-off" for the same in double
            precision.
    """
    for entry in list_runs():
        if entry.problem is None and entry.folder != run.folder:
            header, _ = read_header(entry.folder)
            if is_finer(run.header, header, cause):
                return entry.folder
    return None


def is_finer(header: RunHeader, other: RunHeader, cause: str) -> bool:
    """Whether ``other`` began from the same states and differs in nothing but ``cause``."""
    mine, theirs = header.settings, other.settings
    same = all(mine.get(name) == theirs.get(name) for name in _SAME)
    same = same and header.dataset.get("fingerprint") == other.dataset.get("fingerprint")
    if not same or _fingerprints(header) != _fingerprints(other):
        return False
    halves = float(mine["timestep"]) == 2 * float(theirs["timestep"])
    steps, precisions = (
        [settings.get(name) for settings in (mine, theirs)] for name in ("timestep", "precision")
    )
    if cause == "time step":
        return halves and precisions[0] == precisions[1]
    return steps[0] == steps[1] and precisions == ["float32", "float64"]


def _fingerprints(header: RunHeader) -> list[Any]:
    return [facts.get("fingerprint") for facts in header.checkpoints]


MOST = 120
"""Frames that are looked at."""

MOST_EVEN = 4096
"""Frames of a spectrum: 20 ps of frames 5 fs apart, some 60 MB of 128 small molecules."""


def living_positions(run: Run, most: int = MOST, first: int = 1) -> dict[str, np.ndarray]:
    """For each head by name, (n, N, 3) Å: every replica alive at evenly spaced frames.

    Frames count from ``first`` on: unless told otherwise, the first one, which all heads share, is
    left out. InputError when a file is damaged.
    """
    now, timestep = run.now, float(run.header.settings["timestep"])
    indices = np.unique(
        np.linspace(first, max(first, len(now.times) - 1), most).round().astype(int)
    )
    indices = indices[indices < len(now.times)]
    death = np.where(now.died_step < 0, np.inf, (now.died_step - 0.5) * timestep)
    kept: dict[str, list[np.ndarray]] = {name: [] for name in run.header.names}
    chunks = np.searchsorted(now.ends, indices, side="right")
    for number in np.unique(chunks):
        begin = now.ends[number - 1] if number else 0
        block = run.block(int(number))
        for at in indices[chunks == number]:
            alive = now.times[at] < death
            for head, name in enumerate(run.header.names):
                kept[name].append(block[head, alive[head], at - begin])
    empty = np.zeros((0, run.header.num_atoms, 3), np.float32)
    return {name: np.concatenate([empty, *blocks]) for name, blocks in kept.items()}


def last_velocities(run: Run, most: int = MOST_EVEN) -> tuple[dict[str, np.ndarray], float]:
    """Velocities at the last evenly spaced frames of a run, for spectra.

    Returns:
        For each head by name, (n, K, N, 3) Å/fs of the replicas alive at the last of the K frames,
        of which there are at most ``most``; and the time between two of them, fs.

    Raises:
        InputError: if a file is damaged, or there are fewer than two frames.
    """
    now, settings = run.now, run.header.settings
    spacing = float(settings["record_every"]) * float(settings["timestep"])
    # The last step is recorded too, which may come sooner than the others.
    late = now.times - spacing * np.arange(len(now.times))
    even = np.flatnonzero(np.abs(late) < 1e-3 * spacing)[-most:]
    if len(even) < 2:
        raise InputError(f"the run has {len(even)} evenly spaced frames; a spectrum needs many")
    death = np.where(now.died_step < 0, np.inf, now.died_step * float(settings["timestep"]))
    alive = death > now.times[even[-1]]
    kept: dict[str, list[np.ndarray]] = {name: [] for name in run.header.names}
    chunks = np.searchsorted(now.ends, even, side="right")
    for number in np.unique(chunks):
        begin = now.ends[number - 1] if number else 0
        block = run.block(int(number), "velocities")
        wanted = even[chunks == number] - begin
        for head, name in enumerate(run.header.names):
            kept[name].append(block[head, alive[head]][:, wanted])
    return {name: np.concatenate(blocks, axis=1) for name, blocks in kept.items()}, spacing


BLOCK = 512
"""Frames that are read and written together."""


def extended_xyz(run: Run, head: int, replica: int) -> Iterator[bytes]:
    """Every recorded frame of one replica of one head, in blocks of text.

    Raises InputError when the run has no such trajectory or no frames yet.
    """
    heads, replicas = run.header.shape
    if not (0 <= head < heads and 0 <= replica < replicas):
        raise InputError(
            f"the run has {heads} heads and {replicas} replicas, "
            f"asked for replica {replica + 1} of head {head + 1}"
        )
    times, potential, kinetic = run.times, run.potential, run.kinetic
    if not len(times):
        raise InputError("the run has no frames yet")
    name = " ".join(run.header.names[head].split()).replace('"', "'").replace("\\", "/")
    death, timestep = int(run.died_step[head, replica]), float(run.header.settings["timestep"])
    for first in range(0, len(times), BLOCK):
        indices = np.arange(first, min(first + BLOCK, len(times)))
        positions = run.frames(head, replica, indices)
        velocities = run.frames(head, replica, indices, "velocities")
        text = io.StringIO()
        for at, x, v in zip(indices, positions, velocities, strict=True):
            alive = death < 0 or times[at] < (death - 0.5) * timestep
            energies = (
                f" potential_eV={potential[head, replica, at]:.10g}"
                f" kinetic_eV={kinetic[head, replica, at]:.10g}"
                if alive
                else ""
            )
            text.write(
                f"{run.header.num_atoms}\nProperties=species:S:1:pos:R:3:velo:R:3 "
                f'pbc="F F F" head="{name}" replica={replica + 1} time_fs={times[at]:.10g} '
                f"alive={'T' if alive else 'F'}{energies}\n"
            )
            for symbol, row in zip(run.header.symbols, np.concatenate([x, v], axis=1), strict=True):
                text.write(f"{symbol:2s} " + " ".join(f"{value:.9g}" for value in row) + "\n")
        yield text.getvalue().encode()
