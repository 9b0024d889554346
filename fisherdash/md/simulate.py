"""A simulation from checkpoints and a data set, or the rest of one from its saved state.

The host's side of a run: keeps the device busy, assembles chunks, ends when cancelled.

The next call is in the device's queue before the results of the last one are fetched, so recording
never makes the device wait.
"""

import collections
import dataclasses
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import jax
import numpy as np

from fisherdash.dataset import Dataset
from fisherdash.errors import InputError
from fisherdash.md import engine, initial
from fisherdash.md.engine import Group, Record, RunConstants, group_checkpoints
from fisherdash.md.failure import FEWEST_FRAMES, TOLERANCE, Bonds, Contacts, find_contacts
from fisherdash.md.integrator import State, start
from fisherdash.potentials.calculator import FisherDashCalculator
from fisherdash.settings import MDSettings
from fisherdash.trajectories import SURVIVING, Trajectories

if TYPE_CHECKING:
    from fisherdash.potentials.checkpoint import Checkpoint


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Chunk(Trajectories):
    """Consecutive recorded frames of every trajectory, and where the run is.

    Energies of a replica are NaN from the step of its failure on; its positions and velocities
    stay those at its failure. The first chunk of a run has the stage "compiling" and no frames;
    the first frame of a run that is not resumed is the start, t = 0.

    Attributes:
        stage: "compiling" or "running".
        step: last step done.
        steps: steps of the whole run.
        steps_per_second: of the whole batch, without compilation; 0 while unknown.
        device: where it runs, in words.
        bonds: the bonds that are watched; ``cause`` of a broken one is an index into them.
        contacts: the pairs without a bond that are watched, if any.
        notes: what was decided about the start, plain sentences.
        state: the integrator's state after ``step``, on the host; a run is resumed from it exactly.
    """

    stage: Literal["compiling", "running"]
    step: int
    steps: int
    steps_per_second: float
    device: str
    bonds: Bonds
    contacts: Contacts | None = None
    notes: tuple[str, ...] = ()
    state: State | None = None


@dataclasses.dataclass(eq=False)
class Call:
    """One call of the compiled loop for every group, still on the device.

    Attributes:
        first: first step that it does.
        last: last step that it does.
        results: of every group, the state after ``last`` and the recorded frames.
        dispatched: when it was put into the queue, seconds of ``time.perf_counter``.
        done: when that was over, if all was done by then: what calls another library is not queued.
    """

    first: int
    last: int
    results: list[tuple[State, Record]]
    dispatched: float
    done: float | None = None

    @property
    def is_done(self) -> bool:
        """Whether all results are there."""
        return all(leaf.is_ready() for leaf in jax.tree.leaves(self.results))


def running(
    call: Call, groups: Sequence[Group], settings: MDSettings, common: dict[str, Any]
) -> Chunk:
    """The complete frames of a call that has ended."""
    every, steps = settings.record_every, settings.steps
    frames = np.arange(engine.frame_of(call.first, every), engine.frame_of(call.last, every) + 1)
    due = np.minimum(frames * every, steps)
    due = due[due <= call.last]  # the last slot may be on its way to a frame
    order = [index for group in groups for index in group.indices]

    def in_order(parts: list[np.ndarray]) -> np.ndarray:
        """Parts of the groups as one array, heads in the order of the run."""
        return np.concatenate(parts)[np.argsort(order)]

    def frames_of(parts: list[np.ndarray]) -> np.ndarray:
        """The complete frames, heads first."""
        return in_order([np.moveaxis(part[: len(due)], 0, 2) for part in parts])

    records = [Record(*map(np.asarray, record)) for _, record in call.results]
    states = [part.on_host() for part, _ in call.results]
    leaves = (in_order(list(p)) if p[0].ndim else p[0] for p in zip(*states, strict=True))
    state = State(*leaves)
    recorded = (frames_of(list(part)) for part in zip(*records, strict=True))
    return Chunk(
        stage="running",
        step=call.last,
        times=due * settings.timestep,
        failed_step=state.failed_step,
        cause=state.cause,
        state=state,
        **dict(zip(Record._fields, recorded, strict=True)),
        **common,
    )


def compiling(state: State, common: dict[str, Any]) -> Chunk:
    """The chunk without frames that comes before anything is compiled; it carries the start."""
    heads, replicas, atoms, _ = np.shape(state.positions)
    energies, vectors = np.zeros((heads, replicas, 0)), np.zeros((heads, replicas, 0, atoms, 3))
    return Chunk(
        stage="compiling",
        step=max(int(state.step), 0),
        times=np.zeros(0),
        potential=energies,
        kinetic=energies,
        positions=vectors.astype(np.float32),
        velocities=vectors.astype(np.float32),
        failed_step=np.asarray(state.failed_step),
        cause=np.asarray(state.cause),
        steps_per_second=0.0,
        state=state.on_host(),
        **common,
    )


def _names_of(groups: Sequence[Group]) -> tuple[str, ...]:
    """Names of all heads in their order; ValueError unless every index occurs once."""
    names: dict[int, str] = {}
    for group in groups:
        names |= zip(group.indices, group.names, strict=True)
    if sorted(names) != list(range(sum(len(group.indices) for group in groups))):
        raise ValueError(f"the groups hold the heads {sorted(names)}")
    return tuple(names[index] for index in sorted(names))


def _check_same_start(chunk: Chunk, start: State) -> None:
    """Heads may only be compared from the same start: bit for bit, after it went to the device."""
    assert chunk.state is not None
    for name in ("positions", "momenta"):
        leaf = getattr(chunk.state, name)
        if not np.array_equal(leaf, np.broadcast_to(getattr(start, name)[:1], leaf.shape)):
            raise RuntimeError(f"the heads did not start from the same {name}")


CALL_SECONDS = 0.5
"""How long one call of the compiled loop should last: short enough to cancel, long enough that
the host's work between two calls does not count."""

_QUEUE = 2
"""Calls in the device's queue: one that runs and one that waits."""


@dataclasses.dataclass(frozen=True, eq=False)
class Setting:
    """What every chunk of a run says about the run as a whole."""

    masses: np.ndarray
    bonds: Bonds
    degrees_of_freedom: int
    notes: tuple[str, ...] = ()
    contacts: Contacts | None = None


class _Device:
    """The states of all groups on the device, and how they are advanced."""

    def __init__(
        self, groups: Sequence[Group], state: State, setting: Setting, settings: MDSettings
    ) -> None:
        self.step = int(state.step)
        self._settings, self._groups = settings, groups
        self._capacity = engine.capacity_of(settings.chunk, state)
        self._layouts = [engine.Layout.of(group, settings.replicas) for group in groups]
        both = list(zip(groups, self._layouts, strict=True))
        leaves = state.on_host()
        atoms, contacts = len(setting.masses), setting.contacts
        limits = np.zeros((atoms, atoms)) if contacts is None else contacts.matrix
        self._states = [
            layout.put(
                State(*(leaf[np.array(group.indices)] if leaf.ndim else leaf for leaf in leaves)),
                layout.state,
            )
            for group, layout in both
        ]
        self._params = [layout.put(group.params, layout.params) for group, layout in both]
        self._constants = RunConstants(
            setting.masses,
            setting.bonds.pairs,
            setting.bonds.lengths,
            limits,
            np.float64(settings.timestep),
            np.int64(settings.record_every),
        )

    def next_call(self, affordable: float) -> Call:
        """Puts a call of about ``affordable`` steps into the device's queue."""
        every, steps = self._settings.record_every, self._settings.steps
        count = engine.steps_of_next_call(self.step, steps, every, self._capacity, affordable)
        first, started = self.step + 1, time.perf_counter()
        results = self.advance(count)
        call = Call(first, self.step, results, started)
        if call.is_done:
            call.done = time.perf_counter()
        return call

    def advance(self, count: int) -> list[tuple[State, Record]]:
        """Does ``count`` steps of every group, without waiting for them."""
        steps = np.int64(count)
        parts = zip(self._groups, self._layouts, self._params, self._states, strict=True)
        results = [
            engine.advance(
                group.force_field, self._capacity, layout, params, state, self._constants, steps
            )
            for group, layout, params, state in parts
        ]
        self._states, self.step = [state for state, _ in results], self.step + count
        return results


class _Clock:
    """Speed in steps per second, from calls whose end was seen when it happened."""

    def __init__(self) -> None:
        self.speed = 0.0
        self._seen = 0.0

    def wait(self, call: Call) -> None:
        """Blocks until the call is done."""
        overslept = call.done is None and call.is_done
        jax.block_until_ready(call.results)
        now = call.done or time.perf_counter()
        if not overslept or not self.speed:
            seconds = now - max(call.dispatched, self._seen)
            self.speed = (call.last - call.first + 1) / max(seconds, 1e-9)
        self._seen = now


def run(
    groups: Sequence[Group],
    state: State,
    setting: Setting,
    settings: MDSettings,
    cancel: threading.Event | None = None,
) -> Iterator[Chunk]:
    """Runs from ``state`` to ``settings.steps`` and yields what was recorded.

    Args:
        groups: heads that are evaluated together; their indices cover the heads of the state.
        state: of all heads, from :func:`fisherdash.md.integrator.start` or of an earlier chunk.
        setting: masses, bonds and what else the run is about.
        settings: of the run; replicas, temperature, seed and start were used in making ``state``.
        cancel: when set, the run ends after what is already on the device; all of it is kept.

    Yields:
        A chunk with the stage "compiling", then chunks with at least one frame each. When every
        replica of every head has failed, one frame at the end of the run stands for the rest.
    """
    common = {
        "steps": settings.steps,
        "names": _names_of(groups),
        "device": engine.device_name(),
        "notes": setting.notes,
        "bonds": setting.bonds,
        "contacts": setting.contacts,
        "timestep": settings.timestep,
        "num_atoms": len(setting.masses),
        "temperature": settings.temperature,
        "degrees_of_freedom": setting.degrees_of_freedom,
    }
    yield compiling(state, common)

    device = _Device(groups, state, setting, settings)
    jax.block_until_ready(device.advance(0))  # compiles
    for done, speed in _calls(device, settings, cancel):
        chunk = running(done, groups, settings, common | {"steps_per_second": speed})
        if done.first == 0:
            _check_same_start(chunk, state)
        if not len(chunk.times):
            continue
        yield chunk
        if np.all(chunk.failed_step != SURVIVING):
            if chunk.step < settings.steps:
                yield _end_of(chunk, settings)
            return


def _calls(
    device: _Device, settings: MDSettings, cancel: threading.Event | None
) -> Iterator[tuple[Call, float]]:
    """Every call that has ended, and the speed then; another one is in the queue meanwhile."""
    clock, queue = _Clock(), collections.deque[Call]()
    while True:
        while len(queue) < _QUEUE and device.step < settings.steps:
            if cancel and cancel.is_set():
                break
            if queue and not clock.speed:
                break  # one single step tells the speed, before any longer call
            queue.append(device.next_call(CALL_SECONDS * clock.speed))
        if not queue:
            return
        done = queue.popleft()
        clock.wait(done)
        yield done, clock.speed


def _end_of(chunk: Chunk, settings: MDSettings) -> Chunk:
    """One frame at the end of a run without survivors: nothing changes until then."""
    assert chunk.state is not None
    last = {name: getattr(chunk, name)[:, :, -1:] for name in Record._fields}
    return dataclasses.replace(
        chunk,
        step=settings.steps,
        times=np.array([settings.steps * settings.timestep]),
        state=chunk.state._replace(step=np.array(settings.steps, np.int64)),
        **last,
    )


def resume(
    header: Any,
    checkpoints: "Mapping[str, Checkpoint]",
    state: Mapping[str, np.ndarray],
    *,
    cancel: threading.Event | None = None,
) -> Iterator[Chunk]:
    """The rest of a run, bit for bit as if it had never stopped (on the same kind of device).

    Args:
        header: of the run: its atomic numbers, bonds as [i, j, reference length in Å], limits of
            clashes, degrees of freedom and settings.
        checkpoints: by name, in the order of the run.
        state: after the last step done, by the names of the fields of
            :class:`fisherdash.md.State`.
        cancel: when set, the run ends within about a second and keeps what it has done.

    Raises:
        InputError: a state of another shape, or a run that is already at its end.
    """
    numbers = np.array(header.atomic_numbers)
    for checkpoint in checkpoints.values():
        checkpoint.check_elements(numbers)
    settings, now = MDSettings.from_json(header.settings), State(**state).on_host()
    _check_resumable(now, len(checkpoints), len(numbers), settings)
    bonds = Bonds(
        np.array([bond[:2] for bond in header.bonds]), np.array([bond[2] for bond in header.bonds])
    )
    # Runs begun before clashes were detected have no limits, and are resumed without.
    contacts = Contacts.of(numbers, bonds, header.clash_limits or {})
    groups = group_checkpoints(checkpoints, numbers, settings.precision)
    setting = Setting(initial.masses(numbers), bonds, header.degrees_of_freedom, contacts=contacts)
    return run(groups, now, setting, settings, cancel)


def _check_resumable(state: State, heads: int, atoms: int, settings: MDSettings) -> None:
    """InputError unless the state belongs to such a run and something is left to do."""
    shape, expected = np.shape(state.positions), (heads, settings.replicas, atoms, 3)
    if shape != expected:
        raise InputError(
            f"resume_from must hold positions of shape {expected} for these checkpoints, replicas "
            f"and atoms, received {shape}"
        )
    if int(state.step) >= settings.steps:
        raise InputError(
            f"nothing is left to do: the run is at step {int(state.step)} of {settings.steps}"
        )


def simulate(
    checkpoints: "Mapping[str, Checkpoint]",
    dataset: Dataset,
    settings: MDSettings,
    *,
    cancel: threading.Event | None = None,
    resume_from: State | None = None,
) -> Iterator[Chunk]:
    """NVE molecular dynamics of every checkpoint from the same initial states.

    Args:
        checkpoints: by name; the first is the one that others are compared with.
        dataset: gives the molecule, the starting frames and the reference lengths of the bonds.
        settings: of the run.
        cancel: when set, the run ends within about a second and keeps what it has done.
        resume_from: ``Chunk.state`` of an earlier chunk of the same run, which continues bit for
            bit as if it had never stopped. Frames up to its step are not recorded again.

    Returns:
        An iterator over chunks; the first has the stage "compiling" and comes at once.

    Raises:
        InputError: no checkpoint, elements that a checkpoint does not know, a state of another
            run, or a run that is already at its end.
    """
    if not checkpoints:
        raise InputError("simulate needs at least one checkpoint, received none")
    for checkpoint in checkpoints.values():
        checkpoint.check_elements(dataset.atomic_numbers)
    masses = initial.masses(dataset.atomic_numbers)
    if resume_from is not None:
        _check_resumable(resume_from, len(checkpoints), len(masses), settings)
    groups = group_checkpoints(checkpoints, dataset.atomic_numbers, settings.precision)
    bonds = initial.find_bonds(dataset)
    contacts = find_contacts(dataset, bonds, settings.clash)
    linear = initial.is_linear(dataset.positions)

    def chunks() -> Iterator[Chunk]:
        """Makes the initial states when the first chunk is asked for."""
        notes: tuple[str, ...] = ()
        if resume_from is None:
            first = next(iter(checkpoints.values()))
            positions, notes = _geometries(first, dataset, settings, bonds)
            momenta = initial.thermal_momenta(
                positions, masses, settings.temperature, settings.seed, linear
            )
            state = start(positions, momenta, len(checkpoints))
        else:
            state = resume_from.on_host()
        freedom = initial.degrees_of_freedom(len(masses), linear)
        if settings.clash and len(dataset) < FEWEST_FRAMES:
            notes += (
                f"no clash is looked for: the shortest distances of {len(dataset)} frames mean "
                f"little, {FEWEST_FRAMES} are needed",
            )
        setting = Setting(masses, bonds, freedom, notes, contacts)
        yield from run(groups, state, setting, settings, cancel)

    return chunks()


def _geometries(
    first: "Checkpoint", dataset: Dataset, settings: MDSettings, bonds: Bonds
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Starting positions, shape (replicas, atoms, 3) in Å, and notes on how they were made."""
    if settings.start == "data":
        frames, note = initial.pick_frames(len(dataset), settings.replicas, settings.seed)
        notes = [note]
        if dataset.temperature and abs(dataset.temperature / settings.temperature - 1) > 0.02:
            notes.append(
                f"the frames are from {dataset.temperature:g} K, the momenta are drawn at "
                f"{settings.temperature:g} K"
            )
        return dataset.positions[frames], tuple(notes)
    calculator = FisherDashCalculator(first, first.potential.precisions[-1])
    lowest = dataset.positions[np.argmin(dataset.energies)]
    positions, left = initial.relax(calculator, dataset.atomic_numbers, lowest)
    off = np.abs(bonds.measure(positions) - bonds.lengths)
    if off.size and off.max() > TOLERANCE:
        i, j = bonds.pairs[np.argmax(off)]
        raise InputError(
            f'start="relaxed" cannot be used: relaxing with {first.name!r} brings the bond between '
            f'atoms {i} and {j} {off.max():.2f} Å off its reference length; use start="data"'
        )
    note = (
        f"all replicas start at the minimum of {first.name!r} (largest force left "
        f"{left:.1g} eV/Å); momenta drawn at {settings.temperature:g} K give about half of their "
        "energy to the potential"
    )
    return np.tile(positions, (settings.replicas, 1, 1)), (note,)
