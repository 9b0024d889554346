"""The host's side of a run: keeps the device busy, hands out chunks, hears a cancellation."""

import collections
import dataclasses
import threading
import time
from collections.abc import Iterator, Sequence

import jax
import numpy as np

from fisherdash.simulate import assemble, engine
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


class _Device:
    """The states of all groups on the device, and how they get further."""

    def __init__(
        self, groups: Sequence[Group], state: State, setting: Setting, settings: MDSettings
    ) -> None:
        self.step = int(state.step)
        self._settings, self._groups = settings, groups
        self._capacity = engine.capacity_of(settings.chunk, state)
        self._layouts = [engine.Layout.of(group, settings.replicas) for group in groups]
        both = list(zip(groups, self._layouts, strict=True))
        self._states = [
            layout.put(_select(state, group.indices), layout.state) for group, layout in both
        ]
        self._params = [layout.put(group.params, layout.params) for group, layout in both]
        self._scenery = Scenery(
            setting.masses,
            setting.bonds.pairs,
            setting.bonds.lengths,
            np.float64(settings.timestep),
            np.int64(settings.record_every),
        )

    def next_call(self, affordable: float) -> assemble.Call:
        """Puts a call of about ``affordable`` steps into the device's queue."""
        every, steps = self._settings.record_every, self._settings.steps
        count = engine.steps_of_next_call(self.step, steps, every, self._capacity, affordable)
        first, started = self.step + 1, time.perf_counter()
        results = self.advance(count)
        return assemble.Call(first, self.step, results, started)

    def advance(self, count: int) -> list[tuple[State, Record]]:
        """Does ``count`` steps of every group, without waiting for them."""
        steps = np.int64(count)
        parts = zip(self._groups, self._layouts, self._params, self._states, strict=True)
        results = [
            engine.advance(
                group.force_field, self._capacity, layout, params, state, self._scenery, steps
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

    def wait(self, call: assemble.Call) -> None:
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
    common = {
        "steps": settings.steps,
        "names": assemble.names_of(groups),
        "device": engine.device_name(),
        "notes": setting.notes,
        "bonds": setting.bonds,
        "degrees_of_freedom": setting.degrees_of_freedom,
    }
    yield assemble.compiling(state, common)

    device = _Device(groups, state, setting, settings)
    jax.block_until_ready(device.advance(0))  # compiles
    clock, queue = _Clock(), collections.deque[assemble.Call]()
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
        chunk = assemble.running(done, groups, settings, common | {"steps_per_second": clock.speed})
        if done.first == 0:
            assemble.check_same_start(chunk, state)
        if len(chunk.times):
            yield chunk
        if np.all(chunk.died_step != ALIVE) and len(chunk.times):
            yield from assemble.all_dead(chunk, settings)
            return


def _select(state: State, indices: Sequence[int]) -> State:
    chosen = np.array(indices)
    return State(*(leaf[chosen] if leaf.ndim else leaf for leaf in state.on_host()))
