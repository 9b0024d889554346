"""The loop over chunks: its calls, its cancellation, and runs that go on."""

import dataclasses
import threading

import jax.numpy as jnp
import numpy as np
import pytest

from fisherdash.md import (
    Group,
    MDSettings,
    Setting,
    engine,
    initial,
    loop,
    run,
    start,
)
from fisherdash.md.loop import Call
from tests.md import force_fields as ff

MASSES = initial.masses(ff.CARBON)
ENERGIES_AND_FRAMES = ("potential", "kinetic", "positions", "velocities")


@pytest.mark.parametrize("steps", [40, 43])
def test_the_way_into_chunks_changes_no_bit_and_the_last_part_is_exact(steps, monkeypatch):
    positions, momenta = ff.chain(3)
    rest = lambda step, *_: 1 if step < 0 else steps - step  # noqa: E731
    monkeypatch.setattr(engine, "steps_of_next_call", rest)
    whole = ff.trajectory(positions, momenta, steps=steps, record_every=10, chunk=64)
    monkeypatch.setattr(engine, "steps_of_next_call", lambda step, *_: 1)
    single = ff.trajectory(positions, momenta, steps=steps, record_every=10, chunk=2)
    due = [0, 10, 20, 30, 40] + [43] * (steps == 43)
    assert len(single) == 1 + len(due)  # a chunk a frame, each from ten calls
    assert len(whole) == 3  # compiling, the start, and all the rest in one call
    for chunks in (whole, single):
        assert chunks[-1].step == steps
        np.testing.assert_allclose(ff.joined(chunks, "times", 0), np.array(due) * 0.5)
    for name in ENERGIES_AND_FRAMES:
        assert np.array_equal(ff.joined(whole, name), ff.joined(single, name))
    for a, b in zip(whole[-1].state, single[-1].state, strict=True):
        assert np.array_equal(a, b)


def test_cancel_keeps_what_was_done_and_a_resumed_run_is_the_uninterrupted_one():
    positions, momenta = ff.chain(3)
    state, cancel = start(positions, momenta, 1), threading.Event()
    group = Group(("a",), (0,), ff.MorseChain(), np.array([4.0]))
    setting = Setting(MASSES, ff.CHAIN_BONDS, 6)
    settings = MDSettings(replicas=3, steps=2000, record_every=5, chunk=4)
    whole = list(run([group], state, setting, settings))

    done = []
    for chunk in run([group], state, setting, settings, cancel):
        done.append(chunk)
        if chunk.step >= 100:
            cancel.set()
    assert 100 <= done[-1].step < 400
    rest = list(run([group], done[-1].state, setting, settings))
    assert rest[1].times[0] > done[-1].times[-1]
    for name in (*ENERGIES_AND_FRAMES, "times"):
        axis = 0 if name == "times" else 2
        assert np.array_equal(ff.joined(done + rest, name, axis), ff.joined(whole, name, axis))


def test_cancelled_before_it_begins():
    positions, momenta = ff.chain(1)
    cancel = threading.Event()
    cancel.set()
    group = Group(("a",), (0,), ff.MorseChain(), np.array([4.0]))
    setting = Setting(MASSES, ff.NO_BONDS, 6)
    chunks = list(run([group], start(positions, momenta, 1), setting, MDSettings(1), cancel))
    assert [chunk.stage for chunk in chunks] == ["compiling"]


@dataclasses.dataclass(frozen=True)
class Traced(ff.MorseChain):
    """Notes the shape of its positions whenever it is traced for a compilation."""

    shapes: list = dataclasses.field(default_factory=list, compare=False)

    def __call__(self, params, positions, moves):
        self.shapes.append(positions.shape)
        return super().__call__(params, positions, moves)


def test_a_second_run_compiles_nothing():
    field = Traced()
    positions, momenta = ff.chain(2)
    ff.trajectory(positions, momenta, steps=30, force_field=field)
    traced = list(field.shapes)
    assert {shape[1] for shape in traced} == {2}
    how = {"params": np.array([3.0]), "timestep": 0.7, "record_every": 3}
    ff.trajectory(positions + 0.01, momenta, steps=77, force_field=field, **how)
    assert field.shapes == traced
    ff.trajectory(positions[:1], momenta[:1], steps=5, force_field=field)
    assert {shape[1] for shape in field.shapes[len(traced) :]} == {1}


def test_calls_end_at_frames_or_are_parts_of_the_way_to_one():
    rng = np.random.default_rng(0)
    for _ in range(300):
        every, capacity, steps = (int(rng.integers(1, most)) for most in (30, 6, 500))
        step = -1
        while step < steps:
            affordable = float(rng.uniform(0.0, 200.0))
            count = engine.steps_of_next_call(step, steps, every, capacity, affordable)
            end = step + count
            assert count >= 1 and end <= steps
            first, last = engine.frame_of(step + 1, every), engine.frame_of(end, every)
            assert last - first < capacity
            assert end % every == 0 or end == steps or last == first
            assert step < 0 or count <= max(affordable, 1) or end == steps
            step = end
        assert step == steps


def test_an_affordable_call_of_many_frames_is_used():
    assert engine.steps_of_next_call(-1, 5000, 10, 64, 1000.0) == 1
    assert engine.steps_of_next_call(0, 5000, 10, 64, 255.0) == 250
    assert engine.steps_of_next_call(0, 5000, 10, 8, 255.0) == 80
    assert engine.steps_of_next_call(10, 5000, 1000, 8, 255.0) == 255
    assert engine.steps_of_next_call(4990, 4997, 10, 8, 255.0) == 7


def test_calls_that_are_over_at_once_tell_the_speed() -> None:
    """Another library is not queued: every call is done before the clock looks at it."""
    clock, results = loop._Clock(), [jnp.zeros(2)]
    for call, speed in (
        (Call(1, 10, results, dispatched=100.0, done=102.0), 5.0),
        (Call(11, 40, results, dispatched=103.0, done=104.0), 30.0),
        (Call(41, 99, results, dispatched=104.0), 30.0),  # its end was not seen
    ):
        clock.wait(call)
        assert clock.speed == speed
