"""The host's side of a run: keeps the device busy, hands out chunks, hears a cancellation."""

import collections
import dataclasses
import threading
import time
from collections.abc import Iterator, Sequence

import jax
import numpy as np

from fisherdash.simulate import engine
from fisherdash.simulate.chunk import Chunk
from fisherdash.simulate.engine import Record, Scenery
from fisherdash.simulate.failure import Bonds
from fisherdash.simulate.groups import Group
from fisherdash.simulate.settings import MDSettings
from fisherdash.simulate.state import ALIVE, State

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


@dataclasses.dataclass(eq=False)
class _Call:
    """One call of the compiled loop for every group, still on the device."""

    first: int
    last: int
    results: list[tuple[State, Record]]
    dispatched: float


class _Clock:
    """Speed in steps per second, from calls whose end was seen when it happened."""

    def __init__(self) -> None:
        self.speed = 0.0
        self._seen = 0.0

    def wait(self, call: _Call) -> None:
        """Blocks until the call is done."""
        overslept = all(leaf.is_ready() for leaf in jax.tree.leaves(call.results))
        jax.block_until_ready(call.results)
        now = time.perf_counter()
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
        state: of all heads, from :func:`fisherdash.simulate.state.start` or of an earlier chunk.
        setting: masses, bonds and what else the run is about.
        settings: of the run; replicas, temperature, seed and start were used in making ``state``.
        cancel: when set, the run ends after what is already on the device; all of it is kept.

    Yields:
        A chunk with the stage "compiling", then chunks with at least one frame each. When every
        replica of every head is dead, one frame at the end of the run stands for the rest.
    """
    names, device = _names(groups), engine.device_name()
    common = {"steps": settings.steps, "names": names, "device": device, "notes": setting.notes}
    common |= {"bonds": setting.bonds, "degrees_of_freedom": setting.degrees_of_freedom}
    yield _compiling(state, common)

    capacity = engine.capacity_of(settings.chunk, state)
    scenery = Scenery(
        setting.masses,
        setting.bonds.pairs,
        setting.bonds.lengths,
        np.float64(settings.timestep),
        np.int64(settings.record_every),
    )
    states = [_select(state, group.indices) for group in groups]
    params = [jax.device_put(group.params) for group in groups]

    def call(steps: int) -> list[tuple[State, Record]]:
        return [
            engine.advance(group.force_field, capacity, weights, part, scenery, np.int64(steps))
            for group, weights, part in zip(groups, params, states, strict=True)
        ]

    states = [part for part, _ in jax.block_until_ready(call(0))]  # compiles
    clock, queue, step = _Clock(), collections.deque[_Call](), int(state.step)
    while True:
        while len(queue) < _QUEUE and step < settings.steps and not (cancel and cancel.is_set()):
            if queue and not clock.speed:
                break  # one single step tells the speed, before any longer call
            affordable = CALL_SECONDS * clock.speed
            count = engine.steps_of_next_call(
                step, settings.steps, settings.record_every, capacity, affordable
            )
            started = time.perf_counter()
            results = call(count)
            queue.append(_Call(step + 1, step + count, results, started))
            states, step = [part for part, _ in results], step + count
        if not queue:
            return
        done = queue.popleft()
        clock.wait(done)
        chunk = _chunk(done, groups, settings, common | {"steps_per_second": clock.speed})
        if done.first == 0:
            _check_same_start(chunk, state)
        if len(chunk.times):
            yield chunk
        if np.all(chunk.died_step != ALIVE) and len(chunk.times):
            yield from _all_dead(chunk, settings)
            return


def _chunk(call: _Call, groups: Sequence[Group], settings: MDSettings, common: dict) -> Chunk:
    every, steps = settings.record_every, settings.steps
    frames = np.arange(engine.frame_of(call.first, every), engine.frame_of(call.last, every) + 1)
    due = np.minimum(frames * every, steps)
    due = due[due <= call.last]  # the last slot may be on its way to a frame
    order = [index for group in groups for index in group.indices]

    def in_order(parts: list[np.ndarray]) -> np.ndarray:
        return np.concatenate(parts)[np.argsort(order)]

    def frames_of(parts: list[np.ndarray]) -> np.ndarray:
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
        died_step=state.died_step,
        broken_bond=state.broken_bond,
        state=state,
        **dict(zip(Record._fields, recorded, strict=True)),
        **common,
    )


def _all_dead(chunk: Chunk, settings: MDSettings) -> Iterator[Chunk]:
    """Nothing would change any more: one frame at the end stands for all that are left."""
    assert chunk.state is not None
    if chunk.step < settings.steps:
        last = {name: getattr(chunk, name)[:, :, -1:] for name in Record._fields}
        yield dataclasses.replace(
            chunk,
            step=settings.steps,
            times=np.array([settings.steps * settings.timestep]),
            state=chunk.state._replace(step=np.array(settings.steps, np.int64)),
            **last,
        )


def _compiling(state: State, common: dict) -> Chunk:
    heads, replicas, atoms, _ = np.shape(state.positions)
    return Chunk(
        stage="compiling",
        step=max(int(state.step), 0),
        times=np.zeros(0),
        potential=np.zeros((heads, replicas, 0)),
        kinetic=np.zeros((heads, replicas, 0)),
        positions=np.zeros((heads, replicas, 0, atoms, 3), np.float32),
        velocities=np.zeros((heads, replicas, 0, atoms, 3), np.float32),
        died_step=np.asarray(state.died_step),
        broken_bond=np.asarray(state.broken_bond),
        steps_per_second=0.0,
        **common,
    )


def _select(state: State, indices: Sequence[int]) -> State:
    chosen = np.array(indices)
    return State(*(leaf[chosen] if leaf.ndim else leaf for leaf in state.on_host()))


def _names(groups: Sequence[Group]) -> tuple[str, ...]:
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
