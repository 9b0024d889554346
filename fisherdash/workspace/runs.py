"""One folder a run: ``run.json`` and numbered chunks, each written whole or not at all.

    run.json            header (fisherdash.workspace.headers), status, who writes it
    chunk-000000.npz    times (K,) fs; potential, kinetic (H, R, K) eV; positions (H, R, K, N, 3) Å;
    chunk-000001.npz    velocities (H, R, K, N, 3) Å/fs; died_step, broken_bond (H, R); step; …
    writer.lock         held by the process that writes (fisherdash.workspace.locks)
    reference.npz       energies (H, R) of the survivors' last frames by the potential that labelled
                        the data, in its standard deviations from its mean, and that frame's step
    state-000002.npz    the integrator's state after so many chunks, and
    model-00.safetensors, …   the heads in their order: with both a run is resumed exactly

The chunks are plain uncompressed npz, so other tools can read them without FisherDash. Reading
energies leaves the frames on disk; they are fetched by head, replica and frame when asked for.

A process may be killed at any moment, between two files or within a chunk. There is always a state
that belongs to the last chunk. Only runs of earlier versions can have a chunk after their state; it
is deleted and computed again, which gives the same numbers.
"""

import dataclasses
import threading
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fisherdash import molecules, storage
from fisherdash.errors import InputError
from fisherdash.text import joined
from fisherdash.trajectories import Trajectories
from fisherdash.workspace import headers, listing
from fisherdash.workspace.headers import RunHeader, RunStatus
from fisherdash.workspace.locks import FolderLock

if TYPE_CHECKING:
    from fisherdash.potentials.checkpoint import Checkpoint


class Recorded(NamedTuple):
    """What is in memory of a run at one moment; never changed, only replaced as a whole.

    Another thread that reads while new chunks come in sees the old state or the new one.
    """

    trajectories: Trajectories
    step: int = 0
    speeds: tuple[float, ...] = ()
    ends: tuple[int, ...] = ()
    """Number of frames up to the end of each chunk."""
    judged: int = -1
    """The step whose frames the reference energies are of."""


class Run:
    """A run on disk: energies in memory, frames fetched when asked for.

    ``refresh()`` reads the chunks that have come since; H heads, R replicas, K frames, N atoms.

    Attributes:
        folder: where it lies.
        header: what run.json says.
        now: everything in memory as of one moment, whatever comes in meanwhile.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self.header, self._fields = RunHeader.read(self.folder)
        self.now = self._nothing = self._empty()
        self._lock = threading.Lock()
        self._kept: dict[tuple[int, int, str], np.ndarray] = {}
        self.refresh()

    def _empty(self) -> Recorded:
        none, surviving = np.zeros((*self.header.shape, 0)), np.full(self.header.shape, -1)
        arrays = {"times": np.zeros(0), "potential": none, "kinetic": none}
        return Recorded(self._checked(arrays | {"failed_step": surviving, "cause": surviving}))

    @property
    def id(self) -> str:
        """The folder's name."""
        return self.folder.name

    @property
    def subject(self) -> tuple[str, str]:
        """What values that are kept about this run belong to: its place, and the run itself."""
        return str(self.folder), self.header.born

    @property
    def steps(self) -> int:
        """Steps of the whole run."""
        return int(self.header.settings["steps"])

    @property
    def status(self) -> RunStatus:
        """How far the run is; "interrupted" when its writer is gone without having said so."""
        return headers.status_now(self.folder, self._fields)

    @property
    def times(self) -> np.ndarray:
        """Of the recorded frames, (K,) fs."""
        return self.now.trajectories.times

    @property
    def step(self) -> int:
        """Last step done."""
        return self.now.step

    @property
    def steps_per_second(self) -> float:
        """At the last chunk; 0 while unknown."""
        return self.now.speeds[-1] if self.now.speeds else 0.0

    @property
    def typical_speed(self) -> float:
        """Median of the steps per second; failed replicas take no time. 0 while unknown."""
        known = [speed for speed in self.now.speeds if speed > 0]
        return float(np.median(known)) if known else 0.0

    def refresh(self) -> bool:
        """Read what is new; whether anything was. InputError when a file is damaged."""
        with self._lock:
            chunks = self._refresh()
            return self._read_reference() or chunks

    def _read_reference(self) -> bool:
        """The reference energies once they are there, if they are of the last frame."""
        path = self.folder / headers.REFERENCE
        if self.now.judged == self.step or not path.exists():
            return False
        found = headers.load(path, ("step", "energies"))
        if int(found["step"]) != self.step:
            return False
        try:
            traj = dataclasses.replace(self.trajectories(), reference_energy=found["energies"])
        except InputError as error:
            raise headers.damaged(path, str(error)) from error
        self.now = self.now._replace(trajectories=traj, judged=self.step)
        return True

    def keep_reference(self, energies: np.ndarray) -> None:
        """Write the reference energies of the survivors' last frames, (H, R)."""
        arrays = {"step": np.int64(self.step), "energies": np.asarray(energies, float)}
        headers.save(self.folder / headers.REFERENCE, arrays)
        self.refresh()

    def _refresh(self) -> bool:
        born = self.header.born
        self.header, self._fields = RunHeader.read(self.folder)
        if self.header.born != born:  # another run has taken the folder
            self.now = self._nothing = self._empty()
            self._kept = {}
        count = sum(1 for _ in self.folder.glob("chunk-*.npz"))
        if count < len(self.now.ends):  # a resumed run of a version whose states had no numbers
            self.now, self._kept = self._nothing, {}
        now, fresh = self.now, []
        while (path := self.folder / headers.CHUNK.format(len(now.ends) + len(fresh))).exists():
            found = headers.load(path, (*_SCALARS, "step", "steps_per_second"))
            try:
                piece = self._checked({name: found[name] for name in _SCALARS})
            except (InputError, TypeError, ValueError) as error:
                raise headers.damaged(path, str(error)) from error
            fresh.append((piece, int(found["step"]), float(found["steps_per_second"])))
        beyond = count - len(now.ends) - len(fresh)
        if beyond > 0 and not path.exists():
            raise InputError(f"the run in {self.folder} is damaged: {path.name} is missing")
        if not fresh:
            return False
        pieces, steps, speeds = zip(*fresh, strict=True)
        end = now.ends[-1] if now.ends else 0
        self.now = Recorded(
            now.trajectories.followed_by(*pieces),
            step=steps[-1],
            speeds=(*now.speeds, *speeds),
            ends=(*now.ends, *(end + np.cumsum([len(piece.times) for piece in pieces]))),
        )
        return True

    def frames(
        self, head: int, replica: int, indices: np.ndarray, what: str = "positions"
    ) -> np.ndarray:
        """Positions (Å) or velocities (Å/fs) of one trajectory, shape (len(indices), N, 3)."""
        indices, last = np.asarray(indices, np.int64), len(self.times) - 1
        if np.any((indices < 0) | (indices > last)):
            raise InputError(f"the run has frames 0 to {last}, asked for {indices}")
        found = np.zeros((len(indices), self.header.num_atoms, 3), np.float32)
        for wanted, number, places in self._places(indices):
            found[wanted] = self._of_replica(number, replica, what)[head, places]
        return found

    def _of_replica(self, number: int, replica: int, what: str) -> np.ndarray:
        """Positions or velocities of one replica of all heads in one chunk, (H, K, N, 3).

        The last ones are kept: a run that goes on is drawn again each second or two.
        """
        key = (number, replica, what)
        with self._lock:
            kept = self._kept.get(key)
        if kept is None:
            kept = self.block(number, what)[:, replica].copy()
            most = max(1, _KEPT_BYTES // max(1, kept.nbytes))
            with self._lock:
                self._kept[key] = kept
                while len(self._kept) > most:
                    del self._kept[next(iter(self._kept))]
        return kept

    def blocks(
        self, indices: np.ndarray, what: str = "positions"
    ) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Each chunk with some of these frames, read once.

        Yields:
            Which of the indices they are; all the chunk's frames (H, R, K, N, 3), Å or Å/fs; and
            the places of the wanted ones among them.
        """
        for wanted, number, places in self._places(indices):
            yield wanted, self.block(number, what), places

    def _places(self, indices: np.ndarray) -> Iterator[tuple[np.ndarray, int, np.ndarray]]:
        """Which of the frames lie in each chunk, its number, and their places there."""
        ends = self.now.ends
        chunks = np.searchsorted(ends, indices, side="right")
        for number in np.unique(chunks):
            wanted = np.flatnonzero(chunks == number)
            begin = ends[number - 1] if number else 0
            yield wanted, int(number), indices[wanted] - begin

    def block(self, number: int, what: str = "positions") -> np.ndarray:
        """Positions (Å) or velocities (Å/fs) of all trajectories of one chunk, (H, R, K, N, 3)."""
        path = self.folder / headers.CHUNK.format(number)
        block = headers.load(path, (what,))[what]
        if block.shape[:2] != self.header.shape or block.shape[3:] != (self.header.num_atoms, 3):
            raise headers.damaged(path, f"{what} has shape {block.shape}")
        return block

    def view(self, head: int | str = 0, replica: int = 0) -> Any:
        """A trajectory in three dimensions up to its failure, as a ``py3Dmol.view`` for notebooks.

        Args: head by its index or its name. InputError for what is not in the run.
        """
        names = self.header.names
        head = names.index(head) if isinstance(head, str) and head in names else head
        if isinstance(head, str) or not (
            0 <= head < len(names) and 0 <= replica < self.header.shape[1]
        ):
            raise InputError(
                f"{self.id} has the heads {joined(names)} and replicas 0 to "
                f"{self.header.shape[1] - 1}, asked for head {head!r}, replica {replica}"
            )
        left = np.flatnonzero(self.trajectories().surviving[head, replica])
        if not len(left):
            raise InputError(f"{self.id} has no frame yet")
        shown = left[:: -(-len(left) // molecules.MOST)]
        return molecules.view(self.header.atomic_numbers, self.frames(head, replica, shown))

    def trajectories(self) -> Trajectories:
        """The energies so far."""
        return self.now.trajectories

    def _checked(self, arrays: dict[str, np.ndarray]) -> Trajectories:
        """Recorded arrays by name; InputError when they do not fit the header."""
        header = self.header
        found = Trajectories(
            names=header.names,
            timestep=float(header.settings["timestep"]),
            num_atoms=header.num_atoms,
            temperature=float(header.settings["temperature"]),
            degrees_of_freedom=header.degrees_of_freedom,
            **arrays,
        )
        if found.failed_step.shape != header.shape:
            raise InputError(f"{found.replicas} replicas, expected {header.shape[1]}")
        return found


def open_run(folder: Path) -> Run:
    """Open a run's folder, whole or still being written.

    Raises InputError, one sentence, when it is no run, of another version, or damaged.
    """
    return Run(folder)


_KEPT_BYTES = 16 * 2**20
"""Of frames in memory, for each run that is open."""

_SCALARS = ("times", "potential", "kinetic", "failed_step", "cause")
_VECTORS = ("positions", "velocities")


class RunWriter:
    """Writes one run as its chunks come; every file appears complete."""

    def __init__(
        self, folder: Path, header: RunHeader, checkpoints: "Mapping[str, Checkpoint] | None" = None
    ) -> None:
        """The run's folder appears, with copies of its models if they are given: it can resume.

        InputError when the folder holds something already or the disk refuses.
        """
        self.folder, self._number = Path(folder), 0
        if (self.folder / RunHeader.FILE).exists():
            raise InputError(f"{self.folder} already holds a run; choose another folder")
        self.header = dataclasses.replace(header, number=listing.next_number(self.folder))
        with storage.new_folder(self.folder) as part:
            self._lock = FolderLock(part)
            if checkpoints is not None:
                from fisherdash.potentials.checkpoint import save

                for number, name in enumerate(header.names):
                    save(checkpoints[name], part / headers.MODEL.format(number))
            self.header.write(part, "running")

    @classmethod
    def reopened(cls, run: "Unfinished", lock: FolderLock) -> "RunWriter":
        """A writer that appends to a run that was stopped."""
        writer = cls.__new__(cls)
        writer.folder, writer.header, writer._number = run.folder, run.header, run.chunks
        writer._lock = lock
        writer.header.write(writer.folder, "running")
        return writer

    def append(self, chunk: Any) -> None:
        """Write one chunk; one without frames (while compiling) only completes the header."""
        if self.header.bonds is None:
            self.header = dataclasses.replace(
                self.header,
                bonds=tuple(zip(*chunk.bonds.pairs.T.tolist(), chunk.bonds.lengths, strict=True)),
                clash_limits=None if chunk.contacts is None else dict(chunk.contacts.limits),
                degrees_of_freedom=int(chunk.degrees_of_freedom),
                device=chunk.device,
                notes=(*self.header.notes, *chunk.notes),
            )
            self.header.write(self.folder, "running")
        if not len(chunk.times):
            self._keep_state(chunk, self._number)
            return
        # State, chunk, old state, in this order: at every moment the last chunk has its state.
        self._keep_state(chunk, self._number + 1)
        arrays = {name: getattr(chunk, name) for name in (*_SCALARS, *_VECTORS)}
        arrays["step"] = np.int64(chunk.step)
        arrays["steps_per_second"] = np.float64(chunk.steps_per_second)
        headers.save(self.folder / headers.CHUNK.format(self._number), arrays)
        if chunk.state is not None:
            (self.folder / headers.STATE.format(self._number)).unlink(missing_ok=True)
        self._number += 1

    def _keep_state(self, chunk: Any, chunks: int) -> None:
        if chunk.state is not None:
            headers.save(self.folder / headers.STATE.format(chunks), chunk.state._asdict())

    def finish(self, status: RunStatus) -> None:
        """Say how the run ended, and let others write its folder."""
        try:
            self.header.write(self.folder, status)
        finally:
            self._lock.release()

    def record(self, chunks: Iterable[Any], step: int = -1) -> Iterator[Any]:
        """Write each chunk, pass it on, and set the status when they end."""
        status: RunStatus = "failed"
        try:
            for chunk in chunks:
                self.append(chunk)
                step = chunk.step
                yield chunk
            status = "finished" if step >= self.header.settings["steps"] else "cancelled"
        except GeneratorExit:
            status = "cancelled"
            raise
        finally:
            self.finish(status)


def record(
    chunks: Iterable[Any],
    folder: Path,
    header: RunHeader,
    checkpoints: "Mapping[str, Checkpoint] | None" = None,
) -> Iterator[Any]:
    """Pass a simulation's chunks through, each one written before it is handed on.

    The run's status ends as "finished" when all steps were done, "cancelled" when the simulation
    stopped early, "failed" when it raised. With its checkpoints beside it a run can be resumed.
    """
    yield from RunWriter(folder, header, checkpoints).record(chunks)


STATE_ARRAYS = (
    "positions", "momenta", "forces", "potential", "step", "failed_step", "cause"
)  # fmt: skip


@dataclasses.dataclass(frozen=True, eq=False)
class Unfinished:
    """Everything that is needed to resume a run.

    Attributes:
        checkpoints: the heads by name, as they were when the run began.
        state: arrays of the integrator's state, by name.
        chunks: number of chunks written before that state.
    """

    folder: Path
    header: RunHeader
    checkpoints: "dict[str, Checkpoint]"
    state: dict[str, np.ndarray]
    chunks: int

    @property
    def step(self) -> int:
        """Last step done; −1 when not even the first frame was."""
        return int(self.state["step"])


def unfinished(folder: Path) -> Unfinished:
    """Opens a run to resume it.

    Raises InputError, one sentence, for what is no run, is still being written, is finished, was
    stopped before it had begun, or lacks its models.
    """
    header, fields = RunHeader.read(folder)
    header.check_idle(folder, fields)
    if fields.get("status") == "finished":
        steps = header.settings["steps"]
        raise InputError(f"the run in {folder} is finished: all its {steps} steps are done")
    kept = _kept_state(folder)
    if header.bonds is None or kept is None:
        again = f"; start it anew: {header.command}" if header.command else ""
        raise InputError(f"the run in {folder} was stopped before it had begun{again}")
    return Unfinished(folder, header, kept_models(folder, header), *kept)


def has_models(run: Run) -> bool:
    """Whether a run's heads lie beside it; an older one, or one from elsewhere, may lack them."""
    files = (run.folder / headers.MODEL.format(number) for number in range(run.header.shape[0]))
    return all(path.exists() for path in files)


def kept_models(folder: Path, header: RunHeader) -> "dict[str, Checkpoint]":
    """The heads of a run by name, as they were when it began; InputError where one is missing."""
    from fisherdash.potentials.checkpoint import load

    models = {}
    for number, name in enumerate(header.names):
        path = folder / headers.MODEL.format(number)
        if not path.exists():
            raise InputError(
                f"the run in {folder} cannot be resumed: it holds no {path.name}, the model of "
                f"{name!r}"
            )
        models[name] = load(path)
    return models


def go_on(chunks: Iterable[Any], run: Unfinished) -> Iterator[Any]:
    """Pass the rest of a simulation through, each chunk written before it is handed on.

    InputError when another process writes the run, or has taken it further, in the meantime.
    """
    lock = FolderLock(run.folder)
    try:
        kept = _kept_state(run.folder)
        if kept is None or int(kept[0]["step"]) != run.step:
            raise InputError(f"the run in {run.folder} has changed meanwhile; open it again")
        _tidy(run)
        writer = RunWriter.reopened(run, lock)
    except BaseException:
        lock.release()
        raise
    yield from writer.record(chunks, run.step)


def _kept_state(folder: Path) -> tuple[dict[str, np.ndarray], int] | None:
    """The last state and the number of chunks written before it; None without one."""
    chunks = 0
    while (folder / headers.CHUNK.format(chunks)).exists():
        chunks += 1
    for number in range(chunks, -1, -1):
        if (path := folder / headers.STATE.format(number)).exists():
            return headers.load(path, STATE_ARRAYS), number
    if not (path := folder / headers.ONLY_STATE).exists():
        return None
    state = headers.load(path, STATE_ARRAYS)
    steps = [
        int(headers.load(folder / headers.CHUNK.format(number), ("step",))["step"])
        for number in range(chunks)
    ]
    return state, sum(step <= int(state["step"]) for step in steps)


def _tidy(run: Unfinished) -> None:
    """Deletes chunks after the state, the last one first, and temporary files."""
    storage.sweep(run.folder)
    for path in sorted(run.folder.glob("chunk-*.npz"), reverse=True):
        if path.name >= headers.CHUNK.format(run.chunks):
            path.unlink()
    for path in run.folder.glob("state-*.npz"):
        if path.name != headers.STATE.format(run.chunks):
            path.unlink()
