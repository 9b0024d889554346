"""Chunks out of what the compiled loop returns: heads in their order, frames behind replicas."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from fisherdash.simulate import engine
from fisherdash.simulate.chunk import Chunk
from fisherdash.simulate.engine import Record
from fisherdash.simulate.groups import Group
from fisherdash.simulate.settings import MDSettings
from fisherdash.simulate.state import State


@dataclasses.dataclass(eq=False)
class Call:
    """One call of the compiled loop for every group, still on the device.

    Attributes:
        first: first step that it does.
        last: last step that it does.
        results: of every group, the state after ``last`` and the recorded frames.
        dispatched: when it was put into the queue, seconds of ``time.perf_counter``.
    """

    first: int
    last: int
    results: list[tuple[State, Record]]
    dispatched: float


def running(
    call: Call, groups: Sequence[Group], settings: MDSettings, common: dict[str, Any]
) -> Chunk:
    """The frames of a call that has ended; those on the way to a frame are left out."""
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


def all_dead(chunk: Chunk, settings: MDSettings) -> Iterator[Chunk]:
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


def compiling(state: State, common: dict[str, Any]) -> Chunk:
    """The chunk without frames that comes before anything is compiled; it carries the start."""
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
        state=state.on_host(),
        **common,
    )


def names_of(groups: Sequence[Group]) -> tuple[str, ...]:
    """Names of all heads in their order; ValueError unless every index occurs once."""
    names: dict[int, str] = {}
    for group in groups:
        names |= zip(group.indices, group.names, strict=True)
    if sorted(names) != list(range(sum(len(group.indices) for group in groups))):
        raise ValueError(f"the groups hold the heads {sorted(names)}")
    return tuple(names[index] for index in sorted(names))


def check_same_start(chunk: Chunk, start: State) -> None:
    """Heads may only be compared from the same start: bit for bit, after it went to the device."""
    assert chunk.state is not None
    for name in ("positions", "momenta"):
        leaf = getattr(chunk.state, name)
        if not np.array_equal(leaf, np.broadcast_to(getattr(start, name)[:1], leaf.shape)):
            raise RuntimeError(f"the heads did not start from the same {name}")
